"""The exchange's state: account, open orders, market time; read from the journal, written to it, told from it.

Start-up and recovery are one path: what is in memory is read from the journal, at the start and after a write that
failed. Who changes it makes a `Change`, says what has happened, and writes it; only then has it. Not here: what happens
(``engine.py``, ``order_desk.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.config import CostSettings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.exchange.account_moves import positions
from ljwx_pipeline.exchange.entries import Entry, Trade
from ljwx_pipeline.exchange.journal import Change, Journal, Standing
from ljwx_pipeline.exchange.market import DayBars, ExchangeMarket
from ljwx_pipeline.exchange.quotes import Quote, TickSource
from ljwx_pipeline.exchange.tick_matching import Means, reserved_fen
from ljwx_pipeline.exchange.timeline import Step
from ljwx_pipeline.trading.account import Account
from ljwx_pipeline.trading.costs import cost_rates
from ljwx_pipeline.trading.exchange_wire import AccountReport, Durable, FillReport, PhaseName
from ljwx_pipeline.trading.fill_model import FillModel

Int = NDArray[np.int64]
#: Makes the ticks of a market's session from its bars and the seconds between two of a name's ticks.
MakeTicks = Callable[[ExchangeMarket, date, DayBars, int], TickSource]


@dataclass(frozen=True)
class Day:
    """The session that has begun last."""

    session: date
    bars: DayBars
    ticks: TickSource
    rates: Int
    tick_seconds: int

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return what happens on it."""
        return self.ticks.timeline.steps


