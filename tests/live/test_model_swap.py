"""Models exchanged while the exchange plays on: every close is decided once, and the account is the backtest's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
from sqlalchemy import select

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.config import Settings
from ljwx_pipeline.live.brokers.paper_exchange import PaperExchange
from ljwx_pipeline.live.brokers.port import BrokerSilent
from ljwx_pipeline.live.close_books import TradingModel
from ljwx_pipeline.live.close_trading import Close, CloseTrader
from ljwx_pipeline.live.events import BundleReleased, Stage
from ljwx_pipeline.live.follower import Follower, Hooks
from ljwx_pipeline.live.model import Model
from ljwx_pipeline.live.order_desk import OrderDesk
from ljwx_pipeline.live.tables import account, signals
from tests.fakes.exchange_process import exchange_process
from tests.fakes.given_scores import wide_open
from tests.fakes.live_home import live_home
from tests.fakes.model_world import World, boosted, linear
from tests.live.test_follower import OPTIONS, end_of_pack

#: At whose close a second model is pushed, and at whose close it breaks.
PUSHED, BREAKS = 2, 5


async def nothing(*_: object) -> None:
    return None


async def silent(error: BrokerSilent) -> None:
    raise error


def test_a_swap_and_a_fall_back_while_trading_equal_the_backtest_of_whoever_scored(
    tmp_path: Path, settings: Settings
) -> None:
    one = World(live_home(tmp_path, symbols=14, feed_sessions=9), tmp_path / "runner", settings)
    chosen, model = wide_open(settings), linear(2)
    first, second = one.bundle(boosted(1)), one.bundle(model)
    faulty = one.loads_faulty(second, model)
    one.push(first, "1")
    now: list[Model | None] = [None]
    asked = []

    async def run(address: str) -> None:
        broker = PaperExchange(address, timeout_s=5.0)
        assert one.journal is not None
        desk = OrderDesk(journal=one.journal, broker=broker, fence=one.lease, clock=one.clock, max_order_age_s=60)
        trader = CloseTrader(
            feed=one.feed,
            settings=chosen,
            journal=one.journal,
            desk=desk,
            models=lambda _: [TradingModel(Stage.CHAMPION, 10_000, now[0])],
            turn=asyncio.Lock(),
        )

        async def on_close(close: Close) -> None:
            asked.append(close.session)
            if close.session == one.sessions[PUSHED]:
                one.push(second, "2")
            if close.session == one.sessions[BREAKS]:
                faulty.fault = "raises"
            now[0] = (await one.board.scores(close.session)).champion
            assert await trader.decide(close)
            assert await trader.decide(close), "a close that was decided is not decided again"

        hooks = Hooks(on_close, nothing, silent, lambda _: None)
        try:
            await Follower(broker=broker, journal=one.journal, desk=desk, hooks=hooks).follow(end_of_pack)
        finally:
            await broker.close()

    with exchange_process(one.home.live / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
        one.run(run(exchange.said["url"]))
    traded = [second.name if PUSHED <= number < BREAKS else first.name for number in range(len(one.sessions))]
    with one.store.reading() as connection:
        decided = connection.execute(
            select(signals.c.session, signals.c.bundle_hash).distinct().order_by(signals.c.session)
        ).all()
        books = connection.execute(select(account).order_by(account.c.session)).mappings().all()
    assert asked == list(one.sessions)
    assert [tuple(row) for row in decided] == [
        (session.isoformat(), name) for session, name in zip(one.sessions, traded, strict=True)
    ]
    assert [event.session for event in one.logged(BundleReleased)] == [one.sessions[BREAKS]]
    table = np.full(one.feed.market.close_e4.shape, np.nan)
    for session, name in zip(one.sessions, traded, strict=True):
        table[:, one.feed.column(session)] = one.scored_alone(one.live / "bundles" / name, session)
    expected = run_backtest(
        one.feed.market,
        table,
        strategy=chosen.strategy,
        costs=settings.costs,
        first=one.sessions[0],
        last=one.sessions[-1],
    )
    np.testing.assert_array_equal([row["cash_fen"] for row in books], expected.cash_fen)
    np.testing.assert_array_equal([row["equity_fen"] for row in books], expected.equity_fen)
    assert len(set(expected.equity_fen)) > 5, "something was traded"
    one.close()
