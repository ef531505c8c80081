"""The port of a market data source: canonical tables, each asked for by name.

Not here: which source a configuration means (``open.py``), and the tables' columns and units (``market/tables.py``).
"""

from __future__ import annotations

from datetime import date
from typing import Protocol

import pandas as pd

from ljwx_pipeline.market.tables import SourceDescription


class MarketSource(Protocol):
    """A source of canonical tables.

    Every method returns a table of ``ljwx_pipeline.market.tables`` with its columns and dtypes, sorted by its keys;
    a table the source knows nothing about is empty and named in ``describe().unknown``. Ranges are inclusive.
    Methods raise ``SourceError`` when a range holds no row that the source could ever give.
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

    def st_spells(self) -> pd.DataFrame:
        """Return spells under special treatment."""
        ...

    def industries(self) -> pd.DataFrame:
        """Return industries by date."""
        ...

    def index_members(self) -> pd.DataFrame:
        """Return index members by date."""
        ...

    def corporate_actions(self) -> pd.DataFrame:
        """Return cash dividends and bonus shares by ex-date."""
        ...

    def bars(self, first: date, last: date) -> pd.DataFrame:
        """Return daily bars; suspended sessions are absent rows."""
        ...

    def index_bars(self, first: date, last: date) -> pd.DataFrame:
        """Return daily index bars."""
        ...

    def market_values(self, first: date, last: date) -> pd.DataFrame:
        """Return market values at the close."""
        ...

    def news(self, first: date, last: date) -> pd.DataFrame:
        """Return news published on the dates ``[first, last]`` of Asia/Shanghai."""
        ...

    def macro(self, first: date, last: date) -> pd.DataFrame:
        """Return macro releases that became known on the dates ``[first, last]`` of Asia/Shanghai."""
        ...
