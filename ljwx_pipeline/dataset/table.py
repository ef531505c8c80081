"""Features and label joined into one trainable table, hashed; rows in (session, symbol) order.

Not here: what the label is (``label.py``), who may be scored (``universe.py``), train and test (``folds.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ljwx_pipeline.config import LabelSettings
from ljwx_pipeline.dataset.groups import Groups
from ljwx_pipeline.errors import DatasetError
from ljwx_pipeline.label import label_hash, purge_sessions, rank_label

Bool = NDArray[np.bool_]
#: Rows moved at a time into the feature matrix: few enough to stay in the cache.
_CHUNK_ROWS = 8192


@dataclass(frozen=True)
class Dataset:
    """Rows of (session, symbol), ascending in both.

    Parameters
    ----------
    features
        float32, shape ``(n_rows, n_factors)``, C-ordered; NaN where a factor is unknown.
    factor_names
        Columns of ``features``.
    forward_return
        float64, shape ``(n_rows,)``; NaN where it is unknown or reads past the last session.
    label
        float32, shape ``(n_rows,)``: the forward return's rank in its session, in [-0.5, 0.5]; NaN as above.
    session_index, symbol_index
        int32, shape ``(n_rows,)``: positions in ``sessions`` (non-decreasing) and ``symbols``.
    enterable
        Whether the entry session has a bar that is not locked at the upper limit.
    scorable
        Whether the universe rules allow a score.
    sessions, symbols
        Axes; ``sessions`` are consecutive.
    purge_sessions
        Sessions ahead that a row's label reads, or the longest of the further ones.
    hash
        SHA-256 of everything above, and of what follows where it is there.
    further_returns
        Forward returns that the members of a horizon blend learn, by sessions held: as ``forward_return``. Empty for
        any other model.
    groups
        int32, shape ``(n_rows,)``: each row's group (``groups.py``), -1 where unknown; None without groups.
    group_names
        Each group's code and name, by code.
    group_measure
        What groups are made by (``groups.group_measure``), for instance ``mean amount``; empty without groups.
    mean_amount_cny
        float64, shape ``(n_rows,)``: mean amount over the universe's window; None where no row is weighted by it.
    kept_in
        Folder for what is computed from these rows alone and dear to make again; None keeps nothing. No part of the
        hash.
    """

    features: NDArray[np.float32]
    factor_names: tuple[str, ...]
    forward_return: NDArray[np.float64]
    label: NDArray[np.float32]
    session_index: NDArray[np.int32]
    symbol_index: NDArray[np.int32]
    enterable: Bool
    scorable: Bool
    sessions: pd.DatetimeIndex
    symbols: tuple[str, ...]
    purge_sessions: int
    hash: str
    further_returns: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    groups: NDArray[np.int32] | None = None
    group_names: tuple[tuple[int, str], ...] = ()
    group_measure: str = ""
    mean_amount_cny: NDArray[np.float64] | None = None
    kept_in: Path | None = None

    def rows_between(self, first: int, stop: int) -> slice:
        """Return the rows of sessions ``[first, stop)``."""
        start, end = np.searchsorted(self.session_index, [first, stop])
        return slice(int(start), int(end))

    def keys(self, rows: slice) -> pd.DataFrame:
        """Return ``symbol`` and ``session_date`` of ``rows``."""
        symbols = np.array(self.symbols, dtype=object)[self.symbol_index[rows]]
        return pd.DataFrame({"symbol": symbols, "session_date": self.sessions[self.session_index[rows]]})

    def with_outcomes(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """Return predictions with the forward return of each row and whether it could be entered and scored."""
        rows = self.keys(slice(None)).assign(
            forward_return=self.forward_return, enterable=self.enterable, scorable=self.scorable
        )
        return predictions.merge(rows, on=["symbol", "session_date"], how="left", validate="one_to_one")


def enterable_rows(can_buy: Bool, label: LabelSettings) -> Bool:
    """Return where an entry after the score could fill: ``can_buy`` at the entry session; False past the end.

    Parameters
    ----------
    can_buy
        Where a buy at the close fills (a bar, not locked at the upper limit), shape ``(n_symbols, n_sessions)``.
    label
        Says how many sessions after the score the entry is.
    """
    out = np.zeros_like(can_buy)
    out[:, : -label.entry_lag_sessions] = can_buy[:, label.entry_lag_sessions :]
    return out


def build_dataset(
    features: pd.DataFrame | Path,
    factor_names: Sequence[str],
    *,
    forward_return: NDArray[np.float64],
    can_buy: Bool,
    scorable: Bool,
    symbols: tuple[str, ...],
    sessions: pd.DatetimeIndex,
    label: LabelSettings,
    further_returns: Mapping[int, NDArray[np.float64]] | None = None,
    groups: Groups | None = None,
    mean_amount_cny: NDArray[np.float64] | None = None,
) -> Dataset:
    """Return the dataset over ``sessions``.

    Parameters
    ----------
    features
        A frame, or the Parquet file of one (read a row group at a time), with ``symbol``, ``session_date`` and
        ``factor_names``, in (session, symbol) order. Rows after the last of ``sessions`` are left out: they are the
        held-out ones. So is every label that would read past it.
    factor_names
        The factors to keep, in this order.
    forward_return, can_buy, scorable
        Arrays of shape ``(n_symbols, n_sessions)``; see ``label.label_values``, ``trading.market_arrays`` and
        ``scorable_mask``.
    symbols, sessions
        Axes of those arrays.
    label
        The label's settings.
    further_returns
        As in ``Dataset``, entered when the label is; arrays as ``forward_return``.
    groups
        Of the same axes, where models are fitted by group.
    mean_amount_cny
        Of the same axes, where rows are weighted by it.

    Raises
    ------
    DatasetError
        For an empty feature set or table, a missing factor, rows off the axes or out of order, or a label that is
        nowhere known or the same everywhere.
    """
    further = dict(sorted((further_returns or {}).items()))
    axes: dict[str, NDArray[Any]] = {"forward_return": forward_return, "can_buy": can_buy, "scorable": scorable}
    axes |= {f"forward_return over {horizon} sessions": values for horizon, values in further.items()}
    axes |= {} if groups is None else {"groups": groups.codes}
    axes |= {} if mean_amount_cny is None else {"mean_amount_cny": mean_amount_cny}
    for name, values in axes.items():
        if values.shape != (len(symbols), len(sessions)):
            raise DatasetError(f"{name} has shape {values.shape}, not symbols x sessions", "build it on the same axes")
    if not factor_names:
        raise DatasetError("the feature set is empty", "name at least one factor")
    keys = _keys(features, factor_names, symbols, sessions)
    at = keys.symbol_index, keys.session_index
    returns = _known_returns(forward_return[at], keys, len(sessions), purge_sessions(label))
    reaches = {horizon: label.entry_lag_sessions + horizon for horizon in further}
    beside = {
        horizon: _known_returns(values[at], keys, len(sessions), reaches[horizon])
        for horizon, values in further.items()
    }
    present = np.full(forward_return.shape, np.nan)
    present[at] = returns
    label_values = rank_label(present)[at]
    if not np.nan_to_num(label_values).any():  # everybody in the middle of their session
        raise DatasetError(
            f"no session holds two different forward returns, over {int(np.isfinite(returns).sum())} rows: the label "
            "is constant",
            "look at the prices: do they ever move, and is there more than one symbol?",
        )
    arrays: dict[str, NDArray[Any]] = {
        "features": _feature_matrix(features, factor_names, len(keys.session_index)),
        "forward_return": returns,
        "label": label_values,
        "session_index": keys.session_index,
        "symbol_index": keys.symbol_index,
        "enterable": enterable_rows(can_buy, label)[at],
        "scorable": scorable[at],
    }
    optional: dict[str, Any] = {}
    if groups is not None:
        optional["groups"] = groups.codes[at]
    if mean_amount_cny is not None:
        optional["mean_amount_cny"] = mean_amount_cny[at]
    digest = hashlib.sha256("\n".join([label_hash(label), *factor_names, *symbols]).encode())
    digest.update(np.ascontiguousarray(sessions.to_numpy(dtype="datetime64[D]").view(np.int64)).data)
    for values in (*arrays.values(), *optional.values()):
        digest.update(values.data)
    for horizon, values in beside.items():
        digest.update(f"horizon {horizon}".encode())
        digest.update(values.data)
    if groups is not None:
        digest.update(f"{groups.measure} {groups.names!r}".encode())
    return Dataset(
        **arrays,
        **optional,
        group_names=() if groups is None else groups.names,
        group_measure="" if groups is None else groups.measure,
        factor_names=tuple(factor_names),
        sessions=sessions,
        symbols=symbols,
        purge_sessions=max([purge_sessions(label), *reaches.values()]),
        hash=digest.hexdigest(),
        kept_in=None,
        further_returns=beside,
    )


@dataclass(frozen=True)
class _Keys:
    symbol_index: NDArray[np.int32]
    session_index: NDArray[np.int32]


def _known_returns(values: NDArray[np.float64], keys: _Keys, sessions: int, reach: int) -> NDArray[np.float64]:
    """Return the rows' forward returns, NaN where they read past the last session."""
    returns = np.where(keys.session_index < sessions - reach, values, np.nan)
    if np.isnan(returns).all():
        raise DatasetError(
            f"no row has a label over {sessions} sessions; it reads {reach} sessions ahead",
            "ask for a longer range of sessions, or look for missing bars",
        )
    return returns


