"""What sleeves hold while a session is booked: cash by sleeve, shares by symbol and sleeve.

``Books`` is worked on and then stated as the journal's frozen `SleeveBook`; sleeves come by name everywhere, nobody's
book, which has the empty name, first. Not here: what moves them (``attribution.py``, ``funding.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ljwx_pipeline.live.events import SleeveBook, SleeveHolding
from ljwx_pipeline.live.sleeves.parts import prefix_floor
from ljwx_pipeline.units import E4_PER_FEN

#: The book of what belongs to no sleeve: capital that no strategy has a share of, what was bought by hand.
NOBODY = ""


@dataclass
class Holding:
    """Shares of one symbol in one sleeve, and what its exits look at."""

    shares: int = 0
    held_sessions: int = 0
    entry_price_e4: int = 0
    peak_price_e4: int = 0

    def buy(self, shares: int, amount_e4: int) -> None:
        """Add ``shares`` that cost ``amount_e4`` together, fees left out."""
        if self.shares <= 0:
            self.held_sessions = self.peak_price_e4 = self.entry_price_e4 = 0
        paid_e4 = self.entry_price_e4 * max(self.shares, 0) + amount_e4
        self.shares += shares
        self.entry_price_e4 = paid_e4 // self.shares if self.shares > 0 else 0


@dataclass
class Capital:
    """A sleeve's money and what it is due."""

    cash_fen: int = 0
    share_bps: int = 0
    owes_fen: int = 0
    moved_fen: int = 0


class Books:
    """All books of one account at one moment.

    Parameters
    ----------
    stated
        As the last session left them; empty for an account that has no books yet.
    """

    def __init__(self, stated: Iterable[SleeveBook] = ()) -> None:
        self.capital: dict[str, Capital] = {NOBODY: Capital()}
        self.held: dict[str, dict[str, Holding]] = {}
        #: Last price by symbol, 1e-4 CNY; what is not in it has none.
        self.price_e4: dict[str, int] = {}
        for book in stated:
            self.capital[book.sleeve] = Capital(book.cash_fen, book.share_bps, book.owes_fen)
            for one in book.holdings:
                self.held.setdefault(one.symbol, {})[book.sleeve] = Holding(
                    one.shares, one.held_sessions, one.entry_price_e4, one.peak_price_e4
                )
                self.price_e4[one.symbol] = one.last_price_e4

    @property
    def sleeves(self) -> list[str]:
        """All sleeves by name, nobody first."""
        return sorted(self.capital)

    def holders(self, symbol: str) -> list[str]:
        """Return who has shares of ``symbol``, by name."""
        return sorted(name for name, one in self.held.get(symbol, {}).items() if one.shares)

    def shares(self, sleeve: str, symbol: str) -> int:
        """Return how many shares of ``symbol`` the sleeve has."""
        one = self.held.get(symbol, {}).get(sleeve)
        return 0 if one is None else one.shares

    def holding(self, sleeve: str, symbol: str) -> Holding:
        """Return the sleeve's holding, which may be empty, to be changed."""
        return self.held.setdefault(symbol, {}).setdefault(sleeve, Holding())

    def add_cash(self, sleeve: str, fen: int) -> None:
        """Move the sleeve's cash."""
        self.capital[sleeve].cash_fen += fen

    def symbols_of(self, sleeve: str) -> list[str]:
        """Return what the sleeve has shares of, by name."""
        return sorted(symbol for symbol, of in self.held.items() if sleeve in of and of[sleeve].shares)

    def equities_fen(self) -> dict[str, int]:
        """Return each sleeve's cash and part of the holdings' value, whole fen that add up to the account's equity."""
        values = self._values_fen()
        return {
            name: one.cash_fen + sum(values.get((name, symbol), 0) for symbol in self.symbols_of(name))
            for name, one in self.capital.items()
        }

    def stated(self) -> tuple[SleeveBook, ...]:
        """Return the books as the journal keeps them, by name."""
        values, equities = self._values_fen(), self.equities_fen()
        return tuple(
            SleeveBook(
                sleeve=name,
                share_bps=self.capital[name].share_bps,
                cash_fen=self.capital[name].cash_fen,
                equity_fen=equities[name],
                owes_fen=self.capital[name].owes_fen,
                moved_fen=self.capital[name].moved_fen,
                holdings=tuple(self._stated(name, symbol, values) for symbol in self.symbols_of(name)),
            )
            for name in self.sleeves
        )

    def _stated(self, sleeve: str, symbol: str, values: Mapping[tuple[str, str], int]) -> SleeveHolding:
        one = self.held[symbol][sleeve]
        return SleeveHolding(
            symbol=symbol,
            shares=one.shares,
            held_sessions=one.held_sessions,
            entry_price_e4=one.entry_price_e4,
            peak_price_e4=one.peak_price_e4,
            last_price_e4=self.price_e4.get(symbol, 0),
            value_fen=values[sleeve, symbol],
        )

    def _values_fen(self) -> dict[tuple[str, str], int]:
        """Return each holding's part of the value that the account has in the symbol, rounded down once."""
        found = {}
        for symbol in self.held:
            holders = self.holders(symbol)
            shares = [self.shares(name, symbol) for name in holders]
            value = sum(shares) * self.price_e4.get(symbol, 0) // E4_PER_FEN
            found.update(
                {(name, symbol): part for name, part in zip(holders, prefix_floor(value, shares), strict=True)}
            )
        return found
