"""What a candidate is deflated by: every strategy its family ever tried, and those of others that are like it.

The ledger holds them: the trials of every study, whatever its seed or kind, sweeps, comparisons, runs by hand. The
model's own study is counted where the ledger does not hold it, and so is what it was warm-started from in another
family. Not here: the ledger itself (``backtest/trial_ledger.py``), how far luck spreads them (``luck.py``), what is
done with both (``statistics.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.backtest.sweep_store import RESULTS
from ljwx_pipeline.backtest.trial_ledger import TrialLedger, TrialRecord
from ljwx_pipeline.promotion.evidence import Selection
from ljwx_pipeline.promotion.luck import luck_variance
from ljwx_pipeline.promotion.stored_returns import StoredTrial, read_returns
from ljwx_pipeline.promotion.study_trials import not_counted
from ljwx_pipeline.promotion.trial_returns import MIN_SHARED_SESSIONS
from ljwx_pipeline.promotion.walk_trials import without_walks_known

Float = NDArray[np.float64]

#: A trial of another family whose returns correlate more with the candidate's is one of the strategies it is.
LIKE_IT = 0.5
#: Below this standard deviation a series counts as constant.
_CONSTANT = 1e-12


@dataclass(frozen=True)
class CountedTrials:
    """Every trial behind a candidate.

    Parameters
    ----------
    sharpes
        Per-session Sharpe ratio of each: of other families those like the candidate, then the family's in the order
        counted, then those of the model's study and of what it was warm-started from that the ledger does not hold.
    sessions
        Returns that each rests on; 0 where not known.
    variance
        How far luck spreads them, in squared standard errors of a Sharpe ratio, from 0 (all are one strategy) to 1
        (independent ones); see ``luck.py``. Over ``T`` returns that is a variance of ``variance / T``.
    returns
        Net excess returns of the trials whose returns are stored, shape ``(sessions, columns)``, NaN where one was not
        run. Trials of studies lie on inner folds, the others on tested sessions: few share a row.
    columns
        Position in ``sharpes`` of each column.
    evidence
        What each trial was tried on: columns of one evidence share their sessions.
    like_it
        How many of them are of other families.
    related
        Trials of the market with other factors, another label or another universe, and those made on the same data
        under another profile's name, that are not counted: told beside the decision.
    """

    sharpes: tuple[float, ...]
    sessions: tuple[int, ...]
    variance: float
    returns: Float = field(default_factory=lambda: np.empty((0, 0)), compare=False, repr=False)
    columns: tuple[int, ...] = ()
    evidence: tuple[str, ...] = ()
    like_it: int = 0
    related: int = 0

    @property
    def without_returns(self) -> int:
        """Return how many trials have no stored returns: missing, damaged, or from before they were kept."""
        return len(self.sharpes) - len(self.columns)

    def as_dict(self) -> dict[str, float]:
        """Return the numbers as plain values."""
        return {
            "counted": len(self.sharpes),
            "variance_of_luck": self.variance,
            "without_returns": self.without_returns,
            "like_it": self.like_it,
            "related": self.related,
        }


@dataclass(frozen=True)
class _Tried:
    kind: str
    evidence: str
    sharpe: float
    sessions: int
    stored: StoredTrial | None


def counted_trials(
    study: Iterable[Mapping[str, Any]],
    *,
    ledger: TrialLedger,
    family: str,
    counted: Path | None = None,
    own: Path | None = None,
    candidate: pd.Series | None = None,
    beside: Mapping[Path, TrialLedger] | None = None,
) -> CountedTrials:
    """Return the trials of ``family`` in the ledger and those of the model's study that it does not hold.

    With a ``candidate`` also those of other families on tested sessions whose returns correlate above ``LIKE_IT`` with
    its own, or are not kept: a family is a name, and a universe wider by one yuan is another.

    Parameters
    ----------
    study
        Trials of ``study_trials``.
    ledger, family
        The market's ledger and ``strategy_family`` of the candidate.
    counted, own
        Home of the market whose trials the ledger counts, and of the run; without them no returns are read.
    candidate
        Net excess returns of what is judged, by session.
    beside
        Ledgers of the same data under another profile's name, by the home whose trials they count.

    Raises
    ------
    LakeError
        When a ledger cannot be read, or is not whole: unknown trials are not zero trials.
    """
    everything = without_walks_known(ledger.trials())
    booked = [trial for trial in everything if trial.family == family]
    known = {(trial.evidence, trial.variant_hash) for trial in booked}
    others = [(trial, counted) for trial in everything if trial.family != family]
    others += [(trial, home) for home, other in (beside or {}).items() for trial in without_walks_known(other.trials())]
    related = {(trial.evidence, trial.variant_hash): _of_ledger(trial, home) for trial, home in others}
    related = {key: one for key, one in related.items() if key not in known}
    looks = [one for one in related.values() if one.kind != "study" and candidate is not None]
    tried = [*looks, *(_of_ledger(trial, counted) for trial in booked)]
    tried += [_of_document(trial, own) for trial in not_counted(study, booked)]
    index, returns, columns = read_returns([one.stored for one in tried])
    if candidate is not None:
        unlike = _unlike(candidate.reindex(index).to_numpy(dtype=np.float64), returns, columns, len(looks))
        if unlike:
            tried, returns, columns = _without(tried, returns, columns, unlike)
            looks = looks[len(unlike) :]
    ran = [one.sessions for one in tried]
    for column, position in enumerate(columns):
        ran[position] = ran[position] or int((~np.isnan(returns[:, column])).sum())
    sharpes = tuple(one.sharpe for one in tried)
    return CountedTrials(
        sharpes=sharpes,
        sessions=tuple(ran),
        variance=luck_variance(
            sharpes,
            ran,
            [one.evidence for one in tried],
            of_study=[one.kind == "study" for one in tried],
            returns=returns,
            columns=columns,
        ),
        returns=returns,
        columns=columns,
        evidence=tuple(one.evidence for one in tried),
        like_it=len(looks),
        related=len(related) - len(looks),
    )


def _unlike(candidate: Float, returns: Float, columns: tuple[int, ...], looks: int) -> set[int]:
    """Return the positions among the first ``looks`` whose returns are known not to be like the candidate's."""
    found = set[int]()
    for column, position in enumerate(columns):
        both = ~np.isnan(candidate) & ~np.isnan(returns[:, column])
        if position < looks and not _correlation(candidate[both], returns[both, column]) > LIKE_IT:
            found.add(position)
    return found


