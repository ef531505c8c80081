"""Studies: sets of parameters proposed, tried and kept, whatever is tried.

A study is a ledger of numbered trials in a journal file or a database. What is proposed for a number follows from the
seed and from the batches before it alone, so an interrupted study, or one shared by many processes, makes the trials
that one undisturbed process would have made. Not here: what a trial does (``models/tune.py``,
``backtest/sweep_tune.py``).
"""

from ljwx_pipeline.studies.daily_returns import DailyReturns
from ljwx_pipeline.studies.space import Axis, Params, Space
from ljwx_pipeline.studies.storage import Place
from ljwx_pipeline.studies.study import Proposal, Study, StudyPlan, Told, WarmStart, opened_study
from ljwx_pipeline.studies.summaries import StudySummary, study_summaries

__all__ = [
    "Axis",
    "DailyReturns",
    "Params",
    "Place",
    "Proposal",
    "Space",
    "Study",
    "StudyPlan",
    "StudySummary",
    "Told",
    "WarmStart",
    "opened_study",
    "study_summaries",
]
