"""The 158 factors of qlib's Alpha158, by their names and in their order.

Source: microsoft/qlib 0.9.7, ``Alpha158DL.get_feature_config``. Where qlib's values are wrong ours differ on purpose:
IMAX, IMIN and IMXD beside suspensions and at the start of a history (see ``operators.idx_max``); CNTP, CNTN and CNTD
where a comparison meets NaN (not counted, where qlib counts false); KSFT2 and its like, whose ``+ 1e-12`` vanishes in
qlib's float32 prices (ours are float64 until stored).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
from ljwx_pipeline.factors.catalogue import Catalogue, catalogue

WINDOWS = (5, 10, 20, 30, 60)
#: Added to denominators that may be zero, as in qlib.
TINY = 1e-12

OPEN, HIGH, LOW, CLOSE = field("open"), field("high"), field("low"), field("close")
VWAP, VOLUME = field("vwap"), field("volume")

Family = Callable[[int], Expr]


def alpha158() -> Catalogue:
    """Return the catalogue: 9 candle shapes, 4 prices, 29 families over windows of 5, 10, 20, 30 and 60 sessions."""
    return catalogue("alpha158", [*_candles(), *_prices(), *_rolling()])


def _candles() -> Iterator[tuple[str, Expr]]:
    spread = HIGH - LOW + TINY
    upper, lower = HIGH - greater(OPEN, CLOSE), less(OPEN, CLOSE) - LOW
    shift = 2 * CLOSE - HIGH - LOW
    yield "KMID", (CLOSE - OPEN) / OPEN
    yield "KLEN", (HIGH - LOW) / OPEN
    yield "KMID2", (CLOSE - OPEN) / spread
    yield "KUP", upper / OPEN
    yield "KUP2", upper / spread
    yield "KLOW", lower / OPEN
    yield "KLOW2", lower / spread
    yield "KSFT", shift / OPEN
    yield "KSFT2", shift / spread


def _prices() -> Iterator[tuple[str, Expr]]:
    for name, price in (("OPEN0", OPEN), ("HIGH0", HIGH), ("LOW0", LOW), ("VWAP0", VWAP)):
        yield name, price / CLOSE


def _rolling() -> Iterator[tuple[str, Expr]]:
    before = ref(CLOSE, 1)
    rise, fall = before < CLOSE, before > CLOSE
    families: dict[str, Family] = {
        "ROC": lambda n: ref(CLOSE, n) / CLOSE,
        "MA": lambda n: mean(CLOSE, n) / CLOSE,
        "STD": lambda n: std(CLOSE, n) / CLOSE,
        "BETA": lambda n: slope(CLOSE, n) / CLOSE,
        "RSQR": lambda n: rsquare(CLOSE, n),
        "RESI": lambda n: resi(CLOSE, n) / CLOSE,
        "MAX": lambda n: rolling_max(HIGH, n) / CLOSE,
        "MIN": lambda n: rolling_min(LOW, n) / CLOSE,
        "QTLU": lambda n: quantile(CLOSE, n, 0.8) / CLOSE,
        "QTLD": lambda n: quantile(CLOSE, n, 0.2) / CLOSE,
        "RANK": lambda n: rank(CLOSE, n),
        "RSV": lambda n: (CLOSE - rolling_min(LOW, n)) / (rolling_max(HIGH, n) - rolling_min(LOW, n) + TINY),
        "IMAX": lambda n: idx_max(HIGH, n) / n,
        "IMIN": lambda n: idx_min(LOW, n) / n,
        "IMXD": lambda n: (idx_max(HIGH, n) - idx_min(LOW, n)) / n,
        "CORR": lambda n: corr(CLOSE, log(VOLUME + 1), n),
        "CORD": lambda n: corr(CLOSE / before, log(VOLUME / ref(VOLUME, 1) + 1), n),
        "CNTP": lambda n: mean(rise, n),
        "CNTN": lambda n: mean(fall, n),
        "CNTD": lambda n: mean(rise, n) - mean(fall, n),
        **_gains("SUM", CLOSE),
        "VMA": lambda n: mean(VOLUME, n) / (VOLUME + TINY),
        "VSTD": lambda n: std(VOLUME, n) / (VOLUME + TINY),
        "WVMA": _weighted_volatility,
        **_gains("VSUM", VOLUME),
    }
    for name, family in families.items():
        for window in WINDOWS:
            yield f"{name}{window}", family(window)


def _gains(prefix: str, series: Expr) -> dict[str, Family]:
    """Return the shares of rises (P), of falls (N) and their difference (D) in all movement of ``series``."""
    before = ref(series, 1)

    def rises(n: int) -> Expr:
        return rolling_sum(greater(series - before, 0), n)

    def falls(n: int) -> Expr:
        return rolling_sum(greater(before - series, 0), n)

    def movement(n: int) -> Expr:
        return rolling_sum(absolute(series - before), n) + TINY

    return {
        f"{prefix}P": lambda n: rises(n) / movement(n),
        f"{prefix}N": lambda n: falls(n) / movement(n),
        f"{prefix}D": lambda n: (rises(n) - falls(n)) / movement(n),
    }


def _weighted_volatility(window: int) -> Expr:
    weighted = absolute(CLOSE / ref(CLOSE, 1) - 1) * VOLUME
    return std(weighted, window) / (mean(weighted, window) + TINY)
