"""Boosting with LightGBM: regression, learning to rank and quantiles, stopped early on the purged tail.

Not here: rows, targets and weights (``task.py``), bins (``binned.py``), which kind is fitted (``fit.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import lightgbm as lgb
import numpy as np

from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.binned import Binned, dataset_params
from ljwx_pipeline.models.targets import grades
from ljwx_pipeline.models.task import Fitted, Params, Task
from ljwx_pipeline.scoring.model import Output

#: What each booster of the kind ``quantile`` foretells, and the quantile it is of.
QUANTILES: tuple[tuple[Output, float], ...] = (("lower", 0.05), ("score", 0.5), ("upper", 0.95))

_THREADS = re.compile(r"\[num_threads: \d+\]")


def booster_params(tuned: Params, settings: ModelSettings) -> dict[str, float | int | str | bool]:
    """Return LightGBM's parameters: the fixed ones, which make runs repeatable, with the tuned ones beside them.

    Raises
    ------
    ModelError
        When a tuned parameter would overrule a fixed one.
    """
    learns: dict[str, object] = {"objective": "regression", "metric": "l2"}
    if settings.kind == "rank":
        learns = {
            "objective": settings.rank_objective,
            "metric": "ndcg",
            "eval_at": str(settings.rank_top_names),
            "lambdarank_truncation_level": settings.rank_top_names,
        }
    elif settings.kind == "quantile":
        learns = {"objective": "quantile", "metric": "quantile"}
    fixed = {**dataset_params(settings), **learns, "seed": settings.seed}
    clash = sorted(set(fixed) & set(tuned))
    if clash:
        raise ModelError(f"parameter {clash[0]} is fixed and cannot be tuned", "take it out of the tuned parameters")
    return {**fixed, **tuned}  # type: ignore[dict-item]


def boost(train_set: lgb.Dataset, params: Mapping[str, object], rounds: int) -> lgb.Booster:
    """Return a booster of exactly ``rounds`` rounds."""
    return lgb.train(dict(params), train_set, num_boost_round=rounds)


def fit_boosted(task: Task) -> Fitted:
    """Return the booster of a task, or for the kind ``quantile`` one for each of ``QUANTILES``.

    A booster on the head stops when the tail's loss no longer falls (learning to rank: when NDCG no longer rises).
    With ``refit_on_tail`` a second one learns from the whole window for as many rounds, so that the newest half year is
    not thrown away.
    """
    if task.binned is None:
        raise ModelError("rows to boost on are not binned", "pass bins that cover them")
    binned = task.binned
    params = booster_params(task.tuned, task.settings)
    # fits of several seeds may share their bins, whose own seed LightGBM holds to
    params["data_random_seed"] = binned.handle.get_params()["data_random_seed"]
    if len(task.columns) < task.dataset.features.shape[1]:
        # a feature that gains nothing is never split on
        allowed = np.isin(np.arange(task.dataset.features.shape[1]), task.columns)
        params |= {"feature_contri": ",".join(str(int(one)) for one in allowed)}
    if task.settings.kind != "quantile":
        return _fitted(task, binned, params, "score")
    parts = [_fitted(task, binned, params | {"alpha": quantile}, output) for output, quantile in QUANTILES]
    return Fitted(
        texts=tuple(text for part in parts for text in part.texts),
        rounds=sum(part.rounds for part in parts),
        tail_scores=next(part.tail_scores for part in parts if part.texts[0][0] == "score"),
        params=parts[0].params | {"alpha": ",".join(f"{quantile:g}" for _, quantile in QUANTILES)},
        rows=parts[0].rows,
    )


def _fitted(task: Task, binned: Binned, params: dict[str, Any], output: Output) -> Fitted:
    rounds, scores, used = task.rounds, None, 0
    if task.head is not None and task.tail is not None:
        head_set, tail_set = _subset(task, binned, task.head), _subset(task, binned, task.tail)
        # the stopping rule is not a parameter of the model: kept out of the text
        stopper = lgb.early_stopping(task.settings.early_stopping_rounds, verbose=False)
        booster = lgb.train(
            dict(params),
            head_set,
            num_boost_round=task.settings.max_rounds,
            valid_sets=[tail_set],
            callbacks=[stopper],
        )
        rounds, used = int(booster.best_iteration or booster.current_iteration()), head_set.num_data()
        said = booster.predict(
            task.dataset.features[task.tail], num_iteration=rounds, num_threads=params["num_threads"]
        )
        scores = np.where(task.taken[task.tail], np.asarray(said, dtype=np.float64), np.nan)
    if rounds is None:
        raise ModelError("neither a tail nor a number of rounds is given", "give one of the two")
    if task.head is None or task.settings.refit_on_tail:
        window = _subset(task, binned, task.window)
        booster, used = boost(window, params, rounds), window.num_data()
    # how many threads it was fitted on is no part of a model: the bytes are the same for any number
    text = _THREADS.sub("[num_threads: 0]", booster.model_to_string(num_iteration=rounds))
    decided = {name: value for name, value in params.items() if name != "num_threads"}
    return Fitted(((output, text),), rounds, scores, decided, used)


def _subset(task: Task, binned: Binned, part: slice) -> lgb.Dataset:
    """Return the rows of ``part`` that are learned from as a LightGBM dataset that shares the bins."""
    rows = task.rows(part)
    # an index array serves as well as the annotated list and is not copied number by number
    subset = binned.handle.subset(rows).construct()  # type: ignore[arg-type]
    target, sessions = task.target[rows], task.dataset.session_index[rows]
    if task.settings.kind == "rank":
        subset.set_label(grades(target, sessions))
        subset.set_group(np.unique(sessions, return_counts=True)[1])
    else:
        subset.set_label(target)
    weights = task.weights(rows)
    if weights is not None:
        subset.set_weight(weights)
    return subset
