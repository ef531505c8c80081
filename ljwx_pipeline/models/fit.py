"""Fitting one model of whatever kind, the same bytes each time; with groups, a member for each beside the one for all.

Not here: several models made one (``train.py``), how a kind learns (``boosted.py``, ``linear.py``,
``xgboost_trees.py``), which parameters (``tune.py``), which windows (``dataset/``), how a model predicts and the bundle
it goes into (``scoring/``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.coefficients import mean_rank_ic
from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.models.binned import Binned, bin_rows
from ljwx_pipeline.models.boosted import fit_boosted
from ljwx_pipeline.models.linear import fit_linear
from ljwx_pipeline.models.task import Fitted, Params, Task, task_of
from ljwx_pipeline.models.xgboost_trees import fit_xgboost
from ljwx_pipeline.scoring.model import NO_GROUP, Member, Model

Float = NDArray[np.float64]

_FITS: dict[str, Callable[[Task], Fitted]] = {
    "regression": fit_boosted,
    "rank": fit_boosted,
    "quantile": fit_boosted,
    "linear": fit_linear,
    "xgboost": fit_xgboost,
}


def reads_bins(settings: ModelSettings) -> bool:
    """Return whether any of the kinds that ``settings`` fit is boosted on binned rows."""
    return any(_FITS[kind] is fit_boosted for kind in settings.fitted_kinds)


@dataclass(frozen=True)
class Trained:
    """A model and how it came about.

    Parameters
    ----------
    model
        What a bundle holds and the runner predicts with.
    rounds
        Boosting rounds in it, of all members together; 0 for a linear model.
    tail_rank_ic
        Mean rank IC on the early-stopping tail, of the model that had not seen it; NaN without a tail.
    params
        Every parameter that decided it, fixed and tuned; with groups also which of them have members of their own.
    rows
        Rows learned from.
    tail_scores
        Of every row of the tail by the model that had not seen it, NaN where not learned from; None without a tail.
    """

    model: Model
    rounds: int
    tail_rank_ic: float
    params: dict[str, float | int | str | bool]
    rows: int
    tail_scores: Float | None = field(default=None, repr=False, compare=False)


def fit_one(
    dataset: Dataset,
    rows: slice,
    tuned: Params,
    settings: ModelSettings,
    *,
    binned: Binned | None = None,
    label: Float | None = None,
    weight: Float | None = None,
    seed: int | None = None,
    feature_subset: NDArray[np.int64] | None = None,
    rounds: int | None = None,
) -> Trained:
    """Fit one model of ``settings.kind`` on ``rows``.

    The last ``early_stopping_tail_sessions`` sessions are the tail; the ``purge_sessions`` before it are left out of
    the head, since their labels reach into it. What is boosted on the head stops when the tail's error no longer falls.
    With ``refit_on_tail`` the model then learns from the whole window for as many rounds, so that the newest half year
    is not thrown away.

    Parameters
    ----------
    rows
        Training window of the dataset, which is sorted by session.
    tuned
        From ``tune.py``.
    binned
        Bins that cover ``rows``; made from ``rows`` alone when None, by a kind that reads them.
    label
        Forward returns to learn in place of the dataset's own, one a row of the dataset, NaN where unknown; they go
        through ``settings.label_transform`` as its own do, and ``tail_rank_ic`` is against them.
    weight
        Of each row of the dataset in the loss, positive, beside the settings' own weights.
    seed
        Of what is drawn, in place of the settings'; rows are binned under theirs all the same.
    feature_subset
        Positions of the only features the model may use; all when None. It takes rows of full width all the same.
    rounds
        Learn from the whole window for exactly so many rounds: no tail, and ``tail_rank_ic`` is NaN.

    Raises
    ------
    ModelError
        For input that nothing can be learned from, as ``task.task_of``.
    """
    binning = settings
    if seed is not None:
        settings = settings.model_copy(update={"seed": seed})
    task = task_of(
        dataset,
        rows,
        tuned,
        settings,
        binned=binned,
        label=label,
        weight=weight,
        feature_subset=feature_subset,
        rounds=rounds,
    )
    fit = _FITS[settings.kind]
    if fit is fit_boosted and binned is None:  # once for all members
        bins = bin_rows(dataset, edges=task.window, stop=task.window.stop, settings=binning)
        task = replace(task, binned=bins)
    unified = fit(task)
    members, texts = _members(unified, settings, group=None)
    params = _named(settings) | unified.params
    total, scores = unified.rounds, unified.tail_scores
    if settings.group_by != "none":
        fitted, left_out = _by_group(task, fit)
        for group, one in fitted.items():
            more, more_texts = _members(one, settings, group=group)
            members, texts, total = members + more, texts | more_texts, total + one.rounds
            if scores is not None and one.tail_scores is not None:
                scores = np.where(np.isfinite(one.tail_scores), one.tail_scores, scores)
        names = [_group_name(dataset, group) for group in fitted]
        params |= {"groups_with_members": ", ".join(names), "groups_without_members": ", ".join(left_out)}
    ic = math.nan
    if scores is not None and task.tail is not None:
        outcome = (dataset.forward_return if label is None else label)[task.tail]
        ic = mean_rank_ic(scores, outcome, dataset.session_index[task.tail])
    return Trained(Model(members, texts, settings.group_by), total, ic, params, unified.rows, scores)


def _members(
    fitted: Fitted, settings: ModelSettings, *, group: int | None
) -> tuple[tuple[Member, ...], dict[str, str]]:
    """Return the members of one fit and their texts; ``model.txt`` scores every row."""
    kind: Literal["lightgbm", "linear"] = "linear" if settings.kind == "linear" else "lightgbm"
    members, texts = [], {}
    for output, text in fitted.texts:
        name = "model" if output == "score" else output
        file = f"{'' if group is None else f'group-{group}-'}{name}.{'json' if kind == 'linear' else 'txt'}"
        members.append(Member(file, kind=kind, output=output, group=group))
        texts[file] = text
    return tuple(members), texts


def _by_group(task: Task, fit: Callable[[Task], Fitted]) -> tuple[dict[int, Fitted], list[str]]:
    """Return each group's own fit, and which groups have none and why: too few rows, or nothing to learn from."""
    fitted, left_out = {}, []
    groups = task.groups
    for group in (int(code) for code in np.unique(groups[task.rows(task.window)]) if code != NO_GROUP):
        own = task.only(group)
        name, count = _group_name(task.dataset, group), len(own.rows(own.window))
        if count < task.settings.min_group_rows:
            left_out.append(f"{name} ({count} rows)")
        elif own.fault() is not None:
            left_out.append(f"{name} (labels unknown or constant)")
        else:
            fitted[group] = fit(own)
    return fitted, left_out


def _group_name(dataset: Dataset, group: int) -> str:
    return dict(dataset.group_names).get(group, str(group))


def _named(settings: ModelSettings) -> dict[str, float | int | str | bool]:
    """Return the settings beside a library's own parameters that decide a model."""
    named: dict[str, float | int | str | bool] = {"kind": settings.kind, "label_transform": settings.label_transform}
    if settings.recency_half_life_sessions:
        named["recency_half_life_sessions"] = settings.recency_half_life_sessions
    if settings.liquidity_weight:
        named["liquidity_weight"] = settings.liquidity_weight
    if settings.group_by != "none":
        named |= {"group_by": settings.group_by, "min_group_rows": settings.min_group_rows}
    return named
