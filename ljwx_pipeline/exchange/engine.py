"""The exchange itself: lets time pass step by step, and says what is asked of it.

Each change is durable before it is told. Market time of what is durable never goes back; the ticks after the last
change come again after a crash, and change what they would have changed. One thread calls everything here. Not here:
the wall clock and connections (``pacing.py``, ``stream.py``), where orders come in (``order_desk.py``).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.exchange.account_moves import book_trade, open_session
from ljwx_pipeline.exchange.journal import Change
from ljwx_pipeline.exchange.ledger import Ledger
from ljwx_pipeline.exchange.market import ExchangeMarket
from ljwx_pipeline.exchange.order_desk import ExchangeDesk
from ljwx_pipeline.exchange.refusals import NotFound, NotYet
from ljwx_pipeline.exchange.session_matching import match_session
from ljwx_pipeline.exchange.tick_matching import trade_on
from ljwx_pipeline.exchange.timeline import LONGEST_TICK_SECONDS, Step, timeline
from ljwx_pipeline.trading.exchange_wire import (
    AccountReport,
    Booking,
    ClockReport,
    Durable,
    OrderReport,
    OrderStatus,
    Phase,
    PhaseName,
    Reason,
    SessionBars,
)


class Exchange:
    """One market and one account in time.

    Parameters
    ----------
    ledger
        How they stand.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.desk = ExchangeDesk(ledger)
        self._ledger = ledger

    @property
    def market(self) -> ExchangeMarket:
        """The sessions it plays."""
        return self._ledger.market

    @property
    def at_ns(self) -> int:
        """Market time; 0 before the first session."""
        return self._ledger.at_ns

    @property
    def last_seq(self) -> int:
        """The number of the last durable message."""
        return self._ledger.seq

    @property
    def epoch(self) -> int:
        """The highest fencing epoch it has seen."""
        return self._ledger.epoch

    def clock(self, speed: float) -> ClockReport:
        """Return the market's time and what comes next."""
        session = None if self._ledger.day is None else self._ledger.day.session
        return ClockReport(
            session=session,
            phase=None if self._ledger.day is None else self._ledger.phase(),
            at_ns=self._ledger.at_ns,
            next_session=self.market.coming_session(session),
            speed=speed,
            last_seq=self._ledger.seq,
            exhausted=self.market.next_session(session) is None,
        )

    def next_step(self) -> tuple[date, Step] | None:
        """Return what happens next, None when every session of the pack is over."""
        if self._ledger.day is not None and self._ledger.position + 1 < len(self._ledger.day.steps):
            return self._ledger.day.session, self._ledger.day.steps[self._ledger.position + 1]
        session = self.market.next_session(None if self._ledger.day is None else self._ledger.day.session)
        return None if session is None else (session, self._ledger.new_day(session).steps[0])

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
        ledger = self._ledger
        coming = self.next_step()
        if coming is None:
            raise TradingError("every session of the pack is over", "write a pack with more sessions")
        with ledger.recovering():
            session, step = coming
            if step.phase is PhaseName.OPENING_AUCTION:
                self._begin(session)
                return []
            ledger.position += 1
            if step.phase is not None:
                self._change_phase(step.phase)
                return []
            return self._tick(step, ticks=ticks, hurry=hurry)

    def order(self, identity: str) -> OrderReport:
        """Return where the order stands; NotFound when there never was one."""
        known = self._ledger.journal.entry(identity)
        if known is None:
            raise NotFound(f"there never was an order {identity[:80]!r}", "correct the id")
        return known.report()

    def orders(self, session: date | None) -> list[OrderReport]:
        """Return where the orders of ``session``, or of every one, stand."""
        return [entry.report() for entry in self._ledger.journal.entries(session)]

    def messages(self, after: int, limit: int) -> list[Durable]:
        """Return the durable messages after ``after``."""
        return self._ledger.journal.messages(after, limit)

    def account(self) -> AccountReport:
        """Return the account as it stands; before the first session, that session is named.

        Raises
        ------
        NotYet
            When the pack holds no session and none was ever played.
        """
        session = self.market.next_session(None) if self._ledger.day is None else self._ledger.day.session
        if session is None:
            raise NotYet("no session was ever played", "wait for the first session")
        return self._ledger.account_report(session, self._ledger.seq)

    def session_bars(self, session: date) -> SessionBars:
        """Return the official bars of a session that is over.

        Raises
        ------
        NotYet, NotFound
            Before its close; when the pack does not hold it.
        """
        if session not in self.market.sessions:
            raise NotFound(f"the pack holds no session {session}", "ask for one that was played")
        day = self._ledger.day
        closed = day is not None and self._ledger.phase() is PhaseName.CLOSED
        if day is None or session > day.session or (session == day.session and not closed):
            raise NotYet(f"the session {session} is not over", "wait for its phase closed")
        ends_ns = timeline(session, tick_seconds=LONGEST_TICK_SECONDS).steps[-1].at_ns
        return SessionBars(session, ends_ns, self.market.official_bars(session))

    def play_on(self, market: ExchangeMarket) -> None:
        """Go on over another pack, which must hold what was played as it was.

        Raises
        ------
        TradingError
            When it does not; the exchange stays as it was.
        """
        self._ledger.change_market(market)

    def _begin(self, session: date) -> None:
        ledger = self._ledger
        day = ledger.new_day(session)
        ledger.day, ledger.position, ledger.traded_shares = day, 0, {}
        change, column = (
            Change(begun=(session, self.market.bars_hash(session))),
            self.market.column(session),
        )
        ledger.say(change, Phase(ledger.next_seq(), session, PhaseName.OPENING_AUCTION, ledger.at_ns))
        arrays = self.market.arrays
        for one in open_session(ledger.account, actions=arrays.actions.on(column), listed=arrays.listed[:, column]):
            symbol = self.market.symbols[one.row]
            ledger.say(
                change,
                Booking(ledger.next_seq(), session, symbol, one.kind, one.cash_fen, one.shares, ledger.at_ns),
            )
        for entry in [entry for entry in ledger.open.values() if entry.order.session < session]:
            # of a session that was skipped: the pack does not hold it
            ledger.say_order(change, replace(entry, state=OrderStatus.LAPSED, reason=Reason.STALE_SESSION.value))
        ledger.say(change, ledger.account_report(session, ledger.next_seq()))
        ledger.write(change, holdings=True)

    def _change_phase(self, phase: PhaseName) -> None:
        ledger = self._ledger
        day, change = ledger.today(), Change()
        if phase is PhaseName.CLOSED:
            self._close(change)
        ledger.say(change, Phase(ledger.next_seq(), day.session, phase, ledger.at_ns))
        if phase is PhaseName.OPENED and ledger.fills_at_open:
            self._fill_session_orders(change)
        ledger.write(change, holdings=phase in (PhaseName.OPENED, PhaseName.CLOSED))

    def _close(self, change: Change) -> None:
        ledger = self._ledger
        day = ledger.today()
        for entry in ledger.waiting(session_orders=False):
            row = self.market.rows[entry.order.symbol]
            quote = ledger.quote(row)
            reason = Reason.SUSPENDED
            if quote is not None:
                _, reason = trade_on(entry, quote, ledger.means(entry, row, 0), auction=True)
            # a tick may have had something for it that went to its whole lots: the rest is what participation left
            reason = Reason.PARTICIPATION if reason is Reason.NONE else reason
            ledger.say_order(change, replace(entry, state=OrderStatus.LAPSED, reason=reason.value))
        if not ledger.fills_at_open:
            self._fill_session_orders(change)
        column, arrays = self.market.column(day.session), self.market.arrays
        ledger.account.mark(arrays.close_e4[:, column], arrays.volume_shares[:, column])
        ledger.say(change, ledger.account_report(day.session, ledger.next_seq()))

    def _fill_session_orders(self, change: Change) -> None:
        ledger = self._ledger
        cash_fen, shares = ledger.reserved()
        for trade, entry in match_session(
            ledger.waiting(session_orders=True),
            ledger.account,
            self.market,
            ledger.costs,
            reserved_fen=cash_fen,
            reserved_shares=shares,
        ):
            if trade is not None:
                ledger.say_fill(change, entry, trade)
            ledger.say_order(change, entry)

    def _tick(self, step: Step, *, ticks: bool, hurry: bool) -> list[list[Any]]:
        ledger = self._ledger
        day = ledger.today()
        waiting = ledger.waiting(session_orders=False)
        if hurry and not ticks and not waiting:
            while day.steps[ledger.position + 1].phase is None:
                ledger.position += 1
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
            trade, _ = trade_on(entry, quote, ledger.means(entry, row, taken[row]), auction=step.is_auction)
            if trade is None:
                continue
            taken[row] += trade.shares
            book_trade(ledger.account, row, trade, buying=entry.buying)
            ledger.traded_shares[entry.order.symbol] = ledger.traded_shares.get(entry.order.symbol, 0) + trade.shares
            filled = entry.with_trade(trade)
            ledger.say_fill(change, filled, trade)
            ledger.say_order(change, filled)
        if change.messages:
            ledger.write(change, holdings=True)
        if not ticks:
            return []
        return quotes.tick_rows(
            symbols=self.market.symbols,
            at_ns=step.at_ns,
            session=day.session,
            pre_close_e4=day.bars.pre_close_e4,
        )
