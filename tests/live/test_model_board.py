"""Models come, stand beside each other, fail and go while every close is scored once, by somebody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import BundleError, LiveError
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.label import forward_returns
from ljwx_pipeline.live.candidates import session_before
from ljwx_pipeline.live.events import BundleReleased, BundleStaged, BundleWithdrawn, CandidateJudged, ModelScored, Noted
from ljwx_pipeline.live.model_board import StagedModels
from ljwx_pipeline.live.score_checks import rank_correlation
from ljwx_pipeline.live.scorer import BundleScorer
from ljwx_pipeline.live.stage_log import Staging, judged, read_line, verdict
from ljwx_pipeline.live.stages import Line
from ljwx_pipeline.live.tables import outbox
from ljwx_pipeline.market.adjustment import factor_panel
from ljwx_pipeline.scoring.bundle import load_bundle
from ljwx_pipeline.scoring.signing import public_key
from tests.fakes.live_home import Home, live_home
from tests.fakes.model_world import World, boosted, linear

MakeWorld = Callable[..., World]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return live_home(tmp_path_factory.mktemp("market"), symbols=14, feed_sessions=8)


@pytest.fixture
def world(home: Home, tmp_path: Path, settings: Settings) -> Iterator[MakeWorld]:
    made: list[World] = []

    def make(**changed: Any) -> World:
        made.append(World(home, tmp_path / str(len(made)), settings, **changed))
        return made[-1]

    yield make
    for one in made:
        one.close()


def same(found: StagedModels, expected: np.ndarray, session: date) -> bool:
    assert found.champion is not None
    return np.array_equal(found.champion.scorer.scores(session), expected, equal_nan=True)


def trading(found: StagedModels) -> tuple[str | None, str | None, str | None]:
    held = (found.champion, found.canary, found.shadow)
    return tuple(None if one is None else one.deployed.model_version for one in held)


def alerts(world: World) -> list[tuple[str, str]]:
    with world.store.reading() as connection:
        return [tuple(row) for row in connection.execute(select(outbox.c.tier, outbox.c.code).order_by(outbox.c.id))]


def test_a_pushed_bundle_scores_as_it_does_alone_and_has_the_whole_capital(world: MakeWorld) -> None:
    one = world()
    first, second = one.bundle(boosted(1)), one.bundle(linear(2))

    async def run() -> None:
        assert (await one.board.scores(one.sessions[0])).champion is None
        one.push(first, "1")
        found = await one.board.scores(one.sessions[0])
        assert same(found, one.scored_alone(first, one.sessions[0]), one.sessions[0])
        one.push(second, "2")
        assert trading(one.board.models_for("")) == ("1", None, None), "not before the next look"
        await one.board.adopt()
        assert trading(one.board.models_for("")) == ("2", None, None)
        found = await one.board.scores(one.sessions[1])
        assert same(found, one.scored_alone(second, one.sessions[1]), one.sessions[1])
        assert [(sleeve.bundle_hash, sleeve.capital_share_bps) for sleeve in found.sleeves] == [(second.name, 10_000)]

    one.run(run())
    assert one.logged(ModelScored) == [], "a champion alone is compared with nobody"
    told = [note.message[:9] for note in one.logged(Noted) if note.topic == "model_trades"]
    assert told == ["version 1", "version 2"]
    assert {note.topic for note in one.logged(Noted)} == {"model_trades", "no_intervals"}


def test_a_candidate_is_compared_every_close_advances_and_never_changes_the_champion_s_scores(
    world: MakeWorld,
) -> None:
    one = world(shadow_sessions=2, canary_sessions=2, canary_share_frac=0.2)
    first, second = one.bundle(boosted(1)), one.bundle(linear(2))

    async def run() -> list[tuple[Any, ...]]:
        one.push(first, "1")
        one.push(second, "2")
        seen = []
        for session in one.sessions[:5]:
            found = await one.board.scores(session)
            again = await one.board.scores(session)
            assert trading(again) == trading(found), "a close that is asked for again is answered the same"
            seen.append((*trading(found), tuple(sleeve.capital_share_bps for sleeve in found.sleeves)))
            trader = second if found.champion.deployed.model_version == "2" else first
            assert same(found, one.scored_alone(trader, session), session)
        return seen

    assert one.run(run()) == [
        ("1", None, "2", (10_000,)),
        ("1", None, "2", (10_000,)),
        ("1", "2", None, (8_000, 2_000)),
        ("1", "2", None, (8_000, 2_000)),
        ("2", None, None, (10_000,)),
    ]
    scored = one.logged(ModelScored)
    assert [(event.session, event.stage.value) for event in scored] == [
        (session, stage)
        for session, beside in zip(one.sessions[:4], ["shadow", "shadow", "canary", "canary"], strict=True)
        for stage in ("champion", beside)
    ]
    ours, theirs = one.scored_alone(first, one.sessions[0]), one.scored_alone(second, one.sessions[0])
    assert scored[1].rank_correlation == rank_correlation(ours, theirs)
    assert scored[0].rank_correlation == pytest.approx(1.0)
    assert scored[0].scores == {one.feed.symbols[row]: ours[row] for row in np.flatnonzero(np.isfinite(ours))}


def test_the_line_read_from_the_journal_is_the_fold_of_its_events(world: MakeWorld) -> None:
    one = world(shadow_sessions=2, canary_sessions=3)

    async def run() -> None:
        one.push(one.bundle(linear(1)), "1")
        one.push(one.bundle(linear(2)), "2")
        for session in one.sessions[:3]:
            await one.board.scores(session)
        one.push(one.bundle(linear(3)), "3")
        for session in one.sessions[3:5]:
            await one.board.scores(session)

    one.run(run())
    folded = Line("")
    for event in one.logged(BundleStaged, BundleReleased, BundleWithdrawn, ModelScored):
        folded = folded.after(event)
    with one.store.reading() as connection:
        assert read_line(connection, "") == folded
    held = (folded.champion, folded.canary, folded.shadow)
    assert [(one.bundle.model_version, one.scored_sessions) for one in held] == [("1", 5), ("2", 3), ("3", 2)]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("raises", "it raised an error: RuntimeError('no luck today')"),
        ("exits", "it raised an error: SystemExit(3)"),
        ("hangs", "no answer within 1 s"),
        ("says nothing", "names have no score"),
        ("overflows", "scores are beyond 1e+06"),
        ("says one number", "scores are 0.25"),
    ],
)
def test_a_champion_that_fails_at_a_close_is_replaced_at_that_very_close(
    world: MakeWorld, fault: str, why: str
) -> None:
    one = world(max_latency_s=1.0)
    model = linear(2)
    first, second = one.bundle(boosted(1)), one.bundle(model)
    faulty = one.loads_faulty(second, model)

    async def run() -> None:
        one.push(first, "1")
        one.push(second, "2")
        assert trading(await one.board.scores(one.sessions[0])) == ("2", None, None)
        faulty.fault = fault
        found = await one.board.scores(one.sessions[1])
        assert trading(found) == ("1", None, None)
        assert found.silence == ""
        assert same(found, one.scored_alone(first, one.sessions[1]), one.sessions[1])
        faulty.fault = ""
        assert trading(await one.board.scores(one.sessions[2])) == ("1", None, None), "it does not come back by itself"

    one.run(run())
    (released,) = one.logged(BundleReleased)
    assert (released.bundle_hash, released.session) == (second.name, one.sessions[1])
    assert why in released.reason
    assert alerts(one) == [("critical", "MODEL_FELL_BACK")]
    board, _ = one.started()
    assert trading(one.run(board.scores(one.sessions[2]))) == ("1", None, None), "nor after a restart"


def test_without_a_former_champion_a_failing_one_is_silent_told_once_a_close_and_tried_again(world: MakeWorld) -> None:
    one = world()
    model = linear(2)
    only = one.bundle(model)
    faulty = one.loads_faulty(only, model)

    async def run() -> None:
        faulty.fault = "raises"
        for session in (one.sessions[0], one.sessions[0], one.sessions[1]):
            found = await one.board.scores(session)
            assert "no luck today" in found.silence
            assert np.isnan(found.champion.scorer.scores(session)).all(), "exits alone are sold"
        faulty.fault = ""
        found = await one.board.scores(one.sessions[2])
        assert found.silence == ""
        assert np.isfinite(found.champion.scorer.scores(one.sessions[2])).any()

    one.push(only, "1")
    one.run(run())
    assert alerts(one) == [("critical", "NO_MODEL_SCORES")] * 2


@pytest.mark.parametrize("stages", [{"shadow_sessions": 9}, {"canary_sessions": 9}])
def test_a_candidate_s_failure_is_its_own(world: MakeWorld, stages: dict[str, int]) -> None:
    one = world(**stages)
    model = linear(2)
    first, second = one.bundle(boosted(1)), one.bundle(model)
    faulty = one.loads_faulty(second, model)

    async def run() -> None:
        one.push(first, "1")
        one.push(second, "2")
        assert trading(await one.board.scores(one.sessions[0])) != ("1", None, None)
        faulty.fault = "raises"
        found = await one.board.scores(one.sessions[1])
        assert trading(found) == ("1", None, None)
        assert [sleeve.capital_share_bps for sleeve in found.sleeves] == [10_000]
        assert same(found, one.scored_alone(first, one.sessions[1]), one.sessions[1])

    one.run(run())
    assert alerts(one) == [("warning", "CANDIDATE_ENDED")]


def test_a_candidate_that_ranks_the_other_way_round_falls_back(world: MakeWorld) -> None:
    one = world(shadow_sessions=9, min_rank_correlation=-0.5)
    first, second = one.bundle(linear(2)), one.bundle(linear(2, sign=-1.0))
    one.push(first, "1")
    one.run(one.board.adopt())
    with pytest.raises(BundleError, match=r"rank correlation with the champion is -1.00, limit -0.50"):
        one.push(second, "2")
    one.board.staging = Staging(one.staging.strategies, one.rules.model_copy(update={"min_rank_correlation": -1.0}))
    one.push(second, "2")
    one.board.staging = one.staging
    assert trading(one.run(one.board.scores(one.sessions[0]))) == ("1", None, None)
    (released,) = one.logged(BundleReleased)
    assert released.reason == "its rank correlation with the champion is -1.00, limit -0.50"


def test_a_swap_loses_no_factor_state_and_no_session(world: MakeWorld) -> None:
    one, alone = world(), world()
    first, second = one.bundle(boosted(1)), one.bundle(linear(2))
    factors, untouched = one.factors(), alone.factors()

    async def run() -> None:
        one.board.attach(factors)
        one.push(first, "1")
        for number, session in enumerate(one.sessions):
            before = factors.at
            if number == 4:
                standing = factors.features(before).copy()
                one.push(second, "2")
                await one.board.adopt()
                assert factors.at == before
                np.testing.assert_array_equal(factors.features(before), standing)
            found = await one.board.scores(session)
            assert trading(found)[0] == ("1" if number < 4 else "2")
            np.testing.assert_array_equal(
                factors.features(session).view(np.uint32), untouched.features(session).view(np.uint32)
            )
            assert same(found, one.scored_alone(first if number < 4 else second, session), session)

    one.run(run())


def test_matured_sessions_are_judged_by_closes_that_were_known_and_once(world: MakeWorld) -> None:
    one = world(shadow_sessions=99)
    first, second = one.bundle(boosted(1)), one.bundle(linear(2))

    async def run() -> None:
        one.push(first, "1")
        one.push(second, "2")
        for session in (*one.sessions, one.sessions[-1]):
            await one.board.scores(session)

    one.run(run())
    found = one.logged(CandidateJudged)
    assert [event.session for event in found] == list(one.sessions[:-2]), "labels reach two sessions ahead"
    bars = one.home.tables.bars
    panel = factor_panel(
        bars[bars["session_date"] >= str(one.sessions[0])],
        symbols=one.feed.symbols,
        sessions=one.feed.market.sessions[-len(one.sessions) :],
        adjustment="raw",
    )
    forward = forward_returns(panel.fields["close"], entry=1, horizon=1)
    for column, event in enumerate(found):
        ours, theirs = (one.scored_alone(path, event.session) for path in (second, first))
        names = np.isfinite(ours) & np.isfinite(theirs) & np.isfinite(forward[:, column])
        assert event.names == names.sum()
        assert event.rank_ic == pytest.approx(rank_correlation(ours[names], forward[names, column]))
        assert event.champion_rank_ic == pytest.approx(rank_correlation(theirs[names], forward[names, column]))
    with one.store.reading() as connection:
        known = judged(connection, "", second.name, first.name)
    assert known == tuple(found)
    said = verdict(known, one.rules, 2)
    assert said is not None
    assert said.sessions == len(known) // 2, "one value a label"
    differences = np.array([event.rank_ic - event.champion_rank_ic for event in known])
    blocks = np.clip(differences[: 2 * said.sessions].reshape(-1, 2).mean(axis=1), -0.2, 0.2)
    assert said.mean == pytest.approx(blocks.mean())
    assert session_before(one.factors(), one.sessions[-1], 2) == one.sessions[-3]


def test_a_candidate_that_the_test_finds_worse_ends(world: MakeWorld) -> None:
    one = world(shadow_sessions=99)
    first, second = one.bundle(boosted(1)), one.bundle(linear(2))
    one.push(first, "1")
    one.push(second, "2")
    worse = [
        CandidateJudged(
            session=date(2000, 1, 1).replace(day=1 + number % 28, month=1 + number // 28),
            strategy="",
            bundle_hash=second.name,
            champion_hash=first.name,
            rank_ic=-0.2,
            champion_rank_ic=0.1,
            names=9,
        )
        for number in range(60)
    ]
    assert trading(one.run(one.board.scores(one.sessions[0]))) == ("1", None, "2")
    one.sync.append_due(lambda _: worse)
    assert trading(one.run(one.board.scores(one.sessions[1]))) == ("1", None, None)
    assert one.logged(BundleReleased)[0].reason == "the sequential test finds it worse than the champion"


@pytest.mark.parametrize(
    ("model", "changed", "why"),
    [
        (linear(2, sign=0.0), {}, "scores are 0"),
        (linear(2), {"simulated": False}, "trained on a real market, the session pack is of a simulated one"),
        (linear(2), {"max_latency_s": 1e-9}, "(limit|within) 1e-09 s"),
    ],
)
def test_a_bundle_that_fails_its_smoke_predictions_is_refused_before_it_has_a_stage(
    world: MakeWorld, model: Any, changed: dict[str, Any], why: str
) -> None:
    one = world(**{key: value for key, value in changed.items() if key == "max_latency_s"})
    good = one.bundle(boosted(1))
    one.board.staging = Staging(one.staging.strategies, one.rules.model_copy(update={"max_latency_s": 60.0}))
    one.push(good, "1")
    one.board.staging = one.staging
    bad = one.bundle(model, **{key: value for key, value in changed.items() if key != "max_latency_s"})
    with pytest.raises(BundleError, match=why):
        one.push(bad, "2")
    assert sorted(path.name for path in (one.live / "bundles").iterdir()) == [good.name]
    assert [path.name for path in (one.live / "refused").iterdir()] == [bad.name]
    assert [event.bundle_hash for event in one.logged(BundleStaged)] == [good.name]
    (refused,) = [note for note in one.logged(Noted) if note.topic == "bundle_refused"]
    assert "fails its smoke predictions" in refused.message


def test_a_bundle_for_another_universe_is_refused_with_what_differs_and_the_model_stays(world: MakeWorld) -> None:
    one = world()
    ours = one.settings.universe.model_dump(mode="json")
    good = one.bundle(boosted(1), universe=ours)
    other = one.bundle(linear(2), universe={**ours, "index": "000300.SH"})
    one.push(good, "1")
    with pytest.raises(BundleError, match=r"universe\.index was '000300\.SH' in training, is '' here") as told:
        one.push(other, "2")
    assert "min_listed" not in str(told.value)
    assert trading(one.run(one.board.scores(one.sessions[0]))) == ("1", None, None)
    known = load_bundle(other, factor_hash=alpha158().version_hash, public_key=public_key(one.home.keys))
    with pytest.raises(LiveError, match="learned from another universe"):
        BundleScorer(known, one.factors())


def test_a_former_champion_that_fails_the_smoke_predictions_now_is_refused_and_kept(world: MakeWorld) -> None:
    one = world()
    first, second = one.bundle(boosted(1)), one.bundle(linear(2))
    one.push(first, "1")
    one.push(second, "2")
    one.board.staging = Staging(one.staging.strategies, one.rules.model_copy(update={"max_latency_s": 1e-9}))
    with pytest.raises(BundleError, match=r"(limit|within) 1e-09 s"):
        one.push(first, "1")
    assert (one.live / "bundles" / first.name).is_dir(), "the runner may have to fall back to it"


def test_before_the_first_pack_a_bundle_waits_and_is_examined_when_there_is_one(world: MakeWorld) -> None:
    one = world()
    good, bad = one.bundle(boosted(1)), one.bundle(linear(2, sign=0.0))
    board, inbox = one.started(pack=False)
    one.push(good, "1")
    one.push(bad, "2")
    assert one.logged(BundleStaged) == []
    with pytest.raises(LiveError, match="no session pack is open"):
        one.run(board.scores(one.sessions[0]))
    board.attach(one.factors())
    inbox.adopt()
    assert [event.bundle_hash for event in one.logged(BundleStaged)] == [good.name]
    assert trading(one.run(board.scores(one.sessions[0]))) == ("1", None, None)


def test_a_bundle_that_waited_and_was_withdrawn_meanwhile_never_trades(world: MakeWorld) -> None:
    from ljwx_pipeline.scoring.transfer import request_headers
    from ljwx_pipeline.scoring.withdrawal import Withdrawal, pack_withdrawal

    one = world()
    good = one.bundle(boosted(1))
    board, inbox = one.started(pack=False)
    one.push(good, "1")
    word = Withdrawal(one.model_name, "1", good.name, by="ann", reason="", at=one.clock.now().isoformat(), number=1)
    body = pack_withdrawal(word, one.home.key)
    inbox.receive_withdrawal(body, request_headers(body, moment=one.clock.now(), key=one.home.key))
    board.attach(one.factors())
    inbox.adopt()
    assert one.logged(BundleStaged) == []
    one.push(good, "1")
    assert [event.bundle_hash for event in one.logged(BundleStaged)] == [good.name]


def test_a_withdrawn_model_is_silent_and_its_sleeve_stays(world: MakeWorld) -> None:
    from ljwx_pipeline.scoring.transfer import request_headers
    from ljwx_pipeline.scoring.withdrawal import Withdrawal, pack_withdrawal

    one = world(shadow_sessions=5)
    one.staging = Staging({"": one.model_name, "second": one.model_name, "other": "another-model"}, one.rules)
    board, inbox = one.started()
    one.push(one.bundle(boosted(1)), "1")
    one.push(one.bundle(linear(2)), "2")
    assert trading(one.run(board.scores(one.sessions[0], "second"))) == ("1", None, "2")
    word = Withdrawal(one.model_name, "1", "b" * 64, by="ann", reason="", at=one.clock.now().isoformat(), number=1)
    body = pack_withdrawal(word, one.home.key)
    headers = request_headers(body, moment=one.clock.now(), key=one.home.key)
    assert inbox.receive_withdrawal(body, headers).new
    assert not inbox.receive_withdrawal(body, headers).new
    for strategy in ("", "second"):
        found = one.run(board.scores(one.sessions[1], strategy))
        assert (trading(found), found.silence) == (("1", None, None), "the model was withdrawn")
        assert np.isnan(found.champion.scorer.scores(one.sessions[1])).all()
        assert [sleeve.capital_share_bps for sleeve in found.sleeves] == [10_000]
    assert one.run(board.scores(one.sessions[1], "other")).champion is None


def test_a_strategy_that_joins_later_takes_the_champion_of_its_model(world: MakeWorld) -> None:
    one = world()
    one.push(one.bundle(boosted(1)), "1")
    one.board.staging = Staging({"": one.model_name, "late": one.model_name, "other": "another-model"}, one.rules)

    async def run() -> None:
        await one.board.adopt()
        await one.board.adopt()

    one.run(run())
    assert trading(one.board.models_for("late")) == ("1", None, None)
    assert one.board.models_for("other").champion is None
    assert [event.strategy for event in one.logged(BundleStaged)] == ["", "late"]


def test_a_bundle_damaged_on_disk_gives_way_to_the_former_one(world: MakeWorld) -> None:
    one = world()
    first, second = one.bundle(boosted(1)), one.bundle(linear(2))
    one.push(first, "1")
    one.push(second, "2")
    board, _ = one.started()
    (one.live / "bundles" / second.name / "m.json").write_text("{}")
    assert trading(one.run(board.scores(one.sessions[0]))) == ("1", None, None)
    assert "it cannot be loaded" in one.logged(BundleReleased)[0].reason
    assert alerts(one) == [("critical", "MODEL_FELL_BACK")]


def test_a_look_at_a_journal_that_stands_still_reads_no_bundles_again(
    world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = world()
    one.push(one.bundle(boosted(1)), "1")
    one.run(one.board.adopt())
    one.run(one.board.adopt())  # its own note was new
    with monkeypatch.context() as patched:
        patched.delattr("ljwx_pipeline.live.model_board.read_line")
        one.run(one.board.adopt())
    one.push(one.bundle(linear(2)), "2")
    one.run(one.board.adopt())
    assert trading(one.board.models_for(""))[0] == "2"


def test_scores_of_one_session_are_no_other_s_and_intervals_that_break_are_told(world: MakeWorld) -> None:
    one = world()
    one.push(one.bundle(boosted(1)), "1")
    found = one.run(one.board.scores(one.sessions[0]))
    with pytest.raises(LiveError, match="score each close anew"):
        found.champion.scorer.scores(one.sessions[1])
    ends = found.champion.scorer.interval_ends(one.sessions[0])
    assert "holds no prediction intervals" in ends.fault

    def hangs(self: BundleScorer, session: date) -> Any:
        time.sleep(2.0)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(BundleScorer, "interval_ends", hangs)
        slow = one.run(one.board.scores(one.sessions[0])).champion.scorer
    one.board.staging = Staging(one.staging.strategies, one.rules.model_copy(update={"max_latency_s": 0.2}))
    assert "no answer within 0.2 s" in slow.interval_ends(one.sessions[0]).fault

    def breaks(session: date) -> Any:
        raise ZeroDivisionError("no width")

    broken = replace(found.champion.scorer, ends=breaks).interval_ends(one.sessions[0])
    assert broken.fault == "ZeroDivisionError('no width')"
    assert np.isnan(broken.lower).all()
