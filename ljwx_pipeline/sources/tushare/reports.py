"""Rows of periodic reports, by stock or by period: asked for once, then cut by the day of their announcement.

Not here: what the columns mean (``events.py``), and who may ask which way (``config.TushareSettings.fundamentals``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

import pandas as pd

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.observability.progress import told
from ljwx_pipeline.sources.tushare.apis import FINA_INDICATOR, FINA_INDICATOR_VIP
from ljwx_pipeline.sources.tushare.client import TushareClient
from ljwx_pipeline.sources.tushare.events import financial_indicators
from ljwx_pipeline.sources.tushare.pages import day, fetch

#: A report is announced within about a year of its period, late ones included.
LONGEST_DELAY = timedelta(days=450)
#: Last days for annual, half-year and third-quarter reports: a range that holds one holds announcements.
DEADLINES = ((4, 30), (8, 31), (10, 31))


class Reports:
    """Figures of periodic reports; an answer is kept for the ranges asked for later.

    Parameters
    ----------
    client
        Opens the client.
    vip
        Whether a question is for all stocks and one period (``fina_indicator_vip``, 5,000 points), or for one stock and
        all periods from ``first`` on (``fina_indicator``, 2,000 points).
    first
        First announcement that may be asked for.
    """

    def __init__(self, client: Callable[[], TushareClient], *, vip: bool, first: date) -> None:
        self._client = client
        self._vip = vip
        self._first = first
        self._kept: dict[str, pd.DataFrame] = {}

    def announced(self, first: date, last: date, reached: date, symbols: Sequence[str]) -> pd.DataFrame:
        """Return the figures of ``symbols`` announced in ``[first, last]``, of which days up to ``reached`` are out.

        Raises
        ------
        SourceError
            When there is none though reports fell due.
        """
        parts = [
            frame
            for key in told(self._periods(first, last) if self._vip else list(symbols), "financial_indicators")
            if len(frame := self._of(key))
        ]
        table = pd.concat(parts) if parts else empty_table("financial_indicators")
        inside = table["announced_date"].between(pd.Timestamp(first), pd.Timestamp(last))
        table = table[inside & table["symbol"].isin(symbols)]
        due = (date(year, *end) for year in range(first.year, last.year + 1) for end in DEADLINES)
        if table.empty and symbols and any(first <= deadline <= reached for deadline in due):
            api, points = (FINA_INDICATOR_VIP, "5,000") if self._vip else (FINA_INDICATOR, "2,000")
            raise SourceError(
                f"tushare's {api.name} holds no report announced from {first} to {last} by any of {len(symbols)} "
                "stocks, though reports fell due",
                f"the interface needs {points} points; ask again later",
            )
        order = ["announced_date", "symbol", "indicator", "report_period"]
        return table.sort_values(order, kind="stable", ignore_index=True)

    def _of(self, key: str) -> pd.DataFrame:
        if key not in self._kept:
            if self._vip:  # its cap is not documented: asked on until a page brings nothing new
                rows = fetch(self._client(), FINA_INDICATOR_VIP, {"period": key}, until_empty=True)
            else:
                asked = {"ts_code": key, "start_date": day(self._first - LONGEST_DELAY)}
                rows = fetch(self._client(), FINA_INDICATOR, asked)
            self._kept[key] = financial_indicators(rows)
        return self._kept[key]

    @staticmethod
    def _periods(first: date, last: date) -> list[str]:
        """Return the ends of the quarters that may be reported in ``[first, last]``."""
        return [day(end) for end in pd.date_range(first - LONGEST_DELAY, last, freq="QE")]
