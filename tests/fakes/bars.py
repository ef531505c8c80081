"""A small random market in canonical form: fast, seeded, without any claim to realism."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.tables import empty_table


def random_bars(*, symbols: int = 20, sessions: int = 300, seed: int = 0, suspended_frac: float = 0.02) -> pd.DataFrame:
    """Canonical daily bars of random walks: raw prices on the tick, some suspensions, a split in each tenth symbol."""
    rng = np.random.default_rng(seed)
    days = sessions_between(date(2018, 1, 2), date(2025, 12, 31))[:sessions]
    frames = []
    for i in range(symbols):
        returns = np.clip(rng.normal(0.0003, 0.02, sessions), -0.095, 0.095)
        value = 10.0 * (1 + i % 5) * np.cumprod(1 + returns)
        factor = np.ones(sessions)
        if i % 10 == 0 and sessions > 100:
            factor[100:] = 2.0
        close = np.round(value / factor, 2)
        previous = np.round(np.r_[value[0], value[:-1]] / factor, 2)
        open_ = np.round(previous * (1 + rng.normal(0, 0.004, sessions)), 2)
        high = np.round(np.maximum(open_, close) * (1 + rng.uniform(0, 0.01, sessions)), 2)
        low = np.round(np.minimum(open_, close) * (1 - rng.uniform(0, 0.01, sessions)), 2)
        volume = np.round(rng.lognormal(13, 0.5, sessions) / 100) * 100
        typical = np.clip((open_ + high + low + close) / 4, low, high)
        frame = pd.DataFrame(
            {
                "symbol": f"S{i:05d}.SIM",
                "session_date": days,
                "open_cny": open_,
                "high_cny": high,
                "low_cny": low,
                "close_cny": close,
                "pre_close_cny": previous,
                "volume_shares": volume,
                "amount_cny": np.round(typical * volume, 2),
                "adj_factor": factor,
            }
        )
        frames.append(frame[rng.uniform(size=sessions) >= suspended_frac])
    return pd.concat(frames, ignore_index=True).sort_values(["session_date", "symbol"], ignore_index=True)


def listed_securities(bars: pd.DataFrame) -> pd.DataFrame:
    """The securities of ``bars``, all on the main board and listed long ago."""
    symbols = sorted(bars["symbol"].unique())
    return pd.DataFrame(
        {"symbol": symbols, "name": symbols, "board": 1, "list_date": pd.NaT, "delist_date": pd.NaT}
    ).astype({"list_date": "datetime64[ns]", "delist_date": "datetime64[ns]"})


def store_bars(market: Path, bars: pd.DataFrame, *, known_at: datetime = datetime(2024, 1, 1, tzinfo=UTC)) -> None:
    """Fill the lakes of a market's folder with ``bars`` as checked, and the tables a universe is made of."""
    tables = {
        "calendar": pd.DataFrame({"session_date": sorted(bars["session_date"].unique())}),
        "securities": listed_securities(bars),
        "st_spells": empty_table("st_spells"),
    }
    for table, frame in tables.items():
        Lake(market / "lake").write(table, frame, partition="all", known_at=known_at)
    Lake(market / "checked").write_partitions("bars", split_by_month(bars), known_at=known_at)
