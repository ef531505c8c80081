"""Formulas 51 to 101 of the paper's appendix A, number by number; ``alpha101.py`` says how they are to be read."""

from __future__ import annotations

from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.expressions.operators import (
    absolute,
    cs_scale,
    greater,
    less,
    log,
    power,
    product,
    sign,
    signed_power,
    where,
)
from ljwx_pipeline.factors.alpha101_to_50 import BEND, CHANGE
from ljwx_pipeline.factors.alpha101_words import (
    CAP,
    CLOSE,
    CNY,
    FLAG,
    HIGH,
    LOW,
    MIDDLE,
    OPEN,
    RETURNS,
    VOLUME,
    VWAP,
    adv,
    alpha,
    average,
    below,
    correlation,
    decay_linear,
    delay,
    delta,
    indneutralize,
    lower,
    mix,
    rank,
    relative_amount,
    total,
    ts_argmax,
    ts_argmin,
    ts_max,
    ts_min,
    ts_rank,
)
from ljwx_pipeline.factors.catalogue import Factor

#: Where the close lies in the candle: 1 at the high, -1 at the low.
PLACE = ((CLOSE - LOW) - (HIGH - CLOSE)) / (HIGH - LOW)


def alphas_from_51() -> list[Factor]:
    """Return alphas 51 to 101."""
    return [*_to_62(), *_to_73(), *_to_84(), *_to_95(), *_to_101()]


def _to_62() -> list[Factor]:
    in_range = (CLOSE - ts_min(LOW, 12)) / (ts_max(HIGH, 12) - ts_min(LOW, 12))
    return [
        alpha(
            51,
            where(lower(BEND, -0.05), 1, -1 * CHANGE),
            "1 on a slight downward bend of the close, else reversal",
            CNY,
        ),
        alpha(
            52,
            (-1 * ts_min(LOW, 5) + delay(ts_min(LOW, 5), 5))
            * rank((total(RETURNS, 240) - total(RETURNS, 20)) / 220)
            * ts_rank(VOLUME, 5),
            "a falling low after a good year, on growing volume",
            CNY,
        ),
        alpha(
            53,
            -1 * delta(((CLOSE - LOW) - (HIGH - CLOSE)) / (CLOSE - LOW), 9),
            "change over 9 sessions of where the close lies in the candle, reversed",
        ),
        alpha(
            54,
            -1 * ((LOW - CLOSE) * power(OPEN, 5)) / ((LOW - HIGH) * power(CLOSE, 5)),
            "height of the close in the candle, weighed by open over close",
        ),
        alpha(
            55,
            -1 * correlation(rank(in_range), rank(VOLUME), 6),
            "place in the range of 12 sessions against volume, both ranked",
        ),
        alpha(
            56,
            0 - rank(total(RETURNS, 10) / total(total(RETURNS, 2), 3)) * rank(RETURNS * CAP),
            "return of ten sessions over that of the last ones, weighed by value gained",
        ),
        alpha(
            57,
            0 - (CLOSE - VWAP) / decay_linear(rank(ts_argmax(CLOSE, 30)), 2),
            "close under the mean price, the more the longer ago the peak",
            CNY,
        ),
        alpha(
            58,
            -1 * ts_rank(decay_linear(correlation(indneutralize(VWAP), VOLUME, 3.92795), 7.89291), 5.50322),
            "price within the industry against volume, smoothed, 5 sessions",
        ),
        alpha(
            59,
            -1
            * ts_rank(
                decay_linear(correlation(indneutralize(mix(VWAP, VWAP, 0.728317)), VOLUME, 4.25197), 16.2289), 8.19648
            ),
            "price within the industry against volume, smoothed, 8 sessions",
        ),
        alpha(
            60,
            0 - (2 * cs_scale(rank(PLACE * VOLUME)) - cs_scale(rank(ts_argmax(CLOSE, 10)))),
            "volume at the high of the candle, reversed, and how lately the close peaked",
        ),
        alpha(
            61,
            lower(rank(VWAP - ts_min(VWAP, 16.1219)), rank(correlation(VWAP, adv(180), 17.9282))),
            "height over the low of 16 sessions below how the price follows turnover",
            FLAG,
        ),
        alpha(
            62,
            below(
                rank(correlation(VWAP, total(adv(20), 22.4101), 9.91009)),
                rank(lower(rank(OPEN) + rank(OPEN), rank(MIDDLE) + rank(HIGH))),
            ),
            "price following turnover less than the open ranks under the candle, reversed",
        ),
    ]


