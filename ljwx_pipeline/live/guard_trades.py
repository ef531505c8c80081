"""What each strategy's trades came to, counted along the journal's log: lots, sales under way, and sales that ended.

A value that follows from the log alone: the same events in the same order give the same trades, however many were read
at once and wherever a process died in between. A fill is booked to the strategy whose order it was; of an order that
several share each has its part, by the rule of ``sleeves/parts.py``, once all of it has come: a part is a function of
the order's total. What strategies cross among themselves is no trade: the books of the next close bring the lots in
line. Shares whose purchase nobody has seen are held to have cost what they were sold for, so that fees make their sale
a losing one: what cannot be judged counts against the strategy. Not here: what a losing trade is
(``trading/round_trips.py``), what counts them (``trading/breaker_machines.py``), reading (``guard_journal.py``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.live.events import Booked, FillReported, HeldPosition, SleeveBook, SleeveHolding
from ljwx_pipeline.live.sleeves.parts import in_lots, prefix_floor
from ljwx_pipeline.live.sleeves.strategies import strategy_of
from ljwx_pipeline.trading.exchange_wire import Booking, BookingKind, FillReport, Side
from ljwx_pipeline.trading.round_trips import ClosedTrade, Lot, LotBook
from ljwx_pipeline.trading.strict_json import from_json, to_json
from ljwx_pipeline.units import E4_PER_FEN


@dataclass(frozen=True, slots=True)
class Part:
    """What one sleeve of ``strategy`` wants of an order, shares."""

    strategy: str
    shares: int


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """What never changes about an order: which way it goes, over how many shares, and who is behind it.

    Parameters
    ----------
    behind
        By sleeve; empty where nobody knows.
    lot_step
        Shares in which an order of several is allotted.
    """

    side: Side
    shares: int
    behind: tuple[Part, ...]
    lot_step: int

    @property
    def strategies(self) -> tuple[str, ...]:
        """Whose it is, each once."""
        return tuple(dict.fromkeys(one.strategy for one in self.behind))


@dataclass(frozen=True, slots=True)
class SharedOrder:
    """What was traded so far of an order that several strategies share: all of it, whoever gets which part."""

    client_order_id: str
    session: date
    symbol: str
    side: Side
    shares: int = 0
    value_fen: int = 0
    fees_fen: int = 0

    def part_of(self, strategy: str, order: OrderFacts) -> tuple[int, int, int]:
        """Return the shares, value and fees that the sleeves of ``strategy`` have of it."""
        wanted = [one.shares for one in order.behind]
        given = in_lots(min(self.shares, sum(wanted)), wanted, order.lot_step)
        parts = [*given, self.shares - sum(given)]  # what nobody wanted is nobody's
        mine = [at for at, one in enumerate(order.behind) if one.strategy == strategy]
        values, fees = prefix_floor(self.value_fen, parts), prefix_floor(self.fees_fen, parts)
        return sum(parts[at] for at in mine), sum(values[at] for at in mine), sum(fees[at] for at in mine)


@dataclass(frozen=True, slots=True)
class Ended:
    """An order that is final before all its fills have come: how many shares it will have traded."""

    client_order_id: str
    filled_shares: int


@dataclass(frozen=True, slots=True)
class StrategyTrades:
    """One strategy's lots and sales.

    Parameters
    ----------
    book
        What it holds and is selling.
    ended
        Final sales, and shared orders, whose fills are still on their way.
    shared
        Shared orders that are not booked yet.
    """

    book: LotBook = field(default_factory=LotBook)
    ended: tuple[Ended, ...] = ()
    shared: tuple[SharedOrder, ...] = ()

    def filled(self, event: FillReported, order_shares: int) -> tuple[StrategyTrades, ClosedTrade | None]:
        """Return the trades after one fill of an order over ``order_shares``, and the trade that it completed."""
        return self._traded(_fill(event))._completed(event.client_order_id, order_shares)

    def shared_filled(
        self, event: FillReported, strategy: str, order: OrderFacts
    ) -> tuple[StrategyTrades, ClosedTrade | None]:
        """Return the trades of ``strategy`` after one fill of an order that it shares, and the trade it completed."""
        of = SharedOrder(event.client_order_id, event.session, event.symbol, event.side)
        before = next((one for one in self.shared if one.client_order_id == of.client_order_id), of)
        now = replace(
            before,
            shares=before.shares + event.shares,
            value_fen=before.value_fen + event.value_fen,
            fees_fen=before.fees_fen + event.commission_fen + event.stamp_duty_fen + event.transfer_fee_fen,
        )
        shared = (*(one for one in self.shared if one is not before), now)
        return replace(self, shared=shared)._shared_completed(event.client_order_id, strategy, order)

    def shared_finished(
        self, client_order_id: str, filled_shares: int, strategy: str, order: OrderFacts
    ) -> tuple[StrategyTrades, ClosedTrade | None]:
        """Return the trades of ``strategy`` after an order that it shares became final, and the trade that it was."""
        if filled_shares == 0 or any(one.client_order_id == client_order_id for one in self.ended):
            return self, None
        told = replace(self, ended=(*self.ended, Ended(client_order_id, filled_shares)))
        return told._shared_completed(client_order_id, strategy, order)

    def finished(self, client_order_id: str, filled_shares: int) -> tuple[StrategyTrades, ClosedTrade | None]:
        """Return the trades after an order became final with ``filled_shares``, and the trade that it was.

        A final report may come before the last fills: the trade is then told with them.
        """
        if filled_shares == 0 or any(one.client_order_id == client_order_id for one in self.ended):
            return self, None
        told = replace(self, ended=(*self.ended, Ended(client_order_id, filled_shares)))
        return told._completed(client_order_id, 0)

    def booked(self, event: Booked, held_shares: int) -> tuple[StrategyTrades, ClosedTrade | None]:
        """Return the trades after the strategy's part of a booking on ``held_shares`` of all strategies together."""
        mine = self.book.shares_of(event.symbol)
        if mine <= 0:
            return self, None
        kind = BookingKind(event.reason)
        shares = -mine if kind is BookingKind.WRITE_OFF else event.shares * mine // held_shares
        part = Booking(
            seq=0,
            session=event.session,
            symbol=event.symbol,
            kind=kind,
            cash_fen=event.cash_fen * mine // held_shares,
            shares=shares,
            at_ns=event.booked_at_ns,
        )
        book, trade = self.book.booked(part)
        return replace(self, book=book), trade

    def _completed(self, client_order_id: str, order_shares: int) -> tuple[StrategyTrades, ClosedTrade | None]:
        sale = next((one for one in self.book.selling if one.client_order_id == client_order_id), None)
        ended = next((one for one in self.ended if one.client_order_id == client_order_id), None)
        wanted = {order_shares} if ended is None else {order_shares, ended.filled_shares}
        if sale is None or sale.shares not in wanted:
            return self, None
        book, trade = self.book.finished(client_order_id)
        return replace(self, book=book, ended=tuple(one for one in self.ended if one is not ended)), trade

    def _shared_completed(
        self, client_order_id: str, strategy: str, order: OrderFacts
    ) -> tuple[StrategyTrades, ClosedTrade | None]:
        whole = next((one for one in self.shared if one.client_order_id == client_order_id), None)
        ended = next((one for one in self.ended if one.client_order_id == client_order_id), None)
        wanted = {order.shares} if ended is None else {order.shares, ended.filled_shares}
        if whole is None or whole.shares not in wanted:
            return self, None
        done = replace(
            self,
            shared=tuple(one for one in self.shared if one is not whole),
            ended=tuple(one for one in self.ended if one is not ended),
        )
        shares, value_fen, fees_fen = whole.part_of(strategy, order)
        if shares == 0:
            return done, None
        booked = done._traded(
            FillReport(
                seq=0,
                exec_id="",
                exchange_order_id="",
                client_order_id=client_order_id,
                session=whole.session,
                symbol=whole.symbol,
                side=whole.side,
                shares=shares,
                price_e4=value_fen * E4_PER_FEN // shares,
                value_fen=value_fen,
                commission_fen=fees_fen,
                stamp_duty_fen=0,
                transfer_fee_fen=0,
                slippage_fen=0,
                impact_fen=0,
                at_ns=0,
            )
        )
        if whole.side is Side.BUY:
            return booked, None
        book, trade = booked.book.finished(client_order_id)
        return replace(booked, book=book), trade

    def _traded(self, fill: FillReport) -> StrategyTrades:
        """Return the trades after ``fill``; shares that nobody saw bought cost what they are sold for."""
        book = self.book
        missing = fill.shares - book.shares_of(fill.symbol) if fill.side is Side.SELL else 0
        if missing > 0:
            cost_fen = -(-fill.value_fen * missing // fill.shares)
            book = replace(book, lots=(*book.lots, Lot(fill.symbol, missing, cost_fen)))
        return replace(self, book=book.filled(fill))

    def holding(self, symbol: str, shares: int, entry_price_e4: int) -> StrategyTrades:
        """Return the trades with lots of ``shares`` in ``symbol``: the oldest go, what is new cost the entry price."""
        more = shares - self.book.shares_of(symbol)
        if more > 0:
            lot = Lot(symbol, more, more * entry_price_e4 // E4_PER_FEN)
            return replace(self, book=replace(self.book, lots=(*self.book.lots, lot)))
        if more < 0:
            return replace(self, book=replace(self.book, lots=_without(self.book.lots, symbol, -more)))
        return self


Trades = Mapping[str, StrategyTrades]


def in_line_with(trades: Trades, positions: Iterable[HeldPosition], *, in_force: Collection[str]) -> Trades:
    """Return ``trades`` with lots that add up to what the account holds.

    What the account holds beyond all lots is the strategy's where there is one alone ``in_force``, at the price the
    account knows, and nobody's where there are several; what is held no more leaves the oldest lots.
    """
    held = {one.symbol: one for one in positions}
    made = dict(trades)
    for symbol in sorted(held.keys() | {lot.symbol for one in trades.values() for lot in one.book.lots}):
        shares = held[symbol].shares if symbol in held else 0
        beyond = shares - _not_booked(made, symbol) - shares_held(made, symbol)
        if beyond > 0 and len(in_force) == 1:
            (name,) = in_force
            one = made[name]
            made[name] = one.holding(symbol, one.book.shares_of(symbol) + beyond, held[symbol].entry_price_e4)
        for name in sorted(made):
            if beyond < 0:
                one = made[name]
                gone = min(-beyond, one.book.shares_of(symbol))
                made[name] = one.holding(symbol, one.book.shares_of(symbol) - gone, 0)
                beyond += gone
    return made


def as_settled(trades: Trades, books: Iterable[SleeveBook]) -> Trades:
    """Return ``trades`` with lots that are what each strategy's sleeves hold after a close, at the books' prices."""
    held: dict[tuple[str, str], list[SleeveHolding]] = {}
    for book in books:
        for one in book.holdings:
            held.setdefault((strategy_of(book.sleeve), one.symbol), []).append(one)
    made = dict(trades)
    for name in made:
        mine = {symbol for of, symbol in held if of == name} | {lot.symbol for lot in made[name].book.lots}
        for symbol in sorted(mine):
            parts = held.get((name, symbol), [])
            shares = sum(one.shares for one in parts)
            paid_e4 = sum(one.shares * one.entry_price_e4 for one in parts)
            made[name] = made[name].holding(symbol, shares, paid_e4 // shares if shares else 0)
    return made


def _not_booked(trades: Trades, symbol: str) -> int:
    """Return the shares of ``symbol`` that came, or negative went, by shared orders that are in no lots yet."""
    found = {one.client_order_id: one for of in trades.values() for one in of.shared if one.symbol == symbol}
    return sum(one.shares if one.side is Side.BUY else -one.shares for one in found.values())


def shares_held(trades: Trades, symbol: str) -> int:
    """Return how many shares of ``symbol`` all strategies hold together."""
    return sum(one.book.shares_of(symbol) for one in trades.values())


def trades_text(trades: StrategyTrades) -> str:
    """Return the trades as the JSON that `read_trades` takes."""
    return json.dumps(to_json(trades), separators=(",", ":"))


def read_trades(text: str) -> StrategyTrades:
    """Return the trades that ``text`` says.

    Raises
    ------
    TradingError
        When it says none: what was lost cannot be counted.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TradingError(f"the trades of a strategy cannot be read ({error})", "a person looks") from None
    if isinstance(data, dict):
        data.setdefault("shared", [])  # an earlier release knew no shared orders
    return from_json(StrategyTrades, data)


def _without(lots: tuple[Lot, ...], symbol: str, shares: int) -> tuple[Lot, ...]:
    kept = []
    for lot in lots:
        gone = min(shares, lot.shares) if lot.symbol == symbol else 0
        shares -= gone
        if gone < lot.shares:
            kept.append(Lot(lot.symbol, lot.shares - gone, lot.cost_fen - lot.cost_fen * gone // lot.shares))
    return tuple(kept)


def _fill(event: FillReported) -> FillReport:
    return FillReport(
        seq=0,
        exec_id=event.exec_id,
        exchange_order_id=event.exchange_order_id,
        client_order_id=event.client_order_id,
        session=event.session,
        symbol=event.symbol,
        side=event.side,
        shares=event.shares,
        price_e4=event.price_e4,
        value_fen=event.value_fen,
        commission_fen=event.commission_fen,
        stamp_duty_fen=event.stamp_duty_fen,
        transfer_fee_fen=event.transfer_fee_fen,
        slippage_fen=event.slippage_fen,
        impact_fen=event.impact_fen,
        at_ns=event.filled_at_ns,
    )
