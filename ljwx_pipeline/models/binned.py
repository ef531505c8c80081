"""Rows binned once and shared: LightGBM's histogram bins of a dataset, and cheap subsets of them.

Finding bin edges and binning cost as much as dozens of boosting rounds; folds and trials only choose rows. Edges come
from the first training window alone, so that no fold sees feature values of its own future. Not here: what is learned,
the files bins are kept in (``kept_bins.py``).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models.kept_bins import keep_bins, read_bins

#: Rows looked at to place the edges: 63 bins need no more, and LightGBM's own 200,000 take four times as long.
EDGE_ROWS = 50_000


Rows = slice | NDArray[np.int64]


@dataclass(frozen=True)
class Binned:
    """Binned rows ``[0, stop)`` of a dataset; what is learned from them is set on each subset.

    Parameters
    ----------
    handle
        LightGBM's own dataset over those rows, labelled with ``label``, 0 where that is unknown.
    label
        float32 of shape ``(stop,)``: the dataset's own, what a subset learns unless it is given another.
    scorable
        Shape ``(stop,)``: rows that the universe lets in.
    """

    handle: lgb.Dataset
    label: NDArray[np.float32]
    scorable: NDArray[np.bool_]

    def subset(
        self,
        rows: Rows,
        label: NDArray[np.float32] | None = None,
        weight: NDArray[np.floating] | None = None,
        group: NDArray[np.int32] | None = None,
    ) -> lgb.Dataset:
        """Return those of ``rows`` that can be learned from, as a LightGBM dataset that shares the bins.

        A row can be learned from when the universe lets it in and its label is a number.

        Parameters
        ----------
        rows
            A slice, or ascending row numbers.
        label
            What to learn, one value for each of ``rows``, NaN where unknown; the dataset's own when None.
        weight
            Of each of ``rows``: finite and not negative where the row can be learned from.
        group
            Of each of ``rows`` the number of its ranking query (its session): rows of one query lie together.

        Raises
        ------
        ModelError
            When no row can be learned from, or label, weight or group are not one value a row, or a weight is no
            number.
        """
        taken = np.arange(*rows.indices(len(self.label))) if isinstance(rows, slice) else np.asarray(rows)
        for name, values in (("label", label), ("weight", weight), ("group", group)):
            if values is not None and len(values) != len(taken):
                raise ModelError(f"{len(values)} values of {name} for {len(taken)} rows", "pass one for each row")
        known = self.label[taken] if label is None else np.asarray(label, dtype=np.float32)
        usable = self.scorable[taken] & np.isfinite(known)
        chosen = taken[usable]
        if len(chosen) == 0:
            span = f"rows {taken[0]} to {taken[-1] + 1} hold" if len(taken) else "an empty window holds"
            raise ModelError(f"{span} no known label", "widen the training window")
        # an index array serves as well as the annotated list and is not copied number by number
        subset = self.handle.subset(chosen.astype(np.int32)).construct()  # type: ignore[arg-type]
        if label is not None:
            subset.set_label(known[usable])
        if weight is not None:
            heavy = np.asarray(weight, dtype=np.float32)[usable]
            if not (np.isfinite(heavy) & (heavy >= 0)).all():
                raise ModelError("a weight is negative or no number", "weigh every row that has a label")
            subset.set_weight(heavy)
        if group is not None:
            queries = np.asarray(group)[usable]
            edges = np.flatnonzero(np.diff(queries, prepend=queries[0] - 1, append=queries[-1] + 1))
            subset.set_group(np.diff(edges))
        return subset


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

    Where the dataset has a folder for it, the bins are kept there and read again for the same features, edges and
    parameters: the same bits as binning anew, without its cost.

    Raises
    ------
    ModelError
        When ``edges`` holds no row.
    """
    params = dataset_params(settings)
    if len(range(*edges.indices(stop))) == 0:
        raise ModelError(f"no row to place bin edges on in {edges}", "widen the first training window")
    handle: lgb.Dataset | None = None
    if dataset.kept_in is not None:
        key = bins_key(dataset, edges=edges, stop=stop, settings=settings)
        handle = read_bins(dataset.kept_in, key, params)
    if handle is None:
        handle = _bin(dataset, edges, stop, params)
        if dataset.kept_in is not None:
            keep_bins(dataset.kept_in, key, handle)
    handle.set_label(np.nan_to_num(dataset.label[:stop]))  # kept bins know of no label
    return Binned(handle, dataset.label[:stop], dataset.scorable[:stop])


def _bin(dataset: Dataset, edges: slice, stop: int, params: dict[str, object]) -> lgb.Dataset:
    def made(rows: slice, reference: lgb.Dataset | None) -> lgb.Dataset:
        nothing = np.zeros(len(range(*rows.indices(stop))), dtype=np.float32)  # LightGBM demands a label
        return lgb.Dataset(dataset.features[rows], label=nothing, params=params, reference=reference).construct()

    placed = made(edges, None)
    return placed if edges.indices(stop) == (0, stop, 1) else made(slice(0, stop), placed)


def bins_key(dataset: Dataset, *, edges: slice, stop: int, settings: ModelSettings) -> str:
    """Return the name of kept bins: a hash of everything that decides them (threads do not)."""
    params = {name: value for name, value in dataset_params(settings).items() if name != "num_threads"}
    decided = [dataset.hash, edges.indices(stop), stop, params, lgb.__version__]
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:32]
