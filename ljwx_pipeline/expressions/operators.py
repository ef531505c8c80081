"""The words factors and labels are written with; ``docs/factors.md`` lists them.

NaN policy, for all of them: a session without a bar is NaN. Elementwise operations on NaN give NaN, comparisons too
(qlib counts them as false, which is why its CNTP, CNTN and CNTD are wrong beside suspensions); only ``and_`` and
``or_`` know an answer where one side settles it. Windowed operations skip NaN and need one known value (two for
``std``, ``var``, ``zscore``, ``slope``, ``rsquare``, ``resi``, ``corr``, ``cov`` and ``beta``, three for ``skew`` and
``resid_std``, four for ``kurt``); ``rank``, ``resi``, ``zscore`` and ``streak`` also need the current one. A quotient,
logarithm, root or power that is not finite is NaN. A window is the last N sessions of the calendar, suspended or not,
and never more: sessions before the first one of the panel count as NaN.

A cross-section is one session's known values of its members: the symbols whose field ``in_universe`` is 1 on that very
session, or every symbol where the panel has no such field. A symbol outside it is NaN and enters no statistic. It
reads no other session, so it adds nothing to a window.

Every series has a kind. Arithmetic takes numbers, and flags as 0 and 1; logic takes flags; grouping takes categories.
Another kind is refused where the factor is written.
"""

from __future__ import annotations

from ljwx_pipeline.expressions.fields import FIELDS
from ljwx_pipeline.expressions.nodes import (
    Apply,
    Corr,
    CrossSection,
    Ema,
    Expr,
    Field,
    Operand,
    Pair,
    Quantile,
    Ref,
    Rolling,
    as_expr,
    require_flag,
)
from ljwx_pipeline.expressions.operations import CrossStatistic, Elementwise, Kind, PairStatistic, Statistic


def field(name: str, kind: Kind | None = None) -> Expr:
    """Return the panel field called ``name``; its kind is that of ``fields.py``, or a number where it is not there."""
    known = FIELDS[name].kind if name in FIELDS else Kind.NUMBER
    return Field(name, known if kind is None else kind)


def ref(series: Expr, sessions: int) -> Expr:
    """Return ``series`` as it was ``sessions`` earlier; negative looks ahead and makes the result a label."""
    return Ref(series, sessions) if sessions else series


def delta(series: Expr, sessions: int) -> Expr:
    """Return ``series`` less what it was ``sessions`` earlier."""
    return series - ref(series, sessions)


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


def exp(series: Expr) -> Expr:
    """Return e to the power of the series; NaN where that is not finite."""
    return Apply(Elementwise.EXP, (series,))


def sqrt(series: Expr) -> Expr:
    """Return the square root; NaN below zero."""
    return Apply(Elementwise.SQRT, (series,))


def sign(series: Expr) -> Expr:
    """Return -1, 0 or 1."""
    return Apply(Elementwise.SIGN, (series,))


def power(series: Operand, exponent: Operand) -> Expr:
    """Return ``series ** exponent``; NaN where that is not a finite real number."""
    return Apply(Elementwise.POWER, (as_expr(series), as_expr(exponent)))


def signed_power(series: Operand, exponent: Operand) -> Expr:
    """Return ``sign(series) * absolute(series) ** exponent``. Source: Kakushadze (2016), "101 Formulaic Alphas"."""
    return Apply(Elementwise.SIGNED_POWER, (as_expr(series), as_expr(exponent)))


def rounded(series: Expr, decimals: int) -> Expr:
    """Return the value rounded to ``decimals``, half to even.

    Before a rank it makes equals of values that differ by what computing them left behind, such as two correlations
    of 1.
    """
    return Apply(Elementwise.ROUND, (series, as_expr(decimals)))


def clip(series: Expr, low: Operand, high: Operand) -> Expr:
    """Return ``series`` held between ``low`` and ``high``."""
    return less(greater(series, low), high)


def equal(left: Operand, right: Operand) -> Expr:
    """Return whether two values, or two categories, are the same; NaN where either is."""
    return Apply(Elementwise.EQUAL, (as_expr(left), as_expr(right)))


def and_(left: Expr, right: Expr) -> Expr:
    """Return whether both flags are true: 0 where one is false, else NaN where one is unknown; also ``a & b``."""
    return Apply(Elementwise.AND, (left, right))


def or_(left: Expr, right: Expr) -> Expr:
    """Return whether a flag is true: 1 where one is true, else NaN where one is unknown; also ``a | b``."""
    return Apply(Elementwise.OR, (left, right))


