"""Several strategies on one account of a real exchange: one list of orders, books that add up, changes at a close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select

from ljwx_pipeline.config import LiveStrategySettings, Settings
from ljwx_pipeline.live.close_books import TradingModel
from ljwx_pipeline.live.close_trading import Close, CloseTrader, Denials
from ljwx_pipeline.live.decision import RunnerSettings
from ljwx_pipeline.live.event_log import read_events
from ljwx_pipeline.live.events import Stage
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.follower import Follower, Hooks
from ljwx_pipeline.live.journal import DeployedBundle
from ljwx_pipeline.live.model import Model
from ljwx_pipeline.live.projections import derive
from ljwx_pipeline.live.sleeves.desk import Configured, StrategyDesk
from ljwx_pipeline.live.tables import (
    account,
    orders,
    positions_now,
    signals,
    sleeve_accounts,
    sleeve_holdings,
    sleeve_wants,
    strategies,
)
from ljwx_pipeline.session_pack import read_session_pack
from tests.fakes.desk_world import Desk, books, desk_at
from tests.fakes.exchange_process import exchange_process
from tests.fakes.followed import stage, until
from tests.fakes.given_scores import BUNDLE, GivenScores, wide_open
from tests.fakes.journals import contents
from tests.fakes.live_market import live_tables, write_pack
from tests.live.test_follower import OPTIONS

FEED_SESSIONS = 12


@pytest.fixture
def feed(tmp_path: Path) -> ReplayFeed:
    tables = live_tables(seed=1, feed_sessions=FEED_SESSIONS)
    write_pack(tmp_path / "feed", tables, feed_sessions=FEED_SESSIONS, online_features=pd.DataFrame({"symbol": ["x"]}))
    return ReplayFeed(read_session_pack(tmp_path / "feed"))


def keys(share: float, **changed: object) -> LiveStrategySettings:
    values = {"model": "", "universe": "", "capital_share_frac": share, "schedule": "close", "paused": False}
    return LiveStrategySettings.model_validate({**values, **changed})


class Trading:
    """A follower that trades all strategies of a journal, and the desk that changes them."""

    def __init__(self, desk: Desk, feed: ReplayFeed, settings: RunnerSettings, models: dict[str, list[TradingModel]]):
        self.desk = desk
        self.models = models
        self.sections: dict[str, LiveStrategySettings] = {}
        self.denials: Callable[[str], Denials] = lambda _: Denials()
        self.at_close: dict[date, Callable[[], object]] = {}
        self.strategies = StrategyDesk(
            journal=desk.journal,
            epoch=lambda: desk.lease.epoch,
            configured=lambda: Configured(self.sections, settings.strategy, settings.risk),
        )
        self.trader = CloseTrader(
            feed=feed,
            settings=settings,
            journal=desk.journal,
            desk=desk.orders,
            models=lambda strategy: self.models.get(strategy.name, []),
            turn=self.strategies.turn,
            denials=self.denied,
        )
        hooks = Hooks(self.on_close, self.nothing, self.nothing, lambda _: None)
        self.follower = Follower(broker=desk.broker, journal=desk.journal, desk=desk.orders, hooks=hooks)

    async def on_close(self, close: Close) -> None:
        change = self.at_close.pop(close.session, None)
        if change is not None:
            await change()
        await self.trader.decide(close)

    async def denied(self, strategy: str, _: Close) -> Denials:
        return self.denials(strategy)

    async def nothing(self, *_: object) -> None:
        return None


def champion(scorer: GivenScores, bundle: DeployedBundle = BUNDLE) -> list[TradingModel]:
    return [TradingModel(Stage.CHAMPION, 10_000, Model(bundle, scorer))]


def rows(desk: Desk, *columns: object) -> list[tuple[object, ...]]:
    with desk.store.reading() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).order_by(*columns))]


def require_books_add_up(desk: Desk) -> None:
    """Hold the sleeves' books against the account, after every session, to the fen and the share."""
    stood = {row[0]: row[1:] for row in rows(desk, account.c.session, account.c.cash_fen, account.c.equity_fen)}
    of_sleeves: dict[object, list[int]] = {day: [0, 0] for day in stood}
    for day, cash, equity, _ in _accounts(desk):
        of_sleeves[day][0] += cash
        of_sleeves[day][1] += equity
    assert {day: tuple(sums) for day, sums in of_sleeves.items()} == stood
    held: dict[object, int] = {}
    for symbol, _, shares in rows(desk, sleeve_holdings.c.symbol, sleeve_holdings.c.sleeve, sleeve_holdings.c.shares):
        held[symbol] = held.get(symbol, 0) + shares
    assert held == dict(rows(desk, positions_now.c.symbol, positions_now.c.shares))


def _accounts(desk: Desk) -> list[tuple[object, ...]]:
    table = sleeve_accounts.c
    return rows(desk, table.session, table.cash_fen, table.equity_fen, table.sleeve)


