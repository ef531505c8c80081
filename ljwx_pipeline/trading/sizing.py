"""Money management: which share of the investable equity a strategy may put to work, judged at each close.

``none``: all of it. ``fixed_fraction``: always the same share. ``volatility_target``: ``target / volatility``, at most
1, so that the account aims at a steady risk (Moreira and Muir, "Volatility-Managed Portfolios", Journal of Finance 72,
2017, who scale by the variance; by the volatility: Harvey et al., "The Impact of Volatility Targeting", Journal of
Portfolio Management 45, 2018). ``kelly``: ``fraction * mean / variance`` between 0 and 1, the growth-optimal share of
Kelly ("A New Interpretation of Information Rate", Bell System Technical Journal 35, 1956) in the continuous form of
Thorp ("The Kelly Criterion in Blackjack, Sports Betting, and the Stock Market", 2006), riskless rate 0. A-share
accounts of this kind do not borrow: nothing exceeds 1.

Mean and variance are those of the strategy's own returns per unit invested: the change of equity over what was held at
the previous close. With the account's plain returns a halved exposure would show half the volatility and be doubled
again. They come from the newest ``window_sessions`` sessions that began with holdings; until there are that many, the
exposure is ``fraction``. The two never go below ``min_exposure_frac``: an account that holds nothing shows no returns
by which it could come back.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.compiled import trading_kernel
from ljwx_pipeline.config import SizingSettings
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR
from ljwx_pipeline.units import BPS, E8

Int = NDArray[np.int64]

NONE, FIXED_FRACTION, VOLATILITY_TARGET, KELLY = range(4)
#: ``SizingSettings.kind`` as the kernel reads it.
SIZING_KINDS = {
    "none": NONE,
    "fixed_fraction": FIXED_FRACTION,
    "volatility_target": VOLATILITY_TARGET,
    "kelly": KELLY,
}


@dataclass(frozen=True)
class SizingParams:
    """``SizingSettings`` as the integers a kernel takes; ``decay_e8`` is the weight of a return one session older."""

    kind: int
    fraction_bps: int
    target_volatility_bps: int
    kelly_fraction_bps: int
    window_sessions: int
    decay_e8: int
    min_exposure_bps: int

    @classmethod
    def of(cls, settings: SizingSettings) -> SizingParams:
        """Return the parameters that ``settings`` stands for."""
        half_life = settings.half_life_sessions
        return cls(
            kind=SIZING_KINDS[settings.kind],
            fraction_bps=round(settings.fraction * BPS),
            target_volatility_bps=round(settings.target_annual_volatility * BPS),
            kelly_fraction_bps=round(settings.kelly_fraction * BPS),
            window_sessions=settings.window_sessions,
            # a rounded integer, so that no machine's power function is heard in the result
            decay_e8=round(0.5 ** (1 / half_life) * E8) if half_life else E8,
            min_exposure_bps=round(settings.min_exposure_frac * BPS),
        )

    @property
    def active(self) -> bool:
        """Whether anything but full exposure can come out."""
        return self.kind != NONE

    def as_array(self) -> Int:
        """Return the parameters in declared order, int64."""
        return np.array(astuple(self), dtype=np.int64)


KIND, FRACTION, TARGET_VOLATILITY, KELLY_FRACTION, WINDOW, DECAY, MIN_EXPOSURE = range(7)


@trading_kernel
def _moments(equity_fen: Int, cash_fen: Int, window: int, decay: float, least_share: float) -> tuple[int, float, float]:
    """Return how many returns the window holds, at most ``window``, and their weighted mean and variance.

    The variance is unbiased for equal weights (``n - 1``) and in the same sense for decaying ones.
    """
    mean, variance, found = 0.0, 0.0, 0
    for second in (False, True):
        weight, total, squares, weighted = 1.0, 0.0, 0.0, 0.0
        found = 0
        for t in range(equity_fen.size - 1, 0, -1):
            if found == window:
                break
            held = equity_fen[t - 1] - cash_fen[t - 1]
            if held <= 0:
                continue
            # a sliver held while much is bought would divide the purchase's fees by next to nothing
            base = max(float(held), least_share * equity_fen[t - 1])
            change = (equity_fen[t] - equity_fen[t - 1]) / base
            value = (change - mean) * (change - mean) if second else change
            weighted += weight * value
            total += weight
            squares += weight * weight
            weight *= decay
            found += 1
        if found < 2:
            return found, 0.0, 0.0
        if second:
            variance = weighted / (total - squares / total)
        else:
            mean = weighted / total
    return found, mean, variance


@trading_kernel
def exposure_bps(equity_fen: Int, cash_fen: Int, params: Int) -> int:
    """Return the share of the investable equity that may be invested, 0 to 10,000 basis points.

    Parameters
    ----------
    equity_fen, cash_fen
        Equity and cash at every close so far, oldest first, this session's last: what is known when orders are made.
    params
        ``SizingParams.as_array()``.
    """
    kind = params[KIND]
    if kind == NONE:
        return BPS
    if kind == FIXED_FRACTION:
        return int(params[FRACTION])
    least = params[MIN_EXPOSURE]
    found, mean, variance = _moments(equity_fen, cash_fen, params[WINDOW], params[DECAY] / E8, least / BPS)
    if found < params[WINDOW]:
        return int(params[FRACTION])
    if kind == VOLATILITY_TARGET:
        volatility = math.sqrt(variance * SESSIONS_PER_YEAR)
        share = params[TARGET_VOLATILITY] / volatility if volatility > 0 else float(BPS)
    elif variance > 0:
        share = params[KELLY_FRACTION] * mean / variance
    else:
        share = float(BPS) if mean > 0 else 0.0
    return int(min(float(BPS), max(float(least), share)))
