"""A random market as the runner gets it: a session pack, keys, a signed bundle, all below one temporary home."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ljwx_pipeline.market.rulebook import rounded_limits_e4
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.session_pack import write_session_pack
from tests.fakes.bars import random_bars


@dataclass(frozen=True)
class Tables:
    """Tables of a small violent market: limit locks, suspensions, dividends, bonus shares, ST, a delisting."""

    bars: pd.DataFrame
    securities: pd.DataFrame
    st_spells: pd.DataFrame
    corporate_actions: pd.DataFrame

    def without(self, *positions: int) -> Tables:
        """Return the tables without the bars of the sessions at ``positions``, counted as in a list."""
        days = np.sort(self.bars["session_date"].unique())
        gone = self.bars["session_date"].isin(days[list(positions)])
        return replace(self, bars=self.bars[~gone].reset_index(drop=True))

    def split(self, feed_sessions: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return bars before and during the last ``feed_sessions`` sessions."""
        start = np.sort(self.bars["session_date"].unique())[-feed_sessions]
        early = self.bars["session_date"] < start
        return self.bars[early].reset_index(drop=True), self.bars[~early].reset_index(drop=True)


def live_tables(*, symbols: int = 24, sessions: int = 150, feed_sessions: int = 30, seed: int = 0) -> Tables:
    """Return the tables; events fall into the last ``feed_sessions`` sessions."""
    rng = np.random.default_rng(seed)
    bars = random_bars(symbols=symbols, sessions=sessions, seed=seed, suspended_frac=0.05)
    names = sorted(bars["symbol"].unique())
    days = np.sort(bars["session_date"].unique())
    locked = rng.uniform(size=len(bars)) < 0.08
    up, down = rounded_limits_e4(np.rint(bars["pre_close_cny"] * 1e4).astype(np.int64), 1000, 1000)
    limit = np.where(rng.uniform(size=len(bars)) < 0.5, up, down) / 1e4
    bars.loc[locked, "close_cny"] = limit[locked]
    bars["high_cny"] = bars[["high_cny", "close_cny"]].max(axis=1)
    bars["low_cny"] = bars[["low_cny", "close_cny"]].min(axis=1)
    gone = days[-feed_sessions // 2]
    bars = bars[~((bars["symbol"] == names[3]) & (bars["session_date"] > gone))].reset_index(drop=True)
    securities = pd.DataFrame(
        {
            "symbol": names,
            "name": names,
            "board": [2 if i % 7 == 5 else 0 for i in range(symbols)],
            "list_date": pd.Timestamp("2012-01-04"),
            "delist_date": [pd.Timestamp(gone) if name == names[3] else pd.NaT for name in names],
        }
    )
    # the 688 board opened in 2019: keep it out of earlier bars
    if days[0] < np.datetime64("2019-07-22"):
        securities["board"] = 0
    ex = rng.choice(days[-feed_sessions:], size=symbols)
    actions = pd.DataFrame(
        {
            "symbol": names,
            "ex_date": ex,
            "cash_cny_per_share": np.round(rng.uniform(0, 0.5, symbols), 3),
            "bonus_shares_per_share": np.where(np.arange(symbols) % 3 == 0, 0.35, 0.0),
        }
    )
    began = 5 - feed_sessions  # one spell within the feed, and one that lasts
    ended = max(began, -10)
    spells = pd.DataFrame(
        {"symbol": names[6:8], "start_date": [days[began], days[-20]], "end_date": [days[ended], pd.NaT]}
    )
    spells = spells.astype({"start_date": "datetime64[ns]", "end_date": "datetime64[ns]"})
    return Tables(bars, securities, spells, actions)


def write_pack(
    folder: Path,
    tables: Tables,
    *,
    feed_sessions: int = 30,
    online_features: pd.DataFrame,
    beside: Mapping[str, pd.DataFrame] | None = None,
    index_members: pd.DataFrame | None = None,
) -> None:
    """Write the session pack of ``tables``, with ``beside`` those by name that only some factors or models read."""
    history, feed = tables.split(feed_sessions)
    write_session_pack(
        folder,
        history=history,
        feed=feed,
        securities=tables.securities,
        st_spells=tables.st_spells,
        index_members=empty_table("index_members") if index_members is None else index_members,
        corporate_actions=tables.corporate_actions,
        online_features=online_features,
        adjustment="raw",
        simulated=True,
        beside=beside,
    )
