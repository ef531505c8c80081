"""Choosing hyperparameters on data before the first test fold, with every trial kept.

The promotion gate deflates a result by the trials made to find it, so each trial leaves its rank IC, the Sharpe ratio
its scores would have earned, and those returns session by session. Not here: one trial (``tune_trial.py``), how
proposals are made and kept (``studies/``), how scores become returns (a callable from above), the folds (``dataset/``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.config import OBJECTIVES, ModelSettings, TuneSettings
from ljwx_pipeline.dataset import Dataset, Fold
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.tune_trial import NetReturns, Submit, TrialOutcome, TrialWork, outcome_of, trial_runner
from ljwx_pipeline.studies import (
    Axis,
    DailyReturns,
    Place,
    Proposal,
    Space,
    Study,
    StudyPlan,
    Told,
    WarmStart,
    opened_study,
)

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
#: What is searched; the first level of each axis is the plain model's, so that a grid begins with it too.
SPACE = Space(
    (
        Axis("learning_rate", "float", 0.02, 0.12, log=True, levels=(0.05, 0.025, 0.1)),
        Axis("num_leaves", "int", 8, 64, log=True, levels=(31, 15, 63)),
        Axis("min_data_in_leaf", "int", 50, 1000, log=True, levels=(200, 800)),
        Axis("feature_fraction", "float", 0.2, 0.6, log=False, levels=(0.5, 0.25)),
        Axis("bagging_fraction", "float", 0.5, 1.0, log=False, levels=(0.8,)),
        Axis("bagging_freq", "int", 1, 1, log=False, levels=(1,)),
        Axis("lambda_l1", "float", 1e-3, 10.0, log=True, levels=(0.01,)),
        Axis("lambda_l2", "float", 1e-2, 300.0, log=True, levels=(10.0, 100.0)),
    )
)
#: First part of a derived name.
KIND = "ljwx"
#: Trials drawn at random before the sampler starts to learn.
_RANDOM_TRIALS = 4
#: What a refusal calls the inputs that are no keys of the settings by themselves.
_CALLED = {
    **{name: f"tune.{name}" for name in ("rounds", "objectives", "sampler", "seed", "batch", "warm_start")},
    **{
        f"pruning.{name}": f"tune.{name}"
        for name in ("pruning_percentile", "pruning_warmup_trials", "pruning_warmup_folds")
    },
    "pruning": "tune.pruning_percentile",
    "top_k": "strategy.top_k",
    "benchmark": "gate.benchmark",
    "dataset": "the dataset (data, factors, label, universe)",
    "folds": "the rows of the inner folds (tune.inner_folds, walk_forward, data)",
    "directions": "the directions of tune.objectives",
    "space": "the search space of this release",
    "given": "the plain trial of this release",
    "random_trials": "the number of random trials of this release",
    "code": "the pipeline's code",
    "alike.model_kind": "model.kind",
    "alike.market": "the market",
    "alike.label_hash": "the label",
    **{name: f"the table {name}" for name in ("index_bars", "securities", "st_spells", "corporate_actions")},
}
#: Settings of the model that no trial reads: threads, when a model beyond the study stops, what several fits become.
_NOT_OF_TRIALS = {
    "threads",
    "max_rounds",
    "early_stopping_rounds",
    "early_stopping_tail_sessions",
    "refit_on_tail",
    "ensemble",
}


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
        Mean over the inner folds it ran, and each.
    session_sharpe
        Sharpe ratio per session of the net excess returns over the sessions it ran; 0 when they never vary.
    turnover_frac
        Mean one-way turnover a session of the best ``top_k`` names.
    state
        ``pruned`` for a trial given up early; it counts as a trial all the same.
    pruned_after_fold
        The last fold it ran, where it was given up; empty otherwise.
    origin
        ``plain``, ``warm start``, ``tpe`` or ``grid``: where its parameters came from.
    returns_sha256
        Hash of its columns in the study's file of daily returns.
    seconds
        Wall time.
    sessions
        Sessions that ``session_sharpe`` rests on: those of the folds it ran; 0 for a trial made before it was kept.
    """

    number: int
    params: dict[str, float | int]
    rank_ic: float
    fold_rank_ics: tuple[float, ...]
    session_sharpe: float
    turnover_frac: float
    state: Literal["complete", "pruned"]
    pruned_after_fold: str
    origin: str
    returns_sha256: str
    seconds: float
    sessions: int = 0


