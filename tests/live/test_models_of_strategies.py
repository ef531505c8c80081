"""Strategies of several models: whose bundles are taken, where they go, what each trades by, what one without does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ljwx_pipeline.config import LiveStrategySettings, Settings
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.events import BundleStaged, BundleWithdrawn, ModelScored, StrategyChanged, StrategyState
from ljwx_pipeline.live.main import run_replay
from ljwx_pipeline.live.sleeves.overview import Shown, overview
from ljwx_pipeline.live.sleeves.strategies import BY_FILE, plan, specs_of
from ljwx_pipeline.live.stage_log import read_line
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.scoring.transfer import request_headers
from ljwx_pipeline.scoring.withdrawal import Withdrawal, pack_withdrawal
from tests.fakes.live_home import Home, live_home, live_settings
from tests.fakes.model_world import World, boosted, linear
from tests.fakes.sqlite_file import connect

OTHER = "other-0123"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return live_home(tmp_path_factory.mktemp("market"), symbols=14, feed_sessions=6)


@pytest.fixture
def world(home: Home, tmp_path: Path, settings: Settings) -> Iterator[World]:
    one = World(home, tmp_path, settings, shadow_sessions=3)
    yield one
    one.close()


def section(model: str, **changed: Any) -> LiveStrategySettings:
    keys = {"model": model, "universe": "", "capital_share_frac": 0.3, "schedule": "close", "paused": False}
    return LiveStrategySettings.model_validate({**keys, **changed})


def trade(world: World, **models: str) -> None:
    """Let strategies by name trade by these models, as a reload does."""
    given = {name: section(model) for name, model in models.items()}
    specs, mistakes = specs_of(given, world.settings.strategy, world.settings.risk, market_model=world.model_name)
    assert mistakes == ()
    assert world.sync.append_due(lambda _: plan((), specs, holding=(), by=BY_FILE).events)


def withdraw(world: World, model: str, number: int) -> bool:
    word = Withdrawal(model, "1", "b" * 64, by="ann", reason="", at=world.clock.now().isoformat(), number=number)
    body = pack_withdrawal(word, world.home.key)
    headers = request_headers(body, moment=world.clock.now(), key=world.home.key)
    return world.inbox.receive_withdrawal(body, headers).new


def champions(world: World) -> dict[str, str | None]:
    with world.store.reading() as connection:
        lines = {name: read_line(connection, name) for name in ("", OTHER)}
    return {name: line.champion and line.champion.bundle.model_version for name, line in lines.items()}


def test_a_bundle_is_taken_once_a_strategy_trades_its_model_and_goes_to_its_own_line(world: World) -> None:
    ours, theirs, newer = world.bundle(boosted(1)), world.bundle(linear(2), model_name=OTHER), world.bundle(linear(3))
    with pytest.raises(LiveError, match=f"the bundle is a {OTHER}, this runner trades {world.model_name}"):
        world.push(theirs, "7")
    with pytest.raises(LiveError, match=f"the withdrawn model is a {OTHER}"):
        withdraw(world, OTHER, 1)
    trade(world, core="", fast=OTHER, twin=OTHER)
    assert world.push(theirs, "7").new
    assert world.push(ours, "1").new
    assert not world.push(theirs, "7").new
    assert world.push(newer, "2").new
    assert [(one.strategy, one.stage.value, one.model_version) for one in world.logged(BundleStaged)] == [
        (OTHER, "champion", "7"),
        ("", "champion", "1"),
        ("", "shadow", "2"),
    ]
    with pytest.raises(LiveError, match=f"this runner trades .*{OTHER}"):
        world.push(world.bundle(linear(4), model_name="a-third"), "1")

    async def run() -> None:
        for session in world.sessions[:2]:
            found = {line: await world.board.scores(session, line) for line in ("", OTHER)}
            for line, bundle in (("", ours), (OTHER, theirs)):
                alone = world.scored_alone(bundle, session)
                assert found[line].champion.scorer.scores(session).tobytes() == alone.tobytes()
            assert found[OTHER].shadow is None

    world.run(run())
    assert {(one.strategy, one.bundle_hash) for one in world.logged(ModelScored)} == {("", ours.name), ("", newer.name)}


def test_a_withdrawal_takes_its_own_model_back_and_a_journal_begun_anew_knows_it(
    world: World, tmp_path: Path, settings: Settings
) -> None:
    trade(world, core="", fast=OTHER)
    ours, theirs = world.bundle(boosted(1)), world.bundle(linear(2), model_name=OTHER)
    world.push(theirs, "7")
    world.push(ours, "1")
    assert withdraw(world, OTHER, 1)
    assert champions(world) == {"": "1", OTHER: None}
    assert [one.strategy for one in world.logged(BundleWithdrawn)] == [OTHER]
    assert (world.sync.withdrawn(), world.sync.withdrawn(OTHER).model_version) == (None, "1")
    world.push(world.bundle(linear(3)), "2")
    assert world.sync.withdrawn(OTHER) is not None, "a bundle of another model lifts no withdrawal"
    assert withdraw(world, world.model_name, 1)
    assert champions(world) == {"": None, OTHER: None}
    assert sorted(path.name for path in world.live.glob("*withdrawal.json")) == [
        f"{OTHER}.withdrawal.json",
        "withdrawal.json",
    ]
    anew = World(world.home, tmp_path / "anew", settings)
    try:
        for path in sorted(world.live.iterdir()):
            path.rename(anew.live / path.name)
        trade(anew, core="", fast=OTHER)
        anew.inbox.adopt()
        assert champions(anew) == {"": None, OTHER: None}
        anew.push(theirs, "7")
        assert champions(anew) == {"": None, OTHER: "7"}
    finally:
        anew.close()


def test_a_bundle_that_waits_is_taken_back_by_its_own_model_s_withdrawal_alone(world: World) -> None:
    trade(world, core="", fast=OTHER)
    ours, theirs = world.bundle(boosted(1)), world.bundle(linear(2), model_name=OTHER)
    board, inbox = world.started(pack=False)
    world.push(ours, "1")
    world.push(theirs, "7")
    assert withdraw(world, OTHER, 1)
    board.attach(world.factors())
    inbox.adopt()
    assert champions(world) == {"": "1", OTHER: None}


def test_a_strategy_that_no_longer_trades_a_model_leaves_its_line_as_it_stands(world: World) -> None:
    trade(world, core="", fast=OTHER)
    world.push(world.bundle(linear(2), model_name=OTHER), "7")
    world.run(world.board.adopt())
    assert world.board.models_for(OTHER).champion is not None
    gone = next(one for one in world.logged(StrategyChanged) if one.strategy == "fast")
    assert world.sync.append_due(lambda _: [replace(gone, state=StrategyState.REMOVED, capital_share_bps=0)])
    world.run(world.board.adopt())
    assert world.board.models_for(OTHER).champion is None
    with pytest.raises(LiveError, match="this runner trades"):
        world.push(world.bundle(linear(3), model_name=OTHER), "8")
    assert world.sync.append_due(lambda _: [gone])
    world.run(world.board.adopt())
    assert world.board.models_for(OTHER).champion.deployed.model_version == "7"


def replayed(home: Home, settings: Settings) -> tuple[list[tuple[str, str]], dict[str, Shown]]:
    """Run the runner for a strategy of the market's model and two of others; what each scored by, and how it stands."""
    sections = {"core": section(""), "fast": section(OTHER), "late": section("third")}
    live = live_settings(settings)
    live = live.model_copy(update={"live": live.live.model_copy(update={"strategies": sections})})
    run_replay(home.home, live, keys_dir=home.keys)
    path = home.live / "account" / "journal.sqlite"
    with closing(connect(path)) as journal:
        scored = journal.execute("SELECT DISTINCT strategy, bundle_hash FROM signals ORDER BY strategy").fetchall()
        assert journal.execute("SELECT count(*) FROM fills").fetchone()[0] > 0
    store = Store(path)
    try:
        with store.reading() as connection:
            return [tuple(row) for row in scored], {one.sleeve: one for one in overview(connection)}
    finally:
        store.close()


