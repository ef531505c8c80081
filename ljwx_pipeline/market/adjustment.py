"""Adjustment is a read: from stored bars to the panel that factors and labels see.

Stored bars are raw with a cumulative adjustment factor (or adjusted by the provider, and declared so); adjusted prices
are never stored. Not here: what an order pays, which is always the raw price (``trading/``).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.panel import Float, Panel, dense

PRICES = ("open", "high", "low", "close")
#: Fields of the factor panel; ``panel_fields.py`` has those of the other tables.
FACTOR_FIELDS = (*PRICES, "vwap", "volume", "amount_cny")


def factor_panel(bars: pd.DataFrame, *, symbols: tuple[str, ...], sessions: pd.DatetimeIndex, adjustment: str) -> Panel:
    """Return open, high, low, close, vwap (adjusted CNY), volume (adjusted shares), amount_cny.

    Raw bars are multiplied by their cumulative adjustment factor, which only ever uses the past; volume is divided by
    it, and the volume-weighted price is amount / volume times it (the close where nothing was traded). Under a
    declared adjustment prices stand as given and vwap is (open + high + low + close) / 4: the provider's factor is
    rebased on the newest dividend, so raw amount / volume beside such prices would tell the future.

    Parameters
    ----------
    bars
        Canonical bars (``market/tables.py``), any row order; only rows on the axes.
    symbols, sessions
        The panel's axes.
    adjustment
        ``raw``, ``forward`` or ``backward``.

    Returns
    -------
    Panel
        NaN where there is no bar.

    Raises
    ------
    DataQualityError
        For duplicated rows, rows off the axes, an unknown adjustment, or an adjustment factor that is not positive.
    """
    if adjustment not in ("raw", "forward", "backward"):
        raise DataQualityError(f"adjustment {adjustment!r} is unknown", "declare raw, forward or backward")
    price = {name: dense(bars, f"{name}_cny", symbols, sessions) for name in PRICES}
    volume = dense(bars, "volume_shares", symbols, sessions)
    amount = dense(bars, "amount_cny", symbols, sessions)
    if adjustment != "raw":
        vwap = (price["open"] + price["high"] + price["low"] + price["close"]) / 4
        return Panel(symbols, sessions, {**price, "vwap": vwap, "volume": volume, "amount_cny": amount})
    factor = _positive_factor(bars, symbols, sessions)
    traded = np.divide(amount, volume, out=price["close"].copy(), where=volume > 0)
    adjusted = {name: values * factor for name, values in price.items()}
    fields = {**adjusted, "vwap": traded * factor, "volume": volume / factor, "amount_cny": amount}
    return Panel(symbols, sessions, fields)


def columns_read(fields: Iterable[str], adjustment: str) -> frozenset[str]:
    """Return the columns of the bars that decide the values of ``fields`` of the factor panel.

    Keys are left out: every field is placed by ``symbol`` and ``session_date``.

    Parameters
    ----------
    fields
        Names among ``FACTOR_FIELDS``, for instance an expression's ``inputs``.
    adjustment
        ``raw``, ``forward`` or ``backward``.
    """
    prices = {name: {f"{name}_cny"} for name in PRICES}
    volume, amount = {"volume_shares"}, {"amount_cny"}
    if adjustment == "raw":
        factor = {"adj_factor"}
        prices = {name: columns | factor for name, columns in prices.items()}
        vwap, volume = prices["close"] | volume | amount, volume | factor
    else:
        vwap = set[str]().union(*prices.values())
    read = {**prices, "vwap": vwap, "volume": volume, "amount_cny": amount}
    return frozenset[str]().union(*(read[field] for field in fields))


def _positive_factor(bars: pd.DataFrame, symbols: tuple[str, ...], sessions: pd.DatetimeIndex) -> Float:
    wrong = bars.loc[~(bars["adj_factor"] > 0)]
    if not wrong.empty:
        row = wrong.iloc[0]
        raise DataQualityError(
            f"adj_factor of {row['symbol']} on {row['session_date']:%Y-%m-%d} is {row['adj_factor']}, not positive",
            "give raw bars with their cumulative factor, or declare the adjustment",
        )
    return dense(bars, "adj_factor", symbols, sessions)
