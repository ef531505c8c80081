"""What a place holds, to be looked at: its studies, and the trials of one. Nothing is changed by looking.

Not here: going on with a study (``study.py``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from ljwx_pipeline.studies.storage import Place
from ljwx_pipeline.studies.study import DECIDED, FINISHED, KEPT, NOTE, WARM, numbered


@dataclass(frozen=True)
class StudySummary:
    """A study and its trials.

    Parameters
    ----------
    name, kind
        The study's name, and what it tries.
    state
        ``finished``, ``unfinished``, or ``running`` while a trial is.
    model_kind
        The kind of model its trials fit; empty for a study of strategies.
    began_at
        Instant its first trial began, ISO in UTC; empty where none was.
    counts
        Trials by state: complete, pruned, running, waiting.
    decided
        Everything that decides its trials.
    warm_start
        The study it started from; empty for none.
    finished
        Instant, best parameters and last session known; empty while it is not.
    note
        What was noted beside it when it was last opened; empty for nothing.
    trials
        Each with number, state, params, values and what was kept of it.
    """

    name: str
    kind: str
    state: str
    model_kind: str
    began_at: str
    counts: dict[str, int]
    decided: dict[str, Any]
    warm_start: str
    finished: dict[str, Any]
    note: dict[str, str]
    trials: tuple[dict[str, Any], ...]


def study_summaries(place: Place) -> list[StudySummary]:
    """Return every study of ``place`` by name; none where nothing was ever kept.

    Raises
    ------
    ModelError, EnvironmentFault
        As ``opened_study``.
    """
    if not place.shared and (place.journal is None or not place.journal.exists()):
        return []
    with place.speaking():
        storage = place.opened(to_look=True)
        frozen = sorted(storage.get_all_studies(), key=lambda study: str(study.study_name))
        return [_summary(study, storage.get_all_trials(study._study_id, deepcopy=False)) for study in frozen]


def _summary(study: Any, rows: list[Any]) -> StudySummary:
    attrs = study.user_attrs
    trials = tuple(
        {
            "number": number,
            "state": row.state.name.lower(),
            "params": dict(row.params),
            "values": list(row.values or ()),
            **dict(row.user_attrs.get(KEPT, {})),
        }
        for number, row in sorted(numbered(rows).items())
    )
    # Optuna keeps the local time of the machine
    begun = [row.datetime_start.astimezone(UTC) for row in rows if row.datetime_start is not None]
    decided = dict(attrs.get(DECIDED, {}))
    counts = Counter(str(trial["state"]) for trial in trials)
    finished = dict(attrs.get(FINISHED, {}))
    state = "running" if counts["running"] else "finished" if finished else "unfinished"
    return StudySummary(
        name=str(study.study_name),
        kind=str(decided.get("kind", "")),
        state=state,
        model_kind=str(decided.get("model", {}).get("kind", "")),
        began_at=min(begun).isoformat() if begun else "",
        counts=dict(sorted(counts.items())),
        decided=decided,
        warm_start=str(attrs.get(WARM, {}).get("study", "")),
        finished=finished,
        note=dict(attrs.get(NOTE, {})),
        trials=trials,
    )
