"""The measures of many resamples at once, and the intervals made of them.

Nearly all measures are functions of sums over the returns, and a resample's sums are its counts of each return times
the return's terms: one matrix product serves all resamples and measures (by ``einsum``: a BLAS product adds up in
another order on another number of threads, and the same seed would not give the same bits). Quantiles come from the
counts in order of return, drawdown from the resampled path. The plain functions of ``metrics.py``, ``tails.py`` and
``benchmarks.py`` are the reference: a resample that is the series itself gives their figures.

Sampling keeps strategy and benchmarks together session by session. The interval of a drawdown is that of paths as long
as this one; chance alone makes most of them shallower or deeper than the path that happened.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.evaluation.bootstrap import (
    BootstrapParams,
    Interval,
    percentile_interval,
    shared_block_length,
    stationary_indices,
)
from ljwx_pipeline.evaluation.tails import TAIL_FRAC, tail_position
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR

Float = NDArray[np.float64]
Int = NDArray[np.int64]

#: Measures of the returns alone.
OWN = (
    "annual_return", "annual_volatility", "sharpe", "sortino", "calmar", "max_drawdown", "win_rate", "profit_factor",
    "tail_ratio", "value_at_risk", "expected_shortfall", "skewness", "excess_kurtosis",
)  # fmt: skip
#: Measures against a benchmark, each under ``name:benchmark``.
RELATIVE = ("excess_annual_return", "information_ratio", "tracking_error", "beta", "alpha")

#: Growth below which all is lost; its logarithm stays finite.
_RUIN = 1e-300
_CONSTANT = 1e-12
#: Resampled paths reckoned at a time: as many as the processor's cache holds.
_PATHS = 64


def resampled_measures(
    returns: Float, benchmarks: Mapping[str, Float], indices: Int, *, periods_per_year: int = SESSIONS_PER_YEAR
) -> dict[str, Float]:
    """Return every measure of every resample, arrays of shape ``(resamples,)``.

    Parameters
    ----------
    returns
        Shape ``(n,)``, two or more, finite.
    benchmarks
        Returns of each benchmark on the same sessions.
    indices
        Positions drawn, shape ``(resamples, n)``, as ``stationary_indices`` gives them.
    periods_per_year
        By which means and spreads are made annual.

    Returns
    -------
    dict
        Keys ``OWN`` and, for every benchmark, ``RELATIVE`` with ``:`` and its name. NaN where a resample lacks the
        measure; ``profit_factor`` is infinite without a loss.
    """
    resamples, n = indices.shape
    flat = indices + (np.arange(resamples) * n)[:, None]
    counts = np.bincount(flat.ravel(), minlength=resamples * n).reshape(resamples, n)
    weights = counts.astype(np.float64)
    mean, centred = returns.mean(), returns - returns.mean()
    terms = {
        "c": centred,
        "c2": centred**2,
        "c3": centred**3,
        "c4": centred**4,
        "down2": np.minimum(returns, 0.0) ** 2,
        "log": _log_growth(returns),
        "won": (returns > 0).astype(np.float64),
        "gain": np.maximum(returns, 0.0),
        "loss": np.maximum(-returns, 0.0),
    }
    for name, other in benchmarks.items():
        away, apart = other - other.mean(), (returns - other) - (returns - other).mean()
        terms |= {f"m:{name}": away, f"m2:{name}": away**2, f"cm:{name}": centred * away}
        terms |= {f"d:{name}": apart, f"d2:{name}": apart**2, f"log:{name}": _log_growth(other)}
    sums = np.einsum("rn,kn->kr", weights, np.stack(list(terms.values())))
    averages = dict(zip(terms, sums / n, strict=True))
    out = _own(averages, mean, n, periods_per_year)
    out["max_drawdown"] = _max_drawdowns(terms["log"], indices)
    out["calmar"] = _ratio(out["annual_return"], out["max_drawdown"])
    out |= _tails(returns, counts)
    for name, other in benchmarks.items():
        out |= _relative(averages, name, mean, other.mean(), n, periods_per_year)
    return {key: out[key] for key in (*OWN, *(f"{measure}:{name}" for name in benchmarks for measure in RELATIVE))}


def bootstrap_intervals(
    returns: Float,
    benchmarks: Mapping[str, Float] | None = None,
    *,
    params: BootstrapParams | None = None,
    periods_per_year: int = SESSIONS_PER_YEAR,
) -> dict[str, Interval]:
    """Return the percentile interval of every measure of ``resampled_measures``.

    Parameters
    ----------
    returns
        Shape ``(n,)``. Below two of them every interval is NaN.
    benchmarks
        Returns of each benchmark on the same sessions.
    params
        How; defaults to 2,000 resamples, 95 %, automatic block length of ``returns``.
    periods_per_year
        By which means and spreads are made annual.

    Raises
    ------
    DataQualityError
        When a series has a gap, or a benchmark another length than the strategy.
    """
    chosen, others = params or BootstrapParams(), benchmarks or {}
    for name, series in {"the strategy": returns, **others}.items():
        if len(series) != len(returns) or not np.isfinite(series).all():
            raise DataQualityError(
                f"{name} has {int(np.isfinite(series).sum())} finite returns where {len(returns)} are needed",
                "pass every series on the same sessions, without gaps",
            )
    if len(returns) < 2:
        keys = (*OWN, *(f"{measure}:{name}" for name in others for measure in RELATIVE))
        return dict.fromkeys(keys, Interval(np.nan, np.nan))
    length = chosen.block_length if chosen.block_length is not None else shared_block_length(returns)
    indices = stationary_indices(len(returns), length, resamples=chosen.resamples, seed=chosen.seed)
    measured = resampled_measures(returns, others, indices, periods_per_year=periods_per_year)
    return {name: percentile_interval(values, chosen.confidence) for name, values in measured.items()}


def _log_growth(returns: Float) -> Float:
    return np.asarray(np.log(np.maximum(1 + returns, _RUIN)), dtype=np.float64)


def _ratio(above: Float, below: Float) -> Float:
    out = np.full(len(above), np.nan)
    np.divide(above, below, out=out, where=below > _CONSTANT)
    return out


def _spread(first: Float, second: Float, n: int) -> Float:
    return np.asarray(np.sqrt(np.maximum(second - first**2, 0.0) * (n / (n - 1))), dtype=np.float64)


def _annual(log_growth: Float, periods_per_year: int) -> Float:
    return np.asarray(np.expm1(log_growth * periods_per_year), dtype=np.float64)


def _own(averages: Mapping[str, Float], mean: float, n: int, periods_per_year: int) -> dict[str, Float]:
    c, c2, c3, c4 = (averages[name] for name in ("c", "c2", "c3", "c4"))
    year, centre, spread = np.sqrt(periods_per_year), mean + c, _spread(c, c2, n)
    second = np.maximum(c2 - c**2, 0.0)
    third = c3 - 3 * c * c2 + 2 * c**3
    fourth = c4 - 4 * c * c3 + 6 * c**2 * c2 - 3 * c**4
    gain, loss = averages["gain"], averages["loss"]
    no_loss = np.where(gain > 0, np.inf, np.nan)
    varies = second > _CONSTANT**2
    none = np.full(len(c), np.nan)
    return {
        "annual_return": _annual(averages["log"], periods_per_year),
        "annual_volatility": spread * year,
        "sharpe": _ratio(centre, spread) * year,
        "sortino": _ratio(centre, np.sqrt(averages["down2"])) * year,
        "win_rate": averages["won"],
        "profit_factor": np.divide(gain, loss, out=no_loss, where=loss > 0),
        "skewness": np.divide(third, second**1.5, out=none.copy(), where=varies),
        "excess_kurtosis": np.divide(fourth, second**2, out=none.copy(), where=varies) - 3,
    }


def _relative(
    averages: Mapping[str, Float], name: str, mean: float, other_mean: float, n: int, periods_per_year: int
) -> dict[str, Float]:
    c, m, m2, cm, d, d2, log = (averages[key] for key in ("c", *(f"{k}:{name}" for k in _TERMS)))
    variance = np.maximum(m2 - m**2, 0.0)
    slope = np.divide(cm - c * m, variance, out=np.full(len(c), np.nan), where=variance * n > _CONSTANT**2)
    error = _spread(d, d2, n)
    centre, other = mean + c, other_mean + m
    # NaN where there is no slope
    kept = _log_growth(centre - slope * other)
    return {
        f"excess_annual_return:{name}": _annual(averages["log"], periods_per_year) - _annual(log, periods_per_year),
        f"information_ratio:{name}": _ratio((mean - other_mean) + d, error) * np.sqrt(periods_per_year),
        f"tracking_error:{name}": error * np.sqrt(periods_per_year),
        f"beta:{name}": slope,
        f"alpha:{name}": _annual(kept, periods_per_year),
    }


_TERMS = ("m", "m2", "cm", "d", "d2", "log")


def _max_drawdowns(log_growth: Float, indices: Int) -> Float:
    out = np.empty(len(indices))
    for begin in range(0, len(indices), _PATHS):
        curve = log_growth[indices[begin : begin + _PATHS]]
        np.cumsum(curve, axis=1, out=curve)
        peak = np.maximum(np.maximum.accumulate(curve, axis=1), 0.0)
        out[begin : begin + _PATHS] = -np.expm1((curve - peak).min(axis=1))
    return out


def _tails(returns: Float, counts: Int) -> dict[str, Float]:
    """Order statistics of resamples: the value at which the counts, summed in order of return, pass a position."""
    order = np.argsort(returns, kind="stable")
    values, upto = returns[order], np.cumsum(counts[:, order].astype(np.int32), axis=1, dtype=np.int32)
    n = len(returns)

    def statistic(position: int) -> Float:
        return np.asarray(values[(upto <= position).sum(axis=1)], dtype=np.float64)

    def quantile(share: float) -> Float:
        at = share * (n - 1)
        low = int(at)
        below = statistic(low)
        return below + (at - low) * (statistic(min(low + 1, n - 1)) - below)

    low, high = quantile(TAIL_FRAC), quantile(1 - TAIL_FRAC)
    kept = tail_position(n) + 1
    within = np.diff(np.minimum(upto, kept), axis=1, prepend=np.int32(0))
    return {
        "tail_ratio": np.divide(np.abs(high), np.abs(low), out=np.full(len(low), np.nan), where=low != 0),
        "value_at_risk": low,
        "expected_shortfall": np.einsum("rn,n->r", within, values) / kept,
    }
