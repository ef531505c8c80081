"""Rows of prices in canonical units: daily bars with their factor, index bars, market values, price limits.

``pre_close`` is already the ex-right reference price, and ``adj_factor`` is cumulative and grows. Not here: which rows
are asked for (``source.py``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.tables import BARS, INDEX_BARS, MARKET_VALUES, PRICE_LIMITS
from ljwx_pipeline.sources.tushare.apis import ADJ_FACTOR, DAILY, DAILY_BASIC, INDEX_DAILY, STK_LIMIT, Api
from ljwx_pipeline.sources.tushare.cells import CNY_PER_TEN_THOUSAND, CNY_PER_THOUSAND, cny, dates, numbers, shares

KEYS = ["symbol", "session_date"]
PRICES = ("open", "high", "low", "close")
#: A limit price above this stands for "no limit": no A-share comes near.
NO_LIMIT_CNY = 1e5


def bars(daily: pd.DataFrame, adj_factor: pd.DataFrame) -> pd.DataFrame:
    """Return canonical bars from rows of ``daily`` and ``adj_factor``, by session and symbol.

    Raises
    ------
    SourceError
        When a bar has no factor, or a symbol has two bars on a session.
    """
    table = _keyed(daily, DAILY)
    for name in (*PRICES, "pre_close"):
        table[f"{name}_cny"] = numbers(daily, name, DAILY)
    table["volume_shares"] = shares(numbers(daily, "vol", DAILY))
    table["amount_cny"] = cny(numbers(daily, "amount", DAILY), CNY_PER_THOUSAND)
    factors = _keyed(adj_factor, ADJ_FACTOR).assign(adj_factor=numbers(adj_factor, "adj_factor", ADJ_FACTOR))
    table = table.merge(factors, on=KEYS, how="left", validate="1:1")
    without = table["adj_factor"].isna()
    if without.any():
        row = table[without].iloc[0]
        raise SourceError(
            f"tushare's adj_factor lacks {int(without.sum())} of {len(table)} bars, first {row['symbol']} on "
            f"{row['session_date']:%Y-%m-%d}",
            "ask again later: factors of a session are published in its morning; prices without them are never stored",
        )
    return _sorted(table, list(BARS), ["session_date", "symbol"])


def index_bars(rows: pd.DataFrame) -> pd.DataFrame:
    """Return canonical index bars from rows of ``index_daily``, by code and session."""
    table = _keyed(rows, INDEX_DAILY).rename(columns={"symbol": "index_code"})
    for name in PRICES:
        table[f"{name}_points"] = numbers(rows, name, INDEX_DAILY)
    table["volume_shares"] = shares(numbers(rows, "vol", INDEX_DAILY))
    table["amount_cny"] = cny(numbers(rows, "amount", INDEX_DAILY), CNY_PER_THOUSAND)
    return _sorted(table, list(INDEX_BARS), ["index_code", "session_date"])


def market_values(rows: pd.DataFrame) -> pd.DataFrame:
    """Return total market values from rows of ``daily_basic``; rows without one are left out."""
    table = _keyed(rows, DAILY_BASIC)
    table["market_value_cny"] = cny(numbers(rows, "total_mv", DAILY_BASIC), CNY_PER_TEN_THOUSAND)
    return _sorted(table.dropna(subset="market_value_cny"), list(MARKET_VALUES), ["session_date", "symbol"])


def price_limits(rows: pd.DataFrame) -> pd.DataFrame:
    """Return price limits from rows of ``stk_limit``, NaN where there is none."""
    table = _keyed(rows, STK_LIMIT)
    up, down = numbers(rows, "up_limit", STK_LIMIT), numbers(rows, "down_limit", STK_LIMIT)
    limited = up < NO_LIMIT_CNY
    table["limit_up_cny"] = np.where(limited, up, np.nan)
    table["limit_down_cny"] = np.where(limited, down, np.nan)
    return _sorted(table, list(PRICE_LIMITS), ["session_date", "symbol"])


def _keyed(rows: pd.DataFrame, api: Api) -> pd.DataFrame:
    table = pd.DataFrame({"symbol": rows["ts_code"].astype(object), "session_date": dates(rows, "trade_date", api)})
    twice = table.duplicated()
    if twice.any():
        row = table[twice].iloc[0]
        raise SourceError(
            f"tushare's {api.name} gives {row['symbol']} twice on {row['session_date']:%Y-%m-%d} with unlike figures",
            "ask again later: it is being corrected",
        )
    return table


def _sorted(table: pd.DataFrame, columns: list[str], keys: list[str]) -> pd.DataFrame:
    return table[columns].sort_values(keys, kind="stable", ignore_index=True)
