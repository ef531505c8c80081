"""Shape of a return distribution: tails and moments, read off the sample; no model and no forecast.

Not here: risk limits. Value at risk says what the sample held, not what may come.

NaN among the returns, or no return at all, gives NaN. Quantiles interpolate linearly between order statistics (type 7
of Hyndman and Fan 1996), as numpy and empyrical do.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Float = NDArray[np.float64]
#: Share of the returns that counts as a tail.
TAIL_FRAC = 0.05
#: Below this second moment a series has no shape.
_CONSTANT = 1e-24


def tail_ratio(returns: Float | pd.Series) -> float:
    """Return ``|95 % quantile| / |5 % quantile|``: above 1 the good tail is the longer one; NaN for a zero quantile."""
    high, low = _quantile(returns, 1 - TAIL_FRAC), _quantile(returns, TAIL_FRAC)
    return abs(high) / abs(low) if low else math.nan


def value_at_risk(returns: Float | pd.Series) -> float:
    """Return the 5 % quantile of the returns (historical VaR 95 %): signed, so a loss is negative."""
    return _quantile(returns, TAIL_FRAC)


def expected_shortfall(returns: Float | pd.Series) -> float:
    """Return the mean of the ``floor(0.05 * (n - 1)) + 1`` lowest returns (historical CVaR 95 %), signed."""
    values = np.asarray(returns, dtype=np.float64)
    if not len(values) or np.isnan(values).any():
        return math.nan
    last = tail_position(len(values))
    return float(np.partition(values, last)[: last + 1].mean())


def skewness(returns: Float | pd.Series) -> float:
    """Return the third central moment over the second to the power 3/2, without a correction for the sample's size."""
    return _moment_ratio(returns, 3)


def excess_kurtosis(returns: Float | pd.Series) -> float:
    """Return the fourth central moment over the squared second, minus 3 (0 for a normal distribution), uncorrected."""
    return _moment_ratio(returns, 4) - 3


def tail_position(n: int) -> int:
    """Return the position of the last of ``n`` sorted returns that is in the lower tail."""
    return int((n - 1) * TAIL_FRAC)


def _quantile(returns: Float | pd.Series, share: float) -> float:
    values = np.asarray(returns, dtype=np.float64)
    return float(np.quantile(values, share)) if len(values) else math.nan


def _moment_ratio(returns: Float | pd.Series, order: int) -> float:
    values = np.asarray(returns, dtype=np.float64)
    if not len(values):
        return math.nan
    centred = values - values.mean()
    second = float((centred**2).mean())
    return float((centred**order).mean()) / second ** (order / 2) if second > _CONSTANT else math.nan
