"""Small files as providers write them: random walks under real code ranges, no real prices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ljwx_pipeline.config import FolderSettings
from tests.fakes.bars import random_bars

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
