"""What one model is fitted on: rows, targets and weights of a training window, and its purged early-stopping tail.

Every kind of model takes its rows from here, and degenerate input is refused here, by name, before anything learns.
Not here: how a kind learns (``boosted.py``, ``linear.py``, ``xgboost_trees.py``), what a target is (``targets.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.dataset.groups import grouped_by
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.binned import Binned
from ljwx_pipeline.models.targets import row_weights, transformed
from ljwx_pipeline.scoring.model import Output

Bool = NDArray[np.bool_]
Float = NDArray[np.float64]
#: Tuned parameters, by LightGBM's names.
Params = Mapping[str, float | int]


@dataclass(frozen=True)
class Fitted:
    """What a kind of model makes of a task.

    Parameters
    ----------
    texts
        Text of each member and what it foretells.
    rounds
        Boosting rounds of all members together; 0 for a linear model.
    tail_scores
        Scores of every row of the tail by the model that had not seen it, NaN where not learned from; None without a
        tail.
    params
        Every parameter that decided it.
    rows
        Rows learned from.
    """

    texts: tuple[tuple[Output, str], ...]
    rounds: int
    tail_scores: Float | None
    params: dict[str, float | int | str | bool]
    rows: int


@dataclass(frozen=True)
class Task:
    """One model's rows and what it learns of them.

    Parameters
    ----------
    dataset
        Sorted by session.
    window
        Rows that may be learned from.
    head, tail
        Of the window, from ``split_tail``; None where the number of rounds is given.
    taken
        Shape ``(n_rows,)`` of the dataset: rows with a known target that the universe lets in.
    target
        float32, shape ``(n_rows,)``: what is learned; NaN where unknown.
    weight
        Weights of every row besides the settings', or None.
    tuned, settings
        Parameters, tuned and fixed.
    binned
        Bins that cover the window, or None.
    columns
        Positions of the features the model may use, ascending.
    rounds
        Boosting rounds where they are given.
    """

    dataset: Dataset
    window: slice
    head: slice | None
    tail: slice | None
    taken: Bool
    target: NDArray[np.float32]
    weight: Float | None
    tuned: Params
    settings: ModelSettings
    binned: Binned | None
    columns: NDArray[np.int64]
    rounds: int | None

    def rows(self, part: slice) -> NDArray[np.int64]:
        """Return the positions of the rows of ``part`` that are learned from, ascending."""
        return np.flatnonzero(self.taken[part]) + int(part.start)

    def weights(self, rows: NDArray[np.int64]) -> Float | None:
        """Return the weight of each of ``rows``; None when all weigh the same."""
        return row_weights(self.dataset, rows, self.settings, self.weight)

    @property
    def groups(self) -> NDArray[np.int32]:
        """Group of every row of the dataset, by what the settings group by."""
        return _groups(self.dataset, self.settings)

    def only(self, group: int) -> Task:
        """Return the task of one group's rows, their targets unchanged: ranks are of the whole cross-section."""
        return replace(self, taken=self.taken & (self.groups == group))

    def fault(self) -> tuple[str, str] | None:
        """Return why nothing can be learned from these rows, as fact and remedy; None when something can."""
        parts = {"training window": self.window}
        if self.head is not None and self.tail is not None:
            parts |= {"training window before its purged tail": self.head, "early-stopping tail": self.tail}
        for name, part in parts.items():
            target = self.target[self.rows(part)]
            where = f"{name}, {_span(self.dataset, part)},"
            if len(target) == 0:
                return f"the {where} holds no known label of a stock that may be scored", (
                    "look for missing bars and at the universe's rules, or widen the training window"
                )
            if (target == target[0]).all():
                return f"the label is constant, {target[0]:g} on all {len(target)} rows of the {where[:-1]}", (
                    "look at the prices there (a session of equal returns ranks nobody), or widen the training window"
                )
        return None


