"""Choosing hyperparameters on data before the first test fold, with every trial kept.

The promotion gate deflates a result by the trials made to find it, so each trial leaves its rank IC and the Sharpe
ratio its scores would have earned. Not here: how scores become returns (a callable from above), the folds themselves
(``dataset/``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.coefficients import mean_rank_ic
from ljwx_pipeline.config import ModelSettings, TuneSettings
from ljwx_pipeline.dataset import Dataset, Fold
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.binned import Binned, bin_rows
from ljwx_pipeline.models.train import boost, booster_params

if TYPE_CHECKING:
    import optuna

#: Net excess returns per session of scores ``(n_symbols, n_sessions)`` (NaN: no score) between two session numbers.
NetReturns = Callable[[NDArray[np.float64], int, int], NDArray[np.float64]]

#: The first trial: a plain, sober model, so that a study is never worse than having none.
PLAIN: dict[str, float | int] = {
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l1": 0.01,
    "lambda_l2": 10.0,
}
#: Trials drawn at random before the sampler starts to learn.
_RANDOM_TRIALS = 4
#: Part of a study's name: another search space is another study.
_SPACE_VERSION = 1


@dataclass(frozen=True)
class Trial:
    """One set of hyperparameters and what it showed on the inner folds.

    Parameters
    ----------
    number
        Position in the study, from 0.
    params
        LightGBM parameters.
    rank_ic, fold_rank_ics
        Mean over the inner folds, and each.
    session_sharpe
        Sharpe ratio per session of the net excess returns over all inner test sessions; 0 when they never vary.
    seconds
        Wall time.
    """

    number: int
    params: dict[str, float | int]
    rank_ic: float
    fold_rank_ics: tuple[float, ...]
    session_sharpe: float
    seconds: float


@dataclass(frozen=True)
class StudyResult:
    """Every trial of a study, and the parameters of the best by rank IC (the earliest of equals)."""

    name: str
    best_params: dict[str, float | int]
    best: Trial
    trials: tuple[Trial, ...]

    @property
    def trial_sharpes(self) -> tuple[float, ...]:
        """Per-session Sharpe ratio of each trial, in order: what the gate deflates by."""
        return tuple(trial.session_sharpe for trial in self.trials)


def tune(
    dataset: Dataset,
    folds: Sequence[Fold],
    *,
    net_returns: NetReturns,
    tuning: TuneSettings,
    model: ModelSettings,
    earned_under: Mapping[str, object] | None = None,
    journal: Path | None = None,
    on_study: Callable[[str], None] | None = None,
    on_trial: Callable[[Trial], None] | None = None,
    clock: Clock | None = None,
) -> StudyResult:
    """Run the study and return every trial.

    The sampler (Optuna's TPE) is seeded anew for each trial from the seed and the number of finished ones: a study
    that was interrupted and resumed makes the trials it would have made. Rows are binned once for all trials.

    Parameters
    ----------
    folds
        Purged inner folds (``dataset.inner_folds``), all before the first test window.
    net_returns
        Net excess returns per session that a score matrix would have earned between two sessions, inclusive.
    earned_under
        What decides those returns besides the scores (strategy, costs, benchmark, trading data, code), as JSON values.
        It is part of the study's name: a kept trial's Sharpe ratio counts only under the terms it was measured on.
    journal
        File that keeps the trials; a study found there is resumed, a finished one is only read. Trials found beyond
        ``tuning.trials`` count too: they were made. None: memory.
    on_study
        Called with the study's name before any trial is made.
    on_trial
        Called after each trial made now (not for those read from the journal).

    Raises
    ------
    ModelError
        Without an inner fold, when one has no known returns, or when a trial's net returns are not numbers.
    """
    if not folds:
        raise ModelError("there is no inner fold to tune on", "lower tune.inner_folds or widen the training window")
    for fold in folds:
        if not np.isfinite(dataset.forward_return[fold.test_rows]).any():
            raise ModelError(f"inner fold {fold.name} has no known return to test on", "lower tune.inner_folds")
    timer = clock or SystemClock()
    name = _study_name(dataset, folds, tuning, model, earned_under or {})
    study = _open_study(name, journal)
    if on_study is not None:
        on_study(name)
    binned: Binned | None = None
    while len(done := _finished(study)) < tuning.trials:
        if binned is None:
            binned = bin_rows(
                dataset, edges=folds[0].train_rows, stop=max(fold.train_rows.stop for fold in folds), settings=model
            )
            sets = [binned.subset(fold.train_rows) for fold in folds]
        started = timer.monotonic_s()
        asked = _ask(study, number=len(done), seed=tuning.seed)
        params = _suggest(asked)
        boosters = [boost(rows, booster_params(params, model), tuning.rounds) for rows in sets]
        scores = [
            _scores(dataset, fold.test_rows, booster, model) for fold, booster in zip(folds, boosters, strict=True)
        ]
        ics = tuple(_rank_ic(dataset, f.test_rows, s) for s, f in zip(scores, folds, strict=True))
        streams = [_stream(dataset, f.test_rows, s, net_returns) for s, f in zip(scores, folds, strict=True)]
        trial = Trial(
            number=len(done),
            params=params,
            rank_ic=float(np.mean(ics)),
            fold_rank_ics=ics,
            session_sharpe=_sharpe(np.concatenate(streams)),
            seconds=timer.monotonic_s() - started,
        )
        if not np.isfinite(trial.session_sharpe):
            raise ModelError(
                f"trial {trial.number} has net excess returns whose Sharpe ratio is {trial.session_sharpe}",
                "check the benchmark and the bars of the inner test windows",
            )
        asked.set_user_attr("trial", asdict(trial))
        study.tell(asked, trial.rank_ic)
        if on_trial is not None:
            on_trial(trial)
    best = max(done, key=lambda trial: trial.rank_ic)
    return StudyResult(name, best.params, best, tuple(done))


def score_matrix(dataset: Dataset, rows: slice, scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], int, int]:
    """Return (scores as ``(n_symbols, n_sessions)``, NaN elsewhere; first and last session number of ``rows``)."""
    matrix = np.full((len(dataset.symbols), len(dataset.sessions)), np.nan)
    sessions = dataset.session_index[rows]
    matrix[dataset.symbol_index[rows], sessions] = scores
    return matrix, int(sessions[0]), int(sessions[-1])


def _scores(dataset: Dataset, rows: slice, booster: Any, model: ModelSettings) -> NDArray[np.float64]:
    """Return the scores of test rows, NaN where the universe does not let a row in."""
    scores = np.asarray(booster.predict(dataset.features[rows], num_threads=model.threads), dtype=np.float64)
    scores[~dataset.scorable[rows]] = np.nan
    return scores


def _rank_ic(dataset: Dataset, rows: slice, scores: NDArray[np.float64]) -> float:
    """Return the mean rank IC, 0 for a model that says the same of every row: it has no skill, not an unknown one."""
    found = mean_rank_ic(scores, dataset.forward_return[rows], dataset.session_index[rows])
    return 0.0 if np.isnan(found) else found


def _stream(dataset: Dataset, rows: slice, scores: NDArray[np.float64], net_returns: NetReturns) -> NDArray[np.float64]:
    matrix, first, last = score_matrix(dataset, rows, scores)
    return np.asarray(net_returns(matrix, first, last), dtype=np.float64)


def _sharpe(returns: NDArray[np.float64]) -> float:
    """Return mean over standard deviation, 0 for returns that never vary, NaN when one is missing."""
    mean, spread = float(returns.mean()), float(returns.std(ddof=1))
    return 0.0 if spread <= 1e-12 else mean / spread


def _open_study(name: str, journal: Path | None) -> optuna.Study:
    import optuna  # heavy (SQLAlchemy and all): only when a study runs

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = None
    if journal is not None:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        journal.parent.mkdir(parents=True, exist_ok=True)
    try:
        if journal is not None:
            storage = JournalStorage(JournalFileBackend(str(journal)))
        study = optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
    except ValueError as error:  # JSON and text decoding errors are ValueErrors
        raise ModelError(
            f"the study's journal {journal} is damaged ({error})", "move it away: its trials will be made again"
        ) from None
    for left in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        # a crash came in between: the same trial is asked for again, with the same seed
        study.tell(left.number, state=optuna.trial.TrialState.FAIL)
    return study


def _finished(study: optuna.Study) -> list[Trial]:
    import optuna  # heavy: only when a study runs

    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    kept = [item.user_attrs["trial"] for item in complete]
    return [Trial(**{**tree, "fold_rank_ics": tuple(tree["fold_rank_ics"])}) for tree in kept]


def _ask(study: optuna.Study, *, number: int, seed: int) -> optuna.Trial:
    import optuna  # heavy: only when a study runs

    if number == 0:
        study.enqueue_trial(PLAIN)
    study.sampler = optuna.samplers.TPESampler(seed=seed + number, n_startup_trials=_RANDOM_TRIALS)
    return study.ask()


def _suggest(trial: optuna.Trial) -> dict[str, float | int]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.12, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 8, 64, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 50, 1000, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 0.6),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 1.0),
        "bagging_freq": trial.suggest_int("bagging_freq", 1, 1),
        "lambda_l1": trial.suggest_float("lambda_l1", 1e-3, 10.0, log=True),
        "lambda_l2": trial.suggest_float("lambda_l2", 1e-2, 300.0, log=True),
    }


def _study_name(
    dataset: Dataset,
    folds: Sequence[Fold],
    tuning: TuneSettings,
    model: ModelSettings,
    earned_under: Mapping[str, object],
) -> str:
    """Name a study by everything that decides its trials, except how many there are."""
    decided = {
        "space": _SPACE_VERSION,
        "dataset": dataset.hash,
        "folds": [[f.train_rows.start, f.train_rows.stop, f.test_rows.start, f.test_rows.stop] for f in folds],
        "rounds": tuning.rounds,
        "seed": tuning.seed,
        "model_seed": model.seed,
        "max_bin": model.max_bin,
        "earned_under": dict(earned_under),
    }
    return "ljwx-" + hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:16]
