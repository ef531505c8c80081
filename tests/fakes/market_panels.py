"""Panels of the simulated market with every field that its tables know, for tests of factors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import pandas as pd

from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.market.adjustment import factor_panel
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.market.panel_fields import panel_fields
from ljwx_pipeline.sources.simulated.source import SimulatedMarket


def market_tables(symbols: int, first: date, last: date) -> dict[str, pd.DataFrame]:
    """Return the canonical tables of a simulated market, one index among them."""
    market = SimulatedMarket(SimulatedSettings(seed=5, symbols=symbols, oracle_rank_ic=0.1))
    index = market.index_bars(first, last)
    return {
        "bars": market.bars(first, last),
        "index_bars": index[index["index_code"] == index["index_code"].iloc[0]],
        "securities": market.securities(),
        "st_spells": market.st_spells(first, last),
        "industries": market.industries(first, last),
        "market_values": market.market_values(first, last),
        "suspensions": market.suspensions(first, last),
        "price_limits": market.price_limits(first, last),
    }


def market_panel(tables: Mapping[str, pd.DataFrame], symbols: tuple[str, ...], sessions: pd.DatetimeIndex) -> Panel:
    """Return every field of ``tables``; who trades less than a third of the session's median is no member."""
    panel = factor_panel(tables["bars"], symbols=symbols, sessions=sessions, adjustment="raw")
    benchmark = str(tables["index_bars"]["index_code"].iloc[0])
    fields = panel_fields(tables, symbols=symbols, sessions=sessions, adjustment="raw", benchmark=benchmark)
    amount = panel.fields["amount_cny"]
    with np.errstate(invalid="ignore"):
        liquid = (amount > np.nanmedian(amount, axis=0) / 3).astype(float)
    return panel.with_fields({**fields, "in_universe": liquid})


def whole_panel(tables: Mapping[str, pd.DataFrame]) -> Panel:
    """Return ``market_panel`` of every symbol and session that has a bar."""
    bars = tables["bars"]
    sessions = pd.DatetimeIndex(sorted(bars["session_date"].unique()), name="session_date")
    return market_panel(tables, tuple(sorted(bars["symbol"].unique())), sessions)
