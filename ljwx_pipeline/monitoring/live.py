"""How the model that trades fares: its first scores against labels that matured, its newest inputs against training's.

**Live** is a score made before the close at which its trade is entered. One made later (a day that was missed and
caught up with, a market that is simulated) is still out of sample, as the model learned from no session so late, and is
watched too; but nobody could have traded on it, and it is counted apart.

Not here: where scores, labels and factors are kept (``assets/``), what is done about an alarm (``retrain.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.config import MonitoringSettings
from ljwx_pipeline.market.calendar import session_closes, session_positions
from ljwx_pipeline.monitoring.cross_section import Profile, profile_of
from ljwx_pipeline.monitoring.cusum import CusumChart, watch
from ljwx_pipeline.monitoring.decay import Calibration, LabelTiming, calibration, matured_rows, skill_by_session
from ljwx_pipeline.monitoring.drift import WINDOW_SESSIONS, DriftReference, DriftVerdict, judge_drift

#: Sessions that ``judged_inputs`` looks at, and one before them to compare the first with.
INPUT_SESSIONS = WINDOW_SESSIONS + 1


@dataclass(frozen=True)
class Fared:
    """What scores were worth.

    Parameters
    ----------
    skill
        ``skill_by_session`` with ``live`` (whether the session was scored in time) and ``statistic``, that of the alarm
        of lost skill, from 0 after each; NaN without an alarm.
    alarms
        Sessions at whose close lost skill is alarmed and has not been before.
    calibration
        Over the newest sessions of the coverage window; None before any label matured.
    miscalibrated
        Whether intervals cover less than they must over a full window; None where that cannot be said.
    sessions_to_next
        Sessions until the next label matures; None without a score that waits for one.
    unscored_sessions
        Between the first and the last that were scored.
    """

    skill: pd.DataFrame
    alarms: tuple[date, ...]
    calibration: Calibration | None
    miscalibrated: bool | None
    sessions_to_next: int | None
    unscored_sessions: int

    @property
    def live_sessions(self) -> int:
        """Matured sessions that were scored in time."""
        return int(self.skill["live"].sum())


def fared(
    scores: pd.DataFrame,
    labels: pd.DataFrame,
    sessions: pd.DatetimeIndex,
    *,
    timing: LabelTiming,
    chart: CusumChart | None,
    raised: Sequence[date],
    settings: MonitoringSettings,
) -> Fared:
    """Return what a bundle's first scores were worth by the last of ``sessions``.

    Parameters
    ----------
    scores
        ``symbol``, ``session_date``, ``score``, ``scorable`` and ``scored_at`` (with its time zone), and where there
        are intervals of the forward return ``interval_lower`` and ``interval_upper``. Of one bundle, after its
        training.
    labels
        As ``matured_rows`` takes them; those that have not matured may be without ``matured_date``.
    sessions
        The calendar, ascending, up to the last finished session.
    chart
        The alarm of lost skill.
    raised
        Sessions of the alarms of lost skill raised so far, ascending. They stand, whatever labels say now: the alarm
        begins anew after each.

    Raises
    ------
    DataQualityError
        As ``matured_rows``: clock, calendar and labels do not fit.
    """
    today = sessions[-1].date()
    rows = scores[scores["scorable"].astype(bool)].rename(columns=lambda name: name.removeprefix("interval_"))
    in_time = scored_in_time(rows, sessions, timing)
    known = labels[labels["matured_date"].notna() & labels["session_date"].isin(rows["session_date"].unique())]
    live = matured_rows(rows[in_time], known, sessions, timing=timing, today=today)
    late = matured_rows(rows[~in_time].drop(columns="scored_at"), known, sessions, timing=timing, today=today)
    matured = pd.concat([part for part in (live, late) if len(part)] or [live], ignore_index=True)
    skill = skill_by_session(matured, window_sessions=settings.skill_window_sessions)
    skill["live"] = skill["session_date"].isin(live["session_date"].unique())
    skill["statistic"], alarms = _watched(chart, skill, raised)
    newest = matured[matured["session_date"].isin(skill["session_date"].iloc[-settings.coverage_window_sessions :])]
    found = calibration(newest) if len(newest) else None
    miscalibrated = None
    if found is not None and found.coverage_frac is not None and found.sessions >= settings.coverage_window_sessions:
        miscalibrated = found.coverage_frac < settings.min_coverage_frac
    scored = np.unique(session_positions(rows["session_date"], sessions)) if len(rows) else np.zeros(0, np.int64)
    waiting = scored[scored + timing.reach_sessions >= len(sessions)]
    return Fared(
        skill=skill,
        alarms=alarms,
        calibration=found,
        miscalibrated=miscalibrated,
        sessions_to_next=int(waiting[0]) + timing.reach_sessions - len(sessions) + 1 if len(waiting) else None,
        unscored_sessions=int(scored[-1] - scored[0] + 1 - len(scored)) if len(scored) else 0,
    )


def scored_in_time(scores: pd.DataFrame, sessions: pd.DatetimeIndex, timing: LabelTiming) -> NDArray[np.bool_]:
    """Return which rows were scored before the close at which their trade is entered; all whose entry is to come."""
    entered = session_positions(scores["session_date"], sessions) + timing.entry_lag_sessions
    closes = session_closes(sessions)[np.minimum(entered, len(sessions) - 1)]
    out: NDArray[np.bool_] = np.asarray(scores["scored_at"] < closes) | (entered >= len(sessions))
    return out


def _watched(
    chart: CusumChart | None, skill: pd.DataFrame, raised: Sequence[date]
) -> tuple[NDArray[np.float64], tuple[date, ...]]:
    statistic = np.full(len(skill), np.nan)
    if chart is None:
        return statistic, ()
    matured, rank_ic = pd.DatetimeIndex(skill["matured_date"]), skill["rank_ic"].to_numpy(dtype=np.float64)
    starts = [0, *matured.searchsorted(pd.DatetimeIndex(list(raised)), side="right")]
    alarms: tuple[int, ...] = ()
    for start, stop in zip(starts, [*starts[1:], len(skill)], strict=True):
        found = watch(chart, rank_ic[start:stop])
        statistic[start:stop] = found.statistic
        alarms = tuple(start + at for at in found.alarms)
    return statistic, tuple(matured[at].date() for at in alarms)


def judged_inputs(
    reference: DriftReference, inputs: Sequence[tuple[NDArray[np.object_], NDArray[np.floating]]]
) -> DriftVerdict:
    """Return what is not as in training on the newest session, and of drift over the newest ``WINDOW_SESSIONS``.

    Parameters
    ----------
    inputs
        Symbols and factors (in the reference's order) by session, ascending, consecutive, the session judged last: at
        least two, ``INPUT_SESSIONS`` to judge drift.
    """
    profiles: list[Profile] = [profile_of(reference.edges, *now, before) for before, now in pairwise(inputs)]
    return judge_drift(reference, profiles)
