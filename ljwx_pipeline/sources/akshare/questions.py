"""Questions to the public pages, and the answers that are worth remembering.

Not here: the requests (``transport.py``, ``wire.py``), the meaning of columns (``tables.py``), and which canonical
table is made of which answers (``source.py``).
"""

from __future__ import annotations

from datetime import date
from functools import cached_property

import pandas as pd

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.sources.akshare import tables
from ljwx_pipeline.sources.akshare.wire import AkshareWire, akshare_version
from ljwx_pipeline.sources.by_symbol import chosen
from ljwx_pipeline.sources.provider_frames import canonical

#: The exchange's page of delisted stocks holds this many rows and no second page is asked for.
SSE_PAGE_ROWS = 500
#: The lists of stocks: function, its argument, columns (code, name, listed, delisted), exchange and board.
LISTS: tuple[tuple[str, str, tuple[str, str, str, str | None], tuple[str, Board]], ...] = (
    ("stock_info_sh_name_code", "主板A股", ("证券代码", "证券简称", "上市日期", None), ("SH", Board.MAIN)),
    ("stock_info_sh_name_code", "科创板", ("证券代码", "证券简称", "上市日期", None), ("SH", Board.STAR)),
    ("stock_info_sz_name_code", "A股列表", ("A股代码", "A股简称", "A股上市日期", None), ("SZ", Board.MAIN)),
    ("stock_info_bj_name_code", "", ("证券代码", "证券简称", "上市日期", None), ("BJ", Board.BEIJING)),
    # the library calls the date of delisting there a suspension
    ("stock_info_sh_delist", "沪市", ("公司代码", "公司简称", "上市日期", "暂停上市日期"), ("SH", Board.MAIN)),
    ("stock_info_sh_delist", "科创板", ("公司代码", "公司简称", "上市日期", "暂停上市日期"), ("SH", Board.STAR)),
    ("stock_info_sz_delist", "终止上市公司", ("证券代码", "证券简称", "上市日期", "终止上市日期"), ("SZ", Board.MAIN)),
)


class Questions:
    """Asks, and remembers the lists of stocks, who was suspended when, and what was paid for which period.

    Parameters
    ----------
    wire
        Calls akshare's functions.
    symbols
        The symbols to load; none means all.
    """

    def __init__(self, wire: AkshareWire, symbols: tuple[str, ...]) -> None:
        self._wire = wire
        self._symbols = symbols
        self._suspended: dict[pd.Timestamp, frozenset[str]] = {}
        self._actions: dict[pd.Timestamp, pd.DataFrame] = {}

    @cached_property
    def securities(self) -> pd.DataFrame:
        """Every A share of the exchanges' lists, or the configured ones."""
        parts = []
        for name, which, columns, place in LISTS:
            arguments = {"symbol": which} if which else {}
            frame = self._wire.frame(name, may_be_empty=name.endswith("delist"), **arguments)
            if name == "stock_info_sh_delist" and len(frame) == SSE_PAGE_ROWS:
                raise SourceError(f"{what(name)} stops at {SSE_PAGE_ROWS} rows", "upgrade akshare")
            if len(frame):
                parts.append(tables.listed(frame, columns, place, what(name)))
        table = canonical("securities", pd.concat(parts).dropna(subset="list_date"), by=("symbol", "delist_date"))
        table = table.drop_duplicates("symbol", ignore_index=True)  # a delisted row sorts before the listed one
        return chosen(table, self._symbols, "no exchange's list names")

    @cached_property
    def by_code(self) -> dict[str, str]:
        """Symbol by bare code."""
        return {symbol.split(".")[0]: symbol for symbol in self.securities["symbol"]}

    def industries(self, sessions: pd.DatetimeIndex) -> pd.DataFrame:
        """Return first-level Shenwan industries by date; ``sessions`` are all there are."""
        name = "stock_industry_clf_hist_sw"
        return tables.industries(self._wire.frame(name), self.by_code, sessions, what(name))

    def members(self, code: str) -> pd.DataFrame:
        """Return the current members of an index of China Securities Index, from the list's date on."""
        name = "index_stock_cons_weight_csindex"
        return tables.index_members(code, self._wire.frame(name, symbol=code.split(".")[0]), what(name))

    def actions(self, period: pd.Timestamp) -> pd.DataFrame:
        """Return what was paid for a report period; asked for once."""
        if period not in self._actions:
            name = "stock_fhps_em"
            frame = self._wire.frame(name, date=f"{period:%Y%m%d}")
            self._actions[period] = tables.corporate_actions(frame, self.by_code, what(name)) if len(frame) else frame
        return self._actions[period]

    def hist(self, symbol: str, first: date, last: date) -> pd.DataFrame:
        """Return a symbol's raw bars as the page prints them."""
        return self._wire.frame(
            "stock_zh_a_hist",
            may_be_empty=True,
            symbol=symbol.split(".")[0],
            start_date=f"{first:%Y%m%d}",
            end_date=f"{last:%Y%m%d}",
            adjust="",
        )

    def adjustment(self, symbol: str) -> pd.DataFrame:
        """Return ``ex_date, factor`` of a symbol since its listing."""
        name = "stock_zh_a_daily"
        frame = self._wire.frame(name, symbol=tables.provider_code(symbol), adjust="hfq-factor")
        return tables.adjustment(frame, what(f"{name}({symbol})"))

    def index_bars(self, code: str, first: date, last: date) -> pd.DataFrame:
        """Return daily bars of an index."""
        name = "stock_zh_index_daily_em"
        frame = self._wire.frame(
            name, symbol=tables.provider_code(code), start_date=f"{first:%Y%m%d}", end_date=f"{last:%Y%m%d}"
        )
        return tables.index_bars(code, frame, what(f"{name}({code})"))

    def suspended_on(self, day: pd.Timestamp) -> frozenset[str]:
        """Return who did not trade on a session by the page of that day; asked for once."""
        if day not in self._suspended:
            name = "stock_tfp_em"
            frame = self._wire.frame(name, date=f"{day:%Y%m%d}")
            known = tables.suspended(frame, day, self.by_code, what(name)) if len(frame) else frozenset()
            self._suspended[day] = known
        return self._suspended[day]

    def prove_suspended(self, symbol: str, expected: pd.DatetimeIndex) -> None:
        """Check that a stock without a bar was suspended on the first and the last of the ``expected`` sessions.

        Raises
        ------
        SourceError
            When it was not.
        """
        for day in (expected[0], expected[-1]):
            if symbol not in self.suspended_on(day):
                raise SourceError(
                    f"{what(f'stock_zh_a_hist({symbol})')} has no bar from {expected[0]:%Y-%m-%d} to "
                    f"{expected[-1]:%Y-%m-%d}, though it was listed and not suspended on {day:%Y-%m-%d}",
                    "the page may have dropped a delisted stock: leave it out with source.symbols",
                )


def what(function: str) -> str:
    """Return how an error names a question."""
    return f"akshare {akshare_version()} {function}"
