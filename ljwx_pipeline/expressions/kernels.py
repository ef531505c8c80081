"""Compiled kernels: one row (one symbol's sessions) in, one row out, float64 throughout.

Every windowed value is put together from shorter windows of fixed lengths (``program.split_window``), never from a
running sum over all history: it depends on the sessions of its window alone, bit for bit, and each shorter window is
computed once and shared. ``newer`` ends at the session itself, ``older`` ends ``lag`` sessions before.

No kernel may write to a row it reads: the program gives every instruction a row of its own.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.expressions.compiled import kernel

Row = NDArray[np.float64]
#: qlib 0.9.7 calls a standard deviation at or below this zero (rsquare and corr).
FLAT_STD = 2e-5


@kernel
def shift(out: Row, x: Row, lag: int) -> None:
    """Write ``x`` moved ``lag`` sessions later (earlier where negative), NaN where nothing is known."""
    n = len(out)
    for t in range(n):
        out[t] = x[t - lag] if 0 <= t - lag < n else np.nan


@kernel
def divide(out: Row, a: Row, b: Row) -> None:
    """Write the quotient, NaN where it is not finite."""
    for t in range(len(out)):
        q = a[t] / b[t]
        out[t] = q if abs(q) < np.inf else np.nan


@kernel
def logarithm(out: Row, x: Row) -> None:
    """Write the natural logarithm, NaN at zero and below."""
    for t in range(len(out)):
        out[t] = math.log(x[t]) if x[t] > 0.0 else np.nan


@kernel
def compare(out: Row, a: Row, b: Row, or_equal: int) -> None:
    """Write 1.0 where ``a`` is above ``b`` (or equal, if asked), else 0.0; NaN where either is."""
    for t in range(len(out)):
        if math.isnan(a[t]) or math.isnan(b[t]):
            out[t] = np.nan
        else:
            out[t] = 1.0 if a[t] > b[t] or (or_equal != 0 and a[t] == b[t]) else 0.0


@kernel
def larger(out: Row, a: Row, b: Row) -> None:
    """Write the larger value, NaN where either is."""
    for t in range(len(out)):
        sure = a[t] if a[t] > b[t] else b[t]
        out[t] = sure if a[t] == a[t] else a[t]


@kernel
def smaller(out: Row, a: Row, b: Row) -> None:
    """Write the smaller value, NaN where either is."""
    for t in range(len(out)):
        sure = a[t] if a[t] < b[t] else b[t]
        out[t] = sure if a[t] == a[t] else a[t]


@kernel
def mask_by(out: Row, x: Row, other: Row) -> None:
    """Write ``x`` where ``other`` is known, NaN elsewhere."""
    for t in range(len(out)):
        out[t] = np.nan if math.isnan(other[t]) else x[t]


@kernel
def known(out: Row, x: Row) -> None:
    """Write 1.0 where ``x`` is known, else 0.0."""
    for t in range(len(out)):
        out[t] = 0.0 if math.isnan(x[t]) else 1.0


@kernel
def zero_filled(out: Row, x: Row) -> None:
    """Write ``x`` with 0.0 for NaN."""
    for t in range(len(out)):
        out[t] = 0.0 if math.isnan(x[t]) else x[t]


@kernel
def session_numbers(out: Row, x: Row) -> None:
    """Write the session's number where ``x`` is known, else 0.0.

    Sums and differences of them are exact integers, so the number of the first session leaves no trace in any result.
    """
    for t in range(len(out)):
        out[t] = 0.0 if math.isnan(x[t]) else float(t)


@kernel
def add_windows(out: Row, newer: Row, older: Row, lag: int) -> None:
    """Write the sum over the joined window."""
    n = len(out)
    for t in range(min(lag, n)):
        out[t] = newer[t]
    for t in range(lag, n):
        out[t] = newer[t] + older[t - lag]


@kernel
def join_comoments(
    out: Row,
    c_newer: Row,
    c_older: Row,
    x_newer: Row,
    x_older: Row,
    y_newer: Row,
    y_older: Row,
    n_newer: Row,
    n_older: Row,
    lag: int,
) -> None:
    """Write the sum of products of deviations over the joined window, from those, sums and counts of both parts.

    Source: Chan, Golub, LeVeque (1979), "Updating formulae and a pairwise algorithm for computing sample variances".
    """
    n = len(out)
    for t in range(min(lag, n)):
        out[t] = c_newer[t]
    for t in range(lag, n):
        na, nb = n_newer[t], n_older[t - lag]
        dx = x_newer[t] * nb - x_older[t - lag] * na
        dy = y_newer[t] * nb - y_older[t - lag] * na
        weight = na * nb * (na + nb)
        out[t] = c_newer[t] + c_older[t - lag] + dx * dy / (weight if weight > 0.0 else 1.0)


@kernel
def sum_of(out: Row, s: Row, n: Row) -> None:
    """Write the sum, NaN where nothing is known."""
    for t in range(len(out)):
        out[t] = s[t] if n[t] > 0.0 else np.nan


@kernel
def std_of(out: Row, m: Row, n: Row) -> None:
    """Write the sample standard deviation."""
    for t in range(len(out)):
        out[t] = math.sqrt(max(m[t], 0.0) / (n[t] - 1.0)) if n[t] > 1.0 else np.nan


@kernel
def slope_of(out: Row, c: Row, m_time: Row, n: Row) -> None:
    """Write the regression slope on session numbers."""
    for t in range(len(out)):
        out[t] = c[t] / m_time[t] if n[t] > 1.0 else np.nan


@kernel
def resi_of(out: Row, x: Row, s: Row, c: Row, m_time: Row, s_time: Row, n: Row) -> None:
    """Write the residual of the current value; ``t * n - s_time`` is an exact integer."""
    for t in range(len(out)):
        if n[t] > 1.0:
            out[t] = x[t] - (s[t] / n[t] + c[t] / m_time[t] * ((t * n[t] - s_time[t]) / n[t]))
        else:
            out[t] = np.nan


@kernel
def rsquare_of(out: Row, c: Row, m_time: Row, m: Row, n: Row) -> None:
    """Write the R squared, NaN where the series is flat."""
    for t in range(len(out)):
        flat = FLAT_STD * FLAT_STD * (n[t] - 1.0)
        out[t] = c[t] * c[t] / (m_time[t] * m[t]) if n[t] > 1.0 and m[t] > flat else np.nan


@kernel
def corr_of(out: Row, c: Row, m_x: Row, m_y: Row, n: Row) -> None:
    """Write the correlation, NaN where either series is flat."""
    for t in range(len(out)):
        flat = FLAT_STD * FLAT_STD * (n[t] - 1.0)
        if n[t] > 1.0 and m_x[t] > flat and m_y[t] > flat:
            out[t] = c[t] / (math.sqrt(m_x[t]) * math.sqrt(m_y[t]))
        else:
            out[t] = np.nan


@kernel
def low_filled(out: Row, x: Row, sign: float) -> None:
    """Write ``sign * x`` with minus infinity for NaN."""
    for t in range(len(out)):
        out[t] = -np.inf if math.isnan(x[t]) else sign * x[t]


@kernel
def max_windows(out: Row, newer: Row, older: Row, lag: int) -> None:
    """Write the maximum over the joined window."""
    n = len(out)
    for t in range(min(lag, n)):
        out[t] = newer[t]
    for t in range(lag, n):
        out[t] = newer[t] if newer[t] > older[t - lag] else older[t - lag]


@kernel
def extreme_of(out: Row, v: Row, sign: float) -> None:
    """Write the maximum in the series' own sign, NaN where nothing is known."""
    for t in range(len(out)):
        out[t] = sign * v[t] if v[t] > -np.inf else np.nan


