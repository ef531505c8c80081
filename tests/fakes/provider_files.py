"""Small files as providers write them: random walks under real code ranges, no real prices."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.config import FolderSettings
from ljwx_pipeline.errors import LjwxError
from ljwx_pipeline.sources.folder import FolderSource
from tests.fakes.bars import random_bars

#: Wider than any of the files.
FIRST, LAST = date(2015, 1, 1), date(2026, 12, 31)
CODES = ("600001.SH", "000002.SZ", "300003.SZ")


def tushare_daily(*, sessions: int = 60, seed: int = 0) -> pd.DataFrame:
    """Raw bars in tushare's spelling and units; the first code splits two for one at session 101 if there is one."""
    bars = random_bars(symbols=len(CODES), sessions=sessions, seed=seed, suspended_frac=0.0)
    symbols = dict(zip(sorted(bars["symbol"].unique()), CODES, strict=True))
    return pd.DataFrame(
        {
            "ts_code": bars["symbol"].map(symbols),
            "trade_date": bars["session_date"].dt.strftime("%Y%m%d"),
            "open": bars["open_cny"],
            "high": bars["high_cny"],
            "low": bars["low_cny"],
            "close": bars["close_cny"],
            "pre_close": bars["pre_close_cny"],
            "vol": bars["volume_shares"] / 100,
            "amount": bars["amount_cny"] / 1000,
        }
    )


def tushare_index(code: str = "000905.SH", *, sessions: int = 60, seed: int = 1) -> pd.DataFrame:
    """An index in tushare's spelling: a level near 5,000, whose mean member share costs about 10 CNY."""
    bars = random_bars(symbols=1, sessions=sessions, seed=seed, suspended_frac=0.0)
    level = 5000.0 * bars["close_cny"] * bars["adj_factor"] / bars["close_cny"].iloc[0]
    rng = np.random.default_rng(seed)
    lots = rng.uniform(4e7, 6e7, len(bars))
    return pd.DataFrame(
        {
            "ts_code": code,
            "trade_date": bars["session_date"].dt.strftime("%Y%m%d"),
            "close": level,
            "open": level,
            "high": level * 1.01,
            "low": level * 0.99,
            "vol": lots,
            "amount": lots * 100 * rng.uniform(9, 11, len(bars)) / 1000,
        }
    )


def folder_settings(data: Path | str, *index: Path | str, **changes: object) -> FolderSettings:
    """Raw prices, everything else recognised; ``changes`` override."""
    values = {
        "data": str(data),
        "index_data": [str(path) for path in index],
        "adjustment": "raw",
        "columns": {},
        "volume_unit": "auto",
        "amount_unit": "auto",
    }
    return FolderSettings.model_validate({**values, **changes})


def bars_of(frame: pd.DataFrame, tmp_path: Path, **changes: object) -> pd.DataFrame:
    """Return what the source makes of ``frame`` written as ``given.csv``; ``changes`` override its settings."""
    path = tmp_path / "given.csv"
    frame.to_csv(path, index=False)
    return FolderSource(folder_settings(path, **changes)).bars(FIRST, LAST)


def akshare_hist(frame: pd.DataFrame) -> pd.DataFrame:
    """Return tushare's bars as ``stock_zh_a_hist`` of akshare spells them."""
    names = {
        "ts_code": "股票代码",
        "trade_date": "日期",
        "open": "开盘",
        "close": "收盘",
        "high": "最高",
        "low": "最低",
    }
    out = frame.rename(columns={**names, "vol": "成交量", "amount": "成交额"})
    out["涨跌额"] = out["收盘"] - out.pop("pre_close")
    return out.assign(股票代码=out["股票代码"].str[:6], 成交额=out["成交额"] * 1000)


def akshare_daily(frame: pd.DataFrame) -> pd.DataFrame:
    """Return tushare's bars as ``stock_zh_a_daily`` of akshare spells them."""
    out = frame.rename(columns={"ts_code": "symbol", "trade_date": "date", "vol": "volume"})
    out["date"] = pd.to_datetime(out["date"]).dt.strftime("%Y-%m-%d")
    out["symbol"] = out["symbol"].str[-2:].str.lower() + out["symbol"].str[:6]
    return out.assign(volume=out["volume"] * 100, amount=out["amount"] * 1000, outstanding_share=1e9)


def baostock(frame: pd.DataFrame) -> pd.DataFrame:
    """Return tushare's bars as baostock spells them."""
    out = (
        akshare_daily(frame)
        .drop(columns="outstanding_share")
        .rename(columns={"symbol": "code", "pre_close": "preclose"})
    )
    out["code"] = out["code"].str[:2] + "." + out["code"].str[2:]
    return out.assign(tradestatus=1, isST=0)


def refused(action: Callable[[], object], *parts: str) -> LjwxError:
    """Return the error of ``action``, whose message holds every one of ``parts`` and a remedy."""
    with pytest.raises(LjwxError) as caught:
        action()
    for part in parts:
        assert part in str(caught.value)
    assert caught.value.remedy
    return caught.value


def adjusted(frame: pd.DataFrame, factor: float) -> pd.DataFrame:
    """Return the bars with every price times ``factor``."""
    prices = ["open", "high", "low", "close", "pre_close"]
    return frame.assign(**{name: (frame[name] * factor).round(4) for name in prices})


def renumbered(frame: pd.DataFrame, i: int) -> pd.DataFrame:
    """Return the bars under other codes of the same boards."""
    return frame.assign(ts_code=frame["ts_code"].str.slice_replace(3, 5, f"{i:02d}"))
