"""Exact SHAP values of a LightGBM booster, an order of magnitude faster than its own ``pred_contrib``.

The numbers are those of ``pred_contrib`` and of ``shap.TreeExplainer`` (path-dependent, weighted by training counts) to
rounding. Boosters that the kernels do not know (categorical splits, averaged trees) and a handful of rows, for which
tables do not pay, are left to ``pred_contrib`` itself; the result says which it was. Not here: what the numbers mean
(``explain.py``), models of several members (``explain_model.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models import shap_kernels as kernels
from ljwx_pipeline.models.shap_kernels import BLOCK_ROWS, TABLE_BITS, Forest, Plan
from ljwx_pipeline.models.shap_trees import OtherTrees, read_forest

#: Below so many rows building tables costs more than it saves.
TABULATED_FROM_ROWS = 500
#: Tables held at a time; the next trees' replace them.
_TABLES_BYTES = 64 * 2**20
#: Rows whose pairs are summed together.
_PAIR_ROWS = 64


@dataclass(frozen=True)
class ShapValues:
    """What each feature added to each row's score.

    Parameters
    ----------
    values
        float64, shape ``(rows, width)``; a row's sum and ``base`` are its score.
    base
        Mean score over the training rows.
    method
        ``tabulated``, or ``pred_contrib`` where LightGBM computed them.
    reason
        Why LightGBM did; empty otherwise.
    """

    values: NDArray[np.float64]
    base: float
    method: str
    reason: str


def shap_values(
    text: str,
    features: NDArray[np.float32],
    *,
    threads: int = 1,
    tabulated_from_rows: int = TABULATED_FROM_ROWS,
) -> ShapValues:
    """Return the SHAP values of a LightGBM text; the bits are the same for any number of threads.

    Parameters
    ----------
    features
        float32 of shape ``(rows, width)``; NaN is a missing value.

    Raises
    ------
    ModelError
        For a text that is no booster of one output, or features of another type or width.
    """
    booster = _booster(text)
    _require_rows(booster, features)
    if len(features) < tabulated_from_rows:
        return _by_lightgbm(booster, features, threads, f"tables pay from {tabulated_from_rows} rows on")
    try:
        forest = read_forest(text)
    except OtherTrees as reason:
        return _by_lightgbm(booster, features, threads, str(reason))
    values = np.zeros(features.shape)
    add_values(forest, features, values, threads=threads)
    return ShapValues(values, float(kernels.expected_score(forest)), "tabulated", "")


def add_values(forest: Forest, features: NDArray[np.float32], values: NDArray[np.float64], *, threads: int = 1) -> None:
    """Add the SHAP values of ``features`` to ``values``, both of shape ``(rows, width)``."""
    plan = plan_of(forest, features.shape[1])
    most_nodes = int(np.diff(forest.first_node).max(initial=1))
    starts = range(0, len(features), BLOCK_ROWS)
    width = features.shape[1]

    def add(tables: NDArray[np.float64], trees: tuple[int, int], blocks: range) -> None:
        columns, phi = np.empty((width, BLOCK_ROWS), np.float32), np.empty((width, BLOCK_ROWS))
        left = np.empty((most_nodes, BLOCK_ROWS), np.uint8)
        for start in blocks:
            rows = slice(start, start + BLOCK_ROWS)
            kernels.add_block(
                forest, plan, *trees, tables, *_quadrature(), features[rows], columns, left, phi, values[rows]
            )

    with ThreadPoolExecutor(threads) as pool:
        for first, stop in _batches(plan):
            tables = _tables(forest, plan, first, stop, pool, threads)
            parts = [starts[number::threads] for number in range(threads)]
            list(pool.map(lambda blocks, t=tables, trees=(first, stop): add(t, trees, blocks), parts))


def plan_of(forest: Forest, width: int, most_bits: int = TABLE_BITS) -> Plan:
    """Return which leaves share a table, over ``width`` features; at 0 bits none do."""
    leaves = len(forest.value)
    root, sizes = np.empty(leaves, np.int32), np.empty((leaves, 3), np.int64)
    first_group = np.empty(len(forest.first_leaf), np.int64)
    groups = kernels.choose_groups(forest, width, most_bits, root, sizes, first_group)
    bits, conditions, features = sizes[:groups].T
    entries = np.where(bits > TABLE_BITS, features, features << np.minimum(bits, TABLE_BITS))
    plan = Plan(
        root=root[:groups].copy(),
        bits=bits.copy(),
        first_condition=_starts(conditions),
        first_feature=_starts(features),
        first_entry=_starts(entries),
        bit=np.empty(conditions.sum(), np.int32),
        node=np.empty(conditions.sum(), np.int32),
        goes_left=np.empty(conditions.sum(), np.bool_),
        feature=np.empty(features.sum(), np.int32),
        first_group=first_group,
    )
    kernels.fill_conditions(forest, plan)
    return plan


def shap_interactions(
    text: str, features: NDArray[np.float32], chosen: Sequence[int], *, threads: int = 1
) -> NDArray[np.float64]:
    """Return the SHAP interaction values of the ``chosen`` features, shape ``(rows, chosen, chosen)``.

    Symmetric; an entry beside the diagonal is half of what two features do together, the diagonal what a feature does
    alone, as in ``shap.TreeExplainer(...).shap_interaction_values``.

    Raises
    ------
    ModelError
        For trees that the kernels do not know, and as for ``shap_values``.
    """
    width = _require_rows(_booster(text), features)
    try:
        forest = read_forest(text)
    except OtherTrees as reason:
        raise ModelError(f"interactions cannot be told: {reason}", "explain a model of plain numeric splits") from None
    plan = plan_of(forest, width, most_bits=0)
    shares = np.empty(len(plan.feature))
    kernels.path_shares(forest, plan, shares)
    place = np.full(width, -1, np.int32)
    place[list(chosen)] = np.arange(len(chosen))
    out = np.zeros((len(features), len(chosen), len(chosen)))
    most_nodes = int(np.diff(forest.first_node).max(initial=1))

    def add(start: int) -> None:
        columns, left = np.empty((width, _PAIR_ROWS), np.float32), np.empty((most_nodes, _PAIR_ROWS), np.uint8)
        rows = slice(start, start + _PAIR_ROWS)
        kernels.add_interactions(forest, plan, shares, *_quadrature(), place, features[rows], columns, left, out[rows])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(add, range(0, len(features), _PAIR_ROWS)))
    return out


def _tables(
    forest: Forest, plan: Plan, first: int, stop: int, pool: ThreadPoolExecutor, threads: int
) -> NDArray[np.float64]:
    """Return the tables of trees ``[first, stop)``, one after the other."""
    groups = range(plan.first_group[first], plan.first_group[stop])
    begin = plan.first_entry[groups.start]
    tables = np.empty(plan.first_entry[groups.stop] - begin)
    cuts = np.linspace(groups.start, groups.stop, 4 * threads + 1).astype(np.int64)

    def fill(a: int, b: int) -> None:
        kernels.fill_tables(forest, plan, a, b, *_quadrature(), tables[plan.first_entry[a] - begin :])

    list(pool.map(fill, cuts[:-1], cuts[1:]))
    return tables


def _batches(plan: Plan) -> list[tuple[int, int]]:
    """Return ranges of trees whose tables stay below the bound, one tree at least."""
    ends = plan.first_entry[plan.first_group] * 8
    batches, first = [], 0
    while first < len(ends) - 1:
        stop = max(first + 1, int(np.searchsorted(ends, ends[first] + _TABLES_BYTES, side="right")) - 1)
        batches.append((first, stop))
        first = stop
    return batches


def _starts(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


@lru_cache(maxsize=1)
def _quadrature(most: int = 64) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points and weights on [0, 1] of Gauss's quadrature of n points in row n."""
    points, weights = np.zeros((most + 1, most)), np.zeros((most + 1, most))
    for number in range(1, most + 1):
        x, w = np.polynomial.legendre.leggauss(number)
        points[number, :number], weights[number, :number] = (x + 1) / 2, w / 2
    return points, weights