@dataclass(frozen=True)
class StudyResult:
    """Every trial of a study, and the chosen one's parameters.

    Parameters
    ----------
    name
        The study's.
    best_params, best
        The chosen trial's; see ``chosen``.
    trials
        All of them in order, pruned ones too.
    pareto
        Numbers of the complete trials that no other beats in every objective, best rank IC first.
    warm_start
        Study whose best parameters were tried early; empty for none.
    earlier
        Trials of that study, of the one that started from, and so on, by study: looks at data that this one rests on.
    daily_returns
        ``session_date``, and for each trial ``trial_N`` (net excess return, a fraction) and ``trial_N_turnover_frac``;
        NaN on folds it did not run.
    """

    name: str
    best_params: dict[str, float | int]
    best: Trial
    trials: tuple[Trial, ...]
    pareto: tuple[int, ...] = ()
    warm_start: str = ""
    earlier: Mapping[str, tuple[Trial, ...]] = field(default_factory=dict)
    daily_returns: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False, repr=False)


#: Kinds that read no tuned parameter: one trial says all of them.
NOT_TUNED = ("linear",)


def tune(
    dataset: Dataset,
    folds: Sequence[Fold],
    *,
    net_returns: NetReturns,
    tuning: TuneSettings,
    model: ModelSettings,
    top_k: int,
    earned_under: Mapping[str, object] | None = None,
    alike: Mapping[str, object] | None = None,
    warm: WarmStart | None = None,
    journal: Path | None = None,
    note: Mapping[str, str] | None = None,
    on_trial: Callable[[str, Trial], None] | None = None,
    clock: Clock | None = None,
) -> StudyResult:
    """Run the study and return every trial: the same ones for any number of workers, and after any interruption.

    Parameters
    ----------
    folds
        Purged inner folds (``dataset.inner_folds``), all before the first test window.
    net_returns
        Net excess returns per session that a score matrix would have earned between two sessions, one for each after
        the first; with ``tuning.workers`` beyond one it is pickled.
    top_k
        Names whose turnover is measured.
    earned_under
        What decides those returns besides the scores (strategy, costs, benchmark, trading data, code), as JSON values.
        It is part of the study's name: a kept trial's Sharpe ratio counts only under the terms it was measured on.
    alike
        What an earlier study must share, beside the kind of model, for its parameters to be tried by a warm start
        (market, label), as JSON values.
    warm
        What ``tuning.warm_start`` tries early, where a reproduction states it; None: the latest finished study's best.
    journal
        File that keeps the trials, their daily returns beside it in ``NAME.returns.parquet``; a study found there is
        resumed, a finished one is only read. Trials found beyond ``tuning.trials`` count too: they were made. None:
        memory. With ``tuning.storage`` the trials are there, and only the returns beside ``journal``.
    note
        What is kept beside the study (``studies.StudyPlan``).
    on_trial
        Called with the study's name after each trial made now by this process, in the order they finish.

    Raises
    ------
    ModelError
        Without an inner fold, when one has no known returns, when a trial's net returns are not numbers, when the
        study was made under other inputs, or when its journal, its daily returns or a study it was warm-started from
        are lost or damaged.
    EnvironmentFault
        When the study cannot be read, written or reached, or a worker died.
    LakeError
        When another process works on the journal, or the daily returns cannot be written.
    """
    _require_testable(dataset, folds)
    tuning = tuning.model_copy(update={"trials": trials_asked(model, tuning)})
    model = tried_model(model)
    work = TrialWork(dataset, tuple(folds), net_returns, tuning, model, top_k, clock or SystemClock())
    place = Place(journal, tuning.storage.get_secret_value())
    with opened_study(
        place, _plan(work, earned_under or {}, alike or {}, warm, note or {}), name=tuning.study
    ) as study:
        path = journal.with_name(f"{study.name}.returns.parquet") if journal else None
        keeper = _Keeper(study, work, DailyReturns(path, dataset.sessions[work.sessions]))
        keeper.daily_returns()
        with trial_runner(work, tuning.workers, below=journal.parent if journal else None) as submit:
            _run_all(study, submit, work, keeper, on_trial)
        trials = keeper.trials()
        best = chosen(trials, tuning)
        study.mark_finished(best.params, until=_last_read(work), at=(clock or SystemClock()).now().isoformat())
        return StudyResult(
            name=study.name,
            best_params=best.params,
            best=best,
            trials=trials,
            pareto=tuple(trial.number for trial in pareto_front(trials, tuning)),
            warm_start=study.warm_start.study if study.warm_start else "",
            earlier={name: tuple(_trial(told) for told in trials) for name, trials in study.earlier().items()},
            daily_returns=keeper.daily_returns(),
        )


def trials_asked(model: ModelSettings, tuning: TuneSettings) -> int:
    """Return how many trials a study makes: ``tuning.trials``, or 1 where all would be the same."""
    return tuning.trials if reads_tuned(model) else 1


