"""Compiled kernels that visit each session of a window in turn, and the ends of statistics joined elsewhere.

Every sum begins anew with each value and runs from the newest session to the oldest, so that a value depends on its
window alone, bit for bit. Loops over lags run over slices, for the reason given in ``kernels.py``.
"""

from __future__ import annotations

import math

import numpy as np

from ljwx_pipeline.compiled import kernel
from ljwx_pipeline.expressions.kernels import Row

#: Deviations below this share of the mean are rounding: the window is flat.
FLAT_FRAC = 1e-14


@kernel
def is_flat(squares: float, total: float, n: float) -> bool:
    """Return whether squared deviations are no more than rounding beside the mean ``total / n``."""
    edge = FLAT_FRAC * total / n
    return squares <= n * edge * edge


@kernel
def one_filled(out: Row, x: Row) -> None:
    """Write ``x`` with 1.0 for NaN."""
    for t in range(len(out)):
        out[t] = 1.0 if math.isnan(x[t]) else x[t]


@kernel
def multiply_windows(out: Row, newer: Row, older: Row, lag: int) -> None:
    """Write the product over the joined window."""
    out[:lag] = newer[:lag]
    tail, newer_tail = out[lag:], newer[lag:]
    for i in range(len(tail)):
        tail[i] = newer_tail[i] * older[i]


@kernel
def var_of(out: Row, m: Row, n: Row) -> None:
    """Write the sample variance (or covariance) from the sum of products of deviations."""
    for t in range(len(out)):
        out[t] = m[t] / (n[t] - 1.0) if n[t] > 1.0 else np.nan


@kernel
def zscore_of(out: Row, x: Row, s: Row, m: Row, n: Row) -> None:
    """Write the current value's distance from the mean in sample standard deviations, NaN where the window is flat."""
    for t in range(len(out)):
        out[t] = np.nan
        if n[t] > 1.0 and not is_flat(m[t], s[t], n[t]):
            out[t] = (x[t] - s[t] / n[t]) / math.sqrt(m[t] / (n[t] - 1.0))


@kernel
def beta_of(out: Row, c: Row, m_right: Row, s_right: Row, n: Row) -> None:
    """Write the regression slope of left on right, NaN where right is flat."""
    for t in range(len(out)):
        out[t] = np.nan
        if n[t] > 1.0 and not is_flat(m_right[t], s_right[t], n[t]):
            out[t] = c[t] / m_right[t]


@kernel
def resid_std_of(out: Row, c: Row, m_left: Row, m_right: Row, s_right: Row, n: Row) -> None:
    """Write the standard deviation (n - 2) of that regression's residuals, NaN where right is flat."""
    for t in range(len(out)):
        out[t] = np.nan
        if n[t] > 2.0 and not is_flat(m_right[t], s_right[t], n[t]):
            left_over = m_left[t] - c[t] * c[t] / m_right[t]
            out[t] = math.sqrt(max(left_over, 0.0) / (n[t] - 2.0))


@kernel
def coverage_of(out: Row, n: Row, window: int) -> None:
    """Write the share of the window's sessions that are known."""
    for t in range(len(out)):
        out[t] = n[t] / window


@kernel
def decayed_mean(out: Row, x: Row, window: int, decay: float) -> None:
    """Write the weighted mean of the known values: weight ``decay ** age``, or ``window - age`` where decay is 0."""
    weights = np.zeros(len(out))
    out[:] = 0.0
    weight = 1.0
    for lag in range(min(window, len(out))):
        if decay == 0.0:
            weight = float(window - lag)
        tail, weights_tail = out[lag:], weights[lag:]
        for i in range(len(tail)):
            known = x[i] == x[i]
            tail[i] += weight * x[i] if known else 0.0
            weights_tail[i] += weight if known else 0.0
        weight *= decay
    for t in range(len(out)):
        out[t] = out[t] / weights[t] if weights[t] > 0.0 else np.nan


@kernel
def mean_deviation_of(out: Row, x: Row, s: Row, n: Row, window: int) -> None:
    """Write the mean absolute deviation from the mean."""
    means = s / n
    out[:] = 0.0
    for lag in range(min(window, len(out))):
        tail, means_tail = out[lag:], means[lag:]
        for i in range(len(tail)):
            deviation = abs(x[i] - means_tail[i])
            tail[i] += deviation if deviation == deviation else 0.0
    for t in range(len(out)):
        out[t] = out[t] / n[t] if n[t] > 0.0 else np.nan


@kernel
def skew_of(out: Row, x: Row, s: Row, n: Row, window: int) -> None:
    """Write the sample skewness, corrected for bias; NaN where the window is flat."""
    means = s / n
    squares, cubes = np.zeros(len(out)), np.zeros(len(out))
    for lag in range(min(window, len(out))):
        means_tail, squares_tail, cubes_tail = means[lag:], squares[lag:], cubes[lag:]
        for i in range(len(means_tail)):
            d = x[i] - means_tail[i]
            d = d if d == d else 0.0
            squares_tail[i] += d * d
            cubes_tail[i] += d * d * d
    for t in range(len(out)):
        out[t] = np.nan
        if n[t] > 2.0 and not is_flat(squares[t], s[t], n[t]):
            out[t] = n[t] * math.sqrt(n[t] - 1.0) / (n[t] - 2.0) * (cubes[t] / (squares[t] * math.sqrt(squares[t])))


@kernel
def kurt_of(out: Row, x: Row, s: Row, n: Row, window: int) -> None:
    """Write the sample excess kurtosis, corrected for bias; NaN where the window is flat."""
    means = s / n
    squares, fourths = np.zeros(len(out)), np.zeros(len(out))
    for lag in range(min(window, len(out))):
        means_tail, squares_tail, fourths_tail = means[lag:], squares[lag:], fourths[lag:]
        for i in range(len(means_tail)):
            d = x[i] - means_tail[i]
            d = d if d == d else 0.0
            squares_tail[i] += d * d
            fourths_tail[i] += d * d * d * d
    for t in range(len(out)):
        out[t] = np.nan
        k = n[t]
        if k > 3.0 and not is_flat(squares[t], s[t], k):
            ratio = fourths[t] / (squares[t] * squares[t])
            spread = (k - 2.0) * (k - 3.0)
            out[t] = k * (k + 1.0) * (k - 1.0) / spread * ratio - 3.0 * (k - 1.0) * (k - 1.0) / spread


@kernel
def last_known_of(out: Row, x: Row, window: int) -> None:
    """Write the newest known value of the window."""
    last = -window
    for t in range(len(out)):
        if not math.isnan(x[t]):
            last = t
        out[t] = x[last] if t - last < window and last >= 0 else np.nan


@kernel
def since_of(out: Row, flag: Row, window: int) -> None:
    """Write the sessions since the flag was true, NaN where it was not in the window."""
    last = -window
    for t in range(len(out)):
        if flag[t] != 0.0 and not math.isnan(flag[t]):
            last = t
        out[t] = float(t - last) if t - last < window and last >= 0 else np.nan


@kernel
def streak_of(out: Row, flag: Row, window: int) -> None:
    """Write how many known sessions in a row, ending now, the flag is true; NaN where it is unknown now."""
    trues = np.zeros(len(out) + 1)
    begin = 0
    for t in range(len(out)):
        known = not math.isnan(flag[t])
        trues[t + 1] = trues[t] + (1.0 if known and flag[t] != 0.0 else 0.0)
        if known and flag[t] == 0.0:
            begin = t + 1
        out[t] = trues[t + 1] - trues[max(begin, t + 1 - window)] if known else np.nan
