"""Formulas 1 to 50 of the paper's appendix A, number by number; ``alpha101.py`` says how they are to be read."""

from __future__ import annotations

from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.expressions.operators import (
    absolute,
    cs_scale,
    log,
    power,
    product,
    sign,
    signed_power,
    where,
)
from ljwx_pipeline.factors.alpha101_words import (
    CLOSE,
    CNY,
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
    correlation,
    covariance,
    decay_linear,
    delay,
    delta,
    indneutralize,
    lower,
    rank,
    relative_amount,
    stddev,
    total,
    ts_argmax,
    ts_max,
    ts_min,
    ts_rank,
)
from ljwx_pipeline.factors.catalogue import Factor

CHANGE = delta(CLOSE, 1)
#: By how much the fall of sessions 20 to 10 ago outran that of the last ten, in price a session.
BEND = (delay(CLOSE, 20) - delay(CLOSE, 10)) / 10 - (delay(CLOSE, 10) - CLOSE) / 10


def alphas_to_50() -> list[Factor]:
    """Return alphas 1 to 50."""
    return [*_to_12(), *_to_25(), *_to_37(), *_to_50()]


def _to_12() -> list[Factor]:
    peak = ts_argmax(signed_power(where(lower(RETURNS, 0), stddev(RETURNS, 20), CLOSE), 2.0), 5)
    traded = total(OPEN, 5) * total(RETURNS, 5)
    stretched = -1 * ts_rank(absolute(delta(CLOSE, 7)), 60) * sign(delta(CLOSE, 7))
    gap = VWAP - CLOSE
    return [
        alpha(1, rank(peak) - 0.5, "how lately close, or volatility on a fall, peaked in 5 sessions"),
        alpha(
            2,
            -1 * correlation(rank(delta(log(VOLUME), 2)), rank((CLOSE - OPEN) / OPEN), 6),
            "volume growth against the session's return, 6 sessions",
        ),
        alpha(3, -1 * correlation(rank(OPEN), rank(VOLUME), 10), "open against volume, both ranked, 10 sessions"),
        alpha(4, -1 * ts_rank(rank(LOW), 9), "where the ranked low stands within 9 sessions, reversed"),
        alpha(
            5,
            rank(OPEN - average(VWAP, 10)) * (-1 * absolute(rank(CLOSE - VWAP))),
            "open over the mean price of 10 sessions, weighed by the close under the mean price",
        ),
        alpha(6, -1 * correlation(OPEN, VOLUME, 10), "open against volume, 10 sessions"),
        alpha(
            7,
            where(lower(1, relative_amount(20)), stretched, -1),
            "reversal of a seven-session move when more than usual is traded",
        ),
        alpha(8, -1 * rank(traded - delay(traded, 10)), "open times return of 5 sessions against 10 sessions ago"),
        alpha(9, _trend_or_reversal(5), "change of close where 5 sessions agree, else its reversal", CNY),
        alpha(10, rank(_trend_or_reversal(4)), "change of close where 4 sessions agree, else its reversal, ranked"),
        alpha(
            11,
            (rank(ts_max(gap, 3)) + rank(ts_min(gap, 3))) * rank(delta(VOLUME, 3)),
            "mean price over the close in 3 sessions, with growing volume",
        ),
        alpha(12, sign(delta(VOLUME, 1)) * (-1 * CHANGE), "reversal of the last change if volume grew", CNY),
    ]


