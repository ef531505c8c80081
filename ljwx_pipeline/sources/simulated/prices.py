"""One session's prices: on the 0.01 tick, inside the rulebook's limits, ex dividend and bonus where due.

Not here: where the returns come from (``shocks.py``), and what is kept from session to session (``world.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.market.rulebook import TICK_E4, rounded_limits_e4
from ljwx_pipeline.units import BPS

Float = NDArray[np.float64]
Int = NDArray[np.int64]

#: A price this near its limit (share of the way in log returns) is drawn to it: the magnet effect.
MAGNET_SHARE = 0.82
#: A return this many times the limit finds no seller (or buyer) all day.
ONE_PRICE_EXCESS = 1.35


@dataclass(frozen=True)
class Draws:
    """What a session's bars are drawn from, each of shape ``(n_symbols,)``."""

    vol: Float  # daily, log returns
    gap: Float  # standard normal
    up: Float  # uniform (0, 1]
    down: Float


def limit_ticks(reference: Int, bps: Int) -> tuple[Int, Int]:
    """Return the rulebook's limit-down and limit-up prices in ticks, for limits in basis points of ``reference``."""
    up, down = rounded_limits_e4(reference * TICK_E4, bps, bps)
    return down // TICK_E4, up // TICK_E4


def ex_reference_ticks(close_ticks: Int, cash_ticks: Int, bonus_tenths: Int) -> Int:
    """Return the ex-right reference price: (close - cash) / (1 + bonus), rounded half up to the tick."""
    share = 10 + bonus_tenths
    return (20 * (close_ticks - cash_ticks) + share) // (2 * share)


def price_bars(reference: Int, log_return: Float, bps: Int, draws: Draws) -> tuple[Int, Int, Int, Int]:
    """Return open, high, low and close in ticks, inside the limits.

    The high and low are the extremes of a Brownian bridge from open to close, drawn exactly (reflection principle).
    """
    down, up = limit_ticks(reference, bps)
    close = np.rint(reference * np.exp(log_return)).astype(np.int64).clip(down, up)
    close = np.where(log_return > MAGNET_SHARE * np.log(up / reference), up, close)
    close = np.where(log_return < MAGNET_SHARE * np.log(down / reference), down, close)
    quoted = np.log(close / reference)
    gap = 0.3 * quoted + 0.3 * draws.vol * draws.gap
    opened = np.rint(reference * np.exp(gap)).astype(np.int64).clip(down, up)
    body = np.log(close / opened)
    variance = (0.8 * draws.vol) ** 2
    reach_up = 0.5 * (body + np.sqrt(body**2 - 2 * variance * np.log(draws.up)))
    reach_down = 0.5 * (body - np.sqrt(body**2 - 2 * variance * np.log(draws.down)))
    high = np.rint(opened * np.exp(reach_up)).astype(np.int64).clip(down, up)
    low = np.rint(opened * np.exp(reach_down)).astype(np.int64).clip(down, up)
    one_price = np.abs(log_return) > ONE_PRICE_EXCESS * np.log1p(bps / BPS)
    opened, high, low = (np.where(one_price, close, values) for values in (opened, high, low))
    return opened, np.maximum(high, np.maximum(opened, close)), np.minimum(low, np.minimum(opened, close)), close
