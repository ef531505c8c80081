"""A booster's trees as arrays, read from its text: what the compiled SHAP kernels walk through.

Not here: the kernels (``shap_kernels.py``), who calls them (``shap_values.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.shap_kernels import NO_PARENT, Forest

#: LightGBM's ``kZeroThreshold``: what is no farther from zero counts as zero.
ZERO_WITHIN = np.float32(1e-35)
#: Bits of LightGBM's ``decision_type``, and the kinds of missing value in it.
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_ZERO, _MISSING_NAN = 1, 2


class OtherTrees(Exception):
    """The trees are of a kind that the kernels do not know; the message says which."""


def read_forest(text: str) -> Forest:
    """Return the trees of a LightGBM text.

    Raises
    ------
    OtherTrees
        For categorical splits, linear leaves, averaged trees or a text without training counts.
    ModelError
        For a booster of several outputs, or a text that is none.
    """
    head, *blocks = text.split("\nTree=")
    if "num_tree_per_iteration=" not in head:
        raise ModelError("the text is not that of a LightGBM model", "pass Booster.model_to_string()")
    if "num_tree_per_iteration=1\n" not in head:
        raise ModelError("the model has several outputs a row", "explain a model of one score")
    if "\naverage_output" in head:
        raise OtherTrees("its trees are averaged")
    trees = [_fields(block) for block in blocks]
    for number, tree in enumerate(trees):
        _require_known(number, tree)
    nodes = np.concatenate([[0], np.cumsum([int(tree["num_leaves"]) - 1 for tree in trees])])
    leaves = np.concatenate([[0], np.cumsum([int(tree["num_leaves"]) for tree in trees])])
    whole = {name: np.concatenate([_numbers(tree, name) for tree in trees]) for name in _OF_NODES + _OF_LEAVES}
    left, right = (
        np.concatenate([_global(_numbers(tree, side), nodes[at], leaves[at]) for at, tree in enumerate(trees)])
        for side in ("left_child", "right_child")
    )
    parent, leaf_parent = _parents(left, right, int(leaves[-1]))
    node_count, leaf_count = whole["internal_count"], whole["leaf_count"]
    if (node_count <= 0).any() or (leaf_count[leaf_parent != NO_PARENT] <= 0).any():
        raise OtherTrees("a node of it saw no training row")
    missing = (whole["decision_type"].astype(np.int64) >> 2) & 3
    default_left = (whole["decision_type"].astype(np.int64) & _DEFAULT_LEFT) > 0
    zero_left = np.where(missing == _MISSING_ZERO, default_left, whole["threshold"] >= 0.0)
    return Forest(
        left=left,
        right=right,
        feature=whole["split_feature"].astype(np.int32),
        threshold=_below(whole["threshold"]),
        nan_left=np.where(missing == _MISSING_NAN, default_left, zero_left),
        zero_left=zero_left,
        parent=parent,
        leaf_parent=leaf_parent,
        node_share=_share(node_count, parent, node_count),
        leaf_share=_share(leaf_count, leaf_parent, node_count),
        value=whole["leaf_value"],
        first_node=nodes.astype(np.int64),
        first_leaf=leaves.astype(np.int64),
    )


_OF_NODES = ("split_feature", "threshold", "decision_type", "internal_count")
_OF_LEAVES = ("leaf_value", "leaf_count")


def _fields(block: str) -> dict[str, str]:
    def lines() -> Iterator[tuple[str, str]]:
        for line in block.splitlines()[1:]:
            if not line:
                return
            name, _, value = line.partition("=")
            yield name, value

    return dict(lines())


def _require_known(number: int, tree: Mapping[str, str]) -> None:
    if int(tree.get("num_cat", "0")) > 0:
        raise OtherTrees(f"tree {number} splits on categories")
    if tree.get("is_linear", "0") != "0":
        raise OtherTrees(f"tree {number} has linear leaves")
    if int(tree["num_leaves"]) > 1 and not {"leaf_count", "internal_count"} <= tree.keys():
        raise OtherTrees(f"tree {number} does not say how many training rows reached its leaves")


def _numbers(tree: Mapping[str, str], name: str) -> NDArray[np.float64]:
    if int(tree["num_leaves"]) == 1:  # a constant; LightGBM writes neither splits nor counts that mean anything
        return np.array([float(tree["leaf_value"]) if name == "leaf_value" else 1.0]) if name in _OF_LEAVES else _NONE
    return np.array(tree[name].split(), dtype=np.float64)


_NONE: NDArray[np.float64] = np.empty(0)


def _global(children: NDArray[np.float64], nodes: int, leaves: int) -> NDArray[np.int32]:
    """Return children numbered over all trees: a node as itself, a leaf as its complement."""
    child = children.astype(np.int32)
    return np.where(child >= 0, child + np.int32(nodes), child - np.int32(leaves)).astype(np.int32)


def _parents(
    left: NDArray[np.int32], right: NDArray[np.int32], leaves: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    parent = np.full(len(left), NO_PARENT, dtype=np.int32)
    leaf_parent = np.full(leaves, NO_PARENT, dtype=np.int32)
    at = np.arange(len(left), dtype=np.int32)
    for child in (left, right):
        inner = child >= 0
        parent[child[inner]] = at[inner]
        leaf_parent[~child[~inner]] = at[~inner]
    return parent, leaf_parent


def _share(
    count: NDArray[np.float64], parent: NDArray[np.int32], node_count: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return which share of the parent's training rows came here; 1 at a root."""
    share = np.ones(len(count))
    below = parent != NO_PARENT
    share[below] = count[below] / node_count[parent[below]]
    return share


def _below(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 not above: float32 values are on the same side of both."""
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
    return np.where(near.astype(np.float64) > threshold, np.nextafter(near, np.float32(-np.inf)), near)
