"""The compiled scan: every rule on single bars in one pass over the columns, one bit mask a row.

Rows may stand by symbol and session or by session and symbol: a row is compared with the last row of its own symbol,
wherever that stood. Not here: making arrays of tables (``scan.py``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.compiled import kernel

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bits = NDArray[np.uint32]

NOT_FINITE = 1 << 0
NOT_POSITIVE = 1 << 1
HIGH_BELOW_LOW = 1 << 2
OPEN_OUTSIDE = 1 << 3
CLOSE_OUTSIDE = 1 << 4
TURNOVER_NEGATIVE = 1 << 5
UNTRADED_RANGE = 1 << 6
UNTRADED_FLAT = 1 << 7
AVERAGE_OUTSIDE = 1 << 8
OFF_TICK = 1 << 9
BEYOND_LIMIT = 1 << 10
REFERENCE_OFF = 1 << 11
DUPLICATE = 1 << 12
UNSORTED = 1 << 13
FUTURE = 1 << 14
OFF_SESSION = 1 << 15
REPEATED = 1 << 16
FACTOR_FALLS = 1 << 17
FACTOR_NOISE = 1 << 18
NOT_LISTED = 1 << 19

DAY_NS = 86_400_000_000_000
#: Providers round adjusted prices to four decimals, so open and close may leave [low, high] by this.
ROUNDING_FRAC = 1e-4
#: Providers round amount and volume (``market/traded_price.py``).
AVERAGE_FRAC = 1e-4
#: A quotient of two prices in floating point is this far from a whole number of ticks at most.
TICK_ROUNDING = 1e-4
TICK_CNY = 0.01
#: Adjusted prices are rounded, so previous close and reference price differ a little everywhere; measured on 736,976
#: real bars, one row lies beyond this.
REFERENCE_FRAC = 0.002
#: Rounding of limit prices to the tick, and of adjusted prices to four decimals.
LIMIT_FRAC = 0.01
#: The longest stretch without limits that any board gives a new listing.
LISTING_SESSIONS = 5
#: Providers write one factor as 5.714 here and 5.7142 there.
FACTOR_NOISE_FRAC = 1e-4
#: The instant of a row that is not there.
NO_ROW = np.iinfo(np.int64).min


@kernel
def scan_rows(  # noqa: C901 - one pass over the columns is the point; each rule is two lines
    code: Int,
    instant_ns: Int,
    open_: Float,
    high: Float,
    low: Float,
    close: Float,
    reference: Float,
    volume: Float,
    amount: Float,
    factor: Float,
    carried_ns: Int,
    carried: Float,
    session_of_day: Int,
    first_day: int,
    as_of_day: int,
    limit_frac: Float,
    board: Int,
    listed_day: Int,
    last_day: Int,
    listed_at: Int,
    ticks_per_cny: Float,
    spell_from: Int,
    spell_first: Int,
    spell_last: Int,
    is_raw: bool,
) -> Bits:
    """Return the bit mask of each row, shape ``(n_rows,)``.

    Parameters
    ----------
    code
        Each row's symbol as a number from 0.
    instant_ns, open_, high, low, close, reference, volume, amount, factor
        The columns; ``instant_ns`` counts from 1970.
    carried_ns, carried
        By symbol, its last row before these: instant (``NO_ROW`` without one), and the eight columns in their order,
        shape ``(8, n_symbols)``.
    session_of_day, first_day
        Position in the sessions of each calendar day from ``first_day`` (days from 1970) on; -1 where it is none.
    as_of_day
        No row is later.
    limit_frac
        Daily limit by ``2 * board + is_st`` and session; not positive where it is not judged.
    board, listed_day, last_day, listed_at, ticks_per_cny
        By symbol: board (-1 unknown), first and last day listed, listing's position among the sessions (negative if
        before the first), price steps in a CNY (0 where they are not judged).
    spell_from, spell_first, spell_last
        Days of ST spells; those of symbol ``c`` stand from ``spell_from[c]`` to ``spell_from[c + 1]``.
    is_raw
        Whether prices are as traded.
    """
    size = len(code)
    bits = np.zeros(size, dtype=np.uint32)
    previous = np.full(len(board), -1, dtype=np.int64)
    days_known = len(session_of_day)
    tick_slack = TICK_CNY if is_raw else 0.0
    for i in range(size):
        found = np.uint32(0)
        c = code[i]
        o, h, lo, x = open_[i], high[i], low[i], close[i]
        ref, v, a, f = reference[i], volume[i], amount[i], factor[i]
        day = instant_ns[i] // DAY_NS
        place = day - first_day
        session = -1
        if 0 <= place < days_known and instant_ns[i] == day * DAY_NS:
            session = session_of_day[place]
        if session < 0:
            found |= np.uint32(OFF_SESSION)
        if day > as_of_day:
            found |= np.uint32(FUTURE)
        if day < listed_day[c] or day > last_day[c]:
            found |= np.uint32(NOT_LISTED)
        finite = np.isfinite(o + h + lo + x + ref + v + a + f)
        if not finite:
            found |= np.uint32(NOT_FINITE)
        if o <= 0.0 or h <= 0.0 or lo <= 0.0 or x <= 0.0 or ref <= 0.0 or f <= 0.0:
            found |= np.uint32(NOT_POSITIVE)
        if h < lo:
            found |= np.uint32(HIGH_BELOW_LOW)
        floor, ceiling = lo * (1.0 - ROUNDING_FRAC), h * (1.0 + ROUNDING_FRAC)
        if o < floor or o > ceiling:
            found |= np.uint32(OPEN_OUTSIDE)
        if x < floor or x > ceiling:
            found |= np.uint32(CLOSE_OUTSIDE)
        if v < 0.0 or a < 0.0:
            found |= np.uint32(TURNOVER_NEGATIVE)
        if v == 0.0:
            if h > lo or a > 0.0:
                found |= np.uint32(UNTRADED_RANGE)
            else:
                found |= np.uint32(UNTRADED_FLAT)
        if is_raw:
            if a < lo * v * (1.0 - AVERAGE_FRAC) or a > h * v * (1.0 + AVERAGE_FRAC):
                found |= np.uint32(AVERAGE_OUTSIDE)
            scale = ticks_per_cny[c]
            if scale > 0.0:
                rest = abs(o * scale - np.rint(o * scale)) + abs(h * scale - np.rint(h * scale))
                rest += abs(lo * scale - np.rint(lo * scale)) + abs(x * scale - np.rint(x * scale))
                if rest > TICK_ROUNDING:
                    found |= np.uint32(OFF_TICK)
        if session >= 0 and board[c] >= 0 and session - listed_at[c] >= LISTING_SESSIONS:
            is_st = 0
            for s in range(spell_from[c], spell_from[c + 1]):
                if spell_first[s] <= day <= spell_last[s]:
                    is_st = 1
            limit = limit_frac[2 * board[c] + is_st, session]
            if limit > 0.0 and abs(x - ref) > (limit + LIMIT_FRAC) * ref + TICK_CNY:
                found |= np.uint32(BEYOND_LIMIT)
        p = previous[c]
        if p >= 0:
            earlier, p_close, p_factor = instant_ns[p], close[p], factor[p]
            alike = o == open_[p] and h == high[p] and lo == low[p] and x == p_close
            traded_alike = v == volume[p] and a == amount[p]
            same = alike and traded_alike and ref == reference[p] and f == p_factor
        else:
            earlier, p_close, p_factor = carried_ns[c], carried[3, c], carried[7, c]
            alike = o == carried[0, c] and h == carried[1, c] and lo == carried[2, c] and x == p_close
            traded_alike = v == carried[5, c] and a == carried[6, c]
            same = True  # the twin is not judged here
        if earlier != NO_ROW:
            if instant_ns[i] == earlier:
                found |= np.uint32(DUPLICATE)
                if not same:
                    bits[p] |= np.uint32(DUPLICATE)  # which of the two is right is not known
            elif instant_ns[i] < earlier:
                found |= np.uint32(UNSORTED)
            else:
                if alike and v > 0.0 and traded_alike:
                    found |= np.uint32(REPEATED)
                ratio = p_factor / f
                expected = p_close * ratio
                if abs(ref - expected) > REFERENCE_FRAC * expected + tick_slack:
                    found |= np.uint32(REFERENCE_OFF)
                if ratio > 1.0 + FACTOR_NOISE_FRAC:
                    found |= np.uint32(FACTOR_FALLS)
                elif ratio != 1.0 and abs(ratio - 1.0) <= FACTOR_NOISE_FRAC and abs(ref - p_close) < 0.5 * TICK_CNY:
                    found |= np.uint32(FACTOR_NOISE)
                previous[c] = i
        else:
            previous[c] = i
        bits[i] |= found
    return bits