def _to_25() -> list[Factor]:
    slow = delta(average(CLOSE, 100), 100) / delay(CLOSE, 100)
    centre, width = average(CLOSE, 8), stddev(CLOSE, 8)
    busy = relative_amount(20)
    recent = average(CLOSE, 2)
    return [
        alpha(13, -1 * rank(covariance(rank(CLOSE), rank(VOLUME), 5)), "close with volume, both ranked, 5 sessions"),
        alpha(
            14,
            -1 * rank(delta(RETURNS, 3)) * correlation(OPEN, VOLUME, 10),
            "falling returns where open and volume move together",
        ),
        alpha(
            15,
            -1 * total(rank(correlation(rank(HIGH), rank(VOLUME), 3)), 3),
            "high against volume, both ranked, summed over 3 sessions",
        ),
        alpha(16, -1 * rank(covariance(rank(HIGH), rank(VOLUME), 5)), "high with volume, both ranked, 5 sessions"),
        alpha(
            17,
            -1 * rank(ts_rank(CLOSE, 10)) * rank(delta(CHANGE, 1)) * rank(ts_rank(busy, 5)),
            "a high close, accelerating on growing turnover, reversed",
        ),
        alpha(
            18,
            -1 * rank(stddev(absolute(CLOSE - OPEN), 5) + (CLOSE - OPEN) + correlation(CLOSE, OPEN, 10)),
            "bodies of candles: their spread, the last and how close follows open",
        ),
        alpha(
            19,
            -1 * sign((CLOSE - delay(CLOSE, 7)) + delta(CLOSE, 7)) * (1 + rank(1 + total(RETURNS, 250))),
            "reversal of the week, weighed by the return of 250 sessions",
        ),
        alpha(
            20,
            -1 * rank(OPEN - delay(HIGH, 1)) * rank(OPEN - delay(CLOSE, 1)) * rank(OPEN - delay(LOW, 1)),
            "open over the last session's high, close and low, reversed",
        ),
        alpha(
            21,
            where(
                lower(centre + width, recent),
                -1,
                where(lower(recent, centre - width), 1, where(lower(busy, 1), -1, 1)),
            ),
            "-1 above a band of 8 sessions, 1 below it, within it 1 if more than usual is traded",
        ),
        alpha(
            22,
            -1 * (delta(correlation(HIGH, VOLUME, 5), 5) * rank(stddev(CLOSE, 20))),
            "change of how high follows volume, weighed by volatility",
        ),
        alpha(
            23,
            where(lower(average(HIGH, 20), HIGH), -1 * delta(HIGH, 2), 0),
            "reversal of the high above its mean",
            CNY,
        ),
        alpha(
            24,
            where(lower(0.05, slow), -1 * delta(CLOSE, 3), -1 * (CLOSE - ts_min(CLOSE, 100))),
            "height over the low of 100 sessions in a slow trend, else three-session reversal",
            CNY,
        ),
        alpha(25, rank(-1 * RETURNS * adv(20) * VWAP * (HIGH - CLOSE)), "fall on large turnover closing off the high"),
    ]


def _to_37() -> list[Factor]:
    late = correlation(rank(VOLUME), rank(VWAP), 6)
    fallen = ts_min(rank(rank(-1 * rank(delta(CLOSE - 1, 5)))), 2)
    direction = sign(CHANGE) + sign(delay(CLOSE, 1) - delay(CLOSE, 2)) + sign(delay(CLOSE, 2) - delay(CLOSE, 3))
    past_fall = ts_rank(delay(-1 * RETURNS, 6), 5)
    return [
        alpha(
            26,
            -1 * ts_max(correlation(ts_rank(VOLUME, 5), ts_rank(HIGH, 5), 5), 3),
            "largest correlation of ranked volume and high in 3 sessions, reversed",
        ),
        alpha(27, where(lower(0.5, rank(total(late, 2) / 2.0)), -1, 1), "-1 where volume and mean price move together"),
        alpha(
            28,
            cs_scale(correlation(adv(20), LOW, 5) + MIDDLE - CLOSE),
            "middle of the candle over the close, with turnover following the low",
        ),
        alpha(
            29,
            ts_min(product(rank(rank(cs_scale(log(total(fallen, 1))))), 1), 5) + past_fall,
            "five-session fall, ranked over and over, and the fall of a week ago",
        ),
        alpha(
            30,
            (1.0 - rank(direction)) * total(VOLUME, 5) / total(VOLUME, 20),
            "sessions against the direction of the last three, on growing volume",
        ),
        alpha(
            31,
            rank(rank(rank(decay_linear(-1 * rank(rank(delta(CLOSE, 10))), 10))))
            + rank(-1 * delta(CLOSE, 3))
            + sign(cs_scale(correlation(adv(20), LOW, 12))),
            "falls of ten and three sessions, and whether turnover follows the low",
        ),
        alpha(
            32,
            cs_scale(average(CLOSE, 7) - CLOSE) + 20 * cs_scale(correlation(VWAP, delay(CLOSE, 5), 230)),
            "close under its weekly mean, and how the price follows that of a week before",
        ),
        alpha(33, rank(-1 * (1 - OPEN / CLOSE)), "open over close, ranked"),
        alpha(
            34,
            rank((1 - rank(stddev(RETURNS, 2) / stddev(RETURNS, 5))) + (1 - rank(CHANGE))),
            "calming volatility and a falling close",
        ),
        alpha(
            35,
            ts_rank(VOLUME, 32) * (1 - ts_rank(CLOSE + HIGH - LOW, 16)) * (1 - ts_rank(RETURNS, 32)),
            "much volume at a low price and a low return, each against its own past",
        ),
        alpha(
            36,
            2.21 * rank(correlation(CLOSE - OPEN, delay(VOLUME, 1), 15))
            + 0.7 * rank(OPEN - CLOSE)
            + 0.73 * rank(past_fall)
            + rank(absolute(correlation(VWAP, adv(20), 6)))
            + 0.6 * rank((average(CLOSE, 200) - OPEN) * (CLOSE - OPEN)),
            "five ranks weighed: bodies after volume, fall, past fall, price with turnover, return to the mean",
        ),
        alpha(
            37,
            rank(correlation(delay(OPEN - CLOSE, 1), CLOSE, 200)) + rank(OPEN - CLOSE),
            "fall within the session, and how the close follows such falls",
        ),
    ]


