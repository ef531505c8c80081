"""Everything random in the simulated market, drawn before the first session: the walk in ``world.py`` adds nothing.

All shocks to log returns are symmetric around zero given their volatility, so that no stock's volatility, size or
history says anything about the rank of its future return unless an alpha is planted.

Not here: prices, and whatever depends on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from ljwx_pipeline.sources.simulated.roster import INDUSTRIES, STYLES, Roster
from ljwx_pipeline.sources.simulated.streams import stream

Float = NDArray[np.float64]

SESSIONS_A_YEAR = 242
MARKET_ANNUAL_VOL, MARKET_ANNUAL_DRIFT = 0.298, 0.01
INDUSTRY_ANNUAL_VOL, STYLE_ANNUAL_VOL = 0.07, 0.03
#: Calm, normal and turbulent: volatility multiplier and chance a session of leaving.
REGIME_VOL = np.array([0.5, 1.0, 2.2])
REGIME_LEAVE = np.array([0.006, 0.010, 0.030])
GARCH_ALPHA, GARCH_BETA = 0.06, 0.91
SLOW_VOL_SD, SLOW_VOL_SESSIONS = 0.50, 70.0
FAST_VOL_SD, FAST_VOL_SESSIONS = 0.30, 4.0
#: How far a stock's own volatility follows the market's: 0 not at all, 1 in proportion.
SHARED_VOL_POWER = 0.7
JUMP_CHANCE, JUMP_SD = 0.006, 0.09
TAIL_DF = 8.0
SUSPENDED_SHARE, SUSPENSION_SESSIONS = 0.025, 8.0
EX_DATES_A_YEAR, BONUS_SHARE = 0.7, 0.12


@dataclass(frozen=True)
class Shocks:
    """Arrays of shape ``(n_sessions, n_symbols)`` unless said otherwise; log returns a session."""

    market: Float  # (n_sessions,)
    common: Float  # beta x market + styles + industry
    idio: Float
    vol: Float  # expected daily volatility, all parts
    gap: Float  # standard normal: overnight part
    up_draw: Float  # uniform (0, 1]: reach of the high above the bridge from open to close
    down_draw: Float
    vwap_draw: Float  # uniform [0, 1)
    log_turnover: Float  # log of the fraction of shares traded, before the response to the return
    suspended: NDArray[np.bool_]
    dividend_yield: Float  # 0 where no ex-date is due
    bonus_tenths: NDArray[np.int64]  # bonus shares per ten held
    review_noise: Float


def draw_shocks(seed: int, roster: Roster, n_sessions: int, month_day: NDArray[np.int64]) -> Shocks:
    """Return the shocks of one world.

    Parameters
    ----------
    seed
        The world's seed.
    roster
        Its stocks.
    n_sessions
        Sessions in the world.
    month_day
        ``month * 100 + day`` of each session, shape ``(n_sessions,)``: dividends fall due in early summer.
    """
    n = len(roster.symbols)
    shape = (n_sessions, n)
    market, market_vol = _market(seed, n_sessions)
    common, common_var = _common(seed, roster, market, market_vol)
    idio, idio_vol = _idio(seed, roster, shape, market_vol)
    intraday = stream(seed, "intraday")
    due, bonus = _dividends(seed, shape, month_day)
    return Shocks(
        market=market,
        common=common,
        idio=idio,
        vol=np.sqrt(common_var + idio_vol**2),
        gap=intraday.standard_normal(shape),
        up_draw=1.0 - intraday.random(shape),
        down_draw=1.0 - intraday.random(shape),
        vwap_draw=intraday.random(shape),
        log_turnover=_log_turnover(seed, shape, market_vol),
        suspended=_suspended(seed, shape),
        dividend_yield=due,
        bonus_tenths=bonus,
        review_noise=stream(seed, "review").normal(0.0, 0.10, shape),
    )


def _unit_t(rng: np.random.Generator, shape: tuple[int, ...], df: float = TAIL_DF) -> Float:
    return np.asarray(rng.standard_t(df, shape) * np.sqrt((df - 2.0) / df), dtype=np.float64)


def _autoregression(rng: np.random.Generator, shape: tuple[int, ...], sd: float, sessions: float) -> Float:
    """Return stationary AR(1) paths along axis 0 with standard deviation ``sd`` and e-folding time ``sessions``."""
    rho = np.exp(-1.0 / sessions)
    drawn = rng.standard_normal(shape)
    drawn[1:] *= np.sqrt(1.0 - rho**2)
    return sd * np.asarray(lfilter([1.0], [1.0, -rho], drawn, axis=0), dtype=np.float64)


def _market(seed: int, n_sessions: int) -> tuple[Float, Float]:
    """Return market log returns and their conditional volatility: Markov regimes times GARCH(1, 1)."""
    rng = stream(seed, "market")
    leave, side, z = rng.random(n_sessions), rng.random(n_sessions), _unit_t(rng, (n_sessions,))
    vol = np.empty(n_sessions)
    regime, h = 1, 1.0
    for s in range(n_sessions):
        if leave[s] < REGIME_LEAVE[regime]:
            regime = 1 if regime != 1 else (0 if side[s] < 0.6 else 2)
        vol[s] = REGIME_VOL[regime] * np.sqrt(h)
        h = 1.0 - GARCH_ALPHA - GARCH_BETA + GARCH_ALPHA * h * min(z[s] ** 2, 9.0) + GARCH_BETA * h
    vol *= MARKET_ANNUAL_VOL / np.sqrt(SESSIONS_A_YEAR) / np.sqrt(np.mean(vol**2))
    moves = (vol * z).clip(-0.075, 0.075)
    return MARKET_ANNUAL_DRIFT / SESSIONS_A_YEAR + moves - moves.mean(), vol


def _common(seed: int, roster: Roster, market: Float, market_vol: Float) -> tuple[Float, Float]:
    """Return the part of each return shared with others, and its variance."""
    rng = stream(seed, "factors")
    t = len(market)
    style_vol = STYLE_ANNUAL_VOL / np.sqrt(SESSIONS_A_YEAR)
    industry_vol = INDUSTRY_ANNUAL_VOL / np.sqrt(SESSIONS_A_YEAR)
    styles = style_vol * _unit_t(rng, (t, len(STYLES)))
    industries = industry_vol * _unit_t(rng, (t, len(INDUSTRIES)))
    moved = np.arange(t)[:, None] >= roster.industry_changes_at[None, :]
    member_of = np.where(moved, roster.second_industry[None, :], roster.industry[None, :])
    common = market[:, None] * roster.beta + styles @ roster.styles.T
    common += np.take_along_axis(industries, member_of, axis=1)
    spread = style_vol**2 * (roster.styles**2).sum(axis=1) + industry_vol**2
    return common, (market_vol[:, None] * roster.beta) ** 2 + spread


def _idio(seed: int, roster: Roster, shape: tuple[int, int], market_vol: Float) -> tuple[Float, Float]:
    """Return idiosyncratic log returns and their conditional volatility: slow and fast volatility, fat tails, jumps."""
    rng = stream(seed, "idiosyncratic")
    log_vol = _autoregression(rng, shape, SLOW_VOL_SD, SLOW_VOL_SESSIONS)
    log_vol += _autoregression(rng, shape, FAST_VOL_SD, FAST_VOL_SESSIONS)
    shared = (market_vol / np.sqrt(np.mean(market_vol**2))) ** SHARED_VOL_POWER
    vol = roster.idio_vol * np.exp(log_vol - SLOW_VOL_SD**2 - FAST_VOL_SD**2) * shared[:, None]
    jumps = np.where(rng.random(shape) < JUMP_CHANCE, rng.normal(0.0, JUMP_SD, shape), 0.0)
    return vol * _unit_t(rng, shape) + jumps, vol


def _log_turnover(seed: int, shape: tuple[int, int], market_vol: Float) -> Float:
    """Return the log of the fraction of shares traded: a level a stock, busy and quiet weeks, daily noise."""
    rng = stream(seed, "turnover")
    level = rng.normal(np.log(0.0075), 0.55, shape[1])
    market_part = 0.5 * np.log(market_vol / np.median(market_vol))
    weeks = _autoregression(rng, shape, 0.50, 15.0)
    return level + market_part[:, None] + weeks + rng.normal(0.0, 0.18, shape)


def _suspended(seed: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return suspensions in spells, none on the first session."""
    rng = stream(seed, "suspensions")
    start = rng.random(shape) < SUSPENDED_SHARE / (1.0 - SUSPENDED_SHARE) / SUSPENSION_SESSIONS
    length = rng.geometric(1.0 / SUSPENSION_SESSIONS, shape)
    ends = np.where(start, np.arange(shape[0])[:, None] + length, 0)
    out: NDArray[np.bool_] = np.maximum.accumulate(ends, axis=0) > np.arange(shape[0])[:, None]
    out[0] = False
    return out


def _dividends(seed: int, shape: tuple[int, int], month_day: NDArray[np.int64]) -> tuple[Float, NDArray[np.int64]]:
    """Return dividend yields and bonus shares per ten on the sessions they fall due (May to August)."""
    rng = stream(seed, "dividends")
    yields, bonus = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    summer = (month_day >= 510) & (month_day <= 820)
    first_of_summer = np.flatnonzero(summer & ~np.concatenate([[False], summer[:-1]]))
    for start in first_of_summer:
        pays = np.flatnonzero(rng.random(shape[1]) < EX_DATES_A_YEAR)
        at = np.minimum(start + rng.integers(0, 65, len(pays)), shape[0] - 1)
        yields[at, pays] = np.exp(rng.normal(np.log(0.015), 0.5, len(pays))).clip(0.002, 0.06)
        gives = rng.random(len(pays)) < BONUS_SHARE
        bonus[at[gives], pays[gives]] = rng.integers(2, 9, int(gives.sum()))
    return yields, bonus
