"""Several fitted models made one: members of all of them, weighted, and what is known of the whole.

Not here: how the parts are fitted (``fit.py``) and which they are (``ensemble.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.coefficients import mean_rank_ic
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.models.fit import Trained
from ljwx_pipeline.scoring.model import Member, Model

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """One fit of an ensemble.

    Parameters
    ----------
    name
        Of its own among the parts; its files begin with it.
    trained
        The fit.
    weight
        Of its output in the ensemble's, 0 or more.
    """

    name: str
    trained: Trained
    weight: float


def blended_model(parts: Sequence[Part]) -> Model:
    """Return the model whose every output is the weighted sum of the parts', in their order.

    A part that has no members of its own for a group scores it by those for all; they are listed for that group too, so
    that the group's rows are scored by every part. An output that a part lacks is left out of the whole.
    """
    models = [part.trained.model for part in parts]
    members: list[Member] = []
    for output in ("score", "lower", "upper"):
        told = [[member for member in model.members if member.output == output] for model in models]
        if not all(told):
            continue
        grouped = sorted({member.group for one in told for member in one if member.group is not None})
        for part, own in zip(parts, told, strict=True):
            for_all = [member for member in own if member.group is None]
            members += [_of(part, member) for member in for_all]
            for group in grouped:
                of_group = [member for member in own if member.group == group] or for_all
                members += [replace(_of(part, member), group=group) for member in of_group]
    named = {f"{part.name}-{file}": text for part in parts for file, text in part.trained.model.texts.items()}
    texts = {member.file: named[member.file] for member in members}
    return Model(tuple(members), texts, models[0].group_by)


def _of(part: Part, member: Member) -> Member:
    return replace(member, file=f"{part.name}-{member.file}", weight=part.weight * member.weight)


def blended(parts: Sequence[Part], dataset: Dataset, tail: slice) -> Trained:
    """Return the parts as one ``Trained``.

    Its parameters are those all parts share, and beside each part's weight those that are its own, named after it. Its
    tail rank IC is that of the weighted sum of the parts' tail scores: of models that had not seen the tail.

    Parameters
    ----------
    tail
        Rows the parts' ``tail_scores`` are of.
    """
    known = [part.trained.tail_scores for part in parts]
    ic = math.nan
    if all(scores is not None for scores in known):
        total = np.zeros(tail.stop - tail.start)
        for part, scores in zip(parts, known, strict=True):
            total += part.weight * scores  # type: ignore[operator]
        ic = mean_rank_ic(total, dataset.forward_return[tail], dataset.session_index[tail])
    params = dict(parts[0].trained.params)
    for name, value in parts[0].trained.params.items():
        if any(part.trained.params.get(name) != value for part in parts):
            del params[name]
    for part in parts:
        params |= {f"{part.name}.{name}": value for name, value in part.trained.params.items() if name not in params}
        params[f"{part.name}.weight"] = part.weight
    return Trained(
        model=blended_model(parts),
        rounds=sum(part.trained.rounds for part in parts),
        tail_rank_ic=ic,
        params=params,
        rows=max(part.trained.rows for part in parts),
    )


def spread(scores: Float, session_index: NDArray[np.integer]) -> float:
    """Return the mean over sessions of the standard deviation of a session's scores, and 1 where they never vary.

    Parameters
    ----------
    scores
        Shape ``(n,)``; NaN is left out.
    session_index
        Session of each.
    """
    known = np.isfinite(scores)
    _, session = np.unique(session_index[known], return_inverse=True)
    counts = np.bincount(session)
    means = np.bincount(session, weights=scores[known]) / counts
    squares = np.bincount(session, weights=(scores[known] - means[session]) ** 2)
    found = float(np.sqrt(squares / counts).mean()) if len(counts) else 0.0
    return found if found > 0 else 1.0


def tail_spread(trained: Trained, dataset: Dataset, tail: slice) -> float:
    """Return the spread of a fit's tail scores: on one scale, fits are divided by it."""
    assert trained.tail_scores is not None  # noqa: S101 - only a fit of given rounds has no tail
    return spread(trained.tail_scores, dataset.session_index[tail])


def on_one_scale(shares: Sequence[float], spreads: Sequence[float]) -> list[float]:
    """Return the weights with which scores of these spreads take these shares of a blend.

    Shares are made to sum to one; the blend's scores keep the mean spread, so that they stay in the members' unit.
    """
    total = sum(shares)
    mean = sum(share * one for share, one in zip(shares, spreads, strict=True)) / total
    return [share / total * (mean / one) for share, one in zip(shares, spreads, strict=True)]
