"""Whether a training is to be asked for, by everything written down beside the market.

Not here: the rule (``monitoring/retrain.py``), the sensor that asks (``jobs/retraining.py``).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pandas as pd

from ljwx_pipeline.errors import DataQualityError, SourceError
from ljwx_pipeline.market.calendar import last_known_session, sessions_between
from ljwx_pipeline.monitoring.retrain import Retraining, retraining_due
from ljwx_pipeline.tracking.alarms import AlarmJournal, RetrainingJournal, subject
from ljwx_pipeline.tracking.champion import ChampionRecord


def retraining_now(folder: Path, model: str, sessions: pd.DatetimeIndex, *, cool_down_sessions: int) -> Retraining:
    """Return whether to ask for a training of ``model`` after the last of ``sessions``.

    Parameters
    ----------
    folder
        Where the records lie.
    sessions
        Those that the line works on, ascending.

    Raises
    ------
    LjwxError
        When a record is damaged, or does not fit the sessions.
    """
    move = ChampionRecord(folder).last_move(model)
    if move is None or move.version is None:
        return Retraining(False, (), f"{model} has no champion yet")
    if sessions.empty:
        raise DataQualityError("the market holds no session", "run `ljwx run` once before")
    today, calendar = sessions[-1].date(), sessions
    with suppress(SourceError):  # past the calendar's end nothing is known of later sessions
        calendar = pd.DatetimeIndex(sessions.union(sessions_between(today, last_known_session())))
    return retraining_due(
        AlarmJournal(folder).records(newest=today),
        RetrainingJournal(folder).records(),
        calendar,
        today=today,
        champion=subject(move.version, move.bundle_hash),
        cool_down_sessions=cool_down_sessions,
    )
