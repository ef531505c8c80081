"""What is open already is neither sold nor counted a second time when the next orders are judged."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import select

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.config import Settings
from ljwx_pipeline.live.close_books import portfolio_at
from ljwx_pipeline.live.close_trading import Close
from ljwx_pipeline.live.decision import Decider, DecidingModel
from ljwx_pipeline.live.events import OrderAdopted, OrderDecided, OrderReported
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.lease import Lease
from ljwx_pipeline.live.model import Model
from ljwx_pipeline.live.orders import Leg, OrderState
from ljwx_pipeline.live.risk_gate import Denial
from ljwx_pipeline.live.tables import orders, positions_now
from ljwx_pipeline.live.working_orders import NONE_WORKING, WorkingOrders, working_orders
from ljwx_pipeline.session_pack import read_session_pack
from ljwx_pipeline.trading.exchange_wire import Execution, Side
from tests.fakes.desk_world import Desk, desk_at
from tests.fakes.exchange_process import exchange_process
from tests.fakes.followed import Followed, stage, until
from tests.fakes.given_scores import BUNDLE, GivenScores, wide_open
from tests.fakes.journal_events import NEXT, NOW, decided, filled
from tests.fakes.journals import empty_store, log_of
from tests.fakes.live_market import live_tables, write_pack
from tests.live.test_follower import OPTIONS

FEED_SESSIONS = 8


@pytest.fixture
def feed(tmp_path: Path) -> ReplayFeed:
    tables = live_tables(seed=0, feed_sessions=FEED_SESSIONS)
    write_pack(tmp_path / "feed", tables, feed_sessions=FEED_SESSIONS, online_features=pd.DataFrame({"symbol": ["x"]}))
    return ReplayFeed(read_session_pack(tmp_path / "feed"))


def test_it_reads_what_is_left_of_the_open_orders_of_the_session(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    lease = Lease(store, ManualClock(NOW), holder="one")
    assert lease.acquire()
    final = OrderReported(
        client_order_id="over", exchange_order_id="X-over", state=OrderState.LAPSED, reason="", filled_shares=0,
        session_over=True, reported_at_ns=1,
    )  # fmt: skip
    adopted = OrderAdopted(
        client_order_id="adopted", exchange_order_id="X-adopted", session=NEXT, symbol="B", side=Side.BUY, shares=100,
        execution=Execution.SESSION, limit_price_e4=0, adopted_at_ns=1,
    )  # fmt: skip
    log_of(store).append(
        [
            decided("sale", symbol="A", side=Side.SELL, shares=300, leg=Leg.MANUAL),
            filled("e", "sale", 100, symbol="A", side=Side.SELL),
            decided("buy", symbol="C", shares=200, reference_price_e4=100_000, limit_price_e4=110_000),
            decided("over", symbol="A", side=Side.SELL, shares=500),
            final,
            decided("denied", symbol="A", side=Side.SELL, shares=700, denial="FAT_FINGER"),
            adopted,
        ],
        lease.epoch,
    )
    with store.reading() as connection:
        found = working_orders(NEXT, {"B": 50_000}, connection)
        unknown = working_orders(NEXT, {}, connection)
    store.close()
    assert found == WorkingOrders({"A": 200}, {"C": 200 * 1_100, "B": 100 * 500}, frozenset())
    assert unknown.unpriced == {"B"}


def test_shares_that_are_being_sold_are_not_sold_again(tmp_path: Path, feed: ReplayFeed, settings: Settings) -> None:
    day, following = feed.sessions[3], feed.sessions[4]

    async def run() -> None:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await stage(desk, BUNDLE)
                await Selling(desk, feed, settings).follower.follow(until(following))
                with desk.store.reading() as connection:
                    of_day = orders.c.session == day.isoformat()
                    found = connection.execute(select(orders).where(of_day, orders.c.leg == "decide")).mappings().all()
                    refused = connection.execute(select(orders).where(orders.c.state == "rejected")).all()
                sales = [row for row in found if row["side"] == "sell"]
                assert sales, "nothing was to be sold: take another seed"
                assert {(row["state"], row["reason"]) for row in sales} == {("denied", "OVERSELL")}
                assert not refused

    class Selling(Followed):
        """A person sells all there is just before the close of ``day`` is decided."""

        def __init__(self, desk: Desk, feed: ReplayFeed, settings: Settings) -> None:
            super().__init__(desk, feed, wide_open(settings), _model(feed))
            self.desk = desk

        async def on_close(self, close: Close) -> None:
            if close.session == day:
                with self.desk.store.reading() as connection:
                    held = connection.execute(select(positions_now)).mappings().all()
                await self.desk.orders.place([_by_hand(row["symbol"], row["shares"], close) for row in held])
            await super().on_close(close)

    asyncio.run(run())


def test_open_purchases_count_as_held_and_one_without_a_price_stops_opening(
    tmp_path: Path, feed: ReplayFeed, settings: Settings
) -> None:
    async def run() -> None:
        with exchange_process(tmp_path / "feed", tmp_path / "exchange", *OPTIONS) as exchange:
            async with desk_at(exchange.said["url"], tmp_path) as desk:
                await stage(desk, BUNDLE)
                day = feed.sessions[0]
                followed = Followed(desk, feed, wide_open(settings), None)
                await followed.follower.follow(until(day))
                with desk.store.reading() as connection:
                    portfolio = portfolio_at(day, connection)
        chosen = wide_open(settings)
        decider = Decider(feed, replace(chosen, risk=chosen.risk.model_copy(update={"max_gross_exposure_frac": 0.9})))
        model = DecidingModel(BUNDLE.model_version, BUNDLE.last_train_session)
        intents = decider.intents(day, portfolio, GivenScores(feed, 0).scores(day), None, model)

        def codes(working: WorkingOrders) -> set[str]:
            return {one.denial for one in decider.judged(day, intents, portfolio, bundle_age_days=1, working=working)}

        assert "" in codes(NONE_WORKING)
        assert codes(WorkingOrders(buys_fen={"ANOTHER": portfolio.equity_fen})) == {Denial.GROSS_EXPOSURE}
        assert codes(WorkingOrders(unpriced=frozenset({"ANOTHER"}))) == {Denial.MISSING_PRICE}

    asyncio.run(run())


def _model(feed: ReplayFeed) -> Model:
    return Model(BUNDLE, GivenScores(feed, 0))


def _by_hand(symbol: str, shares: int, close: Close) -> OrderDecided:
    return decided(
        f"hand|hand|{symbol}|{close.valid_session}|sell|manual",
        strategy="hand",
        leg=Leg.MANUAL,
        session=close.session,
        valid_session=close.valid_session,
        symbol=symbol,
        side=Side.SELL,
        shares=shares,
        decided_at_ns=close.at_ns,
    )
