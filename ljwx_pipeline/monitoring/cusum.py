"""The alarm of lost skill: a one-sided CUSUM of the daily rank IC, its level set by resampling the walk forward.

Page (1954), "Continuous inspection schemes": ``S_t = max(0, S_{t-1} + (m - IC_t) / s - k)`` and an alarm where ``S_t``
exceeds ``h``; after it the statistic begins at 0 again. ``m`` and ``s`` are mean and deviation of the rank IC in
control, ``k`` half the loss that is looked for: of all skill, ``k = ICIR / 2`` with ``ICIR = m / s`` by session, not
annualised (``evaluation/ic.py``).

Labels of several sessions overlap, so the rank IC of one session resembles the next's, and tables of ``h`` for
independent observations would alarm many times a year. ``h`` is therefore found on paths resampled from the in-control
rank IC in blocks longer than the overlap (Künsch 1989; circular, Politis and Romano 1992). Each path is judged by the
mean and deviation of a resample of its own, of the in-control length: ``m`` and ``s`` are estimates too, and a level
that took them for known would alarm more often than it says (Jones, Champ and Rigdon 2004). Seeded: the same input and
seed, the same bits.

Not here: where the rank IC of live scores comes from (``decay.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.compiled import kernel
from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR

Float = NDArray[np.float64]

#: A shorter walk forward tells neither the mean nor how long bad spells last.
MIN_SESSIONS = 252
#: As many blocks the in-control series must hold.
MIN_BLOCKS = 10
#: Length of a block in reaches of the label. Dependence ends at one, but every seam between blocks cuts it, and what
#: seams cut lowers the level.
BLOCK_REACHES = 8
#: The search for the level ends when both ends are this near, relative.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class CusumParams:
    """How the level is found.

    Parameters
    ----------
    false_alarms_per_year
        At most as many, in control.
    lost_frac
        Share of the mean rank IC whose loss is looked for: 1 all skill, 2 its sign inverted. Sets ``k``.
    paths, years
        How many series are resampled and how long each is, in years of 252 sessions.
    seed
        Of the random numbers.
    block_sessions
        Length of a resampled block; None: ``BLOCK_REACHES`` times the label's reach.
    """

    false_alarms_per_year: float = 0.75
    lost_frac: float = 1.0
    paths: int = 1000
    years: int = 10
    seed: int = 0
    block_sessions: int | None = None


@dataclass(frozen=True)
class CusumChart:
    """An alarm ready to watch with; plain numbers, to be kept with the model.

    Parameters
    ----------
    mean, deviation
        Of the rank IC in control, by session (n - 1).
    reference, level
        ``k`` and ``h``, in deviations.
    false_alarms_per_year
        Alarms a year of the resampled in-control paths, begun at 0 again after each.
    run_length_sessions
        Sessions an alarm: ``252 / false_alarms_per_year``; infinite where no path alarmed.
    alarm_within_year
        Share of the paths that alarm in their first 252 sessions.
    sessions, block_sessions, seed
        What it was made of.
    """

    mean: float
    deviation: float
    reference: float
    level: float
    false_alarms_per_year: float
    run_length_sessions: float
    alarm_within_year: float
    sessions: int
    block_sessions: int
    seed: int

    @property
    def icir(self) -> float:
        """Mean rank IC over its deviation, by session, not annualised."""
        return self.mean / self.deviation

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values; ``chart_of`` reads them."""
        return asdict(self)


@dataclass(frozen=True)
class Watch:
    """What the alarm says of a live series.

    Parameters
    ----------
    statistic
        ``S_t`` after each session, shape ``(n,)``; on an alarm the value that exceeded the level.
    alarms
        Positions of the alarms, ascending.
    """

    statistic: Float
    alarms: tuple[int, ...]


@dataclass(frozen=True)
class Delay:
    """How long a change stays unnoticed, in sessions from its first matured label, which counts as 1.

    Parameters
    ----------
    lost_frac
        Share of the mean rank IC lost: 1 all skill, 2 its sign inverted.
    median, mean, p90
        Over the resampled paths; one without an alarm counts as ``horizon`` in the mean and as infinite in the
        quantiles.
    alarmed_frac
        Share of the paths alarmed within ``horizon`` sessions.
    horizon
        Sessions looked at.
    """

    lost_frac: float
    median: float
    mean: float
    p90: float
    alarmed_frac: float
    horizon: int