def not_(flag: Expr) -> Expr:
    """Return whether the flag is false; also ``~flag``."""
    return Apply(Elementwise.NOT, (flag,))


def where(condition: Expr, then: Operand, otherwise: Operand) -> Expr:
    """Return ``then`` where the flag is true, ``otherwise`` where it is false, NaN where it is unknown."""
    return Apply(Elementwise.WHERE, (condition, as_expr(then), as_expr(otherwise)))


def mask(series: Expr, condition: Expr) -> Expr:
    """Return ``series`` where the flag is true, NaN elsewhere: windows and cross-sections then skip it."""
    return Apply(Elementwise.MASK, (series, condition))


def is_known(series: Expr) -> Expr:
    """Return whether there is a value: 1 or 0, never NaN."""
    return Apply(Elementwise.IS_KNOWN, (series,))


def fill(series: Expr, constant: float) -> Expr:
    """Return ``series`` with ``constant`` for NaN; only ``last_known`` takes a value from another session."""
    return Apply(Elementwise.FILL, (series, as_expr(constant)))


def last_known(series: Expr, window: int) -> Expr:
    """Return the newest known value of the window, whatever its kind."""
    return Rolling(window, Statistic.LAST_KNOWN, series)


def rolling_sum(series: Expr, window: int) -> Expr:
    """Return the sum of the known values."""
    return Rolling(window, Statistic.SUM, series)


def mean(series: Expr, window: int) -> Expr:
    """Return the mean of the known values."""
    return Rolling(window, Statistic.MEAN, series)


def std(series: Expr, window: int) -> Expr:
    """Return the sample standard deviation (n - 1) of the known values."""
    return Rolling(window, Statistic.STD, series)


def product(series: Expr, window: int) -> Expr:
    """Return the product of the known values."""
    return Rolling(window, Statistic.PRODUCT, series)


def var(series: Expr, window: int) -> Expr:
    """Return the sample variance (n - 1) of the known values."""
    return Rolling(window, Statistic.VAR, series)


def skew(series: Expr, window: int) -> Expr:
    """Return the sample skewness corrected for bias, as pandas; NaN where all values are equal."""
    return Rolling(window, Statistic.SKEW, series)


def kurt(series: Expr, window: int) -> Expr:
    """Return the sample excess kurtosis corrected for bias, as pandas; NaN where all values are equal."""
    return Rolling(window, Statistic.KURT, series)


def mean_deviation(series: Expr, window: int) -> Expr:
    """Return the mean absolute deviation from the mean of the known values."""
    return Rolling(window, Statistic.MEAN_DEVIATION, series)


def zscore(series: Expr, window: int) -> Expr:
    """Return the current value less the mean, over the sample standard deviation; NaN where all values are equal."""
    return Rolling(window, Statistic.ZSCORE, series)


def decay_linear(series: Expr, window: int) -> Expr:
    """Return the mean weighted ``window`` for the newest session down to 1, over the known values' weights.

    Source: Kakushadze (2016), "101 Formulaic Alphas"; with suspensions the weights left are scaled up to sum to 1.
    """
    return Rolling(window, Statistic.DECAY_LINEAR, series)


def ema(series: Expr, window: int, alpha: float | None = None) -> Expr:
    """Return the mean weighted ``(1 - alpha) ** age``, cut off at the window, over the known values' weights.

    ``alpha`` is ``2 / (window + 1)`` if None. The textbook average never ends; this one is finite, so that a value
    depends on its window alone. With ``alpha`` of ``2 / (n + 1)`` a window of n sessions holds 86 % of the endless
    weights, 3 n hold 99.7 %: ``ema(close, 36, alpha=2 / 13)`` is the twelve-session average of MACD.
    """
    return Ema(window, 2 / (window + 1) if alpha is None and window > 0 else alpha or 0.0, series)


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


def median(series: Expr, window: int) -> Expr:
    """Return the median of the known values."""
    return Quantile(window, 0.5, series)


def quantile(series: Expr, window: int, level: float) -> Expr:
    """Return the ``level`` quantile of the known values, linear between order statistics."""
    return Quantile(window, level, series)


def corr(left: Expr, right: Expr, window: int) -> Expr:
    """Return the correlation where both are known; NaN where a standard deviation is at most 2e-5, as in qlib."""
    return Corr(window, left, right)


def cov(left: Expr, right: Expr, window: int) -> Expr:
    """Return the sample covariance (n - 1) over the sessions where both are known."""
    return Pair(window, PairStatistic.COV, left, right)


