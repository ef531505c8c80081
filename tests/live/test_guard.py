"""The guard: seeded once, durable before it is in force, the same after a restart, stricter with every reason."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.errors import LiveError, TradingError
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.events import (
    Event,
    HeldPosition,
    OrderSent,
    OrderUnknown,
    Reconciled,
    SessionOpened,
    StreamRead,
)
from ljwx_pipeline.live.guard import Guard, GuardSettings
from ljwx_pipeline.live.guard_book import GuardBook, fresh_book
from ljwx_pipeline.live.guard_events import STANDING_SCOPE, TRADES
from ljwx_pipeline.live.lease import Lease
from ljwx_pipeline.live.orders import OrderState
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.tables import breaker_states, breakers, modes, outbox
from ljwx_pipeline.live.watch import OUTAGE
from ljwx_pipeline.trading.breaker_machines import Fault
from ljwx_pipeline.trading.breakers import RULES, Breaker, BreakerState, ResetRule, Trip
from ljwx_pipeline.trading.exchange_wire import Side
from ljwx_pipeline.trading.modes import Action, Condition, TradingMode
from tests.fakes.journal_events import NOW, closed, decided, filled, reported
from tests.fakes.journals import empty_store, log_of
from tests.fakes.live_ticks import BREAKERS

S = "s"
FIRST = date(2025, 11, 4)
SETTINGS = GuardSettings(BREAKERS, max_bundle_age_days=400, capital_fen=100_000_000)
HOUR_NS = 3_600_000_000_000


@dataclass
class World:
    store: Store
    journal: AsyncJournal
    lease: Lease
    clock: ManualClock
    guard: Guard

    async def tell(self, *events: Event) -> None:
        await self.journal.append(events, self.lease.epoch)
        await self.guard.follow()

    def rows(self, table: Any, *where: Any) -> list[Any]:
        with self.store.reading() as connection:
            return list(connection.execute(select(table).where(*where)).mappings())


@asynccontextmanager
async def world(folder: Path, *, strategies: tuple[str, ...] = (S,)) -> AsyncIterator[World]:
    """A guard of the journal in ``folder``, as it was left there; nothing is wrong."""
    store = Store(folder / "journal.sqlite") if (folder / "journal.sqlite").exists() else empty_store(folder)
    clock = ManualClock(NOW)
    journal = AsyncJournal(store, log_of(store, clock))
    lease = Lease(store, clock, holder="one", term_s=3600.0)
    try:
        assert lease.acquire()
        guard = await Guard.open(journal=journal, fence=lease, clock=clock, settings=SETTINGS, strategies=strategies)
        await guard.is_well(*OUTAGE)
        yield World(store, journal, lease, clock, guard)
    finally:
        lease.release()
        journal.close()
        store.close()


def run(folder: Path, act: Callable[[World], Any], **options: Any) -> Any:
    async def inner() -> Any:
        async with world(folder, **options) as one:
            return await act(one)

    return asyncio.run(inner())


def lost_trade(n: int, session: date = FIRST, *, loss_fen: int = 50_000) -> list[Event]:
    """A purchase and its sale at a loss, each one order of one fill."""
    buy, sell, day = f"b{n}", f"s{n}", {"session": session}
    yesterday = session - timedelta(days=1)
    symbol = f"S{n:05d}.SIM"
    return [
        decided(buy, symbol=symbol, session=yesterday, valid_session=session),
        filled(f"eb{n}", buy, 300, symbol=symbol, **day),
        decided(sell, symbol=symbol, side=Side.SELL, session=yesterday, valid_session=session),
        filled(f"es{n}", sell, 300, symbol=symbol, side=Side.SELL, value_fen=300_000 - loss_fen, **day),
    ]


def test_a_fresh_journal_is_seeded_and_allows_everything_once_an_outage_is_over(tmp_path: Path) -> None:
    async def act(one: World) -> None:
        assert one.guard.standing(S).mode is TradingMode.ACTIVE
        assert len(one.rows(breaker_states)) == len(RULES) + 2  # with the trades and how far the log was read
        assert not one.rows(breakers)
        await one.guard.went_wrong(*OUTAGE, why="no answer")
        assert one.guard.standing(S).allows == frozenset()
        assert one.rows(modes, modes.c.scope == STANDING_SCOPE)[0]["mode"] == TradingMode.READ_ONLY
        await one.guard.is_well(*OUTAGE)
        assert one.guard.standing(S).mode is TradingMode.ACTIVE
        assert one.rows(modes, modes.c.scope == STANDING_SCOPE)[0]["mode"] == TradingMode.ACTIVE

    run(tmp_path, act)


def test_an_outage_is_forbidden_until_it_was_proved_over(tmp_path: Path) -> None:
    run(tmp_path, _nothing)

    async def reopened() -> None:
        store = Store(tmp_path / "journal.sqlite")
        clock = ManualClock(NOW)
        journal = AsyncJournal(store, log_of(store, clock))
        lease = Lease(store, clock, holder="one", term_s=3600.0)
        assert lease.acquire()
        guard = await Guard.open(journal=journal, fence=lease, clock=clock, settings=SETTINGS, strategies=(S,))
        assert guard.standing(S).allows == frozenset()
        journal.close()
        store.close()

    asyncio.run(reopened())


async def _nothing(_: World) -> None:
    return None


@pytest.mark.parametrize(
    "text", ["", "nonsense", '{"breaker":"DRAWDOWN"}'], ids=["empty", "no json", "of another breaker"]
)
def test_a_state_that_cannot_be_read_halts_until_a_person_looked(text: str, tmp_path: Path) -> None:
    run(tmp_path, _nothing)
    store = Store(tmp_path / "journal.sqlite")
    with store.writing() as connection:
        connection.execute(
            update(breaker_states).where(breaker_states.c.breaker == Breaker.CLOCK_SKEW).values(state=text)
        )
    store.close()

    async def act(one: World) -> None:
        assert one.guard.standing(S).mode is TradingMode.HALTED
        assert one.rows(outbox)[0]["tier"] == "critical"
        await one.guard.look_at_clock(None, HOUR_NS)  # all is well, but nobody looked
        assert one.guard.standing(S).mode is TradingMode.HALTED
        await one.guard.reset(Breaker.CLOCK_SKEW, "", by="wu", reason="looked at it")
        assert one.guard.standing(S).mode is TradingMode.ACTIVE

    run(tmp_path, act)


def test_trades_that_cannot_be_read_count_as_losing_ones(tmp_path: Path) -> None:
    run(tmp_path, _nothing)
    store = Store(tmp_path / "journal.sqlite")
    with store.writing() as connection:
        connection.execute(update(breaker_states).where(breaker_states.c.breaker == TRADES).values(state="{}"))
    store.close()

    async def act(one: World) -> None:
        assert one.guard.standing(S).denial(Action.OPEN) == Breaker.LOSING_TRADES
        await one.guard.reset(Breaker.LOSING_TRADES, S, by="wu", reason="looked at it")

    run(tmp_path, act)

    async def again(one: World) -> None:
        assert one.guard.standing(S).mode is TradingMode.ACTIVE

    run(tmp_path, again)


def test_a_strategy_that_comes_later_begins_with_nothing_tripped(tmp_path: Path) -> None:
    run(tmp_path, _nothing)

    async def act(one: World) -> None:
        assert one.guard.standing("new").mode is TradingMode.ACTIVE
        assert not one.rows(breakers)

    run(tmp_path, act, strategies=(S, "new"))


def test_three_losing_trades_stop_opening_in_their_session_and_not_the_orders_of_the_next(tmp_path: Path) -> None:
    async def act(one: World) -> None:
        await one.tell(SessionOpened(session=FIRST))
        for n in range(3):
            assert one.guard.standing(S).denial(Action.OPEN) == ""
            await one.tell(*lost_trade(n))
        assert one.guard.standing(S).denial(Action.OPEN) == Breaker.LOSING_TRADES
        assert one.guard.standing(S).denial(Action.REDUCE) == ""
        assert one.guard.standing(S, FIRST).denial(Action.OPEN) == Breaker.LOSING_TRADES
        # decided at this close for the next session: not of the session that was stopped
        assert one.guard.standing(S, FIRST + timedelta(days=1)).denial(Action.OPEN) == ""
        restraint = await one.guard.restraint(S, FIRST + timedelta(days=1), 0)
        assert (restraint.opening_denied, restraint.reducing_denied) == ("", "")
        (alert,) = one.rows(outbox)
        assert (alert["tier"], alert["code"]) == ("warning", "LOSING_TRADES")
        await one.tell(SessionOpened(session=FIRST + timedelta(days=1)))
        assert one.guard.standing(S).mode is TradingMode.ACTIVE

    run(tmp_path, act)


def test_a_sale_in_parts_is_one_trade_and_a_final_report_may_come_first(tmp_path: Path) -> None:
    async def act(one: World) -> None:
        buy = [decided("b"), filled("e0", "b", 300)]
        await one.tell(SessionOpened(session=FIRST), *buy, decided("s", side=Side.SELL))
        part = {"side": Side.SELL, "value_fen": 90_000}
        await one.tell(filled("e1", "s", 100, **part))
        assert _count(one, Breaker.LOSING_TRADES) == 0
        await one.tell(reported(OrderState.LAPSED, "s", 200))
        assert _count(one, Breaker.LOSING_TRADES) == 0
        await one.tell(filled("e2", "s", 100, **part))
        assert _count(one, Breaker.LOSING_TRADES) == 1

    run(tmp_path, act)


def test_shares_nobody_saw_bought_make_a_losing_trade(tmp_path: Path) -> None:
    async def act(one: World) -> None:
        await one.tell(SessionOpened(session=FIRST), decided("s", side=Side.SELL))
        await one.tell(filled("e", "s", 300, side=Side.SELL))
        assert _count(one, Breaker.LOSING_TRADES) == 1

    run(tmp_path, act)


def test_a_statement_gives_the_only_strategy_what_the_account_holds(tmp_path: Path) -> None:
    held = HeldPosition(
        symbol="S00001.SIM", shares=300, sellable_shares=300, held_sessions=3, entry_price_e4=50_000,
        peak_price_e4=60_000, last_price_e4=60_000,
    )  # fmt: skip

    async def act(one: World) -> None:
        said = Reconciled(
            broker="paper", exchange_seq=1, session=None, orders=0, fills=0, cash_fen=1_000_000, positions=(held,),
            explained=(),
        )  # fmt: skip
        await one.tell(StreamRead(broker="paper", exchange_seq=1), said, SessionOpened(session=FIRST))
        await one.tell(decided("s", side=Side.SELL), filled("e", "s", 300, side=Side.SELL))
        assert _count(one, Breaker.LOSING_TRADES) == 0  # bought at 5.00, sold at 10.00

    run(tmp_path, act)


def test_refusals_and_silences_in_a_row_halt_the_strategy_until_a_person_says_so(tmp_path: Path) -> None:
    async def act(one: World) -> None:
        for n in range(BREAKERS.max_failures):
            assert one.guard.standing(S).mode is TradingMode.ACTIVE
            order = [decided(f"o{n}"), OrderSent(client_order_id=f"o{n}", fencing_epoch=1, sent_at_ns=1)]
            said = reported(OrderState.REJECTED, f"o{n}", reason="CASH")
            await one.tell(*order, said if n % 2 else OrderUnknown(client_order_id=f"o{n}", reason="no answer"))
        standing = one.guard.standing(S)
        assert standing.mode is TradingMode.HALTED
        assert standing.denial(Action.REDUCE) == Breaker.FAILURES
        assert one.guard.standing(S, FIRST + timedelta(days=9)).denial(Action.OPEN) == Breaker.FAILURES
        with pytest.raises(TradingError, match="say who resets it"):
            await one.guard.reset(Breaker.FAILURES, S, by="", reason="")
        await one.guard.reset(Breaker.FAILURES, S, by="wu", reason="the broker was mended")
        assert one.guard.standing(S).mode is TradingMode.ACTIVE
        assert [row["tier"] for row in one.rows(outbox)] == ["critical", "info"]

    run(tmp_path, act)


def test_equity_trips_at_its_limits_and_the_highest_is_kept_once_a_minute(tmp_path: Path) -> None:
    async def act(one: World) -> None:
        await one.tell(SessionOpened(session=FIRST))
        await one.guard.value(100_000_000, HOUR_NS)
        log = one.journal.log.last_seq()
        await one.guard.value(100_100_000, HOUR_NS + 1)
        assert one.journal.log.last_seq() == log
        await one.guard.value(100_200_000, HOUR_NS + 60_000_000_000)
        assert one.journal.log.last_seq() == log + 1
        # one that was not written at once is, with the next look a minute on
        await one.guard.value(100_300_000, HOUR_NS + 60_000_000_001)
        await one.guard.value(100_000_000, HOUR_NS + 120_000_000_001)
        assert one.journal.log.last_seq() == log + 2
        (kept,) = one.rows(breaker_states, breaker_states.c.breaker == Breaker.DRAWDOWN)
        assert '"mark_fen":100300000' in kept["state"]
        await one.guard.value(95_200_000, HOUR_NS + 120_000_000_002)
        assert one.guard.standing(S).denial(Action.OPEN) == Breaker.DRAWDOWN

    run(tmp_path, act)


def test_a_feed_recovers_by_itself_and_a_person_cannot_declare_it_well(tmp_path: Path) -> None:
    fault = Fault("70 s", "60 s", "silent")

    async def act(one: World) -> None:
        await one.guard.look_at_feed(fault, HOUR_NS)
        assert one.guard.standing(S).denial(Action.REDUCE) == Breaker.STALE_FEED
        with pytest.raises(TradingError, match="not reset by a person"):
            await one.guard.reset(Breaker.STALE_FEED, "", by="wu", reason="it is fine")
        await one.guard.look_at_feed(None, HOUR_NS + 1)
        assert one.guard.standing(S).mode is TradingMode.READ_ONLY
        await one.guard.look_at_feed(None, HOUR_NS + 1 + round(BREAKERS.recovery_s * 1e9))
        assert one.guard.standing(S).mode is TradingMode.ACTIVE

    run(tmp_path, act)


def test_a_person_s_mode_holds_over_a_restart_and_breakers_may_be_stricter(tmp_path: Path) -> None:
    async def act(one: World) -> None:
        await one.guard.choose(TradingMode.REDUCING, "", by="wu", reason="holidays")
        await one.guard.kill(by="li", reason="fire")
        assert one.guard.standing().mode is TradingMode.HALTED
        with pytest.raises(TradingError, match="no strategy"):
            await one.guard.choose(TradingMode.HALTED, "other", by="wu", reason="typo")

    run(tmp_path, act)

    async def again(one: World) -> None:
        assert one.guard.standing().mode is TradingMode.HALTED
        await one.guard.reset(Breaker.KILL_SWITCH, "", by="li", reason="put out")
        assert one.guard.standing().mode is TradingMode.REDUCING
        await one.guard.choose(TradingMode.ACTIVE, "", by="wu", reason="back")
        assert one.guard.standing().mode is TradingMode.ACTIVE

    run(tmp_path, again)


def test_what_cannot_be_written_is_not_in_force_and_nothing_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(one: World) -> None:
        await one.guard.kill(by="wu", reason="a test")
        append = one.journal.append

        async def full(events: Any, epoch: int | None) -> int:
            raise LiveError("the disk is full", "free some")

        monkeypatch.setattr(one.journal, "append", full)
        with pytest.raises(LiveError, match="disk is full"):
            await one.guard.reset(Breaker.KILL_SWITCH, "", by="wu", reason="over")
        assert one.guard.book.states[Breaker.KILL_SWITCH, ""].trip is not None
        assert one.guard.standing(S).allows == frozenset()
        await one.guard.went_wrong(Condition.NOT_RECONCILED, why="differs")  # forbids though it cannot be written
        monkeypatch.setattr(one.journal, "append", append)
        await one.guard.reset(Breaker.KILL_SWITCH, "", by="wu", reason="over")
        assert set(one.guard.book.wrong) == {Condition.NOT_RECONCILED}
        await one.guard.is_well(Condition.NOT_RECONCILED)
        assert one.guard.standing(S).mode is TradingMode.ACTIVE

    run(tmp_path, act)


def test_while_a_reset_is_written_it_is_not_in_force_and_a_trip_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(one: World) -> None:
        append = one.journal.append
        seen: list[TradingMode] = []

        async def watched(events: Any, epoch: int | None) -> int:
            seen.append(one.guard.standing(S).mode)
            await asyncio.sleep(0)
            seen.append(one.guard.standing(S).mode)
            return await append(events, epoch)

        monkeypatch.setattr(one.journal, "append", watched)
        await one.guard.kill(by="wu", reason="a test")
        await one.guard.reset(Breaker.KILL_SWITCH, "", by="wu", reason="over")
        assert seen == [TradingMode.HALTED] * 4

    run(tmp_path, act)


def test_an_outage_that_comes_while_the_one_before_is_lifted_is_not_lifted_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(one: World) -> None:
        await one.guard.went_wrong(*OUTAGE, why="no answer")
        append, again = one.journal.append, []

        async def cut(events: Any, epoch: int | None) -> int:
            if not again:
                again.append(asyncio.create_task(one.guard.went_wrong(*OUTAGE, why="no answer")))
                await asyncio.sleep(0)
            return await append(events, epoch)

        monkeypatch.setattr(one.journal, "append", cut)
        await one.guard.is_well(*OUTAGE)
        assert one.guard.standing(S).allows == frozenset()
        await again[0]
        assert one.guard.standing(S).allows == frozenset()

    run(tmp_path, act)


def test_what_goes_wrong_after_the_end_of_an_outage_was_asked_for_stays_wrong(tmp_path: Path) -> None:
    async def act(one: World) -> None:
        await one.guard.went_wrong(*OUTAGE, why="no answer")
        async with one.guard._turn:  # another step is being written: the end of the outage waits for it
            over = asyncio.create_task(one.guard.is_well(*OUTAGE))
            await asyncio.sleep(0)
            again = asyncio.create_task(one.guard.went_wrong(Condition.BROKER_UNREACHABLE, why="again"))
            await asyncio.sleep(0)
        await asyncio.gather(over, again)
        assert one.guard.book.wrong == {Condition.BROKER_UNREACHABLE: "again"}
        # what came while the proof was being made is not proved
        since = one.guard.moment
        await one.guard.went_wrong(Condition.BROKER_UNREACHABLE, why="once more")
        await one.guard.is_well(Condition.BROKER_UNREACHABLE, since=since)
        assert one.guard.book.wrong == {Condition.BROKER_UNREACHABLE: "once more"}
        await one.guard.is_well(Condition.BROKER_UNREACHABLE)
        assert one.guard.standing(S).mode is TradingMode.ACTIVE

    run(tmp_path, act)


def test_a_kill_that_cannot_be_written_is_in_force_and_written_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(one: World) -> None:
        append = one.journal.append

        async def full(events: Any, epoch: int | None) -> int:
            raise LiveError("the disk is full", "free some")

        monkeypatch.setattr(one.journal, "append", full)
        with pytest.raises(LiveError, match="disk is full"):
            await one.guard.kill(by="wu", reason="fire")
        assert one.guard.book.states[Breaker.KILL_SWITCH, ""].trip is not None
        monkeypatch.setattr(one.journal, "append", append)
        await one.guard.look_at_clock(None, HOUR_NS)
        assert one.guard.standing(S).denial(Action.OPEN) == Breaker.KILL_SWITCH
        assert [row["reason"] for row in one.rows(breakers)] == ["fire"]

    run(tmp_path, act)

    async def again(one: World) -> None:
        assert one.guard.standing(S).mode is TradingMode.HALTED

    run(tmp_path, again)


def test_without_the_lease_nothing_may_be_done(tmp_path: Path) -> None:
    async def act(one: World) -> None:
        one.clock.set(NOW + timedelta(seconds=3601))
        assert one.guard.standing(S).denial(Action.CANCEL) == Condition.NO_LEASE

    run(tmp_path, act)


def _count(one: World, breaker: Breaker) -> int:
    return one.guard.book.states[breaker, S].count


# -- properties ------------------------------------------------------------------------------------------------------

SESSIONS = [FIRST + timedelta(days=n) for n in range(3)]


@st.composite
def tripped(draw: st.DrawFn) -> BreakerState:
    breaker = draw(st.sampled_from(list(Breaker)))
    key = S if RULES[breaker].scope == "strategy" else ""
    trip = Trip(1, draw(st.sampled_from(SESSIONS)), "v", "l", "r", unreadable=draw(st.booleans()))
    return BreakerState(breaker, key, trip.session, trip=trip)


@st.composite
def books(draw: st.DrawFn) -> GuardBook:
    book = fresh_book([S], SESSIONS[0], equity_fen=1, read=0)
    for state in draw(st.lists(tripped(), max_size=4)):
        book = book.with_state(state)
    wrong = draw(st.dictionaries(st.sampled_from(list(Condition)), st.just("why"), max_size=3))
    chosen = draw(st.dictionaries(st.sampled_from(["", S]), st.sampled_from(list(TradingMode)), max_size=2))
    return replace(book, wrong=wrong, modes=chosen)


@given(books(), tripped(), st.sampled_from(list(Condition)), st.sampled_from([None, *SESSIONS]))
def test_a_reason_more_never_allows_more(
    book: GuardBook, state: BreakerState, condition: Condition, valid: date | None
) -> None:
    allowed = book.standing(S, valid).allows
    if book.states[state.breaker, state.key].trip is None:
        assert book.with_state(state).standing(S, valid).allows <= allowed
    assert replace(book, wrong={**book.wrong, condition: "w"}).standing(S, valid).allows <= allowed
    gone = {key: one for key, one in book.states.items() if key != (state.breaker, state.key)}
    # a state that was tripped and is lost is no reason more but another one: a person, not a program, may then close
    by_hand = frozenset() if book.states[state.breaker, state.key].trip is None else {Action.CLOSE_BY_HAND}
    assert replace(book, states=gone).standing(S, valid).allows <= allowed | by_hand
    assert book.standing(S).allows <= allowed  # an order of a later session is denied by no more than one of now
    for mode in (TradingMode.REDUCING, TradingMode.READ_ONLY, TradingMode.HALTED):
        if book.modes.get("", TradingMode.ACTIVE) is TradingMode.ACTIVE:
            assert replace(book, modes={**book.modes, "": mode}).standing(S, valid).allows <= allowed


@given(books(), st.sampled_from(SESSIONS))
def test_only_what_the_next_session_resets_lets_a_later_session_s_order_pass(book: GuardBook, valid: date) -> None:
    now, later = book.standing(S), book.standing(S, valid)
    let_pass = {one.code for one in now.reasons} - {one.code for one in later.reasons}
    for code in let_pass:
        states = [state for (breaker, _), state in book.states.items() if breaker == code]
        assert all(ResetRule.NEXT_SESSION in state.rule.resets for state in states)
        assert all(state.trip is None or state.trip.session < valid for state in states)


DAYS = st.lists(
    st.one_of(
        st.tuples(st.just("trade"), st.booleans()),
        st.tuples(st.just("parts"), st.booleans()),
        st.tuples(st.just("reject"), st.booleans()),
        st.tuples(st.just("session"), st.booleans()),
        st.tuples(st.just("value"), st.integers(94_000_000, 104_000_000)),
        st.tuples(st.just("feed"), st.booleans()),
        st.tuples(st.just("mode"), st.sampled_from(list(TradingMode))),
        st.tuples(st.just("kill"), st.booleans()),
        st.tuples(st.just("unfolded"), st.booleans()),
    ),
    min_size=1,
    max_size=14,
)


@hypothesis_settings(max_examples=12, deadline=None)
@given(DAYS, st.data())
def test_a_restart_at_any_point_gives_the_same_standing(steps: list[tuple[str, Any]], data: st.DataObject) -> None:
    cuts = data.draw(st.sets(st.integers(0, len(steps) - 1), max_size=3))

    def play(folder: Path, at: set[int]) -> tuple[Any, ...]:
        async def part(todo: list[tuple[int, str, Any]]) -> tuple[Any, ...]:
            async with world(folder) as one:
                for n, what, how in todo:
                    await _step(one, n, what, how)
                await one.guard.follow()
                book = one.guard.book
                states = {key: replace(state, trip=None, mark_fen=0) for key, state in book.states.items()}
                trips = {key: state.trip and state.trip.reason for key, state in book.states.items()}
                return states, trips, book.trades, book.modes, one.guard.standing(S), book.equity_fen

        numbered = [(n, what, how) for n, (what, how) in enumerate(steps)]
        found: tuple[Any, ...] = ()
        begin = 0
        for end in [*sorted(n + 1 for n in at), len(steps)]:
            found = asyncio.run(part(numbered[begin:end]))
            begin = end
        return found

    with tempfile.TemporaryDirectory() as folder:
        assert play(Path(folder) / "cut", cuts) == play(Path(folder) / "whole", set())


async def _step(one: World, n: int, what: str, how: Any) -> None:
    session = one.guard.book.begun_session or FIRST
    if what == "trade":
        await one.tell(*lost_trade(n, session, loss_fen=50_000 if how else -50_000))
    elif what == "parts":
        *before, last = lost_trade(n, session)
        half = replace(last, shares=150, value_fen=140_000)
        rest = replace(half, exec_id=f"er{n}")
        events = [reported(OrderState.LAPSED, f"s{n}", 300), half, rest] if how else [half, rest]
        for event in [*before, *events]:
            await one.journal.append([event], one.lease.epoch)
            if how:
                await one.guard.follow()
    elif what == "reject":
        await one.tell(decided(f"o{n}"), reported(OrderState.REJECTED if how else OrderState.ACCEPTED, f"o{n}"))
    elif what == "session":
        day = session + timedelta(days=1)
        await one.tell(SessionOpened(session=day), *([closed(day, 99_000_000)] if how else []))
    elif what == "value":
        await one.guard.value(how, HOUR_NS + n * 60_000_000_000)
    elif what == "feed":
        await one.guard.look_at_feed(Fault("v", "l", "r") if how else None, HOUR_NS + n * 1_000_000_000)
    elif what == "mode":
        await one.guard.choose(how, S if n % 2 else "", by="wu", reason="because")
    elif what == "kill":
        await _pull_or_reset(one, pull=how)
    else:  # written, and the process dies before it was folded in
        await one.journal.append(lost_trade(n, session), one.lease.epoch)


async def _pull_or_reset(one: World, *, pull: bool) -> None:
    await one.guard.follow()  # a kill is in force before the log is read: in the session that the guard had come to
    if pull:
        await one.guard.kill(by="wu", reason="because")
    elif one.guard.book.states[Breaker.KILL_SWITCH, ""].trip is not None:
        await one.guard.reset(Breaker.KILL_SWITCH, "", by="wu", reason="because")
