"""What a trade earned: sales of one strategy matched with its own purchases, first in, first out, after all fees.

A trade is one sell order with everything it sold, told when the order is final: three partial fills of one order are
one trade, and what a stop sells today and the rest of it tomorrow are two. Its result is the proceeds less the sale's
fees, less what the matched shares cost with their fees, dividends received on them taken off. A **losing trade** earned
less than nothing; one that earned exactly nothing is none. Shares of a delisted name that were written off are a trade
with proceeds of nothing. Parts of a lot are taken by shares, rounded down to the fen; what is left keeps the rest, so
that no fen is lost.

Lots are one strategy's: a fill is booked to the strategy whose order it was (``client_order_id``), never to another
that holds the same name. Not here: the account's own positions (``account.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.exchange_wire import Booking, BookingKind, FillReport, Side


@dataclass(frozen=True, slots=True)
class Lot:
    """Shares bought by one fill and what they cost: value and fees, less dividends received since."""

    symbol: str
    shares: int
    cost_fen: int


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """What one sell order sold, and what that had cost; proceeds are after the sale's fees."""

    client_order_id: str
    symbol: str
    session: date
    shares: int
    proceeds_fen: int
    cost_fen: int

    @property
    def profit_fen(self) -> int:
        """What the trade earned after all fees; negative for a losing one."""
        return self.proceeds_fen - self.cost_fen

    @property
    def is_loss(self) -> bool:
        """Whether it earned less than nothing."""
        return self.profit_fen < 0


@dataclass(frozen=True, slots=True)
class LotBook:
    """What one strategy holds, oldest purchase first, and its sell orders that are not final yet.

    A value: every booking returns the next book. ``strict_json`` writes and reads it.
    """

    lots: tuple[Lot, ...] = ()
    selling: tuple[ClosedTrade, ...] = ()

    def shares_of(self, symbol: str) -> int:
        """Return how many shares of ``symbol`` the strategy holds."""
        return sum(lot.shares for lot in self.lots if lot.symbol == symbol)

    def filled(self, fill: FillReport) -> LotBook:
        """Return the book after one fill of the strategy's own orders; each fill is booked once.

        Raises
        ------
        TradingError
            When more was sold than the strategy holds.
        """
        if fill.side is Side.BUY:
            return replace(self, lots=(*self.lots, Lot(fill.symbol, fill.shares, fill.value_fen + fill.fees_fen)))
        cost, kept = self._taken(fill.symbol, fill.shares)
        before = next((sale for sale in self.selling if sale.client_order_id == fill.client_order_id), None)
        sale = ClosedTrade(
            client_order_id=fill.client_order_id,
            symbol=fill.symbol,
            session=fill.session,
            shares=fill.shares + (before.shares if before else 0),
            proceeds_fen=fill.value_fen - fill.fees_fen + (before.proceeds_fen if before else 0),
            cost_fen=cost + (before.cost_fen if before else 0),
        )
        return LotBook(kept, (*(one for one in self.selling if one is not before), sale))

    def finished(self, client_order_id: str) -> tuple[LotBook, ClosedTrade | None]:
        """Return the book after an order became final, and the trade it was: None for a purchase or without a fill."""
        for sale in self.selling:
            if sale.client_order_id == client_order_id:
                return replace(self, selling=tuple(one for one in self.selling if one is not sale)), sale
        return self, None

    def booked(self, booking: Booking) -> tuple[LotBook, ClosedTrade | None]:
        """Return the book after the strategy's part of a booking, and the trade that a write-off is.

        Raises
        ------
        TradingError
            When the strategy holds none of the symbol, or fewer shares than are written off.
        """
        mine = [lot for lot in self.lots if lot.symbol == booking.symbol]
        if not mine:
            raise TradingError(
                f"a {booking.kind} of {booking.symbol} on {booking.session} is booked to a strategy that holds none",
                "book to each strategy its part by the shares it holds",
            )
        if booking.kind is BookingKind.WRITE_OFF:
            cost, kept = self._taken(booking.symbol, -booking.shares)
            gone = ClosedTrade("", booking.symbol, booking.session, -booking.shares, booking.cash_fen, cost)
            return replace(self, lots=kept), gone
        cash, shares = _parts(booking.cash_fen, mine), _parts(booking.shares, mine)
        changed = iter(
            Lot(lot.symbol, lot.shares + more, lot.cost_fen - received)
            for lot, more, received in zip(mine, shares, cash, strict=True)
        )
        lots = tuple(next(changed) if lot.symbol == booking.symbol else lot for lot in self.lots)
        return replace(self, lots=lots), None

    def _taken(self, symbol: str, shares: int) -> tuple[int, tuple[Lot, ...]]:
        """Return what the oldest ``shares`` of ``symbol`` cost, and the lots without them."""
        held = self.shares_of(symbol)
        if not 0 < shares <= held:
            raise TradingError(
                f"{shares} shares of {symbol} leave a strategy that holds {held}",
                "reconcile: a fill of another strategy or of a hand-made order was booked to this one",
            )
        cost, missing, kept = 0, shares, []
        for lot in self.lots:
            taken = min(missing, lot.shares) if lot.symbol == symbol else 0
            part = lot.cost_fen * taken // lot.shares
            cost, missing = cost + part, missing - taken
            if taken < lot.shares:
                kept.append(Lot(lot.symbol, lot.shares - taken, lot.cost_fen - part))
        return cost, tuple(kept)


def _parts(whole: int, lots: list[Lot]) -> list[int]:
    """Return ``whole`` divided by the lots' shares, rounded down, what is left over with the newest."""
    held = sum(lot.shares for lot in lots)
    parts = [whole * lot.shares // held for lot in lots]
    parts[-1] += whole - sum(parts)
    return parts
