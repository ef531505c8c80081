"""The 101 formulaic alphas in plain numpy, written from the paper's appendix and from nothing of ours.

The oracle of ``test_alpha101.py``. It follows the paper formula by formula, in the paper's own words, and the decisions
that ``alpha101.py`` states; every window is laid out in full, nothing is shared between two formulas. Not fast.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from ljwx_pipeline.market.panel import Panel

FLAT = 2e-5
DECIMALS = 10


def compared(comparison: Callable) -> Callable:
    """Of what rounds to the same 10 decimals neither is the larger."""
    return lambda a, b: comparison(np.round(a, DECIMALS), np.round(b, DECIMALS))


class Series:
    """Values of symbols and sessions; what is not finite is NaN, and a comparison with NaN is NaN."""

    def __init__(self, cells: np.ndarray) -> None:
        self.cells = np.where(np.isfinite(cells), cells, np.nan)

    def _with(self, other: Series | float, operation: Callable) -> Series:
        right = other.cells if isinstance(other, Series) else other
        with np.errstate(all="ignore"):
            out = operation(self.cells, right)
        if out.dtype == bool:
            out = np.where(np.isnan(self.cells) | np.isnan(right), np.nan, out)
        return Series(out)

    def __add__(self, other):
        return self._with(other, np.add)

    def __sub__(self, other):
        return self._with(other, np.subtract)

    def __rsub__(self, other):
        return self._with(other, lambda a, b: b - a)

    def __mul__(self, other):
        return self._with(other, np.multiply)

    def __truediv__(self, other):
        return self._with(other, np.divide)

    def __rtruediv__(self, other):
        return self._with(other, lambda a, b: b / a)

    def __pow__(self, other):
        # numpy's 1 ** NaN is 1
        return self._with(other, lambda a, b: np.where(np.isnan(a) | np.isnan(b), np.nan, np.power(a, b)))

    def __lt__(self, other):
        return self._with(other, compared(np.less))

    def __gt__(self, other):
        return self._with(other, compared(np.greater))

    def __le__(self, other):
        return self._with(other, compared(np.less_equal))

    def __ge__(self, other):
        return self._with(other, compared(np.greater_equal))

    __radd__, __rmul__ = __add__, __mul__


def abs_(x: Series) -> Series:
    return Series(np.abs(x.cells))


def sign(x: Series) -> Series:
    return Series(np.sign(x.cells))


def log(x: Series) -> Series:
    with np.errstate(all="ignore"):
        return Series(np.log(x.cells))


def either(condition: Series, then: Series | float, other: Series | float) -> Series:
    then, other = (y.cells if isinstance(y, Series) else y for y in (then, other))
    return Series(np.where(np.isnan(condition.cells), np.nan, np.where(condition.cells == 1, then, other)))


def larger(x: Series, y: Series) -> Series:
    return Series(np.maximum(x.cells, y.cells))


def smaller(x: Series, y: Series) -> Series:
    return Series(np.minimum(x.cells, y.cells))


def delay(x: Series, d: float) -> Series:
    out = np.full_like(x.cells, np.nan)
    out[:, int(d) :] = x.cells[:, : -int(d)]
    return Series(out)


def delta(x: Series, d: float) -> Series:
    return x - delay(x, d)


def windows(x: Series, d: float) -> np.ndarray:
    """Every window of every session, padded with NaN before the first."""
    padded = np.concatenate([np.full((len(x.cells), int(d) - 1), np.nan), x.cells], axis=1)
    return np.lib.stride_tricks.sliding_window_view(padded, int(d), axis=1)


def known_mean(w: np.ndarray) -> np.ndarray:
    n = (~np.isnan(w)).sum(axis=-1)
    return np.where(n > 0, np.nansum(w, axis=-1) / np.maximum(n, 1), np.nan)


def sum_(x: Series, d: float) -> Series:
    return Series(known_mean(windows(x, d)) * int(d))


def mean(x: Series, d: float) -> Series:
    return Series(known_mean(windows(x, d)))


def product(x: Series, d: float) -> Series:
    w = windows(x, d)
    return Series(np.where(np.isnan(w).all(axis=-1), np.nan, np.nanprod(w, axis=-1)))


def comoment(u: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    du, dw = u - known_mean(u)[..., None], w - known_mean(w)[..., None]
    return np.nansum(du * dw, axis=-1), (~np.isnan(u * w)).sum(axis=-1)


def stddev(x: Series, d: float) -> Series:
    total, n = comoment(windows(x, d), windows(x, d))
    return Series(np.where(n > 1, np.sqrt(total / np.maximum(n - 1, 1)), np.nan))


def pairs(x: Series, y: Series, d: float) -> tuple[np.ndarray, np.ndarray]:
    u, w = windows(x, d), windows(y, d)
    gone = np.isnan(u) | np.isnan(w)
    return np.where(gone, np.nan, u), np.where(gone, np.nan, w)


def covariance(x: Series, y: Series, d: float) -> Series:
    total, n = comoment(*pairs(x, y, d))
    return Series(np.where(n > 1, total / np.maximum(n - 1, 1), np.nan))


def correlation(x: Series, y: Series, d: float) -> Series:
    u, w = pairs(x, y, d)
    (both, n), (one, _), (other, _) = comoment(u, w), comoment(u, u), comoment(w, w)
    flat = FLAT**2 * (n - 1)
    good = (n > 1) & (one > flat) & (other > flat)
    with np.errstate(all="ignore"):
        return Series(np.where(good, both / np.sqrt(one) / np.sqrt(other), np.nan))


def decay_linear(x: Series, d: float) -> Series:
    w = windows(x, d)
    weights = np.where(np.isnan(w), 0.0, np.arange(1.0, int(d) + 1))
    with np.errstate(all="ignore"):
        return Series(np.nansum(w * weights, axis=-1) / weights.sum(axis=-1))


def ts_max(x: Series, d: float) -> Series:
    return Series(np.where(np.isnan(windows(x, d)), -np.inf, windows(x, d)).max(axis=-1))


def ts_min(x: Series, d: float) -> Series:
    return Series(np.where(np.isnan(windows(x, d)), np.inf, windows(x, d)).min(axis=-1))


def ts_argmax(x: Series, d: float) -> Series:
    w = windows(Series(np.round(x.cells, DECIMALS)), d)
    place = np.where(np.isnan(w), -np.inf, w).argmax(axis=-1) + 1.0
    return Series(np.where(np.isnan(w).all(axis=-1), np.nan, place))


def ts_argmin(x: Series, d: float) -> Series:
    return ts_argmax(-1 * x, d)


def ts_rank(x: Series, d: float) -> Series:
    w = windows(Series(np.round(x.cells, DECIMALS)), d)
    last = w[..., -1:]
    n = (~np.isnan(w)).sum(axis=-1)
    place = (w < last).sum(axis=-1) + ((w == last).sum(axis=-1) + 1) / 2
    return Series(np.where(np.isnan(last[..., 0]), np.nan, place / np.maximum(n, 1)))


def alpha101_reference(panel: Panel) -> dict[int, np.ndarray]:
    """Return every alpha by its number, float64 of shape ``(n_symbols, n_sessions)``."""
    open_, high, low, close = (Series(panel.fields[name]) for name in ("open", "high", "low", "close"))
    volume, vwap, amount = (Series(panel.fields[name]) for name in ("volume", "vwap", "amount_cny"))
    cap, group = Series(panel.fields["market_value_cny"]), panel.fields["industry"]
    member = panel.fields["in_universe"] == 1
    returns = close / delay(close, 1) - 1

    def members(x: Series) -> pd.DataFrame:
        return pd.DataFrame(np.where(member, x.cells, np.nan))

    def rank(x: Series) -> Series:
        return Series(members(Series(np.round(x.cells, DECIMALS))).rank(pct=True).to_numpy())

    def scale(x: Series) -> Series:
        inside = members(x)
        with np.errstate(all="ignore"):
            return Series((inside / inside.abs().sum()).to_numpy())

    def indneutralize(x: Series) -> Series:
        inside = np.where(np.isnan(group), np.nan, members(x).to_numpy())
        out = np.full_like(inside, np.nan)
        for t in range(inside.shape[1]):
            of_session = pd.Series(inside[:, t])
            out[:, t] = of_session - of_session.groupby(group[:, t]).transform("mean")
        return Series(out)

    def adv(d: int) -> Series:
        return mean(amount, d)

    busy = amount / adv(20)
    bend = ((delay(close, 20) - delay(close, 10)) / 10) - ((delay(close, 10) - close) / 10)
    place = ((close - low) - (high - close)) / (high - low)
    up = delta(close, 1)
    slow = delta((sum_(close, 100) / 100), 100) / delay(close, 100)
    alphas = {
        1: lambda: rank(ts_argmax(either(returns < 0, stddev(returns, 20), close) ** 2.0, 5)) - 0.5,
        2: lambda: -1 * correlation(rank(delta(log(volume), 2)), rank((close - open_) / open_), 6),
        3: lambda: -1 * correlation(rank(open_), rank(volume), 10),
        4: lambda: -1 * ts_rank(rank(low), 9),
        5: lambda: rank(open_ - (sum_(vwap, 10) / 10)) * (-1 * abs_(rank(close - vwap))),
        6: lambda: -1 * correlation(open_, volume, 10),
        7: lambda: either(adv(20) < amount, (-1 * ts_rank(abs_(delta(close, 7)), 60)) * sign(delta(close, 7)), -1),
        8: lambda: -1 * rank((sum_(open_, 5) * sum_(returns, 5)) - delay(sum_(open_, 5) * sum_(returns, 5), 10)),
        9: lambda: either(ts_min(up, 5) > 0, up, either(ts_max(up, 5) < 0, up, -1 * up)),
        10: lambda: rank(either(ts_min(up, 4) > 0, up, either(ts_max(up, 4) < 0, up, -1 * up))),
        11: lambda: (rank(ts_max(vwap - close, 3)) + rank(ts_min(vwap - close, 3))) * rank(delta(volume, 3)),
        12: lambda: sign(delta(volume, 1)) * (-1 * delta(close, 1)),
        13: lambda: -1 * rank(covariance(rank(close), rank(volume), 5)),
        14: lambda: (-1 * rank(delta(returns, 3))) * correlation(open_, volume, 10),
        15: lambda: -1 * sum_(rank(correlation(rank(high), rank(volume), 3)), 3),
        16: lambda: -1 * rank(covariance(rank(high), rank(volume), 5)),
        17: lambda: ((-1 * rank(ts_rank(close, 10))) * rank(delta(delta(close, 1), 1))) * rank(ts_rank(busy, 5)),
        18: lambda: -1 * rank((stddev(abs_(close - open_), 5) + (close - open_)) + correlation(close, open_, 10)),
        19: lambda: (-1 * sign((close - delay(close, 7)) + delta(close, 7))) * (1 + rank(1 + sum_(returns, 250))),
        20: lambda: ((-1 * rank(open_ - delay(high, 1))) * rank(open_ - delay(close, 1))) * rank(open_ - delay(low, 1)),
        21: lambda: either(
            ((sum_(close, 8) / 8) + stddev(close, 8)) < (sum_(close, 2) / 2),
            -1,
            either((sum_(close, 2) / 2) < ((sum_(close, 8) / 8) - stddev(close, 8)), 1, either(busy >= 1, 1, -1)),
        ),
        22: lambda: -1 * (delta(correlation(high, volume, 5), 5) * rank(stddev(close, 20))),
        23: lambda: either((sum_(high, 20) / 20) < high, -1 * delta(high, 2), 0),
        24: lambda: either(slow <= 0.05, -1 * (close - ts_min(close, 100)), -1 * delta(close, 3)),
        25: lambda: rank((((-1 * returns) * adv(20)) * vwap) * (high - close)),
        26: lambda: -1 * ts_max(correlation(ts_rank(volume, 5), ts_rank(high, 5), 5), 3),
        27: lambda: either(rank(sum_(correlation(rank(volume), rank(vwap), 6), 2) / 2.0) > 0.5, -1, 1),
        28: lambda: scale((correlation(adv(20), low, 5) + ((high + low) / 2)) - close),
        29: lambda: (
            ts_min(
                product(
                    rank(rank(scale(log(sum_(ts_min(rank(rank(-1 * rank(delta(close - 1, 5)))), 2), 1))))),
                    1,
                ),
                5,
            )
            + ts_rank(delay(-1 * returns, 6), 5)
        ),
        30: lambda: (
            (
                (
                    1.0
                    - rank(
                        (sign(close - delay(close, 1)) + sign(delay(close, 1) - delay(close, 2)))
                        + sign(delay(close, 2) - delay(close, 3))
                    )
                )
                * sum_(volume, 5)
            )
            / sum_(volume, 20)
        ),
        31: lambda: (
            (rank(rank(rank(decay_linear(-1 * rank(rank(delta(close, 10))), 10)))) + rank(-1 * delta(close, 3)))
            + sign(scale(correlation(adv(20), low, 12)))
        ),
        32: lambda: scale((sum_(close, 7) / 7) - close) + (20 * scale(correlation(vwap, delay(close, 5), 230))),
        33: lambda: rank(-1 * ((1 - (open_ / close)) ** 1)),
        34: lambda: rank((1 - rank(stddev(returns, 2) / stddev(returns, 5))) + (1 - rank(delta(close, 1)))),
        35: lambda: (ts_rank(volume, 32) * (1 - ts_rank((close + high) - low, 16))) * (1 - ts_rank(returns, 32)),
        36: lambda: (
            (
                (
                    ((2.21 * rank(correlation(close - open_, delay(volume, 1), 15))) + (0.7 * rank(open_ - close)))
                    + (0.73 * rank(ts_rank(delay(-1 * returns, 6), 5)))
                )
                + rank(abs_(correlation(vwap, adv(20), 6)))
            )
            + (0.6 * rank(((sum_(close, 200) / 200) - open_) * (close - open_)))
        ),
        37: lambda: rank(correlation(delay(open_ - close, 1), close, 200)) + rank(open_ - close),
        38: lambda: (-1 * rank(ts_rank(close, 10))) * rank(close / open_),
        39: lambda: (-1 * rank(delta(close, 7) * (1 - rank(decay_linear(busy, 9))))) * (1 + rank(sum_(returns, 250))),
        40: lambda: (-1 * rank(stddev(high, 10))) * correlation(high, volume, 10),
        41: lambda: ((high * low) ** 0.5) - vwap,
        42: lambda: rank(vwap - close) / rank(vwap + close),
        43: lambda: ts_rank(busy, 20) * ts_rank(-1 * delta(close, 7), 8),
        44: lambda: -1 * correlation(high, rank(volume), 5),
        45: lambda: (
            -1
            * (
                (rank(sum_(delay(close, 5), 20) / 20) * correlation(close, volume, 2))
                * rank(correlation(sum_(close, 5), sum_(close, 20), 2))
            )
        ),
        46: lambda: either(bend > 0.25, -1, either(bend < 0, 1, (-1 * 1) * (close - delay(close, 1)))),
        47: lambda: (
            ((rank(1 / close) * amount) / adv(20)) * ((high * rank(high - close)) / (sum_(high, 5) / 5))
            - rank(vwap - delay(vwap, 5))
        ),
        48: lambda: (
            indneutralize((correlation(delta(close, 1), delta(delay(close, 1), 1), 250) * delta(close, 1)) / close)
            / sum_((delta(close, 1) / delay(close, 1)) ** 2, 250)
        ),
        49: lambda: either(bend < (-1 * 0.1), 1, (-1 * 1) * (close - delay(close, 1))),
        50: lambda: -1 * ts_max(rank(correlation(rank(volume), rank(vwap), 5)), 5),
        51: lambda: either(bend < (-1 * 0.05), 1, (-1 * 1) * (close - delay(close, 1))),
        52: lambda: (
            (((-1 * ts_min(low, 5)) + delay(ts_min(low, 5), 5)) * rank((sum_(returns, 240) - sum_(returns, 20)) / 220))
            * ts_rank(volume, 5)
        ),
        53: lambda: -1 * delta(((close - low) - (high - close)) / (close - low), 9),
        54: lambda: (-1 * ((low - close) * (open_**5))) / ((low - high) * (close**5)),
        55: lambda: (
            -1 * correlation(rank((close - ts_min(low, 12)) / (ts_max(high, 12) - ts_min(low, 12))), rank(volume), 6)
        ),
        56: lambda: 0 - (1 * (rank(sum_(returns, 10) / sum_(sum_(returns, 2), 3)) * rank(returns * cap))),
        57: lambda: 0 - (1 * ((close - vwap) / decay_linear(rank(ts_argmax(close, 30)), 2))),
        58: lambda: -1 * ts_rank(decay_linear(correlation(indneutralize(vwap), volume, 3.92795), 7.89291), 5.50322),
        59: lambda: (
            -1
            * ts_rank(
                decay_linear(
                    correlation(indneutralize((vwap * 0.728317) + (vwap * (1 - 0.728317))), volume, 4.25197), 16.2289
                ),
                8.19648,
            )
        ),
        60: lambda: 0 - (1 * ((2 * scale(rank(place * volume))) - scale(rank(ts_argmax(close, 10))))),
        61: lambda: rank(vwap - ts_min(vwap, 16.1219)) < rank(correlation(vwap, adv(180), 17.9282)),
        62: lambda: (
            (
                rank(correlation(vwap, sum_(adv(20), 22.4101), 9.91009))
                < rank((rank(open_) + rank(open_)) < (rank((high + low) / 2) + rank(high)))
            )
            * -1
        ),
        63: lambda: (
            (
                rank(decay_linear(delta(indneutralize(close), 2.25164), 8.22237))
                - rank(
                    decay_linear(
                        correlation((vwap * 0.318108) + (open_ * (1 - 0.318108)), sum_(adv(180), 37.2467), 13.557),
                        12.2883,
                    )
                )
            )
            * -1
        ),
        64: lambda: (
            (
                rank(
                    correlation(
                        sum_((open_ * 0.178404) + (low * (1 - 0.178404)), 12.7054), sum_(adv(120), 12.7054), 16.6208
                    )
                )
                < rank(delta((((high + low) / 2) * 0.178404) + (vwap * (1 - 0.178404)), 3.69741))
            )
            * -1
        ),
        65: lambda: (
            (
                rank(correlation((open_ * 0.00817205) + (vwap * (1 - 0.00817205)), sum_(adv(60), 8.6911), 6.40374))
                < rank(open_ - ts_min(open_, 13.635))
            )
            * -1
        ),
        66: lambda: (
            (
                rank(decay_linear(delta(vwap, 3.51013), 7.23052))
                + ts_rank(
                    decay_linear(
                        (((low * 0.96633) + (low * (1 - 0.96633))) - vwap) / (open_ - ((high + low) / 2)), 11.4157
                    ),
                    6.72611,
                )
            )
            * -1
        ),
        67: lambda: (
            (
                rank(high - ts_min(high, 2.14593))
                ** rank(correlation(indneutralize(vwap), indneutralize(adv(20)), 6.02936))
            )
            * -1
        ),
        68: lambda: (
            (
                ts_rank(correlation(rank(high), rank(adv(15)), 8.91644), 13.9333)
                < rank(delta((close * 0.518371) + (low * (1 - 0.518371)), 1.06157))
            )
            * -1
        ),
        69: lambda: (
            (
                rank(ts_max(delta(indneutralize(vwap), 2.72412), 4.79344))
                ** ts_rank(correlation((close * 0.490655) + (vwap * (1 - 0.490655)), adv(20), 4.92416), 9.0615)
            )
            * -1
        ),
        70: lambda: (
            (rank(delta(vwap, 1.29456)) ** ts_rank(correlation(indneutralize(close), adv(50), 17.8256), 17.9171)) * -1
        ),
        71: lambda: larger(
            ts_rank(
                decay_linear(correlation(ts_rank(close, 3.43976), ts_rank(adv(180), 12.0647), 18.0175), 4.20501),
                15.6948,
            ),
            ts_rank(decay_linear(rank((low + open_) - (vwap + vwap)) ** 2, 16.4662), 4.4388),
        ),
        72: lambda: (
            rank(decay_linear(correlation((high + low) / 2, adv(40), 8.93345), 10.1519))
            / rank(decay_linear(correlation(ts_rank(vwap, 3.72469), ts_rank(volume, 18.5188), 6.86671), 2.95011))
        ),
        73: lambda: (
            larger(
                rank(decay_linear(delta(vwap, 4.72775), 2.91864)),
                ts_rank(
                    decay_linear(
                        (
                            delta((open_ * 0.147155) + (low * (1 - 0.147155)), 2.03608)
                            / ((open_ * 0.147155) + (low * (1 - 0.147155)))
                        )
                        * -1,
                        3.33829,
                    ),
                    16.7411,
                ),
            )
            * -1
        ),
        74: lambda: (
            (
                rank(correlation(close, sum_(adv(30), 37.4843), 15.1365))
                < rank(correlation(rank((high * 0.0261661) + (vwap * (1 - 0.0261661))), rank(volume), 11.4791))
            )
            * -1
        ),
        75: lambda: rank(correlation(vwap, volume, 4.24304)) < rank(correlation(rank(low), rank(adv(50)), 12.4413)),
        76: lambda: (
            larger(
                rank(decay_linear(delta(vwap, 1.24383), 11.8259)),
                ts_rank(
                    decay_linear(ts_rank(correlation(indneutralize(low), adv(81), 8.14941), 19.569), 17.1543), 19.383
                ),
            )
            * -1
        ),
        77: lambda: smaller(
            rank(decay_linear((((high + low) / 2) + high) - (vwap + high), 20.0451)),
            rank(decay_linear(correlation((high + low) / 2, adv(40), 3.1614), 5.64125)),
        ),
        78: lambda: (
            rank(
                correlation(sum_((low * 0.352233) + (vwap * (1 - 0.352233)), 19.7428), sum_(adv(40), 19.7428), 6.83313)
            )
            ** rank(correlation(rank(vwap), rank(volume), 5.77492))
        ),
        79: lambda: (
            rank(delta(indneutralize((close * 0.60733) + (open_ * (1 - 0.60733))), 1.23438))
            < rank(correlation(ts_rank(vwap, 3.60973), ts_rank(adv(150), 9.18637), 14.6644))
        ),
        80: lambda: (
            (
                rank(sign(delta(indneutralize((open_ * 0.868128) + (high * (1 - 0.868128))), 4.04545)))
                ** ts_rank(correlation(high, adv(10), 5.11456), 5.53756)
            )
            * -1
        ),
        81: lambda: (
            (
                rank(log(product(rank(rank(correlation(vwap, sum_(adv(10), 49.6054), 8.47743)) ** 4), 14.9655)))
                < rank(correlation(rank(vwap), rank(volume), 5.07914))
            )
            * -1
        ),
        82: lambda: (
            smaller(
                rank(decay_linear(delta(open_, 1.46063), 14.8717)),
                ts_rank(
                    decay_linear(
                        correlation(indneutralize(volume), (open_ * 0.634196) + (open_ * (1 - 0.634196)), 17.4842),
                        6.92131,
                    ),
                    13.4283,
                ),
            )
            * -1
        ),
        83: lambda: (
            (rank(delay((high - low) / (sum_(close, 5) / 5), 2)) * rank(rank(volume)))
            / (((high - low) / (sum_(close, 5) / 5)) / (vwap - close))
        ),
        84: lambda: ts_rank(vwap - ts_max(vwap, 15.3217), 20.7127) ** delta(close, 4.96796),
        85: lambda: (
            rank(correlation((high * 0.876703) + (close * (1 - 0.876703)), adv(30), 9.61331))
            ** rank(correlation(ts_rank((high + low) / 2, 3.70596), ts_rank(volume, 10.1595), 7.11408))
        ),
        86: lambda: (
            (
                ts_rank(correlation(close, sum_(adv(20), 14.7444), 6.00049), 20.4195)
                < rank((open_ + close) - (vwap + open_))
            )
            * -1
        ),
        87: lambda: (
            larger(
                rank(decay_linear(delta((close * 0.369701) + (vwap * (1 - 0.369701)), 1.91233), 2.65461)),
                ts_rank(decay_linear(abs_(correlation(indneutralize(adv(81)), close, 13.4132)), 4.89768), 14.4535),
            )
            * -1
        ),
        88: lambda: smaller(
            rank(decay_linear((rank(open_) + rank(low)) - (rank(high) + rank(close)), 8.06882)),
            ts_rank(
                decay_linear(correlation(ts_rank(close, 8.44728), ts_rank(adv(60), 20.6966), 8.01266), 6.65053),
                2.61957,
            ),
        ),
        89: lambda: (
            ts_rank(
                decay_linear(correlation((low * 0.967285) + (low * (1 - 0.967285)), adv(10), 6.94279), 5.51607),
                3.79744,
            )
            - ts_rank(decay_linear(delta(indneutralize(vwap), 3.48158), 10.1466), 15.3012)
        ),
        90: lambda: (
            (
                rank(close - ts_max(close, 4.66719))
                ** ts_rank(correlation(indneutralize(adv(40)), low, 5.38375), 3.21856)
            )
            * -1
        ),
        91: lambda: (
            (
                ts_rank(
                    decay_linear(decay_linear(correlation(indneutralize(close), volume, 9.74928), 16.398), 3.83219),
                    4.8667,
                )
                - rank(decay_linear(correlation(vwap, adv(30), 4.01303), 2.6809))
            )
            * -1
        ),
        92: lambda: smaller(
            ts_rank(decay_linear((((high + low) / 2) + close) < (low + open_), 14.7221), 18.8683),
            ts_rank(decay_linear(correlation(rank(low), rank(adv(30)), 7.58555), 6.94024), 6.80584),
        ),
        93: lambda: (
            ts_rank(decay_linear(correlation(indneutralize(vwap), adv(81), 17.4193), 19.848), 7.54455)
            / rank(decay_linear(delta((close * 0.524434) + (vwap * (1 - 0.524434)), 2.77377), 16.2664))
        ),
        94: lambda: (
            (
                rank(vwap - ts_min(vwap, 11.5783))
                ** ts_rank(correlation(ts_rank(vwap, 19.6462), ts_rank(adv(60), 4.02992), 18.0926), 2.70756)
            )
            * -1
        ),
        95: lambda: (
            rank(open_ - ts_min(open_, 12.4105))
            < ts_rank(rank(correlation(sum_((high + low) / 2, 19.1351), sum_(adv(40), 19.1351), 12.8742)) ** 5, 11.7584)
        ),
        96: lambda: (
            larger(
                ts_rank(decay_linear(correlation(rank(vwap), rank(volume), 3.83878), 4.16783), 8.38151),
                ts_rank(
                    decay_linear(
                        ts_argmax(correlation(ts_rank(close, 7.45404), ts_rank(adv(60), 4.13242), 3.65459), 12.6556),
                        14.0365,
                    ),
                    13.4143,
                ),
            )
            * -1
        ),
        97: lambda: (
            (
                rank(decay_linear(delta(indneutralize((low * 0.721001) + (vwap * (1 - 0.721001))), 3.3705), 20.4523))
                - ts_rank(
                    decay_linear(
                        ts_rank(correlation(ts_rank(low, 7.87871), ts_rank(adv(60), 17.255), 4.97547), 18.5925),
                        15.7152,
                    ),
                    6.71659,
                )
            )
            * -1
        ),
        98: lambda: (
            rank(decay_linear(correlation(vwap, sum_(adv(5), 26.4719), 4.58418), 7.18088))
            - rank(
                decay_linear(
                    ts_rank(ts_argmin(correlation(rank(open_), rank(adv(15)), 20.8187), 8.62571), 6.95668), 8.07206
                )
            )
        ),
        99: lambda: (
            (
                rank(correlation(sum_((high + low) / 2, 19.8975), sum_(adv(60), 19.8975), 8.8136))
                < rank(correlation(low, volume, 6.28259))
            )
            * -1
        ),
        100: lambda: (
            0
            - (
                1
                * (
                    (
                        (1.5 * scale(indneutralize(indneutralize(rank(place * volume)))))
                        - scale(indneutralize(correlation(close, rank(adv(20)), 5) - rank(ts_argmin(close, 30))))
                    )
                    * busy
                )
            )
        ),
        101: lambda: (close - open_) / ((high - low) + 0.001),
    }
    return {number: formula().cells for number, formula in alphas.items()}
