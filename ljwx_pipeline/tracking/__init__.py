"""Experiment tracking: what was trained, tried, judged and promoted, first beside the market, then in MLflow.

Not here: MLflow's client (``registry.py``), which steps record what (``assets/``).
"""

from ljwx_pipeline.tracking.alarms import AlarmJournal, RetrainingJournal
from ljwx_pipeline.tracking.champion import ChampionRecord
from ljwx_pipeline.tracking.journal import Journals, stable_id
from ljwx_pipeline.tracking.kinds import SHARED_TAGS, Kind
from ljwx_pipeline.tracking.live_scores import LiveScores
from ljwx_pipeline.tracking.tracker import (
    EVENT_TAG,
    Flushed,
    JournaledRun,
    Tracker,
    damage,
    open_tracker,
    unsent_events,
)

__all__ = [
    "EVENT_TAG",
    "SHARED_TAGS",
    "AlarmJournal",
    "ChampionRecord",
    "Flushed",
    "JournaledRun",
    "Journals",
    "Kind",
    "LiveScores",
    "RetrainingJournal",
    "Tracker",
    "damage",
    "open_tracker",
    "stable_id",
    "unsent_events",
]
