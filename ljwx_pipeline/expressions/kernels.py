"""Compiled kernels: one row (one symbol's sessions) in, one row out, float64 throughout.

Every windowed value is put together from shorter windows of fixed lengths (``program.split_window``), never from a
running sum over all history: it depends on the sessions of its window alone, bit for bit, and each shorter window is
computed once and shared. ``newer`` ends at the session itself, ``older`` ends ``lag`` sessions before.

No kernel may write to a row it reads: the program gives every instruction a row of its own. Loops over two windows run
over slices, because an index such as ``t - lag`` would have to be tested for being negative and keeps the compiler from
using vector instructions (measured: twice to three times the time). Not here: ranks and quantiles
(``order_kernels.py``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.compiled import kernel

Row = NDArray[np.float64]
#: qlib 0.9.7 calls a standard deviation at or below this zero (rsquare and corr).
FLAT_STD = 2e-5
#: What is not below this becomes infinite as float32.
FLOAT32_LIMIT = 2.0**128 - 2.0**103


@kernel
def finite(out: NDArray[np.floating[Any]], x: Row) -> None:
    """Write ``x``, NaN where it is not finite in the type of ``out``."""
    limit = FLOAT32_LIMIT if out.itemsize == 4 else np.inf
    for t in range(len(out)):
        out[t] = x[t] if abs(x[t]) < limit else np.nan


@kernel
def shift(out: Row, x: Row, lag: int) -> None:
    """Write ``x`` moved ``lag`` sessions later (earlier where negative), NaN where nothing is known."""
    n = len(out)
    for t in range(n):
        out[t] = x[t - lag] if 0 <= t - lag < n else np.nan


@kernel
def divide(out: NDArray[np.floating[Any]], a: Row, b: Row) -> None:
    """Write the quotient, NaN where it is not finite in the type of ``out``."""
    limit = FLOAT32_LIMIT if out.itemsize == 4 else np.inf
    for t in range(len(out)):
        q = a[t] / b[t]
        out[t] = q if abs(q) < limit else np.nan


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
    out[:lag] = newer[:lag]
    tail, newer_tail = out[lag:], newer[lag:]
    for i in range(len(tail)):
        tail[i] = newer_tail[i] + older[i]


@kernel
def join_weights(out: Row, n_newer: Row, n_older: Row, lag: int) -> None:
    """Write 1 / (na * nb * (na + nb)) for the counts of two windows to be joined, 0.0 where one is empty."""
    out[:lag] = 0.0
    tail, newer_tail = out[lag:], n_newer[lag:]
    for i in range(len(tail)):
        product = newer_tail[i] * n_older[i] * (newer_tail[i] + n_older[i])
        tail[i] = 1.0 / product if product > 0.0 else 0.0


@kernel
def mean_gaps(out: Row, s_newer: Row, s_older: Row, n_newer: Row, n_older: Row, lag: int) -> None:
    """Write the difference of two windows' means times both counts, from their sums."""
    out[:lag] = 0.0
    tail, s_tail, n_tail = out[lag:], s_newer[lag:], n_newer[lag:]
    for i in range(len(tail)):
        tail[i] = s_tail[i] * n_older[i] - s_older[i] * n_tail[i]


@kernel
def join_comoments(out: Row, c_newer: Row, c_older: Row, gap_x: Row, gap_y: Row, weight: Row, lag: int) -> None:
    """Write the sum of products of deviations over the joined window.

    Source: Chan, Golub, LeVeque (1979), "Updating formulae and a pairwise algorithm for computing sample variances".
    """
    out[:lag] = c_newer[:lag]
    tail, c_tail, x_tail, y_tail, w_tail = out[lag:], c_newer[lag:], gap_x[lag:], gap_y[lag:], weight[lag:]
    for i in range(len(tail)):
        tail[i] = c_tail[i] + c_older[i] + x_tail[i] * y_tail[i] * w_tail[i]


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
        correlation = c[t] / math.sqrt(m_x[t] * m_y[t])
        # all three are asked, so that nothing is jumped over and vector instructions are used
        out[t] = correlation if (n[t] > 1.0) & (m_x[t] > flat) & (m_y[t] > flat) else np.nan


@kernel
def low_filled(out: Row, x: Row, sign: float) -> None:
    """Write ``sign * x`` with minus infinity for NaN."""
    for t in range(len(out)):
        out[t] = -np.inf if math.isnan(x[t]) else sign * x[t]


@kernel
def max_windows(out: Row, newer: Row, older: Row, lag: int) -> None:
    """Write the maximum over the joined window."""
    out[:lag] = newer[:lag]
    tail, newer_tail = out[lag:], newer[lag:]
    for i in range(len(tail)):
        tail[i] = newer_tail[i] if newer_tail[i] > older[i] else older[i]


@kernel
def extreme_of(out: Row, v: Row, sign: float) -> None:
    """Write the maximum in the series' own sign, NaN where nothing is known."""
    for t in range(len(out)):
        out[t] = sign * v[t] if v[t] > -np.inf else np.nan


@kernel
def join_indices(out: Row, v_newer: Row, i_newer: Row, v_older: Row, i_older: Row, lag: int) -> None:
    """Write the session number of the maximum over the joined window, the earliest among equals."""
    out[:lag] = i_newer[:lag]
    tail, v_tail, i_tail = out[lag:], v_newer[lag:], i_newer[lag:]
    for i in range(len(tail)):
        tail[i] = i_tail[i] if v_tail[i] > v_older[i] else i_older[i]


@kernel
def position_of(out: Row, v: Row, i: Row, window: int) -> None:
    """Write the 1-based position in the window, NaN where nothing is known."""
    for t in range(len(out)):
        out[t] = i[t] - t + window if v[t] > -np.inf else np.nan