def calibrated_chart(in_control: Float, *, reach_sessions: int, params: CusumParams | None = None) -> CusumChart:
    """Return the alarm for a model whose rank IC out of sample was ``in_control``.

    Parameters
    ----------
    in_control
        Rank IC of the walk forward's test sessions, shape ``(n,)``, in session order, no NaN.
    reach_sessions
        Sessions from a score to the last price its label reads (``label.purge_sessions``).
    params
        How the level is found.

    Raises
    ------
    DataQualityError
        For a value that is not finite, too short a series, a mean that is not above zero, or a series that never
        varies.
    """
    params = params or CusumParams()
    series, block = _checked(in_control, reach_sessions, params)
    mean, deviation = float(series.mean()), float(series.std(ddof=1))
    reference = params.lost_frac * mean / deviation / 2
    standardised = _standardised_paths(series, block, params, sessions=params.years * SESSIONS_PER_YEAR)
    level = _level(standardised, reference, params)
    alarms, early = _count_alarms(standardised, reference, level, SESSIONS_PER_YEAR)
    rate = alarms / (params.paths * params.years)
    return CusumChart(
        mean=mean,
        deviation=deviation,
        reference=reference,
        level=level,
        false_alarms_per_year=rate,
        run_length_sessions=SESSIONS_PER_YEAR / rate if rate > 0 else math.inf,
        alarm_within_year=early / params.paths,
        sessions=len(series),
        block_sessions=block,
        seed=params.seed,
    )


def chart_of(kept: dict[str, Any]) -> CusumChart:
    """Return the chart that ``as_dict`` wrote.

    Raises
    ------
    DataQualityError
        For a missing or unknown name, or a number that no chart can have.
    """
    wanted = {field.name for field in fields(CusumChart)}
    if set(kept) != wanted:
        odd = sorted(wanted ^ set(kept))
        raise DataQualityError(f"the kept alarm lacks or has besides {', '.join(odd)}", "calibrate it again")
    numbers = [value for value in kept.values() if isinstance(value, int | float) and not isinstance(value, bool)]
    sound = len(numbers) == len(kept) and not any(math.isnan(value) for value in numbers)
    if not sound or min(kept["mean"], kept["deviation"], kept["reference"], kept["level"]) <= 0:
        raise DataQualityError(f"the kept alarm holds a number no alarm has: {kept}", "calibrate it again")
    return CusumChart(**kept)


