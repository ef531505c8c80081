"""What the formulas of ``alpha101.py`` are written with: the paper's inputs and functions in this language's words.

The decisions behind them are told in ``alpha101.py``. Not here: the formulas (``alpha101_to_50.py``,
``alpha101_from_51.py``).
"""

from __future__ import annotations

from ljwx_pipeline.expressions import operators as op
from ljwx_pipeline.expressions.nodes import Expr, Operand, as_expr
from ljwx_pipeline.factors.catalogue import Factor

SOURCE = "Kakushadze (2016), 101 Formulaic Alphas, Wilmott 84, arXiv:1601.00991"
#: What is ranked or compared is rounded to so many decimals.
DECIMALS = 10

OPEN, HIGH, LOW, CLOSE = op.field("open"), op.field("high"), op.field("low"), op.field("close")
VWAP, VOLUME, AMOUNT = op.field("vwap"), op.field("volume"), op.field("amount_cny")
CAP = op.field("market_value_cny")
#: The one level of industry there is; the paper's sector, industry and subindustry are all this.
INDUSTRY = op.field("industry")
RETURNS = CLOSE / op.ref(CLOSE, 1) - 1
MIDDLE = (HIGH + LOW) / 2

#: Units of values: without one, a price difference, yes or no.
SCORE, CNY, FLAG = "score", "CNY", "flag"


def alpha(number: int, expression: Expr, meaning: str, unit: str = SCORE) -> Factor:
    """Return the factor of the paper's number, named as ``ALPHA007``."""
    return Factor(f"ALPHA{number:03d}", expression, meaning, f"{SOURCE}, alpha {number}", unit)


def rank(series: Expr) -> Expr:
    """Return the rank in the cross-section, of values rounded so that equals are equal."""
    return op.cs_rank(op.rounded(series, DECIMALS))


def ts_rank(series: Expr, window: float) -> Expr:
    """Return the rank among the last sessions' values, rounded as in ``rank``."""
    return op.rank(op.rounded(series, DECIMALS), int(window))


def ts_argmax(series: Expr, window: float) -> Expr:
    """Return the position of the largest value, ``window`` for now, rounded as in ``rank``."""
    return op.idx_max(op.rounded(series, DECIMALS), int(window))


def ts_argmin(series: Expr, window: float) -> Expr:
    """Return the position of the smallest value, ``window`` for now, rounded as in ``rank``."""
    return op.idx_min(op.rounded(series, DECIMALS), int(window))


def ts_max(series: Expr, window: float) -> Expr:
    """Return the largest value of the last sessions."""
    return op.rolling_max(series, int(window))


def ts_min(series: Expr, window: float) -> Expr:
    """Return the smallest value of the last sessions."""
    return op.rolling_min(series, int(window))


def total(series: Expr, window: float) -> Expr:
    """Return the paper's ``sum``: so many times the mean of the known values, a suspended session counting as those."""
    return op.mean(series, int(window)) * int(window)


def average(series: Expr, window: float) -> Expr:
    """Return the paper's ``sum(x, d) / d``."""
    return op.mean(series, int(window))


def stddev(series: Expr, window: float) -> Expr:
    """Return the sample standard deviation over the last sessions."""
    return op.std(series, int(window))


def correlation(left: Expr, right: Expr, window: float) -> Expr:
    """Return the correlation over the last sessions."""
    return op.corr(left, right, int(window))


def covariance(left: Expr, right: Expr, window: float) -> Expr:
    """Return the sample covariance over the last sessions."""
    return op.cov(left, right, int(window))


def decay_linear(series: Expr, window: float) -> Expr:
    """Return the mean of the last sessions, the newest weighing most."""
    return op.decay_linear(series, int(window))


def delta(series: Expr, sessions: float) -> Expr:
    """Return the change over so many sessions."""
    return op.delta(series, int(sessions))


def delay(series: Expr, sessions: float) -> Expr:
    """Return the value so many sessions ago."""
    return op.ref(series, int(sessions))


def adv(window: int) -> Expr:
    """Return the mean money traded a session."""
    return op.mean(AMOUNT, window)


def relative_amount(window: int) -> Expr:
    """Return the paper's ``volume / adv{d}``, both in money."""
    return AMOUNT / adv(window)


def indneutralize(series: Expr) -> Expr:
    """Return the value less its industry's mean in the cross-section."""
    return op.group_demean(series, INDUSTRY)


def mix(first: Expr, second: Expr, share: float) -> Expr:
    """Return the paper's ``x * share + y * (1 - share)``."""
    return first * share + second * (1 - share)


def lower(left: Operand, right: Operand) -> Expr:
    """Return the paper's ``left < right``, both rounded as in ``rank``."""
    return _compared(left) < _compared(right)


def below(left: Expr, right: Expr) -> Expr:
    """Return the paper's ``(left < right) * -1``: -1 where it is so, else 0."""
    return lower(left, right) * -1


def _compared(operand: Operand) -> Expr:
    return op.rounded(operand, DECIMALS) if isinstance(operand, Expr) else as_expr(operand)