def _to_73() -> list[Factor]:
    bent = mix(OPEN, LOW, 0.147155)
    return [
        alpha(
            63,
            (
                rank(decay_linear(delta(indneutralize(CLOSE), 2.25164), 8.22237))
                - rank(decay_linear(correlation(mix(VWAP, OPEN, 0.318108), total(adv(180), 37.2467), 13.557), 12.2883))
            )
            * -1,
            "rise within the industry less how the price follows turnover, reversed",
        ),
        alpha(
            64,
            below(
                rank(correlation(total(mix(OPEN, LOW, 0.178404), 12.7054), total(adv(120), 12.7054), 16.6208)),
                rank(delta(mix(MIDDLE, VWAP, 0.178404), 3.69741)),
            ),
            "price following turnover less than it rose in 3 sessions, reversed",
        ),
        alpha(
            65,
            below(
                rank(correlation(mix(OPEN, VWAP, 0.00817205), total(adv(60), 8.6911), 6.40374)),
                rank(OPEN - ts_min(OPEN, 13.635)),
            ),
            "price following turnover less than the open stands over its low, reversed",
        ),
        alpha(
            66,
            (
                rank(decay_linear(delta(VWAP, 3.51013), 7.23052))
                + ts_rank(decay_linear((mix(LOW, LOW, 0.96633) - VWAP) / (OPEN - MIDDLE), 11.4157), 6.72611)
            )
            * -1,
            "rise of the mean price and the low against it, reversed",
        ),
        alpha(
            67,
            power(
                rank(HIGH - ts_min(HIGH, 2.14593)),
                rank(correlation(indneutralize(VWAP), indneutralize(adv(20)), 6.02936)),
            )
            * -1,
            "rise of the high, to the power of price with turnover within the industry, reversed",
        ),
        alpha(
            68,
            below(
                ts_rank(correlation(rank(HIGH), rank(adv(15)), 8.91644), 13.9333),
                rank(delta(mix(CLOSE, LOW, 0.518371), 1.06157)),
            ),
            "high following turnover less than the price rose, reversed",
        ),
        alpha(
            69,
            power(
                rank(ts_max(delta(indneutralize(VWAP), 2.72412), 4.79344)),
                ts_rank(correlation(mix(CLOSE, VWAP, 0.490655), adv(20), 4.92416), 9.0615),
            )
            * -1,
            "largest rise within the industry, to the power of price with turnover, reversed",
        ),
        alpha(
            70,
            power(rank(delta(VWAP, 1.29456)), ts_rank(correlation(indneutralize(CLOSE), adv(50), 17.8256), 17.9171))
            * -1,
            "rise of the mean price, to the power of close in its industry with turnover, reversed",
        ),
        alpha(
            71,
            greater(
                ts_rank(
                    decay_linear(correlation(ts_rank(CLOSE, 3.43976), ts_rank(adv(180), 12.0647), 18.0175), 4.20501),
                    15.6948,
                ),
                ts_rank(decay_linear(power(rank((LOW + OPEN) - (VWAP + VWAP)), 2), 16.4662), 4.4388),
            ),
            "the larger of close with turnover and of low and open over the mean price",
        ),
        alpha(
            72,
            rank(decay_linear(correlation(MIDDLE, adv(40), 8.93345), 10.1519))
            / rank(decay_linear(correlation(ts_rank(VWAP, 3.72469), ts_rank(VOLUME, 18.5188), 6.86671), 2.95011)),
            "price with turnover over many sessions against few",
        ),
        alpha(
            73,
            greater(
                rank(decay_linear(delta(VWAP, 4.72775), 2.91864)),
                ts_rank(decay_linear(delta(bent, 2.03608) / bent * -1, 3.33829), 16.7411),
            )
            * -1,
            "the larger of a rise of the mean price and a fall of open and low, reversed",
        ),
    ]