def watch(chart: CusumChart, rank_ic: Float) -> Watch:
    """Return the statistic and the alarms of a live series.

    Parameters
    ----------
    rank_ic
        By session in order, shape ``(n,)``, from the first session after training. NaN, a session whose scores or
        returns told nothing apart, counts as 0: a model that ranks nothing shows no skill.

    Raises
    ------
    DataQualityError
        For an infinite value or one beyond 1.
    """
    shown = np.nan_to_num(np.asarray(rank_ic, dtype=np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf)
    if (np.abs(shown) > 1).any():
        at = int((np.abs(shown) > 1).argmax())
        raise DataQualityError(f"rank IC number {at} is {shown[at]}, beyond 1", "pass rank correlations")
    statistic = np.empty(len(shown))
    alarmed = np.zeros(len(shown), dtype=np.bool_)
    _follow((chart.mean - shown) / chart.deviation, chart.reference, chart.level, statistic, alarmed)
    return Watch(statistic, tuple(int(at) for at in np.flatnonzero(alarmed)))


def delay_curve(
    chart: CusumChart,
    in_control: Float,
    lost_fracs: Sequence[float],
    *,
    paths: int = 2000,
    warm_up_sessions: int = 120,
    horizon_sessions: int = 504,
    seed: int = 1,
) -> tuple[Delay, ...]:
    """Return how long changes of several sizes stay unnoticed, on series resampled from ``in_control``.

    From the change on every rank IC is lower by ``lost_frac * chart.mean``; before it the alarm has watched
    ``warm_up_sessions`` in control.

    Parameters
    ----------
    in_control
        As given to ``calibrated_chart``.
    lost_fracs
        Sizes of the change, shares of the mean rank IC.
    paths, warm_up_sessions, horizon_sessions, seed
        Of the simulation.
    """
    params = CusumParams(paths=paths, seed=seed, block_sessions=chart.block_sessions)
    series, block = _checked(in_control, 1, params)
    standardised = _standardised_paths(series, block, params, sessions=warm_up_sessions + horizon_sessions)
    curve = []
    for lost in lost_fracs:
        shift = lost * chart.icir
        found = np.empty(paths)
        _first_alarms(standardised, shift, chart.reference, chart.level, warm_up_sessions, found)
        curve.append(delay_of(found, lost_frac=lost, horizon=horizon_sessions))
    return tuple(curve)


def delay_of(delays: Float, *, lost_frac: float, horizon: int) -> Delay:
    """Return the summary of delays in sessions, infinite where no alarm came within ``horizon``."""
    median, p90 = np.quantile(delays, [0.5, 0.9], method="inverted_cdf")
    return Delay(
        lost_frac=lost_frac,
        median=float(median),
        mean=float(np.minimum(delays, horizon).mean()),
        p90=float(p90),
        alarmed_frac=float(np.isfinite(delays).mean()),
        horizon=horizon,
    )


def _checked(in_control: Float, reach_sessions: int, params: CusumParams) -> tuple[Float, int]:
    series = np.asarray(in_control, dtype=np.float64).ravel()
    bad = np.flatnonzero(~np.isfinite(series))
    if len(bad):
        raise DataQualityError(
            f"in-control rank IC number {bad[0]} of {len(series)} is {series[bad[0]]}",
            "leave out sessions without a rank IC",
        )
    block = params.block_sessions or BLOCK_REACHES * reach_sessions
    needed = max(MIN_SESSIONS, MIN_BLOCKS * block)
    if len(series) < needed:
        raise DataQualityError(
            f"{len(series)} sessions of in-control rank IC are too few for an alarm level",
            f"walk forward over at least {needed}",
        )
    if not params.false_alarms_per_year > 0 or params.lost_frac <= 0 or min(params.paths, params.years, block) < 1:
        raise DataQualityError(f"{params} cannot be calibrated", "ask for positive numbers")
    if series.mean() <= 0 or series.std() <= 1e-12:
        raise DataQualityError(
            f"the in-control rank IC has mean {series.mean():.4g} and deviation {series.std():.4g}: no skill to lose",
            "watch a model that the walk forward found to have some",
        )
    return series, block


def _standardised_paths(series: Float, block: int, params: CusumParams, *, sessions: int) -> Float:
    """Return ``(m* - IC*_t) / s*`` of resampled series, shape ``(paths, sessions)``, ``m*``, ``s*`` resampled too."""
    rng = np.random.default_rng(params.seed)
    judged_by = _resampled(series, block, paths=params.paths, sessions=len(series), rng=rng)
    mean, deviation = judged_by.mean(axis=1), judged_by.std(axis=1, ddof=1)
    paths = _resampled(series, block, paths=params.paths, sessions=sessions, rng=rng)
    return np.ascontiguousarray((mean[:, None] - paths) / deviation[:, None])


def _resampled(series: Float, block: int, *, paths: int, sessions: int, rng: np.random.Generator) -> Float:
    blocks = math.ceil(sessions / block)
    starts = rng.integers(0, len(series), (paths, blocks))
    drawn = (starts[:, :, None] + np.arange(block)) % len(series)
    out: Float = series[drawn.reshape(paths, -1)[:, :sessions]]
    return out


def _level(standardised: Float, reference: float, params: CusumParams) -> float:
    """Return the least level, to one part in a thousand, whose alarms stay within what is allowed."""
    allowed = params.false_alarms_per_year * params.paths * params.years

    def too_many(level: float) -> bool:
        return _count_alarms(standardised, reference, level, SESSIONS_PER_YEAR)[0] > allowed

    low, high = 0.0, 1.0
    while too_many(high):
        low, high = high, 2 * high
    while high - low > _TOLERANCE * high:
        middle = (low + high) / 2
        low, high = (middle, high) if too_many(middle) else (low, middle)
    return high


@kernel
def _count_alarms(standardised: Float, reference: float, level: float, early_sessions: int) -> tuple[int, int]:
    """Return alarms on all paths, and paths that alarm within the early sessions."""
    alarms, early = 0, 0
    for path in range(standardised.shape[0]):
        held, first = 0.0, -1
        for at in range(standardised.shape[1]):
            held = max(0.0, held + standardised[path, at] - reference)
            if held > level:
                alarms += 1
                held = 0.0
                if first < 0:
                    first = at
        if 0 <= first < early_sessions:
            early += 1
    return alarms, early


@kernel
def _first_alarms(
    standardised: Float, shift: float, reference: float, level: float, warm_up: int, delays: Float
) -> None:
    for path in range(standardised.shape[0]):
        held = 0.0
        delays[path] = np.inf
        for at in range(standardised.shape[1]):
            lost = shift if at >= warm_up else 0.0
            held = max(0.0, held + standardised[path, at] + lost - reference)
            if held > level:
                if at >= warm_up:
                    delays[path] = at - warm_up + 1
                    break
                held = 0.0


@kernel
def _follow(standardised: Float, reference: float, level: float, statistic: Float, alarmed: NDArray[np.bool_]) -> None:
    held = 0.0
    for at in range(len(standardised)):
        held = max(0.0, held + standardised[at] - reference)
        statistic[at] = held
        if held > level:
            alarmed[at] = True
            held = 0.0