def _to_50() -> list[Factor]:
    following = indneutralize(correlation(CHANGE, delta(delay(CLOSE, 1), 1), 250) * CHANGE / CLOSE)
    return [
        alpha(38, -1 * rank(ts_rank(CLOSE, 10)) * rank(CLOSE / OPEN), "a high close after a rise in the session"),
        alpha(
            39,
            -1
            * rank(delta(CLOSE, 7) * (1 - rank(decay_linear(relative_amount(20), 9))))
            * (1 + rank(total(RETURNS, 250))),
            "reversal of a quiet week, weighed by the return of 250 sessions",
        ),
        alpha(
            40,
            -1 * rank(stddev(HIGH, 10)) * correlation(HIGH, VOLUME, 10),
            "volatile highs that follow volume, reversed",
        ),
        alpha(41, power(HIGH * LOW, 0.5) - VWAP, "geometric middle of the candle over the mean price", CNY),
        alpha(42, rank(VWAP - CLOSE) / rank(VWAP + CLOSE), "mean price over the close, against the price level"),
        alpha(
            43,
            ts_rank(relative_amount(20), 20) * ts_rank(-1 * delta(CLOSE, 7), 8),
            "a weekly fall on large turnover, against their own past",
        ),
        alpha(44, -1 * correlation(HIGH, rank(VOLUME), 5), "high against ranked volume, 5 sessions"),
        alpha(
            45,
            -1
            * (
                rank(average(delay(CLOSE, 5), 20))
                * correlation(CLOSE, VOLUME, 2)
                * rank(correlation(total(CLOSE, 5), total(CLOSE, 20), 2))
            ),
            "close with volume over two sessions, weighed by past price and by short against long sums",
        ),
        alpha(
            46,
            where(lower(0.25, BEND), -1, where(lower(BEND, 0), 1, -1 * CHANGE)),
            "-1 on a sharp upward bend of the close, 1 on a downward one, else reversal",
            CNY,
        ),
        alpha(
            47,
            rank(1 / CLOSE) * relative_amount(20) * (HIGH * rank(HIGH - CLOSE) / average(HIGH, 5))
            - rank(VWAP - delay(VWAP, 5)),
            "cheap, busy and closing off the high, less the change of the mean price",
        ),
        alpha(
            48,
            following / total(power(CHANGE / delay(CLOSE, 1), 2), 250),
            "change following the change before it, within the industry, over the year's squared returns",
        ),
        alpha(49, where(lower(BEND, -0.1), 1, -1 * CHANGE), "1 on a downward bend of the close, else reversal", CNY),
        alpha(
            50,
            -1 * ts_max(rank(correlation(rank(VOLUME), rank(VWAP), 5)), 5),
            "largest correlation of volume and mean price in 5 sessions, reversed",
        ),
    ]


def _trend_or_reversal(window: int) -> Expr:
    """Return the change of close where all of the window rose or all fell, else its reversal."""
    return where(lower(0, ts_min(CHANGE, window)), CHANGE, where(lower(ts_max(CHANGE, window), 0), CHANGE, -1 * CHANGE))