def _booster(text: str) -> lgb.Booster:
    try:
        return lgb.Booster(model_str=text)
    except lgb.basic.LightGBMError as error:
        raise ModelError(f"the text is not a LightGBM model ({error})", "fit it again") from None


def _require_rows(booster: lgb.Booster, features: NDArray[np.float32]) -> int:
    width = int(booster.num_feature())
    if features.ndim != 2 or features.shape[1] != width or features.dtype != np.float32:
        raise ModelError(
            f"features are {features.dtype} of shape {features.shape}, the model expects float32 (rows, {width})",
            "compute the factors it was fitted on, in their order",
        )
    if len(features) == 0:
        raise ModelError("there is no row to explain", "pass one at least")
    return width


def _by_lightgbm(booster: lgb.Booster, features: NDArray[np.float32], threads: int, reason: str) -> ShapValues:
    if booster.num_model_per_iteration() != 1:
        raise ModelError("the model has several outputs a row", "explain a model of one score")
    try:
        said = np.asarray(booster.predict(features, pred_contrib=True, num_threads=threads), dtype=np.float64)
    except lgb.basic.LightGBMError as error:
        raise ModelError(f"LightGBM cannot explain the model ({error})", "explain one of constant leaves") from None
    return ShapValues(np.ascontiguousarray(said[:, :-1]), float(said[0, -1]), "pred_contrib", reason)