def beta(left: Expr, right: Expr, window: int) -> Expr:
    """Return the least-squares slope of ``left`` on ``right`` where both are known; NaN where ``right`` is flat."""
    return Pair(window, PairStatistic.BETA, left, right)


def resid_std(left: Expr, right: Expr, window: int) -> Expr:
    """Return the standard deviation (n - 2) of that regression's residuals; NaN where ``right`` is flat."""
    return Pair(window, PairStatistic.RESID_STD, left, right)


def count(flag: Expr, window: int) -> Expr:
    """Return in how many sessions the flag is true; NaN where it is known in none."""
    require_flag(flag, "count")
    return rolling_sum(flag, window)


def coverage(series: Expr, window: int) -> Expr:
    """Return the share of the window's sessions with a value, suspended and unlisted sessions counting against it."""
    return Rolling(window, Statistic.COVERAGE, series)


def sessions_since(flag: Expr, window: int) -> Expr:
    """Return the sessions since the flag was last true, 0 for now; NaN where it was not in the window."""
    return Rolling(window, Statistic.SESSIONS_SINCE, flag)


def streak(flag: Expr, window: int) -> Expr:
    """Return in how many known sessions in a row, ending now, the flag is true, counting no further than the window.

    A suspended session neither counts nor ends the run; the current one must be known.
    """
    return Rolling(window, Statistic.STREAK, flag)


def cs_rank(series: Expr) -> Expr:
    """Return the rank in the cross-section over the number of values, in (0, 1]; equals share the mean rank."""
    return CrossSection(CrossStatistic.RANK, series)


def cs_zscore(series: Expr) -> Expr:
    """Return the value less the cross-section's mean, over its sample standard deviation; NaN where all are equal."""
    return CrossSection(CrossStatistic.ZSCORE, series)


def cs_demean(series: Expr) -> Expr:
    """Return the value less the cross-section's mean."""
    return CrossSection(CrossStatistic.DEMEAN, series)


def cs_mean(series: Expr) -> Expr:
    """Return the cross-section's mean, for every member whose own value is known."""
    return CrossSection(CrossStatistic.MEAN, series)


def cs_scale(series: Expr) -> Expr:
    """Return the value over the sum of absolute values, so that those sum to 1; NaN where all are 0."""
    return CrossSection(CrossStatistic.SCALE, series)


def winsorise(series: Expr, lower: float = 0.01, upper: float = 0.99) -> Expr:
    """Return the value held between two quantiles of the cross-section, linear between order statistics."""
    return CrossSection(CrossStatistic.WINSORISE, series, limits=(lower, upper))


def winsorise_mad(series: Expr, deviations: float = 3.0) -> Expr:
    """Return the value held within ``deviations * 1.4826 * MAD`` of the cross-section's median; unchanged if MAD is 0.

    MAD is the median absolute deviation from the median; 1.4826 makes it a standard deviation for normal values.
    """
    return CrossSection(CrossStatistic.WINSORISE_MAD, series, limits=(deviations,))


def neutralise(series: Expr, *regressors: Expr, by: Expr | None = None) -> Expr:
    """Return what a least-squares regression in the cross-section leaves: on ``by``'s groups and on ``regressors``.

    Each group has its own intercept (one for all without ``by``). A symbol whose group or regressor is unknown is NaN
    and not regressed. A regressor collinear with the groups and the regressors before it is left out, and so are the
    last ones for which no degree of freedom would remain: what is left is the value less its group's mean. The only
    member of a group is 0.
    """
    return CrossSection(CrossStatistic.NEUTRALISE, series, by, regressors)


def group_rank(series: Expr, group: Expr) -> Expr:
    """Return the rank within the symbol's group over the group's number of values, as in ``cs_rank``."""
    return CrossSection(CrossStatistic.GROUP_RANK, series, group)


def group_zscore(series: Expr, group: Expr) -> Expr:
    """Return ``cs_zscore`` within the symbol's group; NaN for its only member."""
    return CrossSection(CrossStatistic.GROUP_ZSCORE, series, group)


def group_demean(series: Expr, group: Expr) -> Expr:
    """Return the value less its group's mean in the cross-section."""
    return CrossSection(CrossStatistic.GROUP_DEMEAN, series, group)


def group_mean(series: Expr, group: Expr) -> Expr:
    """Return the mean of the symbol's group in the cross-section."""
    return CrossSection(CrossStatistic.GROUP_MEAN, series, group)
