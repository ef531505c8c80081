"""What a candidate is deflated by: every strategy its family ever tried, and how far luck alone spreads them.

The ledger holds them: the trials of every study, whatever its seed or kind, sweeps, comparisons, runs by hand. The
model's own study is counted where the ledger does not hold it, and so is what it was warm-started from in another
family. Not here: the ledger itself (``backtest/trial_ledger.py``), the deflation (``statistics.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.backtest.sweep_store import RESULTS
from ljwx_pipeline.backtest.trial_ledger import TrialLedger, TrialRecord
from ljwx_pipeline.promotion.evidence import Selection
from ljwx_pipeline.promotion.stored_returns import StoredTrial, read_returns
from ljwx_pipeline.promotion.study_trials import not_counted
from ljwx_pipeline.promotion.trial_returns import MIN_SHARED_SESSIONS

Float = NDArray[np.float64]

#: A piece of evidence with fewer trials says little of how alike they are: such are taken together.
LEAST_GROUP = 10
#: Below this standard deviation a series counts as constant.
_CONSTANT = 1e-12
_SESSIONS_AT_ONCE = 128


@dataclass(frozen=True)
class CountedTrials:
    """Every trial behind a candidate.

    Parameters
    ----------
    sharpes
        Per-session Sharpe ratio of each: the ledger's in the order counted, then those of the model's study and of
        what it was warm-started from that the ledger does not hold for its family.
    sessions
        Returns that each rests on; 0 where not known.
    variance
        How far luck spreads them, in squared standard errors of a Sharpe ratio, from 0 (all are one strategy) to 1
        (independent ones); see ``luck_variance``. Over ``T`` returns that is a variance of ``variance / T``.
    returns
        Net excess returns of the trials whose returns are stored, shape ``(sessions, columns)``, NaN where one was not
        run. Trials of studies lie on inner folds, the others on tested sessions: few share a row.
    columns
        Position in ``sharpes`` of each column.
    evidence
        What each trial was tried on: columns of one evidence share their sessions.
    related
        Trials of the market with the same label but other factors or another universe. They are told, not counted: a
        family is what was chosen among.
    """

    sharpes: tuple[float, ...]
    sessions: tuple[int, ...]
    variance: float
    returns: Float = field(default_factory=lambda: np.empty((0, 0)), compare=False, repr=False)
    columns: tuple[int, ...] = ()
    evidence: tuple[str, ...] = ()
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
) -> CountedTrials:
    """Return the trials of ``family`` in the ledger and those of the model's study that it does not hold.

    Parameters
    ----------
    study
        Trials of ``study_trials``.
    ledger, family
        The market's ledger and ``strategy_family`` of the candidate.
    counted, own
        Home of the market whose trials the ledger counts, and of the run; without them no returns are read.

    Raises
    ------
    LakeError
        When the ledger cannot be read, or is not whole: unknown trials are not zero trials.
    """
    everything = ledger.trials()
    booked = [trial for trial in everything if trial.family == family]
    tried = [_of_ledger(trial, counted) for trial in booked]
    tried += [_of_document(trial, own) for trial in not_counted(study, booked)]
    returns, columns = read_returns([one.stored for one in tried])
    ran = [one.sessions for one in tried]
    for column, position in enumerate(columns):
        ran[position] = ran[position] or int((~np.isnan(returns[:, column])).sum())
    sharpes = tuple(one.sharpe for one in tried)
    return CountedTrials(
        sharpes=sharpes,
        sessions=tuple(ran),
        variance=luck_variance(sharpes, ran, _groups(tried), returns=returns, columns=columns),
        returns=returns,
        columns=columns,
        evidence=tuple(one.evidence for one in tried),
        related=sum(_label(trial.family) == _label(family) for trial in everything) - len(booked),
    )


def selection(counted: CountedTrials, name: str, evidence: str) -> Selection:
    """Return the trials made on one piece of evidence, as a choice of that name; none whose returns are not kept."""
    columns = [at for at, trial in enumerate(counted.columns) if counted.evidence[trial] == evidence]
    ran = counted.returns[:, columns]
    return Selection(name, ran[~np.isnan(ran).all(axis=1)])


def number_of_trials(study: Iterable[Mapping[str, Any]], *, ledger: TrialLedger, family: str) -> int:
    """Return how many trials ``counted_trials`` counts; errors as it."""
    booked = ledger.trials_of(family)
    return len(booked) + len(not_counted(study, booked))


def study_trials(tuned: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the trials of the study in the document ``tuned_hyperparameters``, then of those it was warm-started from.

    Each has its ``session_sharpe``, the name of its ``study`` and, where the document says so, its ``evidence``.
    """
    about = {"study": str(tuned.get("study", "")), "evidence": str(tuned.get("evidence", ""))}
    return [*({**trial, **about} for trial in tuned["trials"]), *tuned.get("earlier_trials", [])]


