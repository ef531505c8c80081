"""A model as research fits it and the runner serves it: text files of members, and how their outputs make one score.

Research and the runner predict through this one class, so that both give the same bits. Not here: how members are
fitted (``models/``), what they were fitted from and who signs it (``bundle.py``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import ModelError

if TYPE_CHECKING:  # loaded with the first booster
    import lightgbm as lgb

#: In what form a member's text is.
Kind = Literal["lightgbm", "linear"]
#: What a member foretells: the score itself, or an end of the band about it.
Output = Literal["score", "lower", "upper"]
#: What a row's group is told by; "none" where one model serves all.
GroupBy = Literal["none", "industry", "size"]
#: Of a row whose group is unknown.
NO_GROUP = -1


@dataclass(frozen=True)
class Member:
    """One fitted function of a row's features.

    Parameters
    ----------
    file
        Plain name of the text file that holds it.
    kind
        ``lightgbm``: LightGBM's text form. ``linear``: JSON, see ``linear_text``.
    output
        What it foretells.
    weight
        In the weighted sum of the members of one output.
    group
        The group whose rows it scores; None scores every row whose group has no members of its own.
    """

    file: str
    kind: Kind = "lightgbm"
    output: Output = "score"
    weight: float = 1.0
    group: int | None = None


@dataclass(frozen=True)
class Prediction:
    """What a model says of rows: float64, one value a row; the band's ends are None in a model without one."""

    score: NDArray[np.float64]
    lower: NDArray[np.float64] | None = None
    upper: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Model:
    """Members and their texts.

    Parameters
    ----------
    members
        At least one of output ``score`` and no group.
    texts
        Content by file name, exactly the members' files.
    group_by
        What the group codes given to ``predict`` are of.

    Raises
    ------
    ModelError
        For members and texts that do not fit each other, a text that is no model, or members of several widths.
    """

    members: tuple[Member, ...]
    texts: Mapping[str, str]
    group_by: GroupBy = "none"
    _fitted: Mapping[str, Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if {member.file for member in self.members} != set(self.texts):
            raise ModelError("the model's members and files are not the same", "fit it again")
        if not any(member.output == "score" and member.group is None for member in self.members):
            raise ModelError("no member of the model scores every row", "fit it again")
        fitted = {member.file: _opened(member, self.texts[member.file]) for member in self.members}
        object.__setattr__(self, "_fitted", fitted)
        widths = sorted({_width(one) for one in fitted.values()})
        if len(widths) > 1:
            raise ModelError(f"members of the model take {widths[0]} and {widths[-1]} features", "fit it again")

    @classmethod
    def of_booster(cls, text: str) -> Model:
        """Return the model of one LightGBM booster."""
        return cls((Member("model.txt"),), {"model.txt": text})

    @property
    def width(self) -> int:
        """Features a row has."""
        return _width(next(iter(self._fitted.values())))

    def booster(self, file: str) -> lgb.Booster:
        """Return the booster of a LightGBM member."""
        found: lgb.Booster | _Linear = self._fitted[file]
        if isinstance(found, _Linear):
            raise ModelError(f"{file} holds no booster", "ask for a LightGBM member")
        return found

    def predict(
        self, features: NDArray[np.float32], groups: NDArray[np.integer] | None = None, *, threads: int = 1
    ) -> Prediction:
        """Return what the members say together: of each output the weighted sum, in the members' order.

        The band holds the score: where members fitted apart would cross, its end is the score itself.

        Parameters
        ----------
        features
            float32 of shape ``(n, width)``; NaN is a missing value.
        groups
            Group code of each row, ``NO_GROUP`` where unknown; needed where members have groups.
        threads
            LightGBM's; the bits are the same for any number. One is fastest for few rows.

        Raises
        ------
        ModelError
            For features of another width, or a model of groups without them.
        """
        if features.ndim != 2 or features.shape[1] != self.width:
            raise ModelError(
                f"features have shape {features.shape}, the model expects (rows, {self.width})",
                "compute the factors it was fitted on, in their order",
            )
        grouped = sorted({member.group for member in self.members if member.group is not None})
        if grouped and groups is None:
            raise ModelError(f"the model has members by {self.group_by} and was given no groups", "pass each row's")
        ends = {output: self._sum(output, features, groups, grouped, threads) for output in ("score", "lower", "upper")}
        score = ends.pop("score")
        assert score is not None  # noqa: S101 - a member of output score is demanded above
        lower, upper = ends["lower"], ends["upper"]
        return Prediction(
            score,
            None if lower is None else np.minimum(lower, score),
            None if upper is None else np.maximum(upper, score),
        )

    def _sum(
        self,
        output: str,
        features: NDArray[np.float32],
        groups: NDArray[np.integer] | None,
        grouped: list[int],
        threads: int,
    ) -> NDArray[np.float64] | None:
        members = [member for member in self.members if member.output == output]
        if not members:
            return None
        total = np.zeros(len(features))
        if groups is None or not grouped:
            return _added(total, slice(None), members, features, self._fitted, threads)
        own = {member.group for member in members if member.group is not None}
        for code in sorted(own):
            rows = np.flatnonzero(groups == code)
            _added(total, rows, [m for m in members if m.group == code], features[rows], self._fitted, threads)
        rest = np.flatnonzero(~np.isin(groups, sorted(own)))
        return _added(total, rest, [m for m in members if m.group is None], features[rest], self._fitted, threads)


def linear_text(
    center: NDArray[np.float64],
    scale: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    *,
    intercept: float,
    clip: float,
) -> str:
    """Return a linear member's text: score = intercept + sum of coefficient x clip((feature - center) / scale).

    All arrays have shape ``(width,)``; a missing feature stands at its centre.
    """
    tree = {
        "center": center.tolist(),
        "scale": scale.tolist(),
        "coefficients": coefficients.tolist(),
        "intercept": intercept,
        "clip": clip,
    }
    return json.dumps(tree, sort_keys=True, allow_nan=False) + "\n"


@dataclass(frozen=True)
class _Linear:
    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    intercept: float
    clip: float

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return one value a row; a row's bits do not depend on the others."""
        total = np.full(len(features), self.intercept)
        for column, weight in enumerate(self.coefficients):  # by column: no BLAS, whose sums depend on the shape
            if weight != 0.0:
                standard = (features[:, column].astype(np.float64) - self.center[column]) / self.scale[column]
                total += weight * np.clip(np.nan_to_num(standard, nan=0.0), -self.clip, self.clip)
        return total


def _opened(member: Member, text: str) -> lgb.Booster | _Linear:
    try:
        return _booster(text) if member.kind == "lightgbm" else _linear(text)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        name = {"lightgbm": "LightGBM", "linear": "linear"}[member.kind]
        raise ModelError(f"{member.file} is not a {name} model ({error})", "fit it again") from None


def _booster(text: str) -> lgb.Booster:
    import lightgbm as lgb  # a second, scikit-learn with it: who only names a version's hashes opens no booster

    _require_whole(text)
    try:
        return lgb.Booster(model_str=text)
    except lgb.basic.LightGBMError as error:
        raise ValueError(str(error)) from None


def _linear(text: str) -> _Linear:
    tree = json.loads(text)
    arrays = [np.asarray(tree[name], dtype=np.float64) for name in ("center", "scale", "coefficients")]
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1 or not np.isfinite(arrays).all():
        raise ValueError("its arrays are not finite and of one length")
    if not (arrays[1] > 0).all():
        raise ValueError("a scale is not positive")
    return _Linear(arrays[0], arrays[1], arrays[2], float(tree["intercept"]), float(tree["clip"]))


def _require_whole(text: str) -> None:
    """Raise ``ValueError`` for a booster's text that was cut: LightGBM reads on past its end, and the process dies.

    The text counts its trees' bytes itself, and marks the end of the trees and of the parameters.
    """
    content = text.encode()
    counted = re.search(rb"^tree_sizes=([0-9 ]*)$", content, re.MULTILINE)
    if counted is None:
        raise ValueError("it counts no trees")
    sizes = [int(size) for size in counted[1].split()]
    at = content.find(b"\nTree=0\n" if sizes else b"\nend of trees", counted.end()) + 1
    for number, size in enumerate(sizes):
        if not content.startswith(b"Tree=%d\n" % number, at):
            raise ValueError(f"tree {number} of {len(sizes)} is not where its size says")
        at += size
    if not content.startswith(b"end of trees\n", at):
        raise ValueError(f"it does not end after its {len(sizes)} trees")
    if content.find(b"\nparameters:", at) >= 0 > content.find(b"\nend of parameters\n", at):
        raise ValueError("its parameters do not end")


def _width(fitted: lgb.Booster | _Linear) -> int:
    return len(fitted.coefficients) if isinstance(fitted, _Linear) else int(fitted.num_feature())


def _added(
    total: NDArray[np.float64],
    rows: slice | NDArray[np.int64],
    members: list[Member],
    features: NDArray[np.float32],
    fitted: Mapping[str, Any],
    threads: int,
) -> NDArray[np.float64]:
    """Add each member's weighted output to ``total[rows]``, whose features are given, and return ``total``."""
    if len(features):
        for member in members:
            one = fitted[member.file]
            said = one.predict(features) if isinstance(one, _Linear) else one.predict(features, num_threads=threads)
            total[rows] += member.weight * np.asarray(said, dtype=np.float64)
    return total
