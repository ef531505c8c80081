"""The 158 factors of qlib's Alpha158, by their names and in their order.

Source: microsoft/qlib 0.9.7, ``Alpha158DL.get_feature_config``. Where qlib's values are wrong ours differ on purpose:
IMAX, IMIN and IMXD beside suspensions and at the start of a history (see ``operators.idx_max``); CNTP, CNTN and CNTD
where a comparison meets NaN (not counted, where qlib counts false); KSFT2, KMID2 and KUP2, since qlib's prices are
float32, in which a tick of a dear stock is a few units of the last place (ours are float64 until a value is stored).
"""

from __future__ import annotations

from collections.abc import Callable

from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.expressions.operators import (
    absolute,
    corr,
    field,
    greater,
    idx_max,
    idx_min,
    less,
    log,
    mean,
    quantile,
    rank,
    ref,
    resi,
    rolling_max,
    rolling_min,
    rolling_sum,
    rsquare,
    slope,
    std,
)
from ljwx_pipeline.factors.catalogue import Catalogue, Factor, catalogue, family

WINDOWS = (5, 10, 20, 30, 60)
#: Added to denominators that may be zero, as in qlib.
TINY = 1e-12
SOURCE = "qlib 0.9.7, Alpha158"

OPEN, HIGH, LOW, CLOSE = field("open"), field("high"), field("low"), field("close")
VWAP, VOLUME = field("vwap"), field("volume")
BEFORE = ref(CLOSE, 1)
RISE, FALL = BEFORE < CLOSE, BEFORE > CLOSE

Formula = Callable[[int], Expr]


def alpha158() -> Catalogue:
    """Return the catalogue: 9 candle shapes, 4 prices, 29 families over windows of 5, 10, 20, 30 and 60 sessions."""
    return catalogue(
        "alpha158", [*_candles(), *_prices(), *_trends(), *_extremes(), *_counts(), *_movements(), *_volumes()]
    )


def _candles() -> list[Factor]:
    spread = HIGH - LOW + TINY
    upper, lower = HIGH - greater(OPEN, CLOSE), less(OPEN, CLOSE) - LOW
    shift = 2 * CLOSE - HIGH - LOW
    return [
        _fraction("KMID", (CLOSE - OPEN) / OPEN, "close less open, over the open"),
        _fraction("KLEN", (HIGH - LOW) / OPEN, "high less low, over the open"),
        _fraction("KMID2", (CLOSE - OPEN) / spread, "close less open, over high less low"),
        _fraction("KUP", upper / OPEN, "upper shadow over the open"),
        _fraction("KUP2", upper / spread, "upper shadow over high less low"),
        _fraction("KLOW", lower / OPEN, "lower shadow over the open"),
        _fraction("KLOW2", lower / spread, "lower shadow over high less low"),
        _fraction("KSFT", shift / OPEN, "twice the close less high and low, over the open"),
        _fraction("KSFT2", shift / spread, "twice the close less high and low, over high less low"),
    ]


def _prices() -> list[Factor]:
    return [
        _fraction("OPEN0", OPEN / CLOSE, "open over the close"),
        _fraction("HIGH0", HIGH / CLOSE, "high over the close"),
        _fraction("LOW0", LOW / CLOSE, "low over the close"),
        _fraction("VWAP0", VWAP / CLOSE, "volume-weighted price over the close"),
    ]


def _trends() -> list[Factor]:
    return [
        *_family("ROC", lambda n: ref(CLOSE, n) / CLOSE, "close {n} sessions ago over the close"),
        *_family("MA", lambda n: mean(CLOSE, n) / CLOSE, "mean close of {n} sessions over the close"),
        *_family("STD", lambda n: std(CLOSE, n) / CLOSE, "standard deviation of {n} closes over the close"),
        *_family("BETA", lambda n: slope(CLOSE, n) / CLOSE, "slope of {n} closes over the close", "1 / session"),
        *_family("RSQR", lambda n: rsquare(CLOSE, n), "R squared of {n} closes on time: how straight they run"),
        *_family("RESI", lambda n: resi(CLOSE, n) / CLOSE, "residual of the close from the line through {n}, over it"),
    ]


