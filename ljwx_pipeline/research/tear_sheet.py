"""Tear sheets: everything that is measured of a factor, and of a set of them. No I/O, no picture.

Not here: the measures' formulas (``ic.py``, ``quantiles.py``), the page (``page.py``), the files (``files.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.coefficients import BySession, by_session, panel_coefficients, panel_rank_ic
from ljwx_pipeline.config import LabelSettings
from ljwx_pipeline.errors import DatasetError
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.factors.catalogue import Factor
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR
from ljwx_pipeline.research.forward import close_to_close_returns, entered_returns
from ljwx_pipeline.research.ic import (
    IcSummary,
    clustered_order,
    delayed_rank_ic,
    half_life_sessions,
    ic_summary,
    rank_autocorrelation,
    rank_correlations,
    sampled_sessions,
)
from ljwx_pipeline.research.market import ResearchMarket
from ljwx_pipeline.research.quantiles import (
    QUANTILES,
    capacity_cny,
    cumulative_growth,
    quantile_buckets,
    quantile_returns,
    quantile_turnover,
    session_means,
)

Float = NDArray[np.float64]

#: Sessions held; the label's own is added.
HORIZONS = (1, 5, 10, 20)
#: Sessions a trade comes late, for the decay.
DELAYS = (0, 1, 2, 3, 5, 10, 20, 40)
#: Share of a name's usual amount that a position may be.
PARTICIPATION_FRAC = 0.1
#: Names a session must have for a coefficient or an autocorrelation.
MIN_NAMES = 10
#: Sessions the correlation map is taken from.
CORRELATION_SESSIONS = 60
#: Factors evaluated at a time: bounds the memory of a large catalogue over a whole market.
FACTORS_AT_A_TIME = 16


@dataclass(frozen=True)
class Yardstick:
    """What every factor of a set is held against, laid out by session. Build with ``yardstick``.

    Parameters
    ----------
    symbols, sessions
        Axes of the measured part.
    span
        Its place among the market's sessions.
    universe, mean_amount_cny
        As in ``ResearchMarket``, shape ``(n_sessions, n_symbols)``.
    horizons, entered
        Forward returns entered after the value is known, by horizon.
    close_to_close
        The label's horizon entered at the very close the value has seen: for comparison alone.
    label
        Entry lag and horizon of the headline numbers.
    """

    symbols: tuple[str, ...]
    sessions: pd.DatetimeIndex
    span: slice
    universe: NDArray[np.bool_]
    mean_amount_cny: Float
    horizons: tuple[int, ...]
    entered: tuple[BySession, ...]
    close_to_close: BySession
    label: LabelSettings

    @property
    def headline(self) -> int:
        """Return the position of the label's horizon among ``horizons``."""
        return self.horizons.index(self.label.horizon_sessions)


@dataclass(frozen=True)
class FactorSheet:
    """One factor, measured. Arrays over sessions are float64 of shape ``(n_sessions, ...)``, NaN where unknown.

    Parameters
    ----------
    factor
        What it is, as declared.
    rank_ic, rank_ic_summary
        By session and horizon, shape ``(n_sessions, n_horizons)``, and in numbers by horizon.
    ic, ic_summary
        Pearson's, at the label's horizon.
    close_to_close
        Rank IC of the close-to-close return over the label's horizon, in numbers.
    delayed, half_life
        Mean rank IC by ``DELAYS`` and the delay at which half is left.
    quantile_excess
        Mean return over the universe's by horizon and quantile, shape ``(n_horizons, quantiles)``.
    growth
        Growth of 1 of each quantile over the universe, rebalanced every session, shape ``(n_sessions, quantiles)``.
    spread, spread_summary
        Highest quantile minus lowest over the label's horizon, by session and in numbers.
    turnover
        Share of new names in the lowest and in the highest quantile, shape ``(n_sessions, 2)``.
    autocorrelation
        Of the ranks, one session apart.
    coverage
        Share of the universe that has a value.
    long_quantile
        Quantile a portfolio would hold: the highest, or the lowest where the mean rank IC is negative.
    capacity
        What it could hold, CNY (``quantiles.capacity_cny`` at ``PARTICIPATION_FRAC``).
    """

    factor: Factor
    rank_ic: Float
    rank_ic_summary: tuple[IcSummary, ...]
    ic: Float
    ic_summary: IcSummary
    close_to_close: IcSummary
    delayed: tuple[float | None, ...]
    half_life: float | None
    quantile_excess: Float
    growth: Float
    spread: Float
    spread_summary: IcSummary
    turnover: Float
    autocorrelation: Float
    coverage: Float
    long_quantile: int
    capacity: Float

    def summary(self, yardstick: Yardstick) -> dict[str, Any]:
        """Return the summary table's row: plain values, None where one could not be measured."""
        headline = self.rank_ic_summary[yardstick.headline]
        horizon = yardstick.label.horizon_sessions
        spread = self.spread_summary.mean
        side = 0 if self.long_quantile == 0 else 1
        return {
            "factor": self.factor.name,
            "meaning": self.factor.meaning,
            "source": self.factor.source,
            "unit": self.factor.unit,
            "window_sessions": self.factor.expression.window,
            "horizon_sessions": horizon,
            "rank_ic_mean": headline.mean,
            "rank_icir": headline.icir,
            "rank_ic_t": headline.t,
            "rank_ic_positive_frac": headline.positive_frac,
            "ic_mean": self.ic_summary.mean,
            "rank_ic_close_to_close_mean": self.close_to_close.mean,
            "half_life_sessions": self.half_life,
            "spread_per_year_frac": None if spread is None else spread * SESSIONS_PER_YEAR / horizon,
            "spread_t": self.spread_summary.t,
            "long_quantile": "lowest" if self.long_quantile == 0 else "highest",
            "turnover_frac": _mean(self.turnover[:, side]),
            "autocorrelation": _mean(self.autocorrelation),
            "coverage_frac": _mean(self.coverage),
            "capacity_cny": _median(self.capacity),
            "sessions": headline.sessions,
        }


