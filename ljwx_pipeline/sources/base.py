"""The port of a market data source: canonical tables, each asked for by name; bars in units that can be resumed.

Not here: which source a configuration means (``open.py``), and the tables' columns and units (``market/tables.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

import pandas as pd

from ljwx_pipeline.market.tables import SourceDescription


@dataclass(frozen=True)
class BarUnit:
    """One piece in which a source fetches bars: a session, a month, or one symbol's range.

    Parameters
    ----------
    key
        Names it in a staging folder and in messages: unique, and the same for the same question.
    first, last
        Range, inclusive.
    symbol
        The one symbol; None is the whole market.
    """

    key: str
    first: date
    last: date
    symbol: str | None = None


class MarketSource(Protocol):
    """A source of canonical tables.

    Every method returns a table of ``ljwx_pipeline.market.tables`` with its columns and dtypes, sorted by its keys;
    a table the source knows nothing about is empty and named in ``describe().unknown``. Ranges are inclusive.
    Methods raise ``SourceError`` when a range holds no row that the source could ever give.

    A table of ranges by date (``market.tables.RANGE_TABLES``) is told in one of three ways, which ``describe()`` names:
    whole, whatever is asked for; as today's state (``snapshots``); or of the dates asked for only (``windowed``): then
    what was under way at ``first`` begins there, and what was so at the last session has no end.
    """

    def describe(self) -> SourceDescription:
        """Return what the source is, how its prices are adjusted and what it cannot say."""
        ...

    def sessions(self, first: date, last: date) -> pd.DatetimeIndex:
        """Return the trading sessions of ``[first, last]`` for which the source can give bars."""
        ...

    def securities(self) -> pd.DataFrame:
        """Return every security that ever listed."""
        ...

    def st_spells(self, first: date, last: date) -> pd.DataFrame:
        """Return spells under special treatment that reach into ``[first, last]``."""
        ...

    def industries(self, first: date, last: date) -> pd.DataFrame:
        """Return the ranges of industries that reach into ``[first, last]``."""
        ...

    def index_members(self, first: date, last: date) -> pd.DataFrame:
        """Return the ranges of index members that reach into ``[first, last]``."""
        ...

    def corporate_actions(self, first: date, last: date) -> pd.DataFrame:
        """Return the cash dividends and bonus shares whose ex-date lies in ``[first, last]``."""
        ...

    def bar_units(self, first: date, last: date) -> Sequence[BarUnit]:
        """Return the pieces that together hold the bars of ``[first, last]``, in the order they are best fetched."""
        ...

    def bars_of(self, unit: BarUnit) -> pd.DataFrame:
        """Return the daily bars of one unit; suspended sessions are absent rows."""
        ...

    def index_bars(self, first: date, last: date) -> pd.DataFrame:
        """Return daily index bars."""
        ...

    def market_values(self, first: date, last: date) -> pd.DataFrame:
        """Return market values at the close."""
        ...

    def suspensions(self, first: date, last: date) -> pd.DataFrame:
        """Return sessions on which a listed security did not trade all day."""
        ...

    def price_limits(self, first: date, last: date) -> pd.DataFrame:
        """Return each session's price limits."""
        ...

    def financial_indicators(self, first: date, last: date) -> pd.DataFrame:
        """Return figures of periodic reports announced on the dates ``[first, last]``."""
        ...

    def news(self, first: date, last: date) -> pd.DataFrame:
        """Return news published on the dates ``[first, last]`` of Asia/Shanghai."""
        ...

    def macro(self, first: date, last: date) -> pd.DataFrame:
        """Return macro releases that became known on the dates ``[first, last]`` of Asia/Shanghai."""
        ...


def bars(source: MarketSource, first: date, last: date) -> pd.DataFrame:
    """Return every bar of ``[first, last]``, by session and symbol, fetched unit by unit into memory."""
    frames = [source.bars_of(unit) for unit in source.bar_units(first, last)]
    kept = [frame for frame in frames if len(frame)] or frames[:1]
    return pd.concat(kept).sort_values(["session_date", "symbol"], kind="stable", ignore_index=True)


def month_units(first: date, last: date) -> list[BarUnit]:
    """Return a unit for each calendar month of ``[first, last]``, for sources that hold everything at hand."""
    units, day = [], first
    while day <= last:
        following = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        units.append(BarUnit(f"{day:%Y-%m}", day, min(last, following - timedelta(days=1))))
        day = following
    return units