def _extremes() -> list[Factor]:
    return [
        *_family("MAX", lambda n: rolling_max(HIGH, n) / CLOSE, "highest high of {n} sessions over the close"),
        *_family("MIN", lambda n: rolling_min(LOW, n) / CLOSE, "lowest low of {n} sessions over the close"),
        *_family("QTLU", lambda n: quantile(CLOSE, n, 0.8) / CLOSE, "80 % quantile of {n} closes over the close"),
        *_family("QTLD", lambda n: quantile(CLOSE, n, 0.2) / CLOSE, "20 % quantile of {n} closes over the close"),
        *_family("RANK", lambda n: rank(CLOSE, n), "rank of the close among {n}", "rank"),
        *_family(
            "RSV",
            lambda n: (CLOSE - rolling_min(LOW, n)) / (rolling_max(HIGH, n) - rolling_min(LOW, n) + TINY),
            "place of the close between lowest low and highest high of {n} sessions",
        ),
        *_family("IMAX", lambda n: idx_max(HIGH, n) / n, "when the highest high of {n} sessions was, 1 for now"),
        *_family("IMIN", lambda n: idx_min(LOW, n) / n, "when the lowest low of {n} sessions was, 1 for now"),
        *_family(
            "IMXD",
            lambda n: (idx_max(HIGH, n) - idx_min(LOW, n)) / n,
            "sessions from the lowest low to the highest high, over {n}",
        ),
    ]


def _counts() -> list[Factor]:
    return [
        *_family(
            "CORR",
            lambda n: corr(CLOSE, log(VOLUME + 1), n),
            "correlation of close and log volume over {n} sessions",
            "correlation",
        ),
        *_family(
            "CORD",
            lambda n: corr(CLOSE / BEFORE, log(VOLUME / ref(VOLUME, 1) + 1), n),
            "correlation of the close's and the volume's change over {n} sessions",
            "correlation",
        ),
        *_family("CNTP", lambda n: mean(RISE, n), "share of rises in {n} sessions"),
        *_family("CNTN", lambda n: mean(FALL, n), "share of falls in {n} sessions"),
        *_family("CNTD", lambda n: mean(RISE, n) - mean(FALL, n), "share of rises less that of falls in {n} sessions"),
    ]


def _movements() -> list[Factor]:
    return _gains("SUM", CLOSE, "close")


def _volumes() -> list[Factor]:
    return [
        *_family("VMA", lambda n: mean(VOLUME, n) / (VOLUME + TINY), "mean volume of {n} sessions over the volume"),
        *_family(
            "VSTD", lambda n: std(VOLUME, n) / (VOLUME + TINY), "standard deviation of {n} volumes over the volume"
        ),
        *_family("WVMA", _weighted_volatility, "standard deviation of {n} volume-weighted moves over their mean"),
        *_gains("VSUM", VOLUME, "volume"),
    ]


def _gains(prefix: str, series: Expr, what: str) -> list[Factor]:
    """Return the shares of rises (P), of falls (N) and their difference (D) in all movement of ``series``."""
    before = ref(series, 1)

    def rises(n: int) -> Expr:
        return rolling_sum(greater(series - before, 0), n)

    def falls(n: int) -> Expr:
        return rolling_sum(greater(before - series, 0), n)

    def movement(n: int) -> Expr:
        return rolling_sum(absolute(series - before), n) + TINY

    return [
        *_family(
            f"{prefix}P", lambda n: rises(n) / movement(n), f"rises in all movement of the {what} over {{n}} sessions"
        ),
        *_family(
            f"{prefix}N", lambda n: falls(n) / movement(n), f"falls in all movement of the {what} over {{n}} sessions"
        ),
        *_family(
            f"{prefix}D",
            lambda n: (rises(n) - falls(n)) / movement(n),
            f"rises less falls in all movement of the {what} over {{n}} sessions",
        ),
    ]


def _weighted_volatility(window: int) -> Expr:
    weighted = absolute(CLOSE / ref(CLOSE, 1) - 1) * VOLUME
    return std(weighted, window) / (mean(weighted, window) + TINY)


def _fraction(name: str, expression: Expr, meaning: str) -> Factor:
    return Factor(name, expression, meaning, SOURCE, "fraction")


def _family(prefix: str, formula: Formula, meaning: str, unit: str = "fraction") -> list[Factor]:
    return family(prefix, formula, WINDOWS, meaning=meaning, source=SOURCE, unit=unit)
