"""The trials of studies of hyperparameters as the trial ledger counts them: every finished one, of every study.

A trial is counted under the study's name, the data it was tried on, its number and its parameters. Not here: the ledger
(``backtest/trial_ledger.py``), running a study (``models/tune.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ljwx_pipeline.backtest.trial_ledger import NewTrial, TrialLedger, TrialRecord
from ljwx_pipeline.studies import StudySummary

#: A study's trials that were told; one that is running has shown nobody anything.
_FINISHED = ("complete", "pruned")
_DIGITS = 16


def study_note(*, market: str, family: str) -> dict[str, str]:
    """Return what is noted beside a study, so that its trials are counted whoever finds it later."""
    return {"market": market, "family": family}


def study_evidence(name: str, *, dataset_hash: str, folds: Sequence[Sequence[int]]) -> str:
    """Return what a study's trials were tried on: its name, and a hash of its dataset and its inner folds' rows."""
    stated = json.dumps([dataset_hash, [list(fold) for fold in folds]])
    return f"{name}:{hashlib.sha256(stated.encode()).hexdigest()[:_DIGITS]}"


def study_variant(number: int, params: Mapping[str, Any]) -> str:
    """Return the hash by which a trial of a study is known: of its number and its parameters."""
    return hashlib.sha256(json.dumps([int(number), dict(params)], sort_keys=True).encode()).hexdigest()


def new_trial(study: str, trial: Mapping[str, Any], *, below: str = "") -> NewTrial:
    """Return what is counted of a trial, which is ``models.tune.Trial`` as plain values.

    ``below`` is where the study is kept as the ledger's market sees it, with a slash: empty, or a replay's folder.
    """
    number, params = int(trial["number"]), dict(trial["params"])
    about = {name: trial[name] for name in ("state", "origin") if name in trial}
    return NewTrial(
        variant_hash=study_variant(number, params),
        session_sharpe=float(trial["session_sharpe"]),
        sessions=int(trial.get("sessions", 0)),
        settings_json=json.dumps({"study": study, "number": number, "params": params, **about}, sort_keys=True),
        returns_file=f"{below}studies/{study}.returns.parquet",
        returns_column=f"trial_{number}",
    )


def count_studies(
    ledger: TrialLedger,
    studies: Iterable[StudySummary],
    *,
    market: str,
    family: str,
    dataset_hash: str,
    below: str = "",
) -> int:
    """Count the finished trials of every study of hyperparameters of this market; return how many were not counted yet.

    A study says of which market and family it is. One from before it did is counted where it was made on
    ``dataset_hash``, with ``family``; of any other nobody can say whose trials it holds. ``below`` as in ``new_trial``.

    Raises
    ------
    LakeError
        As ``TrialLedger.count``.
    """
    added = 0
    for study in studies:
        made_on = study.decided.get("dataset")
        told = [trial["trial"] for trial in study.trials if trial["state"] in _FINISHED and "trial" in trial]
        families = {study.note["family"]} if study.note.get("market") == market else set[str]()
        if made_on is not None and made_on == dataset_hash:
            families.add(family)
        for whose in sorted(families):
            evidence = study_evidence(study.name, dataset_hash=str(made_on), folds=study.decided.get("folds", []))
            trials = [new_trial(study.name, trial, below=below) for trial in told]
            added += ledger.count(whose, "study", trials, evidence=evidence)
    return added


def not_counted(study: Iterable[Mapping[str, Any]], booked: Iterable[TrialRecord]) -> list[Mapping[str, Any]]:
    """Return the trials of ``study`` (``trial_count.study_trials``) that are not among a family's ``booked`` ones.

    A trial that says its evidence is looked for by that and its parameters, any other by the study's name and its
    number.
    """
    of_studies = [trial for trial in booked if trial.kind == "study"]
    exact = {(trial.evidence, trial.variant_hash) for trial in of_studies}
    stated = [json.loads(trial.settings_json) for trial in of_studies]
    named = {(one.get("study"), one.get("number")) for one in stated}

    def is_counted(trial: Mapping[str, Any]) -> bool:
        if trial.get("evidence"):
            return (trial["evidence"], study_variant(trial["number"], trial["params"])) in exact
        return (trial.get("study"), trial.get("number")) in named

    return [trial for trial in study if not is_counted(trial)]
