"""What providers that are asked symbol by symbol have in common: whom to ask about, and the tables they do not know.

Not here: any provider's questions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import date

import pandas as pd

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.sources.base import BarUnit


class BySymbolSource(ABC):
    """A provider without market values, price limits, figures of reports, news and macro releases.

    Parameters
    ----------
    symbols
        The symbols to load; none means all.
    indices
        Index codes whose bars and members are wanted.
    clock
        The seam to time.
    """

    def __init__(self, symbols: tuple[str, ...], indices: tuple[str, ...], clock: Clock | None) -> None:
        self._symbols = symbols
        self._indices = indices
        self._clock = clock or SystemClock()

    @abstractmethod
    def securities(self) -> pd.DataFrame:
        """Return the securities to load."""

    def bar_units(self, first: date, last: date) -> Sequence[BarUnit]:
        """Return one unit a symbol that was listed within ``[first, last]``."""
        return [BarUnit(symbol, first, last, symbol) for symbol in self._symbols_between(first, last)]

    def market_values(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: today's are told at most."""
        return empty_table("market_values")

    def price_limits(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: today's are told at most."""
        return empty_table("price_limits")

    def financial_indicators(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: figures come as restated since, or in millions of calls."""
        return empty_table("financial_indicators")

    def news(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: the last items of a stock are told at most."""
        return empty_table("news")

    def macro(self, first: date, last: date) -> pd.DataFrame:  # noqa: ARG002 - the port's signature
        """Return an empty table: when a figure became known is not told."""
        return empty_table("macro")

    def _symbols_between(self, first: date, last: date) -> list[str]:
        known = self.securities()
        listed = known["list_date"] <= pd.Timestamp(last)
        there = known["delist_date"].isna() | (known["delist_date"] > pd.Timestamp(first))
        return list(known.loc[listed & there, "symbol"])


def chosen(table: pd.DataFrame, symbols: tuple[str, ...], who: str) -> pd.DataFrame:
    """Return the rows of the provider's list for ``symbols``, or all when none is named.

    Raises
    ------
    SourceError
        When the list lacks one; ``who`` says whose list it is.
    """
    unknown = sorted(set(symbols) - set(table["symbol"]))
    if unknown:
        raise SourceError(f"{who} {', '.join(unknown)}", "correct source.symbols")
    return table[table["symbol"].isin(symbols)].reset_index(drop=True) if symbols else table


def asked_symbol(unit: BarUnit) -> str:
    """Return the symbol of a unit.

    Raises
    ------
    SourceError
        When it is a unit of another source.
    """
    if unit.symbol is None:
        raise SourceError(f"unit {unit.key} names no symbol", "take the units from bar_units of the same source")
    return unit.symbol
