"""One more tree library: boosting with XGBoost, its trees then rewritten as LightGBM's, which is all the runner needs.

XGBoost is an optional package, imported only when a model of this kind is fitted. Not here: rows, targets and weights
(``task.py``), the kinds that LightGBM fits itself (``boosted.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.task import Fitted, Params, Task

#: XGBoost's name of each tuned parameter. A row of squared error has a Hessian of 1, so that ``min_child_weight``
#: counts rows.
_NAMES = {
    "learning_rate": "eta",
    "num_leaves": "max_leaves",
    "min_data_in_leaf": "min_child_weight",
    "feature_fraction": "colsample_bytree",
    "bagging_fraction": "subsample",
    "lambda_l1": "alpha",
    "lambda_l2": "lambda",
}
#: LightGBM's bits of a split: a missing value is NaN, and whether it goes left.
_MISSING_IS_NAN, _DEFAULT_LEFT = 8, 2
#: LightGBM's ``kZeroThreshold``.
_SPECK = np.float32(1e-35)


def xgboost_params(tuned: Params, settings: ModelSettings) -> dict[str, float | int | str | bool]:
    """Return XGBoost's parameters for the tuned ones of LightGBM: leaf-wise histogram trees of squared error.

    It learns on one thread: how many add up a histogram decides the last bits of its sums.

    Raises
    ------
    ModelError
        For a tuned parameter that XGBoost has no counterpart of.
    """
    fixed: dict[str, float | int | str | bool] = {
        "objective": "reg:squarederror",
        "eval_metric": "rmse",
        "base_score": 0.0,
        "tree_method": "hist",
        "grow_policy": "lossguide",
        "max_depth": 0,
        "max_bin": settings.max_bin,
        "seed": settings.seed,
        "nthread": 1,
        "verbosity": 0,
    }
    drawn = bool(tuned.get("bagging_freq", 1))
    unknown = sorted(set(tuned) - set(_NAMES) - {"bagging_freq"})
    if unknown:
        raise ModelError(f"tuned parameter {unknown[0]} has no counterpart in XGBoost", "take it out, or add it there")
    return fixed | {
        _NAMES[name]: value for name, value in tuned.items() if name in _NAMES and (drawn or name != "bagging_fraction")
    }


def require_xgboost(asked_by: str = "model.kind =") -> Any:
    """Return the package; raise ``ModelError``, which begins with ``asked_by``, where it is not installed."""
    try:
        import xgboost  # optional
    except ImportError:
        raise ModelError(
            f'{asked_by} "xgboost" and the package xgboost is not installed',
            "`make xgboost` adds it, or choose another kind",
        ) from None
    return xgboost


def fit_xgboost(task: Task) -> Fitted:
    """Return the XGBoost model of a task as LightGBM's text, stopped early on the tail like ``boosted.fit_boosted``.

    Raises
    ------
    ModelError
        When the package is not installed, or refuses the rows.
    """
    xgb = require_xgboost()
    params = xgboost_params(task.tuned, task.settings)
    rounds, scores, used = task.rounds, None, 0
    try:
        if task.head is not None and task.tail is not None:
            head, tail = _matrix(task, task.head), _matrix(task, task.tail)
            booster = xgb.train(
                params,
                head,
                task.settings.max_rounds,
                evals=[(tail, "tail")],
                early_stopping_rounds=task.settings.early_stopping_rounds,
                verbose_eval=False,
            )
            rounds, used = int(booster.best_iteration) + 1, head.num_row()
            text = lightgbm_text(booster, rounds, task.columns, task.dataset.features.shape[1])
            said = lgb.Booster(model_str=text).predict(
                task.dataset.features[task.tail], num_threads=task.settings.threads
            )
            scores = np.where(task.taken[task.tail], np.asarray(said, dtype=np.float64), np.nan)
        if rounds is None:
            raise ModelError("neither a tail nor a number of rounds is given", "give one of the two")
        if task.head is None or task.settings.refit_on_tail:
            window = _matrix(task, task.window)
            booster, used = xgb.train(params, window, rounds), window.num_row()
            text = lightgbm_text(booster, rounds, task.columns, task.dataset.features.shape[1])
    except xgb.core.XGBoostError as error:
        raise ModelError(
            f"XGBoost refuses these rows ({str(error).splitlines()[0]})", "look at the features for infinite values"
        ) from None
    return Fitted((("score", text),), rounds, scores, {**params, "xgboost": str(xgb.__version__)}, used)


def _matrix(task: Task, part: slice) -> Any:
    import xgboost as xgb  # optional

    rows = task.rows(part)
    values = without_specks(task.dataset.features[rows][:, task.columns])
    return xgb.DMatrix(values, label=task.target[rows], weight=task.weights(rows), missing=np.nan, nthread=1)


def without_specks(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``features`` as LightGBM will read them: a value within ``_SPECK`` of zero is zero."""
    return np.where(np.abs(features) <= _SPECK, np.float32(0), features)


