"""Which factors work through each other: SHAP interactions of the leading factors.

Not here: the values (``explain_model.py``), pictures (``explain_figures.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.models.explain_model import interactions
from ljwx_pipeline.scoring.model import Model


def pair_table(
    model: Model,
    features: NDArray[np.float32],
    names: tuple[str, ...],
    chosen: Sequence[str],
    groups: NDArray[Any] | None = None,
    *,
    threads: int = 1,
) -> pd.DataFrame:
    """Return the pairs of ``chosen`` factors by what they do together, largest first, ties by name.

    Columns first, second, mean_abs_interaction (of the whole interaction: both halves of shap's matrix) and
    share_frac, its share of what the two do alone and together.

    Raises
    ------
    ModelError
        Without rows, or for a model whose interactions cannot be told.
    """
    at = [names.index(name) for name in chosen]
    size = np.abs(interactions(model, features, at, groups, threads=threads)).mean(axis=0)
    rows = []
    for i, j in combinations(range(len(at)), 2):
        together = 2 * float(size[i, j])
        whole = together + float(size[i, i] + size[j, j])
        share = together / whole if whole > 0 else 0.0
        first, second = sorted((chosen[i], chosen[j]), key=list(chosen).index)
        rows.append({"first": first, "second": second, "mean_abs_interaction": together, "share_frac": share})
    table = pd.DataFrame(rows, columns=["first", "second", "mean_abs_interaction", "share_frac"])
    return table.sort_values(
        ["mean_abs_interaction", "first", "second"], ascending=[False, True, True], ignore_index=True
    )
