"""Which steps between a close and the next reference price are corporate actions, and which are mistakes in the file.

A step that is believed moves the adjustment factor and with it vanishes from every return: a mistake believed is a
jump that explains itself. One that is not believed leaves the factor as it was, so that the checks of
``quality/anomalies.py`` see the jump. Not here: the factor itself (``reference.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.market.rulebook import BOOK_FIRST, BOOK_LAST, price_limit_frac
from ljwx_pipeline.market.symbols import board_of

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: Raw prices lie on a tick of 0.01 CNY: a smaller difference is floating-point noise, not an ex-date.
SAME_PRICE_CNY = 0.001
#: A bonus of 40 shares for 10 makes this step. Of the stocks' bonuses in hikyuu's public table of weights, 1999 to
#: 2011, the largest is 35 for 10.
MAX_STEP = 5.0
#: Rounding of limit prices to the tick, and of the reference price they are taken from.
LIMIT_SLACK_FRAC, LIMIT_SLACK_CNY = 0.01, 0.0101
#: Two steps undo each other when together they come this near to none, as a share of the first one's logarithm.
UNDONE_FRAC = 0.1
#: A step larger than this (log) is undone by its mirror image however many rows later, a smaller one by the next row.
LARGE_LOG = 0.2


@dataclass(frozen=True)
class Prices:
    """Columns of raw bars by symbol, then date, all of shape ``(n_rows,)``.

    Parameters
    ----------
    symbol, session_date
        Keys.
    close, previous, reference
        Close, close of the symbol's row before, and reference price, CNY; NaN where there is none.
    """

    symbol: NDArray[np.object_]
    session_date: NDArray[np.datetime64]
    close: Float
    previous: Float
    reference: Float


def steps(prices: Prices) -> Float:
    """Return previous close over reference price, 1.0 where the two are one price or either is unknown."""
    known = ~np.isnan(prices.previous) & ~np.isnan(prices.reference)
    previous, reference = np.where(known, prices.previous, 1.0), np.where(known, prices.reference, 1.0)
    return np.where(np.abs(previous - reference) > SAME_PRICE_CNY, previous / reference, 1.0)


def not_believed(prices: Prices, step: Float) -> Mask:
    """Return where ``step`` is one that no dividend or bonus makes.

    That is a step that raises the reference price; one beyond ``MAX_STEP``; one from a close that its own session's
    limit forbids (a slipped digit); one after which the price stands where it stood (a wrong reference price); and one
    that the next step undoes (rows in another scale).
    """
    shown = step != 1.0
    limit = _limit_frac(prices)
    far_from_reference = _beyond(prices.close, prices.reference, limit)
    far_from_previous = _beyond(prices.close, prices.previous, limit)
    falls = step < 1.0
    doubted_close = far_from_reference | (falls & far_from_previous & ~_of_row_before(far_from_reference, prices))
    wrong_reference = far_from_reference & ~far_from_previous
    out = falls | (step > MAX_STEP) | wrong_reference | _of_row_before(doubted_close, prices)
    return np.asarray(shown & (out | undone(step, prices.symbol)))


def undone(step: Float, symbol: NDArray[np.object_]) -> Mask:
    """Return the steps (1.0 is none; by symbol, then date) that undo the symbol's step before or are so undone."""
    rows = np.flatnonzero(step != 1.0)
    out = np.zeros(len(step), dtype=np.bool_)
    if len(rows) < 2:
        return out
    one, two = rows[:-1], rows[1:]
    log_one, log_two = np.log(step[one]), np.log(step[two])
    near = (two - one == 1) | (np.abs(log_one) > LARGE_LOG)
    opposite = (log_one * log_two < 0) & (np.abs(log_one + log_two) <= UNDONE_FRAC * np.abs(log_one))
    pairs = np.flatnonzero(near & opposite & (symbol[one] == symbol[two]))
    # the nearest pair first: a true distribution before rows in another scale is not what undoes them
    for pair in pairs[np.argsort((two - one)[pairs], kind="stable")]:
        if not out[one[pair]] and not out[two[pair]]:
            out[[one[pair], two[pair]]] = True
    return out


def _limit_frac(prices: Prices) -> Float:
    """Return the daily limit of each row's board, the wider one where special treatment would narrow it."""
    codes, symbols = pd.factorize(prices.symbol)
    board = np.array([int(board_of(symbol)) for symbol in symbols], dtype=np.int64)[codes]
    days = np.clip(prices.session_date.astype("datetime64[D]"), np.datetime64(BOOK_FIRST), np.datetime64(BOOK_LAST))
    return price_limit_frac(board, False, days)


def _beyond(price: Float, base: Float, limit_frac: Float) -> Mask:
    """Return where ``price`` is further from ``base`` than a session goes; NaN is never beyond."""
    return np.asarray(np.abs(price - base) > (limit_frac + LIMIT_SLACK_FRAC) * base + LIMIT_SLACK_CNY)


def _of_row_before(mask: Mask, prices: Prices) -> Mask:
    out = np.zeros(len(mask), dtype=np.bool_)
    out[1:] = mask[:-1] & (prices.symbol[1:] == prices.symbol[:-1])
    return out