def _correlation(one: Float, other: Float) -> float:
    """Return Pearson's correlation; 0 of too few sessions, and of what never varies."""
    if len(one) < MIN_SHARED_SESSIONS or min(one.std(), other.std()) <= _CONSTANT:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _without(
    tried: list[_Tried], returns: Float, columns: tuple[int, ...], gone: set[int]
) -> tuple[list[_Tried], Float, tuple[int, ...]]:
    """Return trials, returns and columns without the trials at ``gone``, nor the sessions that only those had."""
    stays = [position for position in range(len(tried)) if position not in gone]
    now = {position: at for at, position in enumerate(stays)}
    left = returns[:, [column for column, position in enumerate(columns) if position in now]]
    ran = ~np.isnan(left).all(axis=1)
    return [tried[position] for position in stays], left[ran], tuple(now[one] for one in columns if one in now)


def selection(counted: CountedTrials, name: str, evidence: str) -> Selection:
    """Return the trials made on one piece of evidence, as a choice of that name; none whose returns are not kept."""
    columns = [at for at, trial in enumerate(counted.columns) if counted.evidence[trial] == evidence]
    ran = counted.returns[:, columns]
    return Selection(name, ran[~np.isnan(ran).all(axis=1)])


def number_of_trials(study: Iterable[Mapping[str, Any]], *, ledger: TrialLedger, family: str) -> int:
    """Return how many trials ``counted_trials`` counts; errors as it."""
    booked = without_walks_known(ledger.trials_of(family))
    return len(booked) + len(not_counted(study, booked))


def study_trials(tuned: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the trials of the study in the document ``tuned_hyperparameters``, then of those it was warm-started from.

    Each has its ``session_sharpe``, the name of its ``study`` and, where the document says so, its ``evidence``.
    """
    about = {"study": str(tuned.get("study", "")), "evidence": str(tuned.get("evidence", ""))}
    return [*({**trial, **about} for trial in tuned["trials"]), *tuned.get("earlier_trials", [])]


def _of_ledger(trial: TrialRecord, home: Path | None) -> _Tried:
    stored = None
    if home is not None and trial.returns_file:
        of_study = trial.kind == "study"
        stored = StoredTrial(
            root=home if of_study else home / RESULTS,
            file=trial.returns_file,
            column=trial.returns_column if of_study else trial.variant_hash,
            of_study=of_study,
            session_sharpe=trial.session_sharpe,
            sessions=trial.sessions,
        )
    return _Tried(trial.kind, trial.evidence, trial.session_sharpe, trial.sessions, stored)


def _of_document(trial: Mapping[str, Any], home: Path | None) -> _Tried:
    study, sharpe, sessions = str(trial.get("study", "")), float(trial["session_sharpe"]), int(trial.get("sessions", 0))
    stored = None
    if home is not None and "number" in trial and study:
        kept = f"studies/{study}.returns.parquet"
        stored = StoredTrial(
            home, kept, f"trial_{trial['number']}", of_study=True, session_sharpe=sharpe, sessions=sessions
        )
    return _Tried("study", str(trial.get("evidence") or study), sharpe, sessions, stored)
