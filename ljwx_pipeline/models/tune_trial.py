"""One trial of a study of hyperparameters: fold after fold trained and tested, and given up where it falls behind.

Trials run in this process or in several, which map the features into memory rather than copy them. Not here: which
parameters are tried and what is kept of a trial (``tune.py``).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.coefficients import mean_rank_ic
from ljwx_pipeline.config import ModelSettings, TuneSettings
from ljwx_pipeline.dataset import Dataset, Fold
from ljwx_pipeline.errors import EnvironmentFault, ModelError
from ljwx_pipeline.mapped_object import handed_over, taken_over
from ljwx_pipeline.models.binned import Binned, bin_rows
from ljwx_pipeline.models.fit import fit_one, reads_bins
from ljwx_pipeline.models.task import Params

Float = NDArray[np.float64]
#: Net excess returns that scores ``(n_symbols, n_sessions)`` (NaN: no score) earn between two session numbers: one for
#: each session after the first up to the last.
NetReturns = Callable[[Float, int, int], Float]

_WHAT = "the study's rows"


@dataclass(frozen=True)
class TrialOutcome:
    """What a trial showed on the folds it ran.

    Parameters
    ----------
    fold_rank_ics
        Mean rank IC of each fold run, in order.
    returns, turnover_frac
        Shape ``(n_rows,)`` over ``TrialWork.sessions``: net excess return and one-way turnover of the ``top_k`` best
        names; NaN on folds not run.
    pruned
        Whether it was given up after the last of them.
    seconds
        Wall time.
    """

    fold_rank_ics: tuple[float, ...]
    returns: Float
    turnover_frac: Float
    pruned: bool
    seconds: float

    @property
    def rank_ic_by_fold(self) -> tuple[float, ...]:
        """Mean rank IC over the folds up to each: what a trial is judged by before its last fold."""
        return tuple(float(np.mean(self.fold_rank_ics[: at + 1])) for at in range(len(self.fold_rank_ics)))


@dataclass(frozen=True)
class TrialWork:
    """What every trial of a study runs on; rows that are boosted on are binned once a process, by the first window.

    Parameters
    ----------
    dataset, folds
        Purged inner folds.
    net_returns
        What scores earn.
    tuning, model
        Settings.
    top_k
        Names whose turnover is measured.
    clock
        Measures a trial.
    """

    dataset: Dataset
    folds: tuple[Fold, ...]
    net_returns: NetReturns
    tuning: TuneSettings
    model: ModelSettings
    top_k: int
    clock: Clock

    @cached_property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """First and last session number of each fold's test window."""
        index = self.dataset.session_index
        return tuple((int(index[fold.test_rows][0]), int(index[fold.test_rows][-1])) for fold in self.folds)

    @cached_property
    def sessions(self) -> NDArray[np.intp]:
        """Session numbers on which returns are known: every one of a test window but its first."""
        return np.concatenate([np.arange(first + 1, last + 1) for first, last in self.windows])

    @cached_property
    def _binned(self) -> Binned | None:
        if not reads_bins(self.model):
            return None
        stop = max(fold.train_rows.stop for fold in self.folds)
        return bin_rows(self.dataset, edges=self.folds[0].train_rows, stop=stop, settings=self.model)

    def run(self, params: Params, earlier: Sequence[Sequence[float]]) -> TrialOutcome:
        """Return what ``params`` show, fold after fold.

        Parameters
        ----------
        earlier
            ``rank_ic_by_fold`` of the trials this one may be measured against.

        Raises
        ------
        ModelError
            When ``net_returns`` gives another number of returns than the window has sessions after its first.
        """
        started = self.clock.monotonic_s()
        ics: list[float] = []
        returns, turnover = (np.full(len(self.sessions), np.nan) for _ in range(2))
        pruned, at = False, 0
        for fold, (first, last) in zip(self.folds, self.windows, strict=True):
            scores = self._scores(fold, params)
            ics.append(_rank_ic(self.dataset, fold.test_rows, scores))
            matrix, _, _ = score_matrix(self.dataset, fold.test_rows, scores)
            earned = np.asarray(self.net_returns(matrix, first, last), dtype=np.float64)
            if earned.shape != (last - first,):
                raise ModelError(
                    f"{earned.shape} returns were given for fold {fold.name}, which has {last - first} sessions after "
                    "its first",
                    "return one for each of them",
                )
            until = at + last - first
            returns[at:until], turnover[at:until] = earned, top_turnover(matrix[:, first : last + 1], self.top_k)
            at = until
            so_far, on_fold = float(np.mean(ics)), [means[len(ics) - 1] for means in earlier if len(means) >= len(ics)]
            if len(ics) < len(self.folds) and is_behind(so_far, on_fold, folds_tested=len(ics), tuning=self.tuning):
                pruned = True
                break
        return TrialOutcome(tuple(ics), returns, turnover, pruned, self.clock.monotonic_s() - started)

    def _scores(self, fold: Fold, params: Params) -> Float:
        """Return the scores of a fold's test rows by one model of the settings' kind, NaN for who may not be scored."""
        dataset, rows = self.dataset, fold.test_rows
        fitted = fit_one(dataset, fold.train_rows, params, self.model, binned=self._binned, rounds=self.tuning.rounds)
        groups = None if dataset.groups is None else dataset.groups[rows]
        scores = fitted.model.predict(dataset.features[rows], groups, threads=self.model.threads).score
        scores[~dataset.scorable[rows]] = np.nan
        return scores