def luck_variance(
    sharpes: Sequence[float],
    sessions: Sequence[int],
    groups: Sequence[str],
    *,
    returns: Float | None = None,
    columns: Sequence[int] = (),
) -> float:
    """Return how far luck spreads trials, in squared standard errors of a Sharpe ratio; the largest over groups.

    Without skill a Sharpe ratio over ``T`` sessions varies by ``1 / T``, of which trials that correlate ``r`` share
    ``r``: what spreads them is ``1 - r``. It is measured where a pruned trial and a complete one, or two of other
    years, can be compared (``spread_by_session``, ``spread_of_ratios``), never by Sharpe ratios of other lengths side
    by side: one over 60 sessions is no sign of a spread over 1,000. Luck cannot exceed 1; what does is skill, or
    chance, and 1 is the most that is taken.

    The largest, as 500 variants that are nearly one strategy pull the variance of all down, and with it the hurdle: a
    candidate must not become easier to promote because more was tried.

    Parameters
    ----------
    sharpes, sessions
        Of each trial; 0 sessions: not known.
    groups
        What is compared with what. Where no group has two trials that can be compared, 1 is returned: what is not known
        counts in full.
    returns, columns
        As in ``CountedTrials``.
    """
    ratio, length = np.asarray(sharpes, dtype=np.float64), np.asarray(sessions, dtype=np.float64)
    group, stored = np.asarray(groups), np.asarray(columns, dtype=np.int64)
    told = np.isin(np.arange(len(ratio)), stored)
    found: list[float | None] = []
    for name in dict.fromkeys(groups):
        here = group == name
        if returns is not None:
            found.append(spread_by_session(returns[:, here[stored]]))
        known = here & (length > 0) & ~(told if found and found[-1] is not None else np.zeros_like(told))
        found.append(spread_of_ratios(ratio[known], length[known]))
    return min(max((spread for spread in found if spread is not None), default=1.0), 1.0)


def spread_by_session(returns: Float) -> float | None:
    """Return the variance among trials of a session's return, each in its own standard deviations; None for too few.

    Mean over sessions, each weighed by its trials less 1. It expects ``1 - r`` of trials that correlate ``r``, skilled
    or not: a Sharpe ratio of 3 a year moves a session's return by a fifth of its standard deviation.

    Parameters
    ----------
    returns
        Shape ``(sessions, trials)``, NaN where one was not run. One that never varies is left out.
    """
    spread = np.array([_spread(column) for column in returns.T])
    used = np.flatnonzero(spread > _CONSTANT)
    squares, freedom, shared = 0.0, 0, 0
    for start in range(0, len(returns), _SESSIONS_AT_ONCE):  # thousands of trials are not copied whole
        unit = returns[start : start + _SESSIONS_AT_ONCE, used] / spread[used]
        ran = ~np.isnan(unit)
        together = ran.sum(axis=1)
        centre = np.where(ran, unit, 0.0).sum(axis=1) / np.maximum(together, 1)
        squares += float((np.where(ran, unit - centre[:, np.newaxis], 0.0) ** 2).sum())
        freedom += int(np.maximum(together - 1, 0).sum())
        shared += int((together > 1).sum())
    return squares / freedom if shared >= MIN_SHARED_SESSIONS else None


def _spread(returns: Float) -> float:
    known = returns[~np.isnan(returns)]
    return float(known.std(ddof=1)) if len(known) > 1 else 0.0


def spread_of_ratios(sharpes: Float, sessions: Float) -> float | None:
    """Return ``sum T_i (s_i - m)^2 / (n - 1)`` of Sharpe ratios over ``T_i`` sessions; None for fewer than two.

    Each squared deviation from the mean ``m``, itself weighed by sessions, is measured in its own standard errors:
    Cochran's Q over its degrees of freedom. It expects 1 of independent trials, ``1 - r`` of ones that correlate ``r``
    over the same sessions; real differences in skill raise it.
    """
    if len(sharpes) < 2:
        return None
    mean = np.average(sharpes, weights=sessions)
    return float((sessions * (sharpes - mean) ** 2).sum() / (len(sharpes) - 1))


def _groups(tried: Sequence[_Tried]) -> list[str]:
    """Return what each trial is compared with: those on its evidence, or where they are few, all such of its kind.

    Trials of studies lie on other years than those on tested sessions, so the two are not compared.
    """
    size = Counter(one.evidence for one in tried)
    few = {True: "studies", False: "tested sessions"}
    return [one.evidence if size[one.evidence] >= LEAST_GROUP else few[one.kind == "study"] for one in tried]


def _label(family: str) -> str:
    """Return the part of a family's name that says the label (``strategy_family``)."""
    return family.split("-")[1] if family.count("-") == 2 else family


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
