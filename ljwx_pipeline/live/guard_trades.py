"""What each strategy's trades came to, counted along the journal's log: lots, sales under way, and sales that ended.

A value that follows from the log alone: the same events in the same order give the same trades, however many were read
at once and wherever a process died in between. A fill is booked to the strategy whose order it was. Shares whose
purchase nobody has seen are held to have cost what they were sold for, so that fees make their sale a losing one: what
cannot be judged counts against the strategy. Not here: what a losing trade is (``trading/round_trips.py``), what counts
them (``trading/breaker_machines.py``), reading the log (``guard.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.live.events import Booked, FillReported, HeldPosition
from ljwx_pipeline.live.orders import Side
from ljwx_pipeline.trading.exchange_wire import Booking, BookingKind, FillReport
from ljwx_pipeline.trading.exchange_wire import Side as WireSide
from ljwx_pipeline.trading.round_trips import ClosedTrade, Lot, LotBook
from ljwx_pipeline.trading.strict_json import from_json, to_json

_E4_PER_FEN = 100


@dataclass(frozen=True, slots=True)
class Ended:
    """A sale whose order is final before all its fills have come: how many shares it will have sold."""

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
        Final sales whose fills are still on their way.
    """

    book: LotBook = field(default_factory=LotBook)
    ended: tuple[Ended, ...] = ()

    def filled(self, event: FillReported, order_shares: int) -> tuple[StrategyTrades, ClosedTrade | None]:
        """Return the trades after one fill of an order over ``order_shares``, and the trade that it completed."""
        fill = _fill(event)
        book = self.book
        missing = fill.shares - book.shares_of(fill.symbol) if event.side is Side.SELL else 0
        if missing > 0:
            cost_fen = -(-fill.value_fen * missing // fill.shares)
            book = replace(book, lots=(*book.lots, Lot(fill.symbol, missing, cost_fen)))
        return replace(self, book=book.filled(fill))._completed(event.client_order_id, order_shares)

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
        return StrategyTrades(book, tuple(one for one in self.ended if one is not ended)), trade


Trades = Mapping[str, StrategyTrades]


def in_line_with(trades: Trades, positions: Iterable[HeldPosition]) -> Trades:
    """Return ``trades`` with lots that add up to what the account holds.

    What the account holds beyond all lots is the strategy's where there is one alone, at the price the account knows,
    and nobody's where there are several; what is held no more leaves the oldest lots.
    """
    held = {one.symbol: one for one in positions}
    made = dict(trades)
    for symbol in sorted(held.keys() | {lot.symbol for one in trades.values() for lot in one.book.lots}):
        shares = held[symbol].shares if symbol in held else 0
        beyond = shares - sum(one.book.shares_of(symbol) for one in made.values())
        if beyond > 0 and len(made) == 1:
            ((name, one),) = made.items()
            lot = Lot(symbol, beyond, beyond * held[symbol].entry_price_e4 // _E4_PER_FEN)
            made[name] = replace(one, book=replace(one.book, lots=(*one.book.lots, lot)))
        for name in sorted(made):
            if beyond < 0:
                one = made[name]
                gone = min(-beyond, one.book.shares_of(symbol))
                made[name] = replace(one, book=replace(one.book, lots=_without(one.book.lots, symbol, gone)))
                beyond += gone
    return made


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
        side=WireSide(event.side),
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
