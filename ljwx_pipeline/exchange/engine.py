"""The exchange itself: takes orders, lets time pass step by step, keeps the account; each change durable before told.

Start-up and recovery are one path: what is in memory is read from the journal, at the start and after a write that
failed. Market time of what is durable never goes back; the ticks after the last change come again after a crash, and
change what they would have changed. One thread calls everything here. Not here: the wall clock and connections
(``pacing.py``, ``stream.py``), storage (``journal.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.config import CostSettings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.exchange.account_moves import book_trade, open_session, positions
from ljwx_pipeline.exchange.entries import Entry, Trade
from ljwx_pipeline.exchange.journal import Change, Journal, Standing
from ljwx_pipeline.exchange.market import DayBars, ExchangeMarket
from ljwx_pipeline.exchange.order_checks import MAX_SESSION_SHARES, LimitOrderFacts, limit_order_fault
from ljwx_pipeline.exchange.quotes import Quote, TickSource
from ljwx_pipeline.exchange.refusals import Conflict, Fenced, NotFound, NotYet
from ljwx_pipeline.exchange.session_matching import match_session
from ljwx_pipeline.exchange.tick_matching import Means, reserved_fen, trade_on
from ljwx_pipeline.exchange.timeline import Step
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.account import Account
from ljwx_pipeline.trading.costs import cost_rates
from ljwx_pipeline.trading.exchange_wire import (
    AccountReport,
    Booking,
    ClockReport,
    Durable,
    FillReport,
    NewOrder,
    OrderReport,
    OrderStatus,
    Phase,
    PhaseName,
    Reason,
    SessionBars,
)
from ljwx_pipeline.trading.fill_model import FillModel

Int = NDArray[np.int64]
#: Makes the ticks of a session from its bars and the seconds between two of a name's ticks.
MakeTicks = Callable[[date, DayBars, int], TickSource]


@dataclass(frozen=True)
class _Day:
    """The session that has begun last."""

    session: date
    bars: DayBars
    ticks: TickSource
    rates: Int
    tick_seconds: int

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.ticks.timeline.steps


class Exchange:
    """One market and one account.

    Parameters
    ----------
    market
        The sessions it plays.
    costs
        Fill model and charges.
    journal
        Its file, which it alone writes.
    make_ticks
        Where the ticks of a session come from.
    tick_seconds
        Of new sessions; the one that was under way when the process ended goes on as it began.

    Raises
    ------
    TradingError
        When the account holds a symbol the pack does not list, or has traded sessions that the pack holds otherwise.
    """

    def __init__(
        self,
        market: ExchangeMarket,
        costs: CostSettings,
        journal: Journal,
        make_ticks: MakeTicks,
        *,
        tick_seconds: int,
    ) -> None:
        self.market = market
        self.rejects_to_come = 0
        self._costs = costs
        self._journal = journal
        self._make_ticks = make_ticks
        self._tick_seconds = tick_seconds
        self._day: _Day | None = None
        self._coming: _Day | None = None
        self._traded: dict[str, int] = {}
        self._fills_at_open = FillModel.of(costs.fill) is FillModel.OPEN
        for session, bars_hash in journal.sessions().items():
            if session in market.sessions and market.bars_hash(session) != bars_hash:
                raise TradingError(
                    f"the bars of {session} are not those that this account has traded on",
                    "give the pack it was traded on, or another --state for a new account",
                )
        self._recover()

    # time

    @property
    def last_seq(self) -> int:
        """The number of the last durable message."""
        return self._seq

    @property
    def at_ns(self) -> int:
        """Market time; 0 before the first session."""
        return 0 if self._day is None or self._position < 0 else self._day.steps[self._position].at_ns

    def clock(self, speed: float) -> ClockReport:
        """Return the market's time and what comes next."""
        session = None if self._day is None else self._day.session
        return ClockReport(
            session=session,
            phase=None if self._day is None else self._phase(),
            at_ns=self.at_ns,
            next_session=self.market.next_session(session),
            speed=speed,
            last_seq=self._seq,
        )

    def next_step(self) -> tuple[date, Step] | None:
        """Return what happens next, None when every session is over."""
        if self._day is not None and self._position + 1 < len(self._day.steps):
            return self._day.session, self._day.steps[self._position + 1]
        session = self.market.next_session(None if self._day is None else self._day.session)
        return None if session is None else (session, self._new_day(session).steps[0])

    def advance(self, *, ticks: bool, hurry: bool = False) -> list[list[Any]]:
        """Make the next step happen and return the ticks it brings, as rows of the wire.

        Parameters
        ----------
        ticks
            Whether anybody wants ticks; without, none are returned.
        hurry
            Leave out ticks that nobody wants and no order waits for.

        Raises
        ------
        TradingError
            When every session is over, or the step could not be made durable: it is then still to come.
        """
        coming = self.next_step()
        if coming is None:
            raise TradingError("every session of the pack is over", "write a pack with more sessions")
        with self._recovering():
            session, step = coming
            if step.phase is PhaseName.OPENING_AUCTION:
                self._begin(session)
                return []
            self._position += 1
            if step.phase is not None:
                self._change_phase(step.phase)
                return []
            return self._tick(step, ticks=ticks, hurry=hurry)

    # orders

    def submit(self, order: NewOrder, epoch: int | None) -> tuple[OrderReport, bool]:
        """Take ``order`` and return where it stands, and whether it is new.

        ``epoch`` is the sender's; None for an order by hand, which has no client order id.

        Raises
        ------
        Fenced
            Below the highest epoch seen.
        Conflict
            When the id was used for another order.
        TradingError
            When it could not be made durable: it is then not held.
        """
        self._fence(epoch)
        known = self._journal.entry(order.client_order_id) if order.client_order_id else None
        if known is not None:
            if known.order != order:
                raise Conflict(
                    f"{order.client_order_id} is the identity of another order, {known.order}",
                    "give each order its own client_order_id",
                )
            self._note_epoch(epoch)
            return known.report(), False
        with self._recovering():
            entry = Entry(self._number + 1, order, OrderStatus.ACCEPTED)
            fault = self._fault(entry)
            if fault is not Reason.NONE:
                entry = replace(entry, state=OrderStatus.REJECTED, reason=fault.value)
            self._number += 1
            change = Change()
            entry = self._say_order(change, entry)
            self._write(change, epoch=epoch)
        return entry.report(), True

    def cancel(self, identity: str, epoch: int | None) -> OrderReport:
        """Cancel what is left of an order and return where it stands; one that has ended stays as it ended.

        Raises
        ------
        Fenced, NotFound
            As `submit`; when there never was such an order.
        TradingError
            As `submit`.
        """
        self._fence(epoch)
        known = self._journal.entry(identity)
        if known is None:
            raise NotFound(f"there never was an order {identity[:80]!r}", "correct the id")
        if not known.is_open:
            self._note_epoch(epoch)
            return known.report()
        with self._recovering():
            change = Change()
            entry = self._say_order(change, replace(known, state=OrderStatus.CANCELLED))
            self._write(change, epoch=epoch)
        return entry.report()

    def order(self, identity: str) -> OrderReport:
        """Return where the order stands; NotFound when there never was one."""
        known = self._journal.entry(identity)
        if known is None:
            raise NotFound(f"there never was an order {identity[:80]!r}", "correct the id")
        return known.report()

    def orders(self, session: date | None) -> list[OrderReport]:
        """Return where the orders of ``session``, or of every one, stand."""
        return [entry.report() for entry in self._journal.entries(session)]

    def messages(self, after: int, limit: int) -> list[Durable]:
        """Return the durable messages after ``after``."""
        return self._journal.messages(after, limit)

    def account(self) -> AccountReport:
        """Return the account as it stands; before the first session, that session is named.

        Raises
        ------
        NotYet
            When the pack holds no session and none was ever played.
        """
        session = self.market.next_session(None) if self._day is None else self._day.session
        if session is None:
            raise NotYet("no session was ever played", "wait for the first session")
        return self._account_report(session, self._seq)

    def session_bars(self, session: date) -> SessionBars:
        """Return the official bars of a session that is over.

        Raises
        ------
        NotYet, NotFound
            Before its close; when the pack does not hold it.
        """
        if session not in self.market.sessions:
            raise NotFound(f"the pack holds no session {session}", "ask for one that was played")
        over = self._day is not None and (
            session < self._day.session or (session == self._day.session and self._phase() is PhaseName.CLOSED)
        )
        if not over:
            raise NotYet(f"the session {session} is not over", "wait for its phase closed")
        day = self._day if self._day is not None and self._day.session == session else self._new_day(session)
        return SessionBars(session, day.steps[-1].at_ns, self.market.official_bars(session))

    def play_on(self, market: ExchangeMarket) -> None:
        """Go on over another pack, which must hold what was played as it was.

        Raises
        ------
        TradingError
            When it does not; the exchange stays as it was.
        """
        other = Exchange(market, self._costs, self._journal, self._make_ticks, tick_seconds=self._tick_seconds)
        self.market, self._coming = other.market, None
        self._recover()

    # steps

    def _begin(self, session: date) -> None:
        day = self._new_day(session)
        self._day, self._position, self._traded = day, 0, {}
        change, column = Change(begun=(session, self.market.bars_hash(session))), self.market.column(session)
        self._say(change, Phase(self._next_seq(), session, PhaseName.OPENING_AUCTION, self.at_ns))
        arrays = self.market.arrays
        for one in open_session(self._account, actions=arrays.actions.on(column), listed=arrays.listed[:, column]):
            symbol = self.market.symbols[one.row]
            self._say(
                change,
                Booking(self._next_seq(), session, symbol, one.kind, one.cash_fen, one.shares, self.at_ns),
            )
        for entry in [entry for entry in self._open.values() if entry.order.session < session]:
            # of a session that was skipped, as the pack no longer holds it
            self._say_order(change, replace(entry, state=OrderStatus.LAPSED, reason=Reason.STALE_SESSION.value))
        self._say(change, self._account_report(session, self._next_seq()))
        self._write(change, holdings=True)

    def _change_phase(self, phase: PhaseName) -> None:
        day, change = self._today(), Change()
        if phase is PhaseName.CLOSED:
            self._close(change)
        self._say(change, Phase(self._next_seq(), day.session, phase, self.at_ns))
        if phase is PhaseName.OPENED and self._fills_at_open:
            self._fill_session_orders(change)
        self._write(change, holdings=phase in (PhaseName.OPENED, PhaseName.CLOSED))

    def _close(self, change: Change) -> None:
        day = self._today()
        for entry in self._waiting(session_orders=False):
            row = self.market.rows[entry.order.symbol]
            quote = self._quote(row)
            reason = Reason.SUSPENDED
            if quote is not None:
                _, reason = trade_on(entry, quote, self._means(entry, row, 0), auction=True)
            # a tick may have had something for it that went to its whole lots: the rest is what participation left
            reason = Reason.PARTICIPATION if reason is Reason.NONE else reason
            self._say_order(change, replace(entry, state=OrderStatus.LAPSED, reason=reason.value))
        if not self._fills_at_open:
            self._fill_session_orders(change)
        column, arrays = self.market.column(day.session), self.market.arrays
        self._account.mark(arrays.close_e4[:, column], arrays.volume_shares[:, column])
        self._say(change, self._account_report(day.session, self._next_seq()))

    def _fill_session_orders(self, change: Change) -> None:
        cash_fen, shares = self._reserved()
        for trade, entry in match_session(
            self._waiting(session_orders=True),
            self._account,
            self.market,
            self._costs,
            reserved_fen=cash_fen,
            reserved_shares=shares,
        ):
            if trade is not None:
                self._say_fill(change, entry, trade)
            self._say_order(change, entry)

    def _tick(self, step: Step, *, ticks: bool, hurry: bool) -> list[list[Any]]:
        day = self._today()
        waiting = self._waiting(session_orders=False)
        if hurry and not ticks and not waiting:
            while day.steps[self._position + 1].phase is None:
                self._position += 1
            return []
        if not ticks and not waiting:
            return []
        rows = [self.market.rows[entry.order.symbol] for entry in waiting]
        quotes = day.ticks.batch(step, None if ticks else np.unique(np.array(rows, dtype=np.int64)))
        change, shown = Change(), {True: dict.fromkeys(rows, 0), False: dict.fromkeys(rows, 0)}
        for entry, row in zip(waiting, rows, strict=True):
            quote = quotes.of(row)
            if quote is None:
                continue
            taken = shown[entry.buying]
            trade, _ = trade_on(entry, quote, self._means(entry, row, taken[row]), auction=step.is_auction)
            if trade is None:
                continue
            taken[row] += trade.shares
            book_trade(self._account, row, trade, buying=entry.buying)
            self._traded[entry.order.symbol] = self._traded.get(entry.order.symbol, 0) + trade.shares
            filled = entry.with_trade(trade)
            self._say_fill(change, filled, trade)
            self._say_order(change, filled)
        if change.messages:
            self._write(change, holdings=True)
        if not ticks:
            return []
        return quotes.tick_rows(
            symbols=self.market.symbols, at_ns=step.at_ns, session=day.session, pre_close_e4=day.bars.pre_close_e4
        )

    # orders, in detail

    def _fault(self, entry: Entry) -> Reason:
        order, day = entry.order, self._day
        row = self.market.rows.get(order.symbol)
        if row is None:
            return Reason.UNKNOWN_SYMBOL
        when = self._session_fault(entry)
        if when is not Reason.NONE:
            return when
        if self.rejects_to_come > 0:
            self.rejects_to_come -= 1
            return Reason.ON_DEMAND
        if entry.is_session:
            same = (other.order for other in self._open.values() if other.is_session)
            if any(other.symbol == order.symbol and other.session == order.session for other in same):
                return Reason.SAME_SYMBOL
            return Reason.ORDER_SIZE if order.shares > MAX_SESSION_SHARES else Reason.NONE
        if day is None:
            raise AssertionError("a limit order passed before any session began")
        return limit_order_fault(entry, self._facts(entry, row, day))

    def _session_fault(self, entry: Entry) -> Reason:
        order, day = entry.order, self._day
        if day is None or order.session > day.session:
            following = self.market.next_session(None if day is None else day.session)
            # limit orders are taken from the opening auction on
            return Reason.NONE if entry.is_session and order.session == following else Reason.FUTURE_SESSION
        if order.session < day.session or self._phase() is PhaseName.CLOSED:
            return Reason.STALE_SESSION
        if entry.is_session:
            late = self._fills_at_open and self._position >= day.ticks.timeline.position(PhaseName.OPENED)
            return Reason.STALE_SESSION if late else Reason.NONE
        return Reason.MARKET_CLOSED if self._position >= len(day.steps) - 2 else Reason.NONE

    def _facts(self, entry: Entry, row: int, day: _Day) -> LimitOrderFacts:
        arrays, column, bars = self.market.arrays, self.market.column(day.session), day.bars
        cash_fen, shares = self._reserved()
        symbol = entry.order.symbol
        bought = sum(
            other.order.shares if other.is_open else other.filled_shares
            for other in self._journal.entries(day.session)
            if other.order.symbol == symbol and other.buying and not other.is_session
        )
        return LimitOrderFacts(
            traded=bool(bars.close_e4[row] > 0),
            on_tick=self.market.raw_prices,
            limit_up_e4=int(bars.limit_up_e4[row]),
            limit_down_e4=int(bars.limit_down_e4[row]),
            board=Board(int(arrays.board[row])),
            exchange=symbol.rpartition(".")[2],
            is_st=bool(arrays.is_st[row, column]),
            lot_min=int(arrays.lot_min[row]),
            lot_step=int(arrays.lot_step[row]),
            quote=self._quote(row),
            pre_close_e4=int(bars.pre_close_e4[row]),
            phase=self._phase(),
            cash_fen=self._account.cash_fen - cash_fen,
            sellable_shares=int(self._account.sellable_shares[row] - shares[row]),
            bought_shares=bought,
            rates=day.rates,
        )

    def _means(self, entry: Entry, row: int, shown_shares: int) -> Means:
        day = self._today()
        others_fen = sum(self._holds_fen.values()) - self._holds_fen[entry.number]
        return Means(
            cash_fen=self._account.cash_fen - others_fen,
            sellable_shares=int(self._account.sellable_shares[row]),
            traded_shares=self._traded.get(entry.order.symbol, 0),
            shown_shares=shown_shares,
            lot_min=int(self.market.arrays.lot_min[row]),
            lot_step=int(self.market.arrays.lot_step[row]),
            rates=day.rates,
        )

    def _reserved(self) -> tuple[int, Int]:
        """Return the cash and, by symbol, the shares that open limit orders of the session hold."""
        shares = np.zeros(len(self.market.symbols), dtype=np.int64)
        for entry in self._waiting(session_orders=False):
            if not entry.buying:
                shares[self.market.rows[entry.order.symbol]] += entry.left_shares
        return sum(self._holds_fen.values()), shares

    def _hold_fen(self, entry: Entry) -> int:
        return 0 if entry.is_session else reserved_fen(entry, self._today().rates)

    def _waiting(self, *, session_orders: bool) -> list[Entry]:
        session = None if self._day is None else self._day.session
        return [
            entry
            for entry in self._open.values()
            if entry.order.session == session and entry.is_session is session_orders
        ]

    def _fence(self, epoch: int | None) -> None:
        if epoch is not None and epoch < self._epoch:
            raise Fenced(f"epoch {epoch} was followed by {self._epoch}", "stop: another runner trades this account now")

    def _note_epoch(self, epoch: int | None) -> None:
        if epoch is not None and epoch > self._epoch:
            with self._recovering():
                self._write(Change(), epoch=epoch)

    # state

    @contextmanager
    def _recovering(self) -> Iterator[None]:
        """Read what is in memory from the journal again when the block fails: nothing of it has happened."""
        try:
            yield
        except BaseException:
            self._recover()
            raise

    def _recover(self) -> None:
        standing = self._journal.standing()
        self._seq, self._number = self._journal.last_seq(), self._journal.last_number()
        self._epoch, self._position = standing.epoch, standing.position
        self._open = {entry.number: entry for entry in self._journal.open_entries()}
        self._account = Account.opened(standing.cash_fen, len(self.market.symbols))
        for held in self._journal.holdings():
            if held.symbol not in self.market.rows:
                raise TradingError(
                    f"the account holds {held.symbol}, which the session pack does not list",
                    "write the session pack again with every security, the delisted too",
                )
            row = self.market.rows[held.symbol]
            self._account.shares[row] = held.shares
            self._account.sellable_shares[row] = held.sellable_shares
            self._account.held_sessions[row] = held.held_sessions
            self._account.entry_price_e4[row] = held.entry_price_e4
            self._account.peak_price_e4[row] = held.peak_price_e4
            self._account.last_price_e4[row] = held.last_price_e4
        session = standing.session
        if session is not None and session not in self.market.sessions:
            raise TradingError(
                f"the account stands in the session {session}, the pack holds {self.market.sessions[0]} to "
                f"{self.market.sessions[-1]}",
                "give a pack that holds it, or another --state for a new account",
            )
        self._day = None if session is None else self._new_day(session, standing.tick_seconds)
        self._traded = {} if session is None else self._journal.traded_shares(session)
        self._holds_fen = {entry.number: self._hold_fen(entry) for entry in self._open.values()}

    def _new_day(self, session: date, tick_seconds: int | None = None) -> _Day:
        """Return the session's day; the one that comes next is asked for again and again."""
        chosen = self._tick_seconds if tick_seconds is None else tick_seconds
        if self._coming is None or (self._coming.session, self._coming.tick_seconds) != (session, chosen):
            bars = self.market.day_bars(session)
            ticks, rates = self._make_ticks(session, bars, chosen), cost_rates(self._costs, session).as_array()
            self._coming = _Day(session, bars, ticks, rates, chosen)
        return self._coming

    def _today(self) -> _Day:
        if self._day is None:
            raise AssertionError("a step was made before any session began")
        return self._day

    def _phase(self) -> PhaseName:
        return self._today().ticks.timeline.phase_at(self._position)

    def _quote(self, row: int) -> Quote | None:
        return self._today().ticks.standing(self._position, np.array([row], dtype=np.int64)).of(row)

    def _account_report(self, session: date, seq: int) -> AccountReport:
        held = positions(self._account, self.market.symbols)
        return AccountReport(seq, session, self._account.cash_fen, held, self.at_ns)

    # what is said

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def _say(self, change: Change, message: Durable) -> None:
        change.messages.append(message)

    def _say_order(self, change: Change, entry: Entry) -> Entry:
        entry = replace(entry, seq=self._next_seq(), at_ns=self.at_ns)
        self._say(change, entry.report())
        change.entries.append(entry)
        if entry.is_open:
            self._open[entry.number], self._holds_fen[entry.number] = entry, self._hold_fen(entry)
        else:
            self._open.pop(entry.number, None)
            self._holds_fen.pop(entry.number, None)
        return entry

    def _say_fill(self, change: Change, entry: Entry, trade: Trade) -> None:
        seq, order = self._next_seq(), entry.order
        self._say(
            change,
            FillReport(
                seq=seq,
                exec_id=f"F{seq}",
                exchange_order_id=entry.exchange_order_id,
                client_order_id=order.client_order_id,
                session=order.session,
                symbol=order.symbol,
                side=order.side,
                shares=trade.shares,
                price_e4=trade.price_e4,
                value_fen=trade.value_fen,
                commission_fen=trade.commission_fen,
                stamp_duty_fen=trade.stamp_duty_fen,
                transfer_fee_fen=trade.transfer_fee_fen,
                slippage_fen=trade.slippage_fen,
                impact_fen=trade.impact_fen,
                at_ns=self.at_ns,
            ),
        )

    def _write(self, change: Change, *, epoch: int | None = None, holdings: bool = False) -> None:
        self._epoch = max(self._epoch, 0 if epoch is None else epoch)
        if holdings:
            change.holdings = positions(self._account, self.market.symbols)
        self._journal.write(
            change,
            Standing(
                cash_fen=self._account.cash_fen,
                session=None if self._day is None else self._day.session,
                position=self._position,
                epoch=self._epoch,
                tick_seconds=self._tick_seconds if self._day is None else self._day.tick_seconds,
            ),
        )
