"""A second opinion on one prediction: LIME, a line fitted to the model around one row (Ribeiro et al. 2016).

Optional: the package ``lime`` comes with ``make lime``. SHAP divides a score exactly; LIME asks something else, which
way the model leans near this row, and is random: believe it where both agree and its R2 is high. Not here: the first
opinion (``explain_row.py``).
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import EnvironmentFault, ModelError
from ljwx_pipeline.models.explain_model import contributions
from ljwx_pipeline.scoring.model import Model

#: Rows drawn around the one explained.
SAMPLES = 5_000


@dataclass(frozen=True)
class Weight:
    """What the line gives a factor: its name, the condition of the row it stands for, its effect on the score."""

    factor: str
    condition: str
    weight: float


@dataclass(frozen=True)
class SecondOpinion:
    """What LIME says of one row.

    Parameters
    ----------
    weights
        Largest in size first.
    r2
        How much of the model's variation among the samples the line follows.
    samples
        Rows drawn.
    shared_top
        How many of these factors are among as many that lead SHAP's list of the row, against the session's mean.
    """

    weights: tuple[Weight, ...]
    r2: float
    samples: int
    shared_top: int


def require_lime() -> None:
    """Raise ``EnvironmentFault`` where ``lime`` is not installed."""
    if importlib.util.find_spec("lime") is None:
        raise EnvironmentFault("the package lime is not installed", "run `make lime`, or leave --lime out")


def second_opinion(
    model: Model,
    features: NDArray[np.float32],
    row: int,
    names: tuple[str, ...],
    *,
    top: int,
    seed: int,
    groups: NDArray[Any] | None = None,
    threads: int = 1,
    samples: int = SAMPLES,
) -> SecondOpinion:
    """Return LIME's view of row ``row`` among the rows of its session.

    LIME knows no missing values: they stand at the session's median here, in the row and around it.

    Parameters
    ----------
    features
        float32, shape ``(rows, len(names))``: the session's rows, which say what is usual.
    top
        Factors in the line.
    groups
        Group code of each row of a model of groups; the rows drawn are all of the explained one's group.

    Raises
    ------
    EnvironmentFault
        Without the package.
    ModelError
        For fewer than ten rows: too few to say what is usual.
    """
    require_lime()
    from lime.lime_tabular import LimeTabularExplainer  # optional, and heavy (scikit-learn)

    if len(features) < 10:
        raise ModelError(f"{len(features)} stocks are too few for LIME", "choose a session with ten at least")
    filled = _filled(features)
    explainer = LimeTabularExplainer(
        filled, mode="regression", feature_names=list(names), discretize_continuous=True, random_state=seed
    )

    def scores(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        codes = None if groups is None else np.full(len(rows), groups[row])
        return model.predict(np.ascontiguousarray(rows, dtype=np.float32), codes, threads=threads).score

    said = explainer.explain_instance(filled[row], scores, num_features=top, num_samples=samples)
    # LIME keys a regression's line by 1
    weights = [
        Weight(names[at], condition, float(weight))
        for (at, weight), (condition, _) in zip(said.as_map()[1], said.as_list(), strict=True)
    ]
    values = contributions(model, features, groups, threads=threads).values
    beyond = np.abs(values[row] - values.mean(axis=0))
    leading = {names[at] for at in np.argsort(-beyond, kind="stable")[: len(weights)]}
    shared = sum(one.factor in leading for one in weights)
    return SecondOpinion(tuple(weights), float(said.score), samples, shared)


def _filled(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the rows with missing values at their factor's median; at zero where nobody has one."""
    filled = features.astype(np.float64)
    for column in filled.T:
        missing = np.isnan(column)
        if missing.any():
            column[missing] = 0.0 if missing.all() else np.median(column[~missing])
    return filled