def task_of(
    dataset: Dataset,
    rows: slice,
    tuned: Params,
    settings: ModelSettings,
    *,
    binned: Binned | None,
    label: Float | None,
    weight: Float | None,
    feature_subset: NDArray[np.int64] | None,
    rounds: int | None,
) -> Task:
    """Return the task of the arguments of ``fit.fit_one``.

    Raises
    ------
    ModelError
        For an empty feature set, a window that is too short for a head, a purge and a tail, one without a known label,
        or one whose label is constant as a whole, in its head or in its tail; or where a model by group is asked of a
        dataset without groups or with groups of something else.
    """
    if settings.group_by != "none":
        _groups(dataset, settings)  # before the model for all is fitted, not after
    width = dataset.features.shape[1]
    columns = np.arange(width) if feature_subset is None else np.unique(feature_subset)
    if len(columns) == 0:
        raise ModelError("the feature set is empty", "give the model at least one factor")
    if columns[0] < 0 or columns[-1] >= width:
        raise ModelError(f"feature {columns[-1]} is not one of {width}", "name features by position, from 0")
    start, stop, _ = rows.indices(len(dataset.label))
    window = slice(start, stop)
    if start >= stop:
        raise ModelError("the training window holds no row", "widen it")
    head, tail = None, None
    if rounds is None:
        head, tail = split_tail(dataset, window, settings.early_stopping_tail_sessions)
    forward = dataset.forward_return if label is None else label
    taken = np.zeros(len(dataset.label), dtype=bool)
    taken[window] = np.isfinite(forward[window]) & dataset.scorable[window]
    if label is None and settings.label_transform == "rank":
        target = dataset.label
    else:
        # a rank is that in the whole cross-section, as in the dataset's label; scales are of the rows learned from
        known = np.isfinite(forward) if settings.label_transform == "rank" else taken
        at = np.flatnonzero(known[window]) + start
        target = np.full(len(forward), np.nan, dtype=np.float32)
        target[at] = transformed(forward[at], dataset.session_index[at], settings.label_transform)
    taken &= np.isfinite(target)
    task = Task(
        dataset=dataset,
        window=window,
        head=head,
        tail=tail,
        taken=taken,
        target=target,
        weight=weight,
        tuned=tuned,
        settings=settings,
        binned=binned,
        columns=columns,
        rounds=rounds,
    )
    fault = task.fault()
    if fault is not None:
        raise ModelError(*fault)
    return task


def split_tail(dataset: Dataset, rows: slice, tail_sessions: int) -> tuple[slice, slice]:
    """Return (head, tail) of ``rows``: the tail's sessions, and what ends ``purge_sessions`` before them.

    Raises
    ------
    ModelError
        When fewer sessions than the tail and the purge would be left for the head.
    """
    index = dataset.session_index[rows]
    sessions = np.unique(index)
    if len(sessions) <= dataset.purge_sessions:
        raise ModelError(
            f"the training window, {_span(dataset, rows)}, is shorter than the purge: {len(sessions)} sessions, and "
            f"labels reach {dataset.purge_sessions} ahead",
            "widen the training window or shorten label.horizon_sessions",
        )
    if len(sessions) < 2 * tail_sessions + dataset.purge_sessions:
        raise ModelError(
            f"{len(sessions)} training sessions leave too little before a tail of {tail_sessions} and a purge of "
            f"{dataset.purge_sessions}",
            "widen the training window or shorten model.early_stopping_tail_sessions",
        )
    first_tail = int(sessions[-tail_sessions])
    head_stop = int(np.searchsorted(index, first_tail - dataset.purge_sessions, side="left"))
    tail_start = int(np.searchsorted(index, first_tail, side="left"))
    return slice(rows.start, rows.start + head_stop), slice(rows.start + tail_start, rows.stop)


def _groups(dataset: Dataset, settings: ModelSettings) -> NDArray[np.int32]:
    kept = grouped_by(dataset.group_measure)
    if dataset.groups is None or kept != settings.group_by:
        held = "no groups" if dataset.groups is None else f"groups by {kept}"
        raise ModelError(
            f'model.group_by = "{settings.group_by}" and the dataset holds {held}',
            "build the dataset again under these settings",
        )
    return dataset.groups


def _span(dataset: Dataset, rows: slice) -> str:
    index = dataset.session_index[rows]
    first, last = dataset.sessions[int(index[0])], dataset.sessions[int(index[-1])]
    return f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