def reads_tuned(model: ModelSettings) -> bool:
    """Return whether anything that ``model`` fits reads the tuned hyperparameters."""
    return any(kind not in NOT_TUNED for kind in model.fitted_kinds)


def tried_model(model: ModelSettings) -> ModelSettings:
    """Return the settings of the one model that a trial fits: of no ensemble, and of a kind that will be fitted.

    That is ``model.kind`` where it is fitted and reads tuned parameters, otherwise the first base of a stack that does:
    a stack of trees is not left untuned because ``model.kind``, which it never fits, is linear.
    """
    tuned = [kind for kind in model.fitted_kinds if kind not in NOT_TUNED]
    kind = model.kind if model.kind in tuned or not tuned else tuned[0]
    return model.model_copy(
        update={"kind": kind, "ensemble": model.ensemble.model_copy(update={"kind": "none"})},
    )


def chosen(trials: Sequence[Trial], tuning: TuneSettings) -> Trial:
    """Return the trial whose parameters are used, among the complete ones.

    With one objective the highest rank IC, the earliest of equals. With two, the least turnover among the trials of the
    Pareto front whose rank IC is at least ``pareto_rank_ic_frac`` of the best; of equals the higher rank IC.

    Raises
    ------
    ModelError
        When no trial is complete.
    """
    front = pareto_front(trials, tuning)
    if not front:
        raise ModelError(
            f"no trial finished: {len(trials)} were made, all of them given up early",
            "lower tune.pruning_percentile or raise tune.pruning_warmup_trials",
        )
    best = front[0].rank_ic
    floor = best - (1 - tuning.pareto_rank_ic_frac) * abs(best)
    return min((trial for trial in front if trial.rank_ic >= floor), key=lambda trial: trial.turnover_frac)


def pareto_front(trials: Sequence[Trial], tuning: TuneSettings) -> list[Trial]:
    """Return the complete trials that no other beats in every objective, best rank IC first.

    With one objective that is the best trial alone, the earliest of equals.
    """
    complete = sorted(
        (trial for trial in trials if trial.state == "complete"),
        key=lambda trial: (-trial.rank_ic, trial.turnover_frac, trial.number),
    )
    if tuning.objectives == ("rank_ic",):
        best = min(complete, key=lambda trial: (-trial.rank_ic, trial.number), default=None)
        return [best] if best else []
    front: list[Trial] = []
    for trial in complete:
        if not front or trial.turnover_frac < front[-1].turnover_frac:
            front.append(trial)
    return front


class _Keeper:
    """Between what a trial showed and what the study and the file of daily returns keep of it."""

    def __init__(self, study: Study, work: TrialWork, returns: DailyReturns) -> None:
        self._study, self._work, self._returns = study, work, returns

    def keep(self, asked: Proposal, outcome: TrialOutcome) -> Trial | None:
        """Keep a trial; None when another process has run it since this one was taken for dead.

        Raises
        ------
        ModelError
            When its returns are not numbers.
        """
        run = outcome.returns[: self._rows(len(outcome.fold_rank_ics))]
        sharpe = _sharpe(run)
        if not np.isfinite(sharpe):
            raise ModelError(
                f"trial {asked.number} has net excess returns whose Sharpe ratio is {sharpe}",
                "check the benchmark and the bars of the inner test windows",
            )
        trial = Trial(
            number=asked.number,
            params=asked.params,
            rank_ic=outcome.rank_ic_by_fold[-1],
            fold_rank_ics=outcome.fold_rank_ics,
            session_sharpe=sharpe,
            turnover_frac=float(np.nanmean(outcome.turnover_frac)),
            state="pruned" if outcome.pruned else "complete",
            pruned_after_fold=self._work.folds[len(outcome.fold_rank_ics) - 1].name if outcome.pruned else "",
            origin=self._origin(asked.number),
            returns_sha256=self._returns.add(asked.number, outcome.returns, outcome.turnover_frac),
            seconds=outcome.seconds,
            sessions=len(run),
        )
        values = {"rank_ic": trial.rank_ic, "turnover": trial.turnover_frac}
        told = self._study.tell(
            asked,
            [values[name] for name in self._work.tuning.objectives],
            kept={"trial": asdict(trial)},
            steps=dict(enumerate(outcome.rank_ic_by_fold)) if len(self._work.tuning.objectives) == 1 else {},
            pruned=outcome.pruned,
        )
        return trial if told else None

    def trials(self) -> tuple[Trial, ...]:
        """Return the study's finished trials, in order."""
        return tuple(_trial(told) for told in self._study.told())

    def daily_returns(self) -> pd.DataFrame:
        """Return the daily returns of the finished trials; lost or damaged ones are refused."""
        hashes = {trial.number: trial.returns_sha256 for trial in self.trials()}
        return self._returns.read(hashes, study=self._study.name)

    def _rows(self, folds: int) -> int:
        return sum(last - first for first, last in self._work.windows[:folds])

    def _origin(self, number: int) -> str:
        if self._work.tuning.sampler == "grid":
            return "grid"
        given = ["plain", *(["warm start"] if self._study.warm_start else [])]
        return given[number] if number < len(given) else "tpe"


