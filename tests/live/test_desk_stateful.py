"""The order desk under any order of orders, losses, crashes, replays and orders by hand: the books stay equal."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.port import BrokerSilent
from ljwx_pipeline.live.events import OrderDecided, Reconciled
from ljwx_pipeline.live.from_broker import MessageIntake, reopened_orders
from ljwx_pipeline.live.lease import Lease
from ljwx_pipeline.live.order_desk import CANCELLED_UNSENT, MALFORMED, STALE, OrderDesk
from ljwx_pipeline.live.orders import Leg
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.tables import fills, lease, orders
from ljwx_pipeline.trading.exchange_wire import Execution, FillReport, NewOrder, OrderStatus, PhaseName, Reason, Side
from tests.fakes.engine_broker import EngineBroker, Loss
from tests.fakes.exchange_world import opened, write_market
from tests.fakes.journals import empty_store, log_of

_PACKS: dict[int, Path] = {}
_MADE = tempfile.TemporaryDirectory()
LOTS = st.integers(1, 40)
CLOSING = (PhaseName.CLOSING_AUCTION, PhaseName.CLOSED)


def pack() -> Path:
    if 0 not in _PACKS:
        _PACKS[0] = write_market(Path(_MADE.name) / "feed", symbols=8, feed_sessions=3)
    return _PACKS[0]


class DeskMachine(RuleBasedStateMachine):
    """One account: a desk that may crash, an exchange that may not be heard."""

    @initialize(forgetful=st.booleans())
    def begin(self, forgetful: bool) -> None:
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.loop = asyncio.new_event_loop()
        self.stack.callback(self.loop.close)
        self.exchange = self.stack.enter_context(opened(pack(), folder / "exchange"))
        self.broker = EngineBroker(self.exchange, forgetful=forgetful)
        self.symbols = self.exchange.market.symbols
        self.path = empty_store(folder).path
        self.placed: set[str] = set()
        self.number = 0
        self.journal: AsyncJournal | None = None
        self.start()

    def start(self) -> None:
        self.store = Store(self.path)
        self.lease = Lease(self.store, SystemClock(), holder="the desk", term_s=3600)
        assert self.lease.acquire()
        self.log = log_of(self.store, SystemClock())
        self.journal = AsyncJournal(self.store, self.log)
        self.desk = OrderDesk(
            journal=self.journal, broker=self.broker, fence=self.lease, clock=SystemClock(), max_order_age_s=3600
        )
        self.intake = MessageIntake(self.log, self.broker.name)

    def end(self) -> None:
        if self.journal is not None:
            self.journal.close()
            self.store.close()
            self.journal = None

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.broker.losses.clear()
            self.recovered()
            self.requests_come_late()
            self.recovered()
            self.end()
            self.stack.close()

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def read(self, look: Any) -> Any:
        return self.do(self.journal.read(look))

    # -- what happens --------------------------------------------------------------------------------------------

    @rule(row=st.integers(0, 7), lots=LOTS, side=st.sampled_from(Side))
    def decide_for_the_next_session(self, row: int, lots: int, side: Side) -> None:
        market = self.exchange.clock(0)
        if market.next_session is not None:
            self.place(row, lots, side, market.next_session, Execution.SESSION, 0)

    @rule(row=st.integers(0, 7), lots=LOTS, side=st.sampled_from(Side), ticks=st.integers(-30, 30))
    def send_a_limit_order(self, row: int, lots: int, side: Side, ticks: int) -> None:
        market = self.exchange.clock(0)
        if market.session is None or market.phase in CLOSING:
            return
        close_e4 = int(self.exchange.market.day_bars(market.session).pre_close_e4[row])
        if close_e4 > 0:
            self.place(row, lots, side, market.session, Execution.CONTINUOUS, close_e4 // 100 * 100 + 100 * ticks)

    def place(self, row: int, lots: int, side: Side, session: Any, execution: Execution, limit_e4: int) -> None:
        self.number += 1
        identity = f"s|1|{self.number}"
        decided = OrderDecided(
            client_order_id=identity,
            strategy="s",
            leg=Leg.DECIDE,
            session=session,
            valid_session=session,
            bundle_hash=None,
            symbol=self.symbols[row],
            side=side,
            shares=100 * lots,
            rank=self.number,
            execution=execution,
            limit_price_e4=max(limit_e4, 0),
            reference_price_e4=100_000,
            denial="",
            decided_at_ns=1,
        )
        self.placed.add(identity)
        self.do(self.desk.place([decided]))

    @rule(which=st.integers(0, 1_000))
    @precondition(lambda self: self.placed)
    def cancel(self, which: int) -> None:
        identity = sorted(self.placed)[which % len(self.placed)]
        try:
            self.do(self.desk.cancel(identity))
        except BrokerSilent:
            return

    @rule(row=st.integers(0, 7), lots=LOTS)
    def somebody_orders_by_hand(self, row: int, lots: int) -> None:
        session = self.exchange.clock(0).next_session
        if session is not None:
            by_hand = NewOrder("", session, self.symbols[row], Side.BUY, 100 * lots, 0, Execution.SESSION, 0)
            self.exchange.desk.submit(by_hand, None)

    @rule(steps=st.integers(1, 20))
    def time_passes(self, steps: int) -> None:
        for _ in range(steps):
            if self.exchange.next_step() is not None:
                self.exchange.advance(ticks=False)

    @rule(losses=st.lists(st.sampled_from(Loss), min_size=1, max_size=4))
    def the_network_loses(self, losses: list[Loss]) -> None:
        self.broker.losses += losses

    @rule(row=st.integers(0, 7), lots=LOTS, side=st.sampled_from(Side))
    def an_order_is_slower_than_its_cancellation(self, row: int, lots: int, side: Side) -> None:
        placed = set(self.placed)
        self.broker.losses.insert(0, Loss.LATE)
        self.decide_for_the_next_session(row, lots, side)
        for identity in self.placed - placed:
            try:
                self.do(self.desk.cancel(identity))
            except BrokerSilent:
                return

    @rule()
    def requests_come_late(self) -> None:
        self.broker.late_ones_arrive()

    @rule(back=st.integers(0, 6), ahead=st.integers(0, 12))
    def the_stream_says_again_what_it_said_and_something_new(self, back: int, ahead: int) -> None:
        read = self.read(self.intake.position)
        messages = self.exchange.messages(max(0, read - back), back + ahead)
        try:
            assert not self.do(self.desk.take_in(messages)).differences
        except BrokerSilent:
            return

    @rule(skipped=st.integers(1, 5), ahead=st.integers(1, 12))
    def the_stream_leaves_something_out(self, skipped: int, ahead: int) -> None:
        read = self.read(self.intake.position)
        messages = self.exchange.messages(read + skipped, ahead)
        try:
            self.do(self.desk.take_in(messages))
        except BrokerSilent:
            return

    @rule()
    def the_process_dies_and_comes_back(self) -> None:
        self.end()
        self.start()

    @rule()
    def recovered(self) -> None:
        try:
            found = self.do(self.desk.recover())
        except BrokerSilent:
            return
        assert isinstance(found, Reconciled), found
        ours = {
            row.client_order_id: (row.state, row.filled_shares)
            for row in self.read(lambda c: c.execute(select(orders)).all())
        }
        theirs: dict[str, tuple[str, int]] = {}
        for one in self.exchange.orders(None):
            identity = one.client_order_id or f"external|paper|{one.exchange_order_id}"
            assert identity not in theirs, f"{identity} is two orders"
            theirs[identity] = (one.state.value, one.filled_shares)
        never = {
            row.client_order_id
            for row in self.read(lambda c: c.execute(select(orders)).all())
            if row.reason.startswith((STALE, MALFORMED, CANCELLED_UNSENT))
        }
        # what came after it was ended here was rejected there, for that or for a reason of its own, or is in both books
        late = {
            one.client_order_id
            for one in self.exchange.orders(None)
            if one.reason == Reason.CANCELLED_BEFORE_ARRIVAL
            or (one.client_order_id in never and one.state is OrderStatus.REJECTED)
        }
        assert all(ours[identity][0] in ("cancelled", "lapsed") for identity in late)
        never |= late
        theirs = {identity: said for identity, said in theirs.items() if identity not in late}
        assert never.isdisjoint(theirs)
        assert not self.read(reopened_orders)
        assert {identity: said for identity, said in ours.items() if identity not in never} == theirs
        assert self.placed <= ours.keys()
        told = {one.exec_id: one.shares for one in self.exchange.messages(0, 10**6) if isinstance(one, FillReport)}
        known = {row.exec_id: row.shares for row in self.read(lambda c: c.execute(select(fills)).all())}
        assert known == told

    # -- what always holds ---------------------------------------------------------------------------------------

    @invariant()
    def no_order_is_forgotten_and_no_fill_is_counted_twice(self) -> None:
        if not hasattr(self, "stack") or self.journal is None:
            return
        rows = self.read(
            lambda c: c.execute(select(orders.c.client_order_id, orders.c.filled_shares, orders.c.shares)).all()
        )
        assert self.placed <= {row.client_order_id for row in rows}
        assert all(row.filled_shares <= row.shares for row in rows)
        assert self.read(lambda c: c.execute(select(lease.c.epoch)).scalar()) == self.lease.epoch


DeskMachine.TestCase.settings = settings(
    max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestDesk = DeskMachine.TestCase
