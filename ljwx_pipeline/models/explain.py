"""Explaining a model over a seeded sample of rows: which factors it leans on, where, and through which others.

Not here: contributions (``explain_model.py``), one stock on one session (``explain_row.py``), what a factor is
(``factors/``), where pictures are published (``registry.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.explain_figures import draw_importance, draw_pairs, draw_parts
from ljwx_pipeline.models.explain_model import Contributions, contributions
from ljwx_pipeline.models.explain_pairs import pair_table
from ljwx_pipeline.models.explain_parts import importance, importance_by_fold, importance_by_part, stability
from ljwx_pipeline.models.shap_trees import OtherTrees, read_forest
from ljwx_pipeline.scoring.model import Model

#: Factors whose pairs are looked at, and the rows they are looked at on: each pair costs as much as a model's values.
PAIRED_FACTORS, PAIR_ROWS = 10, 500
#: Where pictures of parts and pairs go, beside those of the whole, which the report shows.
PARTS_FOLDER = "parts"


@dataclass(frozen=True)
class Explanation:
    """Which factors a model leans on.

    Parameters
    ----------
    table
        Columns factor, mean_abs_shap, share_frac (of the sum over factors); largest first, ties by name.
    sample_rows
        Rows it was measured on.
    base_score
        Mean score before any factor speaks.
    methods
        How contributions were computed (``explain_model.Contributions``).
    parts
        By what the rows were parted by: ``importance_by_part`` of it.
    stability
        ``stability`` of the parts ``fold``; empty without folds.
    pairs
        ``pair_table`` of the leading factors; empty where the model's interactions cannot be told.
    images
        PNG files written; empty when none were asked for.
    """

    table: pd.DataFrame
    sample_rows: int
    base_score: float
    methods: tuple[str, ...]
    parts: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    stability: pd.DataFrame = field(default_factory=pd.DataFrame)
    pairs: pd.DataFrame = field(default_factory=pd.DataFrame)
    images: tuple[Path, ...] = ()


def explain(
    model: Model,
    features: NDArray[np.float32],
    factor_names: tuple[str, ...],
    *,
    sample_rows: int,
    seed: int,
    threads: int,
    groups: NDArray[Any] | None = None,
    parts: Mapping[str, NDArray[np.object_]] | None = None,
    folds: Mapping[str, Model] | None = None,
    images_dir: Path | None = None,
) -> Explanation:
    """Return exact SHAP values of a seeded sample, averaged by factor, overall and by part; draw them if asked.

    The values are equal to ``shap.TreeExplainer``'s to rounding. SHAP draws the beeswarm.

    Parameters
    ----------
    features
        float32 of shape ``(rows, len(factor_names))``, NaN allowed.
    sample_rows
        At most so many rows, drawn without replacement.
    groups
        As for ``Model.predict``.
    parts
        Names of parts by what they are of (``sector``, ``trend``), each of shape ``(rows,)``.
    folds
        Each walk-forward fold's model by the fold's name, in their order.

    Raises
    ------
    ModelError
        Without rows, or when the width is not that of the names.
    """
    if features.ndim != 2 or features.shape[1] != len(factor_names) or len(features) == 0:
        raise ModelError(
            f"features of shape {features.shape} cannot be explained with {len(factor_names)} names",
            "pass the rows the model was trained on",
        )
    chosen = np.sort(np.random.default_rng(seed).permutation(len(features))[:sample_rows])
    sample = np.ascontiguousarray(features[chosen])
    codes = None if groups is None else groups[chosen]
    said = contributions(model, sample, codes, threads=threads)
    table = importance(said.values, factor_names)
    told = {
        what: importance_by_part(said.values, labels[chosen], factor_names) for what, labels in (parts or {}).items()
    }
    steady = pd.DataFrame()
    if folds:
        told["fold"] = importance_by_fold(folds, sample, factor_names, codes, threads=threads)
        steady = stability(told["fold"])
    pairs = _pairs(model, sample, factor_names, table, codes, seed=seed, threads=threads)
    images: tuple[Path, ...] = ()
    if images_dir is not None:
        images = _drawn(said, sample, factor_names, told, pairs, images_dir)
    return Explanation(table, len(sample), float(said.base.mean()), said.methods, told, steady, pairs, images)


def _pairs(
    model: Model,
    sample: NDArray[np.float32],
    names: tuple[str, ...],
    table: pd.DataFrame,
    codes: NDArray[Any] | None,
    *,
    seed: int,
    threads: int,
) -> pd.DataFrame:
    if not has_interactions(model):
        return pd.DataFrame()
    rows = np.sort(np.random.default_rng(seed).permutation(len(sample))[:PAIR_ROWS])
    leading = table["factor"].head(PAIRED_FACTORS).tolist()
    some = None if codes is None else codes[rows]
    return pair_table(model, sample[rows], names, leading, some, threads=threads)


def has_interactions(model: Model) -> bool:
    """Return whether interactions of every member can be told: those of categorical splits cannot."""
    try:
        for member in model.members:
            if member.kind == "lightgbm" and member.output == "score":
                read_forest(model.texts[member.file])
    except OtherTrees:
        return False
    return True


def _drawn(
    said: Contributions,
    sample: NDArray[np.float32],
    names: tuple[str, ...],
    parts: Mapping[str, pd.DataFrame],
    pairs: pd.DataFrame,
    folder: Path,
) -> tuple[Path, ...]:
    images = draw_importance(said.values, sample, said.base, names, folder)
    for what, table in parts.items():
        images += draw_parts(table, what, folder / PARTS_FOLDER)
    return images + (draw_pairs(pairs, folder / PARTS_FOLDER) if len(pairs) else ())
