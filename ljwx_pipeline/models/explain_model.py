"""What each factor adds to a whole model's scores: the weighted sum of its members' contributions, routed by group.

Not here: one booster's SHAP values (``shap_values.py``), what is told of them (``explain*.py``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.shap_values import shap_interactions, shap_values
from ljwx_pipeline.scoring.model import Member, Model


@dataclass(frozen=True)
class Contributions:
    """What each factor added to each row's score.

    Parameters
    ----------
    values
        float64, shape ``(rows, width)``; a row's sum and its ``base`` are its score.
    base
        float64, shape ``(rows,)``: the members' mean scores over their training rows; of a linear member the score of
        a row at the centre of every factor. Rows of different groups start from different ones.
    methods
        How members were explained: ``tabulated``, ``pred_contrib`` and why, ``linear``; each once.
    """

    values: NDArray[np.float64]
    base: NDArray[np.float64]
    methods: tuple[str, ...]


def contributions(
    model: Model, features: NDArray[np.float32], groups: NDArray[Any] | None = None, *, threads: int = 1
) -> Contributions:
    """Return the contributions to the score of each row.

    Parameters
    ----------
    features, groups
        As for ``Model.predict``.

    Raises
    ------
    ModelError
        As for ``Model.predict``, and for members that cannot be explained.
    """
    _require_rows(model, features)
    values, base, methods = np.zeros(features.shape), np.zeros(len(features)), dict[str, None]()
    for member, rows in _routed(model, len(features), groups):
        part = np.ascontiguousarray(features[rows])
        if member.kind == "linear":
            said, start, method = (*_linear(model.texts[member.file], part), "linear")
        else:
            found = shap_values(model.texts[member.file], part, threads=threads)
            said, start = found.values, found.base
            method = found.method + (f" ({found.reason})" if found.reason else "")
        values[rows] += member.weight * said
        base[rows] += member.weight * start
        methods[method] = None
    return Contributions(values, base, tuple(methods))


def interactions(
    model: Model,
    features: NDArray[np.float32],
    chosen: Sequence[int],
    groups: NDArray[Any] | None = None,
    *,
    threads: int = 1,
) -> NDArray[np.float64]:
    """Return the SHAP interaction values of the ``chosen`` factors, shape ``(rows, chosen, chosen)``.

    As ``shap_interactions``; a linear member has effects alone and no interaction.
    """
    _require_rows(model, features)
    out = np.zeros((len(features), len(chosen), len(chosen)))
    diagonal = np.arange(len(chosen))
    for member, rows in _routed(model, len(features), groups):
        part = np.ascontiguousarray(features[rows])
        if member.kind == "linear":
            alone = member.weight * _linear(model.texts[member.file], part)[0][:, list(chosen)]
            out[rows[:, None], diagonal, diagonal] += alone
        else:
            out[rows] += member.weight * shap_interactions(model.texts[member.file], part, chosen, threads=threads)
    return out


def _require_rows(model: Model, features: NDArray[np.float32]) -> None:
    if features.ndim != 2 or features.shape[1] != model.width or len(features) == 0:
        raise ModelError(
            f"features of shape {features.shape} cannot be explained by a model of {model.width} factors",
            "pass the rows the model was trained on",
        )


def _routed(model: Model, rows: int, groups: NDArray[Any] | None) -> list[tuple[Member, NDArray[np.int64]]]:
    """Return each member of output ``score`` with the rows it speaks of, as ``Model.predict`` routes them."""
    members = [member for member in model.members if member.output == "score"]
    own = sorted({member.group for member in members if member.group is not None})
    if own and groups is None:
        raise ModelError(f"the model has members by {model.group_by} and was given no groups", "pass each row's")
    codes = np.full(rows, -1) if groups is None else groups
    rest = np.flatnonzero(~np.isin(codes, own))
    routed = [(member, rest if member.group is None else np.flatnonzero(codes == member.group)) for member in members]
    return [(member, at) for member, at in routed if len(at)]


def _linear(text: str, features: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Return coefficient x clipped standard score of each factor, and the intercept."""
    tree = json.loads(text)
    center, scale, coefficients = (np.array(tree[name]) for name in ("center", "scale", "coefficients"))
    standard = np.nan_to_num((features.astype(np.float64) - center) / scale, nan=0.0)
    return coefficients * np.clip(standard, -tree["clip"], tree["clip"]), float(tree["intercept"])