def _to_84() -> list[Factor]:
    height = (HIGH - LOW) / average(CLOSE, 5)
    return [
        alpha(
            74,
            below(
                rank(correlation(CLOSE, total(adv(30), 37.4843), 15.1365)),
                rank(correlation(rank(mix(HIGH, VWAP, 0.0261661)), rank(VOLUME), 11.4791)),
            ),
            "close following turnover less than the price follows volume, reversed",
        ),
        alpha(
            75,
            lower(rank(correlation(VWAP, VOLUME, 4.24304)), rank(correlation(rank(LOW), rank(adv(50)), 12.4413))),
            "price following volume less than the low follows turnover",
            FLAG,
        ),
        alpha(
            76,
            greater(
                rank(decay_linear(delta(VWAP, 1.24383), 11.8259)),
                ts_rank(
                    decay_linear(ts_rank(correlation(indneutralize(LOW), adv(81), 8.14941), 19.569), 17.1543),
                    19.383,
                ),
            )
            * -1,
            "the larger of a rise and of low in its industry with turnover, reversed",
        ),
        alpha(
            77,
            less(
                rank(decay_linear((MIDDLE + HIGH) - (VWAP + HIGH), 20.0451)),
                rank(decay_linear(correlation(MIDDLE, adv(40), 3.1614), 5.64125)),
            ),
            "the smaller of middle over mean price and of price with turnover",
        ),
        alpha(
            78,
            power(
                rank(correlation(total(mix(LOW, VWAP, 0.352233), 19.7428), total(adv(40), 19.7428), 6.83313)),
                rank(correlation(rank(VWAP), rank(VOLUME), 5.77492)),
            ),
            "price with turnover, to the power of price with volume",
        ),
        alpha(
            79,
            lower(
                rank(delta(indneutralize(mix(CLOSE, OPEN, 0.60733)), 1.23438)),
                rank(correlation(ts_rank(VWAP, 3.60973), ts_rank(adv(150), 9.18637), 14.6644)),
            ),
            "rise within the industry below price with turnover",
            FLAG,
        ),
        alpha(
            80,
            power(
                rank(sign(delta(indneutralize(mix(OPEN, HIGH, 0.868128)), 4.04545))),
                ts_rank(correlation(HIGH, adv(10), 5.11456), 5.53756),
            )
            * -1,
            "direction within the industry, to the power of high with turnover, reversed",
        ),
        alpha(
            81,
            below(
                rank(log(product(rank(power(rank(correlation(VWAP, total(adv(10), 49.6054), 8.47743)), 4)), 14))),
                rank(correlation(rank(VWAP), rank(VOLUME), 5.07914)),
            ),
            "price following turnover for 14 sessions less than it follows volume, reversed",
        ),
        alpha(
            82,
            less(
                rank(decay_linear(delta(OPEN, 1.46063), 14.8717)),
                ts_rank(
                    decay_linear(correlation(indneutralize(VOLUME), mix(OPEN, OPEN, 0.634196), 17.4842), 6.92131),
                    13.4283,
                ),
            )
            * -1,
            "the smaller of a rising open and of volume in its industry with the open, reversed",
        ),
        alpha(
            83,
            rank(delay(height, 2)) * rank(rank(VOLUME)) / (height / (VWAP - CLOSE)),
            "mean price over the close, after tall candles, on large volume",
            CNY,
        ),
        alpha(
            84,
            signed_power(ts_rank(VWAP - ts_max(VWAP, 15.3217), 20.7127), delta(CLOSE, 4.96796)),
            "mean price under its peak, to the power of the close's change",
        ),
    ]