def _run_all(
    study: Study, submit: Submit, work: TrialWork, keeper: _Keeper, on_trial: Callable[[str, Trial], None] | None
) -> None:
    """Run the study's trials until there are ``tuning.trials``, as many at once as there are workers."""
    trials, workers = work.tuning.trials, work.tuning.workers
    running: dict[Future[TrialOutcome], Proposal] = {}
    while True:
        while len(running) < workers and (asked := study.claim(trials)) is not None:
            running[submit(asked.params, _earlier(study, asked.number))] = asked
        if not running:
            if study.is_finished(trials):
                return
            study.wait()
            continue
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in sorted(done, key=lambda future: running[future].number):
            trial = keeper.keep(running.pop(future), outcome_of(future))
            if trial is not None and on_trial is not None:
                on_trial(study.name, trial)


def _earlier(study: Study, number: int) -> list[tuple[float, ...]]:
    """Return the mean rank IC up to each fold of the trials that trial ``number`` may be measured against."""
    return [tuple(told.steps[step] for step in sorted(told.steps)) for told in study.before_batch_of(number)]


def _last_read(work: TrialWork) -> date:
    """Return the last session that the study reads: the one the last tested label reads, a purge after its row."""
    sessions = work.dataset.sessions
    return sessions[min(int(work.sessions[-1]) + work.dataset.purge_sessions, len(sessions) - 1)].date()


def fold_rows(folds: Sequence[Fold]) -> list[list[int]]:
    """Return the rows of each fold as a study's inputs state them: first and end of training, first and end of test."""
    return [[f.train_rows.start, f.train_rows.stop, f.test_rows.start, f.test_rows.stop] for f in folds]


def _plan(
    work: TrialWork,
    earned_under: Mapping[str, object],
    alike: Mapping[str, object],
    warm: WarmStart | None,
    note: Mapping[str, str],
) -> StudyPlan:
    """Return everything that decides the study's trials, except how many there are."""
    tuning, dataset = work.tuning, work.dataset
    inputs = {
        "dataset": dataset.hash,
        "folds": fold_rows(work.folds),
        "rounds": tuning.rounds,
        "objectives": list(tuning.objectives),
        "top_k": work.top_k,
        "model": work.model.model_dump(mode="json", exclude=_NOT_OF_TRIALS),
        **earned_under,
    }
    if tuning.pruning_percentile:
        pruning = ("pruning_percentile", "pruning_warmup_trials", "pruning_warmup_folds")
        inputs["pruning"] = {name: getattr(tuning, name) for name in pruning}
    return StudyPlan(
        kind=KIND,
        inputs=inputs,
        space=SPACE,
        seed=tuning.seed,
        batch=tuning.batch,
        random_trials=_RANDOM_TRIALS,
        sampler=tuning.sampler,
        directions=tuple(OBJECTIVES[name] for name in tuning.objectives),
        given=(PLAIN,),
        warm_until=_last_read(work) if tuning.warm_start else None,
        alike={"model_kind": work.model.kind, **alike},
        warm=warm,
        called=_CALLED,
        note=note,
    )


def _require_testable(dataset: Dataset, folds: Sequence[Fold]) -> None:
    if not folds:
        raise ModelError("there is no inner fold to tune on", "lower tune.inner_folds or widen the training window")
    for fold in folds:
        if not np.isfinite(dataset.forward_return[fold.test_rows]).any():
            raise ModelError(f"inner fold {fold.name} has no known return to test on", "lower tune.inner_folds")


def _trial(told: Told) -> Trial:
    tree: dict[str, Any] = told.kept["trial"]
    return Trial(**{**tree, "fold_rank_ics": tuple(tree["fold_rank_ics"])})


def _sharpe(returns: NDArray[np.float64]) -> float:
    """Return mean over standard deviation, 0 for returns that never vary, NaN when one is missing."""
    mean, spread = float(returns.mean()), float(returns.std(ddof=1))
    return 0.0 if spread <= 1e-12 else mean / spread