def test_two_strategies_trade_one_account_whose_books_add_up_and_follow_from_the_log(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def run() -> None:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await stage(desk, BUNDLE)
                models = {"a": champion(GivenScores(feed, 1)), "b": champion(GivenScores(feed, 2))}
                trading = Trading(desk, feed, wide_open(settings), models)
                trading.sections = {"a": keys(0.6), "b": keys(0.3, strategy={"top_k": 4})}
                assert await trading.strategies.start() == (
                    "a is added with 60.00% of the capital",
                    "b is added with 30.00% of the capital",
                )
                await trading.follower.follow(until(feed.sessions[8]))
                require_books_add_up(desk)
                sent = rows(desk, orders.c.session, orders.c.symbol, orders.c.client_order_id)
                assert len({row[:2] for row in sent}) == len(sent), "one order a symbol and session"
                owners = {row[0] for row in rows(desk, orders.c.strategy)}
                assert {"a", "b", "account"} <= owners
                crossed = rows(desk, sleeve_wants.c.crossed_shares, sleeve_wants.c.side)
                assert any(shares for shares, _ in crossed), "the market should have let them meet"
                before = contents(desk.store)
                with desk.store.writing() as connection:
                    derive(connection, read_events(connection))
                assert contents(desk.store) == before

    asyncio.run(run())


def test_stopped_after_each_close_the_sleeves_end_in_the_same_books(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def run(folder: Path, stops: list[date]) -> dict[str, object]:
        with exchange_process(tmp_path / "feed", folder / "exchange", *OPTIONS) as exchange:
            for stop in stops:
                async with desk_at(exchange.said["url"], folder) as desk:
                    await stage(desk, BUNDLE)
                    models = {"a": champion(GivenScores(feed, 1)), "b": champion(GivenScores(feed, 2))}
                    trading = Trading(desk, feed, wide_open(settings), models)
                    trading.sections = {"a": keys(0.5), "b": keys(0.5)}
                    await trading.strategies.start()
                    await trading.follower.follow(until(stop))
                    found = {**books(desk.store), "sleeves": _accounts(desk)}
        return found

    at_once = asyncio.run(run(tmp_path / "once", [feed.sessions[4]]))
    again = asyncio.run(run(tmp_path / "again", list(feed.sessions[:5])))
    assert again == at_once


def test_a_strategy_that_is_taken_out_sells_and_is_removed_while_the_other_trades_on(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def run() -> None:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await stage(desk, BUNDLE)
                models = {"a": champion(GivenScores(feed, 1)), "b": champion(GivenScores(feed, 2))}
                trading = Trading(desk, feed, wide_open(settings), models)
                trading.sections = {"a": keys(0.5), "b": keys(0.5)}
                await trading.strategies.start()
                trading.at_close[feed.sessions[3]] = lambda: trading.strategies.remove("b", by="ada")
                await trading.follower.follow(until(feed.sessions[9]))
                require_books_add_up(desk)
                states = dict(rows(desk, strategies.c.strategy, strategies.c.state))
                assert states == {"a": "active", "b": "removed"}
                assert {row[0] for row in rows(desk, sleeve_holdings.c.sleeve)} <= {"", "a"}
                assert await trading.strategies.start() == (), "what was taken out by hand stays out"

    asyncio.run(run())


def test_without_sections_another_kind_of_strategy_takes_the_account_over_unsold(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def run() -> None:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await stage(desk, BUNDLE)
                for kind, name, last in (("topk_dropout", "topk-dropout", 2), ("score_weighted", "score-weighted", 4)):
                    chosen = wide_open(settings, kind=kind, max_weight_frac=0.3)
                    trading = Trading(desk, feed, chosen, {name: champion(GivenScores(feed, 1))})
                    assert f"{name} is added with 100.00% of the capital" in await trading.strategies.start()
                    await trading.follower.follow(until(feed.sessions[last]))
                    require_books_add_up(desk)
                    assert {row[0] for row in rows(desk, sleeve_holdings.c.sleeve)} == {name}
                assert dict(rows(desk, strategies.c.strategy, strategies.c.state)) == {
                    "score-weighted": "active",
                    "topk-dropout": "removed",
                }
                assert {row[0] for row in rows(desk, orders.c.leg)} == {"decide"}

    asyncio.run(run())


def test_a_strategy_that_gets_the_account_at_a_close_that_others_settled_trades_from_the_next_one_on(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def run() -> None:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await stage(desk, BUNDLE)
                trading = Trading(desk, feed, wide_open(settings), {})
                trading.sections = {"unscored": keys(0.5), "paused": keys(0.5, paused=True)}
                await trading.strategies.start()
                await trading.follower.follow(until(feed.sessions[1]))
                trading.sections, trading.models = {}, {"topk-dropout": champion(GivenScores(feed, 1))}
                await trading.strategies.reload()
                await trading.follower.follow(until(feed.sessions[1]))
                assert rows(desk, orders.c.client_order_id) == []
                await trading.follower.follow(until(feed.sessions[3]))
                require_books_add_up(desk)
                assert {row[0] for row in rows(desk, sleeve_holdings.c.sleeve)} == {"topk-dropout"}

    asyncio.run(run())


def test_a_canary_trades_its_part_and_leaves_what_it_holds_to_its_champion(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def run() -> None:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await stage(desk, BUNDLE)
                first = champion(GivenScores(feed, 1))
                canary = TradingModel(Stage.CANARY, 2_000, Model(BUNDLE, GivenScores(feed, 2)))
                trading = Trading(desk, feed, wide_open(settings), {"topk-dropout": [*first, canary]})
                await trading.strategies.start()
                await trading.follower.follow(until(feed.sessions[3]))
                require_books_add_up(desk)
                assert {row[0] for row in rows(desk, sleeve_holdings.c.sleeve)} == {
                    "topk-dropout",
                    "topk-dropout@canary",
                }
                trading.models = {"topk-dropout": first}
                await trading.follower.follow(until(feed.sessions[5]))
                require_books_add_up(desk)
                assert {row[0] for row in rows(desk, sleeve_holdings.c.sleeve)} == {"topk-dropout"}

    asyncio.run(run())


def test_a_weekly_strategy_buys_at_the_last_close_of_a_week_alone_and_sells_by_exits_at_any(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def run() -> None:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await stage(desk, BUNDLE)
                models = {"slow": champion(GivenScores(feed, 1)), "twin": champion(GivenScores(feed, 1))}
                trading = Trading(desk, feed, wide_open(settings), models)
                stops = {"exits": {"stop_loss_frac": 0.01}}
                trading.sections = {
                    "slow": keys(0.4, schedule="weekly", strategy=stops),
                    "twin": keys(0.4, strategy=stops),
                }
                await trading.strategies.start()
                await trading.follower.follow(until(feed.sessions[-2]))
                require_books_add_up(desk)
                table = sleeve_wants.c
                wants = rows(desk, table.sleeve, table.side, table.session, table.valid_session)
                weeks = {
                    (sleeve, side): {
                        _week(valid) != _week(session) for of, to, session, valid in wants if (of, to) == (sleeve, side)
                    }
                    for sleeve in ("slow", "twin")
                    for side in ("buy", "sell")
                }
                assert weeks == {
                    ("slow", "buy"): {True},
                    ("slow", "sell"): {True, False},
                    ("twin", "buy"): {True, False},
                    ("twin", "sell"): {True, False},
                }
                scored = rows(desk, signals.c.session, signals.c.strategy)
                assert len({session for session, strategy in scored if strategy == "slow"}) == len(feed.sessions) - 1

    asyncio.run(run())


def _week(session: str) -> tuple[int, int]:
    return date.fromisoformat(session).isocalendar()[:2]


def test_paused_denied_and_without_a_model_nothing_is_bought_and_the_others_trade(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def run() -> None:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await stage(desk, BUNDLE)
                models = {name: champion(GivenScores(feed, 1)) for name in ("a", "denied", "paused")}
                trading = Trading(desk, feed, wide_open(settings), models)
                trading.sections = {
                    **{name: keys(0.25) for name in ("a", "denied", "unscored")},
                    "paused": keys(0.25, paused=True),
                }
                trading.denials = lambda strategy: Denials("KILL", "KILL") if strategy == "denied" else Denials()
                await trading.strategies.start()
                await trading.follower.follow(until(feed.sessions[2]))
                require_books_add_up(desk)
                assert {row[0] for row in rows(desk, sleeve_holdings.c.sleeve)} == {"a"}
                of_denied = rows(desk, orders.c.strategy, orders.c.state, orders.c.reason)
                assert {row[1:] for row in of_denied if row[0] == "denied"} == {("denied", "KILL")}
                cash = {name: fen for _, fen, _, name in _accounts(desk)}
                quarter = settings.strategy.capital_cny * 100 // 4
                assert cash["paused"] == cash["unscored"] == cash["denied"] == quarter

    asyncio.run(run())


def test_the_history_that_sizing_looks_at_knows_no_moves_of_capital() -> None:
    from ljwx_pipeline.live.close_books import _without_moves
    from ljwx_pipeline.live.events import SleeveBook
    from ljwx_pipeline.live.sleeves.reading import PastClose

    past = [PastClose(1_000, 500, 1_000), PastClose(1_100, 500, 0), PastClose(2_420, 1_600, 1_210)]
    now = SleeveBook(sleeve="a", share_bps=1, cash_fen=0, equity_fen=2_662, owes_fen=0, moved_fen=0, holdings=())
    equity, cash = _without_moves(past, now, 2_662)
    np.testing.assert_allclose(np.diff(np.log([*equity, 2_662])), np.log(1.1), atol=1e-3)
    assert cash == [1_000, 1_000, 1_600]
    halved, _ = _without_moves(past, now, 1_331)
    assert halved == [1_000, 1_100, 1_210]