def lightgbm_text(booster: Any, rounds: int, columns: NDArray[np.int64], width: int) -> str:
    """Return the first ``rounds`` trees of an XGBoost regression as LightGBM's text.

    XGBoost sends a float32 value left where it is below the split, LightGBM where it is not above: the threshold is
    the next smaller float32, so that every value goes the same way. XGBoost adds up leaves in float32, LightGBM in
    float64: the scores differ by that rounding alone.

    Parameters
    ----------
    booster
        An ``xgboost.Booster`` of base score 0.
    columns, width
        Which of ``width`` features its own are.
    """
    model = json.loads(booster.save_raw("json").decode())["learner"]
    trees = model["gradient_booster"]["model"]["trees"][:rounds]
    head = [
        "tree",
        "version=v4",
        "num_class=1",
        "num_tree_per_iteration=1",
        "label_index=0",
        f"max_feature_idx={width - 1}",
        "objective=regression",
        "feature_names=" + " ".join(f"Column_{at}" for at in range(width)),
        "feature_infos=" + " ".join(["none"] * width),
    ]
    blocks = [_tree_text(number, tree, columns) for number, tree in enumerate(trees)]
    text = "\n".join([*head, "", *blocks, "end of trees", "", "parameters:", "end of parameters", ""])
    # written once by LightGBM itself, in its own form
    return str(lgb.Booster(model_str=text).model_to_string())


def _tree_text(number: int, tree: Mapping[str, Any], columns: NDArray[np.int64]) -> str:
    left, right = tree["left_children"], tree["right_children"]
    numbers: dict[int, int] = {}
    inner: list[int] = []
    leaves: list[int] = []
    for at in _preorder(left, right):
        is_leaf = left[at] == -1
        numbers[at] = ~len(leaves) if is_leaf else len(inner)
        (leaves if is_leaf else inner).append(at)
    conditions = np.asarray(tree["split_conditions"], dtype=np.float32)
    hessian, values = (
        np.asarray(tree["sum_hessian"], dtype=np.float64),
        np.asarray(tree["base_weights"], dtype=np.float64),
    )
    counts = {at: max(1, round(hessian[at])) for at in leaves}
    for at in reversed(inner):  # children come after their parents
        counts[at] = counts[left[at]] + counts[right[at]]
    below = np.nextafter(conditions, np.float32(-np.inf), dtype=np.float32).astype(np.float64)
    columns_of_lines: dict[str, Sequence[object]] = {
        "split_feature": [int(columns[tree["split_indices"][at]]) for at in inner],
        "split_gain": [_number(tree["loss_changes"][at]) for at in inner],
        "threshold": [_number(below[at]) for at in inner],
        "decision_type": [_MISSING_IS_NAN + (_DEFAULT_LEFT if tree["default_left"][at] else 0) for at in inner],
        "left_child": [numbers[left[at]] for at in inner],
        "right_child": [numbers[right[at]] for at in inner],
        "leaf_value": [_number(conditions[at]) for at in leaves],
        "leaf_weight": [_number(hessian[at]) for at in leaves],
        "leaf_count": [counts[at] for at in leaves],
        "internal_value": [_number(values[at]) for at in inner],
        "internal_weight": [_number(hessian[at]) for at in inner],
        "internal_count": [counts[at] for at in inner],
    }
    lines = [f"Tree={number}", f"num_leaves={len(leaves)}", "num_cat=0"]
    lines += [f"{name}=" + " ".join(str(one) for one in column) for name, column in columns_of_lines.items()]
    return "\n".join([*lines, "is_linear=0", "shrinkage=1", "", ""])


def _preorder(left: Sequence[int], right: Sequence[int]) -> Iterator[int]:
    waiting = [0]
    while waiting:
        at = waiting.pop()
        yield at
        if left[at] != -1:
            waiting += [right[at], left[at]]


def _number(value: Any) -> str:
    return repr(float(value))
