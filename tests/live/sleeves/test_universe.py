"""A strategy's own universe over a real exchange: the backtest's orders, and nobody else's business."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.config import Settings
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.sleeves.desk import Configured
from ljwx_pipeline.live.sleeves.universe import keep_members
from ljwx_pipeline.live.tables import account, events, signals, sleeve_wants
from ljwx_pipeline.market.ranges import index_member_mask
from ljwx_pipeline.session_pack import read_session_pack, told_indices
from tests.fakes.desk_world import desk_at
from tests.fakes.exchange_process import exchange_process
from tests.fakes.followed import stage, until
from tests.fakes.given_scores import BUNDLE, GivenScores, wide_open
from tests.fakes.live_market import live_tables, write_pack
from tests.live.sleeves.test_several_strategies import Trading, champion, keys, rows
from tests.live.test_follower import OPTIONS

INDEX, SESSIONS = "000300.SH", 12


@pytest.fixture
def feed(tmp_path: Path) -> ReplayFeed:
    """A market whose index exchanges five of its ten members in the middle of the feed."""
    tables = live_tables(seed=1, feed_sessions=SESSIONS)
    names = sorted(tables.securities["symbol"])
    days = np.sort(tables.bars["session_date"].unique())
    ranges = [(name, days[0], pd.NaT) for name in names[:5]]
    ranges += [(name, days[0], days[-7]) for name in names[5:10]] + [(name, days[-6], pd.NaT) for name in names[14:19]]
    members = pd.DataFrame(ranges, columns=["symbol", "start_date", "end_date"]).assign(index_code=INDEX)
    members = members.astype({"start_date": "datetime64[ns]", "end_date": "datetime64[ns]"})
    online = pd.DataFrame({"symbol": ["x"]})
    write_pack(tmp_path / "feed", tables, feed_sessions=SESSIONS, online_features=online, index_members=members)
    return ReplayFeed(read_session_pack(tmp_path / "feed"))


def test_a_strategy_with_a_universe_makes_the_orders_of_the_backtest_of_its_members(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    scorer, chosen = GivenScores(feed, 1), wide_open(settings)

    async def run() -> list[tuple[object, ...]]:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await stage(desk, BUNDLE)
                trading = Trading(desk, feed, chosen, {"narrow": champion(scorer)})
                trading.sections = {"narrow": keys(1.0, universe=INDEX)}
                await trading.strategies.start()
                await trading.follower.follow(until(feed.sessions[-1]))
                return rows(desk, account.c.session, account.c.cash_fen, account.c.equity_fen, account.c.fees_fen)

    found = asyncio.run(run())
    members = index_member_mask(feed.pack.index_members, INDEX, feed.symbols, feed.market.sessions)
    span = {"first": feed.sessions[0], "last": feed.sessions[-1]}
    wanted = {"strategy": chosen.strategy, "costs": settings.costs, **span}
    expected = run_backtest(feed.market, np.where(members, scorer.table, np.nan), **wanted)
    for column, name in enumerate(("cash_fen", "equity_fen", "fees_fen"), start=1):
        np.testing.assert_array_equal([row[column] for row in found], getattr(expected, name), name)
    of_all = run_backtest(feed.market, scorer.table, **wanted)
    assert (of_all.cash_fen != expected.cash_fen).any(), "the universe should have made a difference"


def test_the_other_strategies_decide_as_they_would_without_it(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    table = sleeve_wants.c

    async def run(folder: Path, universe: str) -> tuple[dict[str, set[object]], list[tuple[object, ...]], list[str]]:
        with exchange_process(tmp_path / "feed", folder / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], folder) as desk:
                await stage(desk, BUNDLE)
                models = {"narrow": champion(GivenScores(feed, 1)), "wide": champion(GivenScores(feed, 2))}
                trading = Trading(desk, feed, wide_open(settings), models)
                trading.sections = {"narrow": keys(0.5, universe=universe), "wide": keys(0.5)}
                await trading.strategies.start()
                await trading.follower.follow(until(feed.sessions[0]))
                scored: dict[str, set[object]] = {"narrow": set(), "wide": set()}
                for strategy, symbol in rows(desk, signals.c.strategy, signals.c.symbol):
                    scored[str(strategy)].add(symbol)
                wants = rows(desk, table.sleeve, table.symbol, table.side, table.shares)
                said = [
                    str(text)
                    for kind, text in rows(desk, events.c.kind, events.c.message)
                    if kind == "nothing_is_bought"
                ]
                return scored, wants, said

    (all_scored, without, _), (scored, within, quiet), (unknown, nothing, told) = (
        asyncio.run(run(tmp_path / name, universe))
        for name, universe in (("without", ""), ("within", INDEX), ("unknown", "000905.SH"))
    )
    assert scored["narrow"] == all_scored["narrow"] & set(sorted(feed.symbols)[:10])
    assert scored["wide"] == unknown["wide"] == all_scored["wide"]
    of_wide = [[row for row in wants if row[0] == "wide"] for wants in (without, within, nothing)]
    assert of_wide[0] == of_wide[1] == of_wide[2] != []
    assert quiet == []
    assert {row[0] for row in nothing} == {"wide"}
    assert (
        f"narrow scores nobody at {feed.sessions[0]}: the session pack tells no member of 000905.SH, only {INDEX}"
        in told[0]
    )


def test_the_pack_tells_its_indices_and_their_members_of_each_session(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    assert told_indices(tmp_path / "feed") == (INDEX,)
    assert told_indices(tmp_path / "elsewhere") is None
    read = Configured({}, settings.strategy, settings.risk, pack=tmp_path / "feed")
    (narrow,), mistakes = read.specs({"narrow": keys(0.5, universe=INDEX)})
    assert (narrow.universe, mistakes) == (INDEX, ())
    _, (mistake,) = read.specs({"narrow": keys(0.5, universe="000905.SH")})
    assert (
        f"narrow.universe = '000905.SH' is no index whose members the session pack tells: write one of {INDEX}"
        in mistake
    )
    names = sorted(feed.symbols)
    for session, members in ((feed.sessions[0], names[:10]), (feed.sessions[-1], names[:5] + names[14:19])):
        scores = np.ones(len(feed.symbols))
        assert keep_members(scores, INDEX, feed, session) == ""
        assert [feed.symbols[row] for row in np.flatnonzero(np.isfinite(scores))] == members