@dataclass(frozen=True)
class SetSheet:
    """A set of factors, measured on one yardstick.

    Parameters
    ----------
    name
        Of the catalogue.
    yardstick
        What they were held against.
    sheets
        In the catalogue's order.
    correlations
        Mean Spearman correlation of each two over ``correlation_sessions`` sampled sessions, in the sheets' order.
    clustered
        Positions of the sheets with like beside like.
    """

    name: str
    yardstick: Yardstick
    sheets: tuple[FactorSheet, ...]
    correlations: Float
    correlation_sessions: int
    clustered: tuple[int, ...]

    def strongest(self, count: int) -> tuple[str, ...]:
        """Return the names of the ``count`` factors whose rank IC has the largest absolute t, by name where equal."""
        place = self.yardstick.headline
        ranked = sorted((-abs(one.rank_ic_summary[place].t or 0.0), one.factor.name) for one in self.sheets)
        return tuple(name for _, name in ranked[:count])

    def table(self) -> pd.DataFrame:
        """Return the summary, a row a factor, in the sheets' order."""
        return pd.DataFrame([sheet.summary(self.yardstick) for sheet in self.sheets])


def yardstick(
    market: ResearchMarket, label: LabelSettings, *, first: date | None = None, last: date | None = None
) -> Yardstick:
    """Return what factors are held against over the sessions ``[first, last]`` of the market (all of them if None).

    Returns may end after ``last``, never after the market's last session.

    Raises
    ------
    DatasetError
        When fewer sessions lie in the range than the label reaches, twice.
    """
    every = market.panel.sessions
    start = 0 if first is None else int(every.searchsorted(pd.Timestamp(first)))
    stop = len(every) if last is None else int(every.searchsorted(pd.Timestamp(last), side="right"))
    reach = label.entry_lag_sessions + label.horizon_sessions
    if stop - start < 2 * reach:
        raise DatasetError(
            f"{max(stop - start, 0)} research sessions lie from {first or every[0].date()} to "
            f"{last or every[-1].date()}",
            f"choose at least {2 * reach} of the sessions from {every[0].date()} to {every[-1].date()}",
        )
    longest = len(every) - label.entry_lag_sessions - 1
    horizons = tuple(h for h in sorted({*HORIZONS, label.horizon_sessions}) if h <= longest)
    span = slice(start, stop)
    entered = entered_returns(market.panel, horizons, entry_lag_sessions=label.entry_lag_sessions)
    seen = close_to_close_returns(market.panel.fields["close"], [label.horizon_sessions])
    return Yardstick(
        symbols=market.panel.symbols,
        sessions=every[span],
        span=span,
        universe=np.ascontiguousarray(market.universe[:, span].T),
        mean_amount_cny=np.ascontiguousarray(market.mean_amount_cny[:, span].T),
        horizons=horizons,
        entered=tuple(by_session(entered.of(horizon)[:, span]) for horizon in horizons),
        close_to_close=by_session(seen.of(label.horizon_sessions)[:, span]),
        label=label,
    )