class Ledger:
    """One market and one account, as they stand.

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
        When the account holds or has ordered a symbol the pack does not list, or has traded sessions that the pack
        holds otherwise.
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
        self.costs = costs
        self.journal = journal
        self._make_ticks = make_ticks
        self._tick_seconds = tick_seconds
        self.day: Day | None = None
        self._coming: Day | None = None
        self.traded_shares: dict[str, int] = {}
        self.fills_at_open = FillModel.of(costs.fill) is FillModel.OPEN
        self._check(market)
        self.recover()

    @property
    def at_ns(self) -> int:
        """Market time; 0 before the first session."""
        return 0 if self.day is None or self.position < 0 else self.day.steps[self.position].at_ns

    def change_market(self, market: ExchangeMarket) -> None:
        """Go on over another pack; errors as the class, and then nothing has changed."""
        self._check(market)
        before = self.market
        self.market, self._coming = market, None
        try:
            self.recover()
        except TradingError:
            self.market, self._coming = before, None
            self.recover()
            raise

    def _check(self, market: ExchangeMarket) -> None:
        for session, bars_hash in self.journal.sessions().items():
            if session in market.sessions and market.bars_hash(session) != bars_hash:
                raise TradingError(
                    f"the bars of {session} are not those that this account has traded on",
                    "give the pack it was traded on, or another --state for a new account",
                )

    @contextmanager
    def recovering(self) -> Iterator[None]:
        """Read what is in memory from the journal again when the block fails: nothing of it has happened."""
        try:
            yield
        except BaseException:
            self.recover()
            raise

    def recover(self) -> None:
        """Take over what the journal says; errors as the class."""
        standing = self.journal.standing()
        self.seq, self.number = self.journal.last_seq(), self.journal.last_number()
        self.epoch, self.position = standing.epoch, standing.position
        self.open = {entry.number: entry for entry in self.journal.open_entries()}
        for entry in self.open.values():
            self._require_listed(entry.order.symbol, "has an open order in")
        self.account = Account.opened(standing.cash_fen, len(self.market.symbols))
        for held in self.journal.holdings():
            self._require_listed(held.symbol, "holds")
            row = self.market.rows[held.symbol]
            self.account.shares[row] = held.shares
            self.account.sellable_shares[row] = held.sellable_shares
            self.account.held_sessions[row] = held.held_sessions
            self.account.entry_price_e4[row] = held.entry_price_e4
            self.account.peak_price_e4[row] = held.peak_price_e4
            self.account.last_price_e4[row] = held.last_price_e4
        session = standing.session
        if session is not None and session not in self.market.sessions:
            raise TradingError(
                f"the account stands in the session {session}, the pack holds {self.market.sessions[0]} to "
                f"{self.market.sessions[-1]}",
                "give a pack that holds it, or another --state for a new account",
            )
        self.day = None if session is None else self.new_day(session, standing.tick_seconds)
        self.traded_shares = {} if session is None else self.journal.traded_shares(session)
        self._holds_fen = {entry.number: self._hold_fen(entry) for entry in self.open.values()}

    def _require_listed(self, symbol: str, what: str) -> None:
        if symbol not in self.market.rows:
            raise TradingError(
                f"the account {what} {symbol}, which the session pack does not list",
                "write the session pack again with every security, the delisted too",
            )

    def new_day(self, session: date, tick_seconds: int | None = None) -> Day:
        """Return the session's day; the one that comes next is asked for again and again."""
        chosen = self._tick_seconds if tick_seconds is None else tick_seconds
        if self._coming is None or (self._coming.session, self._coming.tick_seconds) != (session, chosen):
            bars = self.market.day_bars(session)
            ticks = self._make_ticks(self.market, session, bars, chosen)
            self._coming = Day(session, bars, ticks, cost_rates(self.costs, session).as_array(), chosen)
        return self._coming

    def today(self) -> Day:
        """Return the session that has begun last; none is a fault of the caller."""
        if self.day is None:
            raise AssertionError("a step was made before any session began")
        return self.day

    def phase(self) -> PhaseName:
        """Return the phase of today's session."""
        return self.today().ticks.timeline.phase_at(self.position)

    def quote(self, row: int) -> Quote | None:
        """Return the last snapshot of the name at ``row``, None before its first one."""
        return self.today().ticks.standing(self.position, np.array([row], dtype=np.int64)).of(row)

    def waiting(self, *, session_orders: bool) -> list[Entry]:
        """Return today's open orders of the one kind or the other, in the order they came."""
        session = None if self.day is None else self.day.session
        return [
            entry
            for entry in self.open.values()
            if entry.order.session == session and entry.is_session is session_orders
        ]

    def reserved(self) -> tuple[int, Int]:
        """Return the cash and, by symbol, the shares that open limit orders of the session hold."""
        shares = np.zeros(len(self.market.symbols), dtype=np.int64)
        for entry in self.waiting(session_orders=False):
            if not entry.buying:
                shares[self.market.rows[entry.order.symbol]] += entry.left_shares
        return sum(self._holds_fen.values()), shares

    def _hold_fen(self, entry: Entry) -> int:
        return 0 if entry.is_session else reserved_fen(entry, self.today().rates)

    def means(self, entry: Entry, row: int, shown_shares: int) -> Means:
        """Return what an open limit order may use when a tick comes that has given ``shown_shares`` already."""
        day = self.today()
        others_fen = sum(self._holds_fen.values()) - self._holds_fen[entry.number]
        return Means(
            cash_fen=self.account.cash_fen - others_fen,
            sellable_shares=int(self.account.sellable_shares[row]),
            traded_shares=self.traded_shares.get(entry.order.symbol, 0),
            shown_shares=shown_shares,
            lot_min=int(self.market.arrays.lot_min[row]),
            lot_step=int(self.market.arrays.lot_step[row]),
            rates=day.rates,
        )

    def account_report(self, session: date, seq: int) -> AccountReport:
        """Return the account under the number ``seq``."""
        held = positions(self.account, self.market.symbols)
        return AccountReport(seq, session, self.account.cash_fen, held, self.at_ns)

    def next_seq(self) -> int:
        """Return the number of the next message."""
        self.seq += 1
        return self.seq

    def say(self, change: Change, message: Durable) -> None:
        """Add a message to the change."""
        change.messages.append(message)

    def say_order(self, change: Change, entry: Entry) -> Entry:
        """Add where an order stands now to the change, and return it with its number and instant."""
        entry = replace(entry, seq=self.next_seq(), at_ns=self.at_ns)
        self.say(change, entry.report())
        change.entries.append(entry)
        if entry.is_open:
            self.open[entry.number], self._holds_fen[entry.number] = entry, self._hold_fen(entry)
        else:
            self.open.pop(entry.number, None)
            self._holds_fen.pop(entry.number, None)
        return entry

    def say_fill(self, change: Change, entry: Entry, trade: Trade) -> None:
        """Add a trade to the change."""
        seq, order = self.next_seq(), entry.order
        self.say(
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

    def write(self, change: Change, *, epoch: int | None = None, holdings: bool = False) -> None:
        """Make the change durable with where the exchange stands; a TradingError when the disk refuses."""
        self.epoch = max(self.epoch, 0 if epoch is None else epoch)
        if holdings:
            change.holdings = positions(self.account, self.market.symbols)
        self.journal.write(
            change,
            Standing(
                cash_fen=self.account.cash_fen,
                session=None if self.day is None else self.day.session,
                position=self.position,
                epoch=self.epoch,
                tick_seconds=self._tick_seconds if self.day is None else self.day.tick_seconds,
            ),
        )
