"""Ten factors that no catalogue holds, written as a user would, so that W1 measures the call a user's own factor takes.

Not here: anything a benchmark may tune for; windows and combinations are on purpose none of Alpha158's.
"""

from __future__ import annotations

from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.expressions.operators import (
    absolute,
    corr,
    field,
    idx_max,
    log,
    mean,
    quantile,
    rank,
    ref,
    resi,
    rolling_max,
    slope,
    std,
)


def user_factors() -> dict[str, Expr]:
    """Return the ten by name."""
    open_, high, low, close = field("open"), field("high"), field("low"), field("close")
    vwap, volume = field("vwap"), field("volume")
    change = close / ref(close, 1) - 1
    return {
        "own_gap": open_ / ref(close, 1) - 1,
        "own_momentum": ref(close, 3) / ref(close, 48) - 1,
        "own_volume_trend": mean(volume, 7) / mean(volume, 23),
        "own_range": mean((high - low) / close, 11),
        "own_middle": (mean(close, 17) - quantile(close, 17, 0.5)) / std(close, 17),
        "own_price_volume": corr(change, log(volume + 1), 37),
        "own_slope": slope(vwap, 41) / vwap,
        "own_high_age": idx_max(high / rolling_max(close, 9), 33),
        "own_illiquidity": mean(absolute(change) / (volume * vwap), 19),
        "own_surprise": resi(rank(volume, 26), 14),
    }