def measure_factor(declared: Factor, values: NDArray[np.floating[Any]], stick: Yardstick) -> FactorSheet:
    """Return one factor's sheet.

    Parameters
    ----------
    declared
        The factor, for its words.
    values
        Shape ``(n_symbols, n_sessions)`` over all sessions of the market; NaN or infinite is unknown, and names
        outside the universe are left out.
    """
    factor = _inside(values, stick)
    headline, reach = stick.headline, stick.label.entry_lag_sessions
    found = panel_coefficients(factor, stick.entered[headline], min_pairs=MIN_NAMES)
    rank_ic = np.column_stack(
        [
            found.rank_ic if position == headline else panel_rank_ic(factor, returns, min_pairs=MIN_NAMES)
            for position, returns in enumerate(stick.entered)
        ]
    )
    by_horizon = tuple(
        ic_summary(rank_ic[:, position], purge_sessions=reach + horizon)
        for position, horizon in enumerate(stick.horizons)
    )
    purge = reach + stick.label.horizon_sessions
    delayed = delayed_rank_ic(factor, stick.entered[headline], DELAYS, min_pairs=MIN_NAMES)
    buckets = quantile_buckets(factor)
    returned = [quantile_returns(buckets, returns.values) for returns in stick.entered]
    spread = returned[headline].spread
    mean = by_horizon[headline].mean
    long_quantile = 0 if mean is not None and mean < 0 else QUANTILES - 1
    known, wanted = np.isfinite(factor.values).sum(axis=1), stick.universe.sum(axis=1)
    seen = panel_rank_ic(factor, stick.close_to_close, min_pairs=MIN_NAMES)
    return FactorSheet(
        factor=declared,
        rank_ic=rank_ic,
        rank_ic_summary=by_horizon,
        ic=found.ic,
        ic_summary=ic_summary(found.ic, purge_sessions=purge),
        close_to_close=ic_summary(seen, purge_sessions=stick.label.horizon_sessions),
        delayed=delayed,
        half_life=half_life_sessions(DELAYS, delayed, by_horizon[headline].t),
        quantile_excess=np.stack([one.mean_excess for one in returned]),
        growth=cumulative_growth(returned[stick.horizons.index(1)].excess),
        spread=spread,
        spread_summary=ic_summary(spread, purge_sessions=purge),
        turnover=np.column_stack([quantile_turnover(buckets, side) for side in (0, QUANTILES - 1)]),
        autocorrelation=rank_autocorrelation(factor, min_pairs=MIN_NAMES),
        coverage=np.divide(known, wanted, out=np.full(len(known), np.nan), where=wanted > 0),
        long_quantile=long_quantile,
        capacity=capacity_cny(buckets, stick.mean_amount_cny, long_quantile, participation_frac=PARTICIPATION_FRAC),
    )


def measure_set(
    name: str,
    factors: Iterable[tuple[Factor, NDArray[np.floating[Any]]]],
    stick: Yardstick,
    *,
    threads: int = 1,
    on_factor: Callable[[str], None] = lambda _: None,
) -> SetSheet:
    """Return the set's sheet; factors are taken one after the other, so that their values need not all be held.

    Parameters
    ----------
    name
        Of the catalogue.
    factors
        As ``measure_factor`` takes them, for instance from ``evaluated``.
    threads
        Factors measured at a time; the numbers do not depend on it.
    on_factor
        Called with the name of each factor that is done.

    Raises
    ------
    DatasetError
        Without a factor.
    """
    sampled = sampled_sessions(len(stick.sessions), CORRELATION_SESSIONS)

    def measured(
        factor: tuple[Factor, NDArray[np.floating[Any]]],
    ) -> tuple[FactorSheet, NDArray[np.float64]]:
        declared, values = factor
        sheet = measure_factor(declared, values, stick)
        sample = np.where(stick.universe[sampled], values[:, stick.span].T[sampled].astype(np.float64), np.nan)
        on_factor(declared.name)
        return sheet, sample

    results: list[tuple[FactorSheet, NDArray[np.float64]]] = []
    with ThreadPoolExecutor(threads) as pool:
        # in batches: a pool takes its whole input at once, and with it every factor's values
        batch: list[tuple[Factor, NDArray[np.floating[Any]]]] = []
        for factor in factors:
            batch.append(factor)
            if len(batch) == FACTORS_AT_A_TIME:
                results += pool.map(measured, batch)
                batch = []
        results += pool.map(measured, batch)
    if not results:
        raise DatasetError(f"the set {name} holds no factor", "name at least one")
    correlations = rank_correlations(np.stack([sample for _, sample in results]), min_pairs=MIN_NAMES)
    return SetSheet(
        name=name,
        yardstick=stick,
        sheets=tuple(sheet for sheet, _ in results),
        correlations=correlations,
        correlation_sessions=len(sampled),
        clustered=tuple(clustered_order(correlations)),
    )


def evaluated(
    factors: Sequence[Factor], market: ResearchMarket, *, threads: int = 1
) -> Iterable[tuple[Factor, NDArray[np.floating[Any]]]]:
    """Yield each factor with its values over the market's sessions, computed a few at a time."""
    for start in range(0, len(factors), FACTORS_AT_A_TIME):
        part = factors[start : start + FACTORS_AT_A_TIME]
        values = evaluate({factor.name: factor.expression for factor in part}, market.panel, threads)
        for factor in part:
            yield factor, values.of(factor.name)


def monthly_means(values: Float, sessions: pd.DatetimeIndex) -> pd.Series:
    """Return the mean by calendar month, ``PeriodIndex``; months without a value are absent."""
    series = pd.Series(values, index=sessions.to_period("M")).dropna()
    means: pd.Series = series.groupby(level=0).mean()
    return means


def _inside(values: NDArray[np.floating[Any]], stick: Yardstick) -> BySession:
    return by_session(np.where(stick.universe.T, values[:, stick.span], np.nan))


def _mean(values: Float) -> float | None:
    mean = float(session_means(values[:, None])[0])
    return mean if math.isfinite(mean) else None


def _median(values: Float) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None
