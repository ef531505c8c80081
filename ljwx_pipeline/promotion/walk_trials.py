"""A walk forward as a trial: counted before its first figure is shown, and again as its backtest once that is known.

Who sees the rank IC of a test fold has looked at the tested sessions, whether or not a backtest follows. The row of a
walk says no Sharpe ratio and no returns; the row of its backtest names the walk, and the two are one trial. Not here:
the ledger (``backtest/trial_ledger.py``), the walk forward itself (``models/walk_forward.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from ljwx_pipeline.backtest.sweep_store import VariantResult
from ljwx_pipeline.backtest.trial_ledger import NewTrial, TrialRecord

_KEY = "walk_forward"


def walk_trial(walk: str) -> NewTrial:
    """Return what is counted of the walk forward with the name ``walk`` before anything of it is shown."""
    return NewTrial(variant_hash=walk, session_sharpe=0.0, sessions=0, settings_json=json.dumps({_KEY: walk}))


def walk_evidence(walk: str) -> str:
    """Return what the row of a walk forward says it was tried on."""
    return f"{_KEY}:{walk}"


def backtest_of(result: VariantResult, walk: str) -> VariantResult:
    """Return the backtest of a walk's scores as it is counted: with the walk's name."""
    stated = json.loads(result.settings_json) | {_KEY: walk}
    return replace(result, settings_json=json.dumps(stated, sort_keys=True))


def without_walks_known(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return ``trials`` less the walks forward whose backtest the same family counts."""
    every = list(trials)
    by_hand = [trial for trial in every if trial.kind == "manual"]
    known = {(trial.family, _walk(trial)) for trial in by_hand if not _is_walk(trial)}
    return [trial for trial in every if not (_is_walk(trial) and (trial.family, trial.variant_hash) in known)]


def _is_walk(trial: TrialRecord) -> bool:
    return trial.evidence == walk_evidence(trial.variant_hash)


def _walk(trial: TrialRecord) -> str:
    return str(json.loads(trial.settings_json).get(_KEY, ""))