def _to_95() -> list[Factor]:
    return [
        alpha(
            85,
            power(
                rank(correlation(mix(HIGH, CLOSE, 0.876703), adv(30), 9.61331)),
                rank(correlation(ts_rank(MIDDLE, 3.70596), ts_rank(VOLUME, 10.1595), 7.11408)),
            ),
            "price with turnover, to the power of ranked price with ranked volume",
        ),
        alpha(
            86,
            below(
                ts_rank(correlation(CLOSE, total(adv(20), 14.7444), 6.00049), 20.4195),
                rank((OPEN + CLOSE) - (VWAP + OPEN)),
            ),
            "close following turnover less than it stands over the mean price, reversed",
        ),
        alpha(
            87,
            greater(
                rank(decay_linear(delta(mix(CLOSE, VWAP, 0.369701), 1.91233), 2.65461)),
                ts_rank(decay_linear(absolute(correlation(indneutralize(adv(81)), CLOSE, 13.4132)), 4.89768), 14.4535),
            )
            * -1,
            "the larger of a rise and of turnover in its industry with the close, reversed",
        ),
        alpha(
            88,
            less(
                rank(decay_linear((rank(OPEN) + rank(LOW)) - (rank(HIGH) + rank(CLOSE)), 8.06882)),
                ts_rank(
                    decay_linear(correlation(ts_rank(CLOSE, 8.44728), ts_rank(adv(60), 20.6966), 8.01266), 6.65053),
                    2.61957,
                ),
            ),
            "the smaller of open and low ranked over high and close, and of close with turnover",
        ),
        alpha(
            89,
            ts_rank(decay_linear(correlation(mix(LOW, LOW, 0.967285), adv(10), 6.94279), 5.51607), 3.79744)
            - ts_rank(decay_linear(delta(indneutralize(VWAP), 3.48158), 10.1466), 15.3012),
            "low with turnover less the rise within the industry",
        ),
        alpha(
            90,
            power(
                rank(CLOSE - ts_max(CLOSE, 4.66719)),
                ts_rank(correlation(indneutralize(adv(40)), LOW, 5.38375), 3.21856),
            )
            * -1,
            "close under its peak, to the power of turnover in its industry with the low, reversed",
        ),
        alpha(
            91,
            (
                ts_rank(
                    decay_linear(decay_linear(correlation(indneutralize(CLOSE), VOLUME, 9.74928), 16.398), 3.83219),
                    4.8667,
                )
                - rank(decay_linear(correlation(VWAP, adv(30), 4.01303), 2.6809))
            )
            * -1,
            "close in its industry with volume less price with turnover, reversed",
        ),
        alpha(
            92,
            less(
                ts_rank(decay_linear(lower(MIDDLE + CLOSE, LOW + OPEN), 14.7221), 18.8683),
                ts_rank(decay_linear(correlation(rank(LOW), rank(adv(30)), 7.58555), 6.94024), 6.80584),
            ),
            "the smaller of how often the candle fell and of low with turnover",
        ),
        alpha(
            93,
            ts_rank(decay_linear(correlation(indneutralize(VWAP), adv(81), 17.4193), 19.848), 7.54455)
            / rank(decay_linear(delta(mix(CLOSE, VWAP, 0.524434), 2.77377), 16.2664)),
            "price in its industry with turnover over the price's rise",
        ),
        alpha(
            94,
            power(
                rank(VWAP - ts_min(VWAP, 11.5783)),
                ts_rank(correlation(ts_rank(VWAP, 19.6462), ts_rank(adv(60), 4.02992), 18.0926), 2.70756),
            )
            * -1,
            "mean price over its low, to the power of price with turnover, reversed",
        ),
        alpha(
            95,
            lower(
                rank(OPEN - ts_min(OPEN, 12.4105)),
                ts_rank(power(rank(correlation(total(MIDDLE, 19.1351), total(adv(40), 19.1351), 12.8742)), 5), 11.7584),
            ),
            "open over its low below price with turnover against its past",
            FLAG,
        ),
    ]


def _to_101() -> list[Factor]:
    return [
        alpha(
            96,
            greater(
                ts_rank(decay_linear(correlation(rank(VWAP), rank(VOLUME), 3.83878), 4.16783), 8.38151),
                ts_rank(decay_linear(_peak_of_close_with_turnover(), 14.0365), 13.4143),
            )
            * -1,
            "the larger of price with volume and of how lately close followed turnover, reversed",
        ),
        alpha(
            97,
            (
                rank(decay_linear(delta(indneutralize(mix(LOW, VWAP, 0.721001)), 3.3705), 20.4523))
                - ts_rank(
                    decay_linear(
                        ts_rank(correlation(ts_rank(LOW, 7.87871), ts_rank(adv(60), 17.255), 4.97547), 18.5925),
                        15.7152,
                    ),
                    6.71659,
                )
            )
            * -1,
            "rise within the industry less low with turnover, reversed",
        ),
        alpha(
            98,
            rank(decay_linear(correlation(VWAP, total(adv(5), 26.4719), 4.58418), 7.18088))
            - rank(
                decay_linear(
                    ts_rank(ts_argmin(correlation(rank(OPEN), rank(adv(15)), 20.8187), 8.62571), 6.95668), 8.07206
                )
            ),
            "price with turnover less how lately open went against turnover",
        ),
        alpha(
            99,
            below(
                rank(correlation(total(MIDDLE, 19.8975), total(adv(60), 19.8975), 8.8136)),
                rank(correlation(LOW, VOLUME, 6.28259)),
            ),
            "price following turnover less than the low follows volume, reversed",
        ),
        alpha(
            100,
            0
            - (
                1.5 * cs_scale(indneutralize(indneutralize(rank(PLACE * VOLUME))))
                - cs_scale(indneutralize(correlation(CLOSE, rank(adv(20)), 5) - rank(ts_argmin(CLOSE, 30))))
            )
            * relative_amount(20),
            "volume at the high of the candle within the industry, against close with turnover and its low, reversed",
        ),
        alpha(101, (CLOSE - OPEN) / ((HIGH - LOW) + 0.001), "body of the candle over its height"),
    ]


def _peak_of_close_with_turnover() -> Expr:
    return ts_argmax(correlation(ts_rank(CLOSE, 7.45404), ts_rank(adv(60), 4.13242), 3.65459), 12.6556)
