"""What a model is watched by: the alarm's level and training's inputs, made once and kept in the bundle.

``monitoring.json`` of a bundle holds one ``Reference``. What a short history cannot tell is not pretended: the part is
None beside the reason, which names the sessions it takes.

Not here: where rows and scores come from (``assets/``), what is judged by it (``cusum.py``, ``drift.py``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.monitoring.cross_section import MIN_ROWS, Profile, decile_edges, profile_of
from ljwx_pipeline.monitoring.cusum import CusumChart, CusumParams, calibrated_chart, chart_of
from ljwx_pipeline.monitoring.drift import WINDOW_SESSIONS, DriftReference, drift_reference, judge_drift, reference_of

Float = NDArray[np.float64]

#: Rows that decile edges are taken from, drawn with a seed: their deciles are then known to a tenth of a per cent.
EDGE_ROWS, EDGE_SEED = 200_000, 0
_AGAIN = "train anew with `ljwx run`: its bundle will hold a new one"


@dataclass(frozen=True)
class Reference:
    """What a model that trades is watched by.

    Parameters
    ----------
    chart
        Of lost skill; None where ``chart_reason`` says why.
    drift
        Of training's inputs; None where ``drift_reason`` says why.
    """

    chart: CusumChart | None
    chart_reason: str
    drift: DriftReference | None
    drift_reason: str

    def to_json(self) -> str:
        """Return the text of the bundle's document; ``Reference.of`` reads it."""
        tree = {
            "chart": None if self.chart is None else self.chart.as_dict(),
            "chart_reason": self.chart_reason,
            "drift": None if self.drift is None else self.drift.as_dict(),
            "drift_reason": self.drift_reason,
        }
        return json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"

    @classmethod
    def of(cls, text: str | None) -> Reference:
        """Return the reference that a bundle holds; one of a bundle without says so.

        Raises
        ------
        DataQualityError
            When the text is none, or holds what no reference can.
        """
        if text is None:
            told = "its bundle holds no reference: it was trained before there was one"
            return cls(None, told, None, told)
        try:
            tree = json.loads(text)
            chart, drift = tree["chart"], tree["drift"]
            reasons = str(tree["chart_reason"]), str(tree["drift_reason"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataQualityError(f"the bundle's reference of monitoring is none ({error!r})", _AGAIN) from None
        return cls(
            None if chart is None else chart_of(chart),
            reasons[0],
            None if drift is None else reference_of(drift),
            reasons[1],
        )


@dataclass(frozen=True)
class NewestDrift:
    """Whether the newest sessions of training are still like the rest.

    Parameters
    ----------
    ratio
        Largest PSI over its limit, over factors; above 1 has drifted. None where ``reason`` says why.
    factors
        Those beyond their limit, farthest first.
    reason
        Why it could not be judged; None when it was.
    sessions
        ``session_index`` of the first and the last session judged; None when none was.
    """

    ratio: float | None
    factors: tuple[str, ...]
    reason: str | None
    sessions: tuple[int, int] | None = None


def skill_chart(
    in_control: Float, *, reach_sessions: int, false_alarms_per_year: float
) -> tuple[CusumChart | None, str]:
    """Return the alarm of lost skill, or None and why there is none, with the sessions it takes.

    Parameters
    ----------
    in_control
        Rank IC of the walk forward's test sessions, in order, no NaN.
    reach_sessions
        Sessions from a score to the last price its label reads.
    """
    params = CusumParams(false_alarms_per_year=false_alarms_per_year)
    try:
        return calibrated_chart(in_control, reach_sessions=reach_sessions, params=params), ""
    except DataQualityError as error:
        return None, str(error)


def inputs_reference(
    names: Sequence[str],
    features: NDArray[np.floating[Any]],
    session_index: NDArray[np.integer[Any]],
    symbol_index: NDArray[np.integer[Any]],
    *,
    threads: int = 1,
) -> tuple[DriftReference | None, str, NewestDrift]:
    """Return what training's inputs looked like, why there is none, and whether the newest sessions are like the rest.

    Parameters
    ----------
    names
        Of the factors. One that is never known is left out.
    features
        Rows of (session, symbol), ascending, shape ``(n_rows, n_factors)``; may be mapped: a session is read at a time.
    session_index, symbol_index
        Shape ``(n_rows,)``, the first non-decreasing.
    threads
        Sessions profiled at a time.
    """
    starts = np.flatnonzero(np.diff(session_index, prepend=-1)) if len(session_index) else np.zeros(0, np.int64)
    stops = np.append(starts[1:], len(session_index))
    try:
        sample = _sample(features)
        known = np.flatnonzero(np.isfinite(sample).sum(axis=0) >= MIN_ROWS)
        kept = [names[int(at)] for at in known]
        edges = decile_edges(sample[:, known])
        del sample

        def profiled(at: int) -> Profile:
            now = slice(starts[at], stops[at])
            before = None if at == 0 else slice(starts[at - 1], stops[at - 1])
            return profile_of(
                edges,
                symbol_index[now],
                features[now][:, known],
                None if before is None else (symbol_index[before], features[before][:, known]),
            )

        with ThreadPoolExecutor(threads) as pool:
            profiles = list(pool.map(profiled, range(len(starts))))
        judged = [int(session_index[at]) for at in starts[-WINDOW_SESSIONS:]]
        return drift_reference(kept, edges, profiles), "", _newest(kept, edges, profiles, (judged[0], judged[-1]))
    except DataQualityError as error:
        return None, str(error), NewestDrift(None, (), str(error))


def _sample(features: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    if len(features) <= EDGE_ROWS:
        return np.asarray(features)
    drawn = np.random.default_rng(EDGE_SEED).choice(len(features), EDGE_ROWS, replace=False)
    return np.asarray(features[np.sort(drawn)])


def _newest(names: Sequence[str], edges: Float, profiles: Sequence[Profile], sessions: tuple[int, int]) -> NewestDrift:
    try:
        rest = drift_reference(names, edges, profiles[:-WINDOW_SESSIONS])
    except DataQualityError as error:
        told = f"without the newest {WINDOW_SESSIONS}, {error}"
        return NewestDrift(None, (), told)
    verdict = judge_drift(rest, profiles[-WINDOW_SESSIONS:])
    drifted = tuple(finding.factor for finding in verdict.findings if not finding.broken)
    return NewestDrift(float((verdict.psi / rest.psi_limit).max()), drifted, None, sessions)