def is_behind(so_far: float, earlier: Sequence[float], *, folds_tested: int, tuning: TuneSettings) -> bool:
    """Return whether a trial is to be given up after a fold.

    Parameters
    ----------
    so_far
        Its mean rank IC over the folds up to this one.
    earlier
        The same of the trials of earlier batches that tested this fold, those given up later among them.
    """
    if not tuning.pruning_percentile or folds_tested < tuning.pruning_warmup_folds:
        return False
    enough = len(earlier) >= tuning.pruning_warmup_trials
    return enough and so_far < float(np.percentile(earlier, tuning.pruning_percentile))


def top_turnover(scores: Float, top_k: int) -> Float:
    """Return the share of the ``top_k`` best names of each session that were not among those of the session before.

    Parameters
    ----------
    scores
        Shape ``(n_symbols, n_sessions)``; NaN: no score. Of equal scores the first symbol's is the better.

    Returns
    -------
    numpy.ndarray
        Shape ``(n_sessions - 1,)``; 0 on a session without a score.
    """
    order = np.argsort(-scores, axis=0, kind="stable")[:top_k]
    chosen = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(chosen, order, values=True, axis=0)
    chosen &= np.isfinite(scores)
    new = (chosen[:, 1:] & ~chosen[:, :-1]).sum(axis=0)
    return np.asarray(new / np.maximum(chosen[:, 1:].sum(axis=0), 1), dtype=np.float64)


def score_matrix(dataset: Dataset, rows: slice, scores: Float) -> tuple[Float, int, int]:
    """Return (scores as ``(n_symbols, n_sessions)``, NaN elsewhere; first and last session number of ``rows``)."""
    matrix = np.full((len(dataset.symbols), len(dataset.sessions)), np.nan)
    sessions = dataset.session_index[rows]
    matrix[dataset.symbol_index[rows], sessions] = scores
    return matrix, int(sessions[0]), int(sessions[-1])


Submit = Callable[[Params, Sequence[Sequence[float]]], "Future[TrialOutcome]"]


@contextlib.contextmanager
def trial_runner(work: TrialWork, workers: int, *, below: Path | None) -> Iterator[Submit]:
    """Yield what runs a trial: here and now for one worker, otherwise in one of ``workers`` processes.

    Parameters
    ----------
    below
        Folder below which rows that are not mapped from a file already are handed over; None: temporary files.

    Raises
    ------
    EnvironmentFault
        When the rows cannot be handed over. ``outcome_of`` names a worker that died.
    """
    if workers == 1:

        def here(params: Params, earlier: Sequence[Sequence[float]]) -> Future[TrialOutcome]:
            done: Future[TrialOutcome] = Future()
            done.set_result(work.run(params, earlier))
            return done

        yield here
        return
    share = work.model.model_copy(update={"threads": max(1, work.model.threads // workers)})
    with handed_over(replace(work, model=share), below=below, what=_WHAT) as folder:
        # not fork: threads of the parent may hold locks
        pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)
        try:
            yield lambda params, earlier: pool.submit(_run, str(folder), dict(params), [*earlier])
        finally:
            pool.shutdown(cancel_futures=True)


def outcome_of(done: Future[TrialOutcome]) -> TrialOutcome:
    """Return what a trial showed.

    Raises
    ------
    EnvironmentFault
        When its process died.
    """
    try:
        return done.result()
    except BrokenProcessPool:
        raise EnvironmentFault(
            "a process that ran trials was lost, most often for want of memory",
            "lower tune.workers and run again: finished trials are kept, the lost ones are run again",
        ) from None


def _run(folder: str, params: Params, earlier: Sequence[Sequence[float]]) -> TrialOutcome:
    work: TrialWork = taken_over(folder, _WHAT)
    return work.run(params, earlier)


def _begin() -> None:
    """Leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _rank_ic(dataset: Dataset, rows: slice, scores: Float) -> float:
    """Return the mean rank IC, 0 for a model that says the same of every row: it has no skill, not an unknown one."""
    found = mean_rank_ic(scores, dataset.forward_return[rows], dataset.session_index[rows])
    return 0.0 if np.isnan(found) else found
