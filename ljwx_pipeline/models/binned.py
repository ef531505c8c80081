"""Rows binned once and shared: LightGBM's histogram bins of a dataset, and cheap subsets of them.

Finding bin edges and binning cost as much as dozens of boosting rounds; folds and trials only choose rows. Edges come
from the first training window alone, so that no fold sees feature values of its own future. Not here: what is learned.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.errors import ModelError

#: Rows looked at to place the edges: 63 bins need no more, and LightGBM's own 200,000 take four times as long.
EDGE_ROWS = 50_000


@dataclass(frozen=True)
class Binned:
    """Binned rows ``[0, stop)`` of a dataset.

    Parameters
    ----------
    handle
        LightGBM's own dataset over those rows.
    trainable
        Shape ``(stop,)``: rows with a known label that the universe lets in.
    """

    handle: lgb.Dataset
    trainable: NDArray[np.bool_]

    def subset(self, rows: slice) -> lgb.Dataset:
        """Return the trainable rows of ``rows`` as a LightGBM dataset that shares the bins."""
        chosen = np.flatnonzero(self.trainable[rows]) + (rows.start or 0)
        if len(chosen) == 0:
            raise ModelError(f"rows {rows.start} to {rows.stop} hold no known label", "widen the training window")
        # an index array serves as well as the annotated list and is not copied number by number
        return self.handle.subset(chosen).construct()  # type: ignore[arg-type]


def dataset_params(settings: ModelSettings) -> dict[str, object]:
    """Return the parameters that decide how rows are binned: the same for every model of a study."""
    return {
        "max_bin": settings.max_bin,
        "bin_construct_sample_cnt": EDGE_ROWS,
        "data_random_seed": settings.seed,
        # otherwise a larger min_data_in_leaf of one trial would drop columns for all that share the bins
        "feature_pre_filter": False,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": settings.threads,
        "verbosity": -1,
    }


def bin_rows(dataset: Dataset, *, edges: slice, stop: int, settings: ModelSettings) -> Binned:
    """Return rows ``[0, stop)`` binned with the edges of rows ``edges``.

    Raises
    ------
    ModelError
        When ``edges`` holds no row.
    """
    params = dataset_params(settings)
    if len(range(*edges.indices(stop))) == 0:
        raise ModelError(f"no row to place bin edges on in {edges}", "widen the first training window")
    label = np.nan_to_num(dataset.label[:stop])  # unknown labels are never in a subset
    whole = dataset.features[edges]
    reference = lgb.Dataset(whole, label=np.zeros(len(whole), dtype=np.float32), params=params).construct()
    handle = lgb.Dataset(dataset.features[:stop], label=label, params=params, reference=reference).construct()
    trainable = np.isfinite(dataset.label[:stop]) & dataset.scorable[:stop]
    return Binned(handle, trainable)