def _keys(
    features: pd.DataFrame | Path, factor_names: Sequence[str], symbols: tuple[str, ...], sessions: pd.DatetimeIndex
) -> _Keys:
    """Return the rows' positions on the axes, those after the last session left out."""
    columns = features.columns if isinstance(features, pd.DataFrame) else pq.read_schema(features).names
    missing = [name for name in ("symbol", "session_date", *factor_names) if name not in columns]
    if missing:
        raise DatasetError(f"the feature table has no column {missing[0]}", "compute the features again")
    table = (
        features
        if isinstance(features, pd.DataFrame)
        else pq.read_table(features, columns=["symbol", "session_date"]).to_pandas()
    )
    session = np.asarray(sessions.get_indexer(pd.DatetimeIndex(table["session_date"])), dtype=np.int32)
    symbol = np.asarray(pd.Index(symbols).get_indexer(pd.Index(table["symbol"])), dtype=np.int32)
    later = int((pd.DatetimeIndex(table["session_date"]) > sessions[-1]).sum())
    rows = len(table) - later
    session, symbol = session[:rows], symbol[:rows]
    if rows == 0:
        raise DatasetError("the feature table has no row in the sessions asked for", "check the range of sessions")
    if (session < 0).any() or (symbol < 0).any():
        bad = table.iloc[int(np.flatnonzero((session < 0) | (symbol < 0))[0])]
        raise DatasetError(
            f"feature row {bad['symbol']} {bad['session_date']:%Y-%m-%d} is off the axes or out of order",
            "build features and label on the same symbols and sessions, sorted by session and symbol",
        )
    order = session.astype(np.int64) * len(symbols) + symbol
    if (np.diff(order) <= 0).any():
        bad = table.iloc[int(np.flatnonzero(np.diff(order) <= 0)[0]) + 1]
        raise DatasetError(
            f"feature row {bad['symbol']} {bad['session_date']:%Y-%m-%d} is doubled or out of order",
            "sort the rows by session and symbol, one row each",
        )
    return _Keys(symbol, session)


def _feature_matrix(features: pd.DataFrame | Path, names: Sequence[str], rows: int) -> NDArray[np.float32]:
    """Return the first ``rows`` rows as one C-ordered matrix, never holding a second copy of them."""
    out = np.empty((rows, len(names)), dtype=np.float32)
    at = 0
    for block in _blocks(features, names):
        taken = min(len(block[0]), rows - at)
        for start in range(0, taken, _CHUNK_ROWS):
            stop = min(start + _CHUNK_ROWS, taken)
            for column, values in enumerate(block):
                out[at + start : at + stop, column] = values[start:stop]
        at += taken
    return out


def _blocks(features: pd.DataFrame | Path, names: Sequence[str]) -> Iterator[list[NDArray[np.float32]]]:
    """Yield the columns of consecutive rows."""
    if isinstance(features, pd.DataFrame):
        yield [features[name].to_numpy() for name in names]
        return
    with pq.ParquetFile(features) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=list(names))
            yield [table.column(name).to_numpy() for name in names]