def test_a_runner_trades_each_strategy_by_its_own_model_and_one_without_a_bundle_holds(
    tmp_path: Path, settings: Settings
) -> None:
    home = live_home(tmp_path, symbols=14, feed_sessions=3)
    ours, theirs = home.bundle(model=boosted(1)), home.bundle(model=linear(2), model_name=OTHER)
    home.spool(ours, "1")
    home.spool(theirs, "7")
    scored, shown = replayed(home, settings)
    assert scored == [("core", ours.name), ("fast", theirs.name)]
    held = {name: one.bundle_hash for name, one in shown.items() if one.strategy}
    assert held == {"core": ours.name, "fast": theirs.name, "late": ""}
    assert (shown["core"].note, shown["late"].note) == ("", "no bundle of third trades: nothing is bought")
    assert (shown["late"].positions, shown["late"].equity_fen > 0) == (0, True)


def test_a_market_s_model_that_is_not_there_yet_holds_up_no_strategy_of_another(
    tmp_path: Path, settings: Settings
) -> None:
    home = live_home(tmp_path, symbols=14, feed_sessions=3)
    theirs = home.bundle(model=linear(2), model_name=OTHER)
    home.spool(theirs, "7")
    scored, shown = replayed(home, settings)
    assert scored == [("fast", theirs.name)]
    assert shown["core"].note == "no bundle of the market's model trades: nothing is bought"