@kernel
def join_indices(out: Row, v_newer: Row, i_newer: Row, v_older: Row, i_older: Row, lag: int) -> None:
    """Write the session number of the maximum over the joined window, the earliest among equals."""
    n = len(out)
    for t in range(min(lag, n)):
        out[t] = i_newer[t]
    for t in range(lag, n):
        out[t] = i_newer[t] if v_newer[t] > v_older[t - lag] else i_older[t - lag]


@kernel
def position_of(out: Row, v: Row, i: Row, window: int) -> None:
    """Write the 1-based position in the window, NaN where nothing is known."""
    for t in range(len(out)):
        out[t] = i[t] - t + window if v[t] > -np.inf else np.nan


@kernel
def rank_of(out: Row, x: Row, below: Row, n: Row, window: int) -> None:
    """Write the current value's rank over the count ``n``; ``below`` is scratch. NaN compares false, so is skipped."""
    rows = len(out)
    for t in range(rows):
        below[t] = 0.5
    for lag in range(min(window, rows)):
        for t in range(lag, rows):
            below[t] += (0.5 if x[t - lag] < x[t] else 0.0) + (0.5 if x[t - lag] <= x[t] else 0.0)
    for t in range(rows):
        out[t] = np.nan if math.isnan(x[t]) else below[t] / n[t]


@kernel
def insert_sorted(ordered: Row, size: int, value: float) -> None:
    """Put ``value`` into the first ``size`` ascending values, in place; there must be room for one more."""
    place = size
    while place > 0 and ordered[place - 1] > value:
        ordered[place] = ordered[place - 1]
        place -= 1
    ordered[place] = value


@kernel
def remove_sorted(ordered: Row, size: int, value: float) -> None:
    """Take one ``value`` out of the first ``size`` ascending values, in place."""
    place = 0
    while ordered[place] != value:
        place += 1
    for k in range(place, size - 1):
        ordered[k] = ordered[k + 1]


@kernel
def quantile_of(out: Row, x: Row, window: int, level: float) -> None:
    """Write the quantile: the window is kept sorted; order statistics are exact, so no history enters the result."""
    ordered = np.empty(window + 1)
    size = 0
    for t in range(len(out)):
        if t >= window and not math.isnan(x[t - window]):
            remove_sorted(ordered, size, x[t - window])
            size -= 1
        if not math.isnan(x[t]):
            insert_sorted(ordered, size, x[t])
            size += 1
        if size == 0:
            out[t] = np.nan
            continue
        place = level * (size - 1)
        low = int(place)
        out[t] = ordered[low]
        if low + 1 < size:
            out[t] += (ordered[low + 1] - ordered[low]) * (place - low)
