"""Dense views of market arrays that only tests look at."""

from __future__ import annotations

import numpy as np

from ljwx_pipeline.trading.corporate_actions import ACTION_FIELDS
from ljwx_pipeline.trading.market_arrays import MarketArrays


def can_sell(market: MarketArrays) -> np.ndarray:
    """Return where a sale at the close could fill: a bar, not locked at the lower limit."""
    return market.has_bar & (market.close_e4 > market.limit_down_e4)


def going_ex(market: MarketArrays, field: str) -> np.ndarray:
    """Return one of ``ACTION_FIELDS`` on the market's axes, 0 where nothing goes ex."""
    out = np.zeros(market.close_e4.shape, dtype=np.int64)
    for position in range(len(market.sessions)):
        actions = market.actions.on(position)
        out[actions[:, 0], position] = actions[:, ACTION_FIELDS.index(field)]
    return out
