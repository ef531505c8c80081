"""How many trials a candidate is deflated by: those of the model's studies and every strategy its family ever tried.

A study that was warm-started rests on the trials of the one it started from, of the one that started from, and so on:
all of them are counted.

Not here: the ledger itself (``backtest/trial_ledger.py``), the deflation (``statistics.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ljwx_pipeline.backtest.trial_ledger import TrialLedger


@dataclass(frozen=True)
class CountedTrials:
    """Every trial behind a candidate.

    Parameters
    ----------
    sharpes
        Per-session Sharpe ratio of each, the model's study first, then those it was warm-started from, then the
        ledger's in the order counted.
    variance_floor
        Largest variance among the groups (each study; sweeps, tuning and trials by hand on one piece of evidence).
        Five hundred variants that are nearly one strategy pull the variance of all trials down, and with it the
        hurdle; a candidate must not become easier to promote because more was tried.
    """

    sharpes: tuple[float, ...]
    variance_floor: float


def counted_trials(study: Iterable[Mapping[str, Any]], *, ledger: TrialLedger, family: str) -> CountedTrials:
    """Return the trials of the model's study and those of ``family`` in the ledger.

    Parameters
    ----------
    study
        Trials of ``study_trials``.
    ledger, family
        The market's ledger and ``strategy_family`` of the candidate.

    Raises
    ------
    LakeError
        When the ledger cannot be read.
    """
    groups: dict[tuple[str, str], list[float]] = {("study", ""): []}
    for tried in study:
        groups.setdefault(("study", str(tried.get("study", ""))), []).append(float(tried["session_sharpe"]))
    for trial in ledger.trials_of(family):
        groups.setdefault((trial.kind, trial.evidence), []).append(trial.session_sharpe)
    sharpes = tuple(sharpe for group in groups.values() for sharpe in group)
    return CountedTrials(sharpes, max(_variance(group) for group in groups.values()))


def study_trials(tuned: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the trials of the study in the document ``tuned_hyperparameters``, then of those it was warm-started from.

    Each has its ``session_sharpe``, the latter the name of their ``study`` as well.
    """
    return [*tuned["trials"], *tuned.get("earlier_trials", [])]


def _variance(sharpes: Sequence[float]) -> float:
    return float(np.var(sharpes, ddof=1)) if len(sharpes) > 1 else 0.0
