"""The words factors and labels are written with.

NaN policy, for all of them: a session without a bar is NaN. Elementwise operations on NaN give NaN, comparisons too
(qlib counts them as false, which is why its CNTP, CNTN and CNTD are wrong beside suspensions). Windowed operations
skip NaN and need one known value (two for ``std``, ``slope``, ``rsquare``, ``resi`` and ``corr``); ``rank`` and
``resi`` also need the current one. A quotient or logarithm that is not finite is NaN. A window is the last N sessions
of the calendar, suspended or not, and never more: sessions before the first one of the panel count as NaN.
"""

from __future__ import annotations

from ljwx_pipeline.expressions.nodes import (
    Apply,
    Corr,
    Elementwise,
    Expr,
    Field,
    Operand,
    Quantile,
    Ref,
    Rolling,
    Statistic,
    as_expr,
)


def field(name: str) -> Expr:
    """Return the panel field called ``name``."""
    return Field(name)


def ref(series: Expr, sessions: int) -> Expr:
    """Return ``series`` as it was ``sessions`` earlier; negative looks ahead and makes the result a label."""
    return Ref(series, sessions) if sessions else series


def greater(left: Operand, right: Operand) -> Expr:
    """Return the larger of two values."""
    return Apply(Elementwise.GREATER, (as_expr(left), as_expr(right)))


def less(left: Operand, right: Operand) -> Expr:
    """Return the smaller of two values."""
    return Apply(Elementwise.LESS, (as_expr(left), as_expr(right)))


def absolute(series: Expr) -> Expr:
    """Return the absolute value."""
    return Apply(Elementwise.ABS, (series,))


def log(series: Expr) -> Expr:
    """Return the natural logarithm; NaN at zero and below."""
    return Apply(Elementwise.LOG, (series,))


def rolling_sum(series: Expr, window: int) -> Expr:
    """Return the sum of the known values."""
    return Rolling(window, Statistic.SUM, series)


def mean(series: Expr, window: int) -> Expr:
    """Return the mean of the known values."""
    return Rolling(window, Statistic.MEAN, series)


def std(series: Expr, window: int) -> Expr:
    """Return the sample standard deviation (n - 1) of the known values."""
    return Rolling(window, Statistic.STD, series)


def slope(series: Expr, window: int) -> Expr:
    """Return the least-squares slope of the known values on their session number, in units a session."""
    return Rolling(window, Statistic.SLOPE, series)


def rsquare(series: Expr, window: int) -> Expr:
    """Return the R squared of that regression; NaN where the standard deviation is at most 2e-5, as in qlib."""
    return Rolling(window, Statistic.RSQUARE, series)


def resi(series: Expr, window: int) -> Expr:
    """Return the current value's residual in that regression."""
    return Rolling(window, Statistic.RESI, series)


def rolling_max(series: Expr, window: int) -> Expr:
    """Return the largest known value."""
    return Rolling(window, Statistic.MAX, series)


def rolling_min(series: Expr, window: int) -> Expr:
    """Return the smallest known value."""
    return Rolling(window, Statistic.MIN, series)


def idx_max(series: Expr, window: int) -> Expr:
    """Return the 1-based position of the largest known value in the window, the earliest among equals.

    ``window`` means the current session. qlib takes numpy's argmax, which answers the position of the first NaN where
    the window holds one, and counts from the first row where history is shorter than the window; here the position is
    always that of the largest value, in the full window.
    """
    return Rolling(window, Statistic.IDX_MAX, series)


def idx_min(series: Expr, window: int) -> Expr:
    """Return the 1-based position of the smallest known value in the window; see ``idx_max``."""
    return Rolling(window, Statistic.IDX_MIN, series)


def rank(series: Expr, window: int) -> Expr:
    """Return the current value's rank among the known values, divided by their number; equals share the mean rank."""
    return Rolling(window, Statistic.RANK, series)


def quantile(series: Expr, window: int, level: float) -> Expr:
    """Return the ``level`` quantile of the known values, linear between order statistics."""
    return Quantile(window, level, series)


def corr(left: Expr, right: Expr, window: int) -> Expr:
    """Return the correlation where both are known; NaN where a standard deviation is at most 2e-5, as in qlib."""
    return Corr(window, left, right)
