"""A dataset with one planted factor, and its folds: what training, tuning and walking forward are tested on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ljwx_pipeline.dataset import Dataset, Fold

PURGE = 6


def planted_dataset(
    *,
    symbols: int = 30,
    sessions: int = 400,
    factors: int = 6,
    strength: float = 0.5,
    seed: int = 0,
    missing_frac: float = 0.05,
) -> Dataset:
    """Return rows whose forward return is ``strength`` times the first factor plus noise; some features are NaN."""
    rng = np.random.default_rng(seed)
    rows = symbols * sessions
    features = rng.standard_normal((rows, factors)).astype(np.float32)
    session_index = np.repeat(np.arange(sessions, dtype=np.int32), symbols)
    forward_return = 0.02 * (strength * features[:, 0].astype(np.float64) + rng.standard_normal(rows))
    features[rng.uniform(size=features.shape) < missing_frac] = np.nan
    forward_return[session_index >= sessions - PURGE] = np.nan
    ranks = forward_return.reshape(sessions, symbols).argsort(axis=1).argsort(axis=1) / (symbols - 1) - 0.5
    label = np.where(np.isnan(forward_return), np.nan, ranks.ravel()).astype(np.float32)
    return Dataset(
        features=features,
        factor_names=tuple(f"F{i}" for i in range(factors)),
        forward_return=forward_return,
        label=label,
        session_index=session_index,
        symbol_index=np.tile(np.arange(symbols, dtype=np.int32), sessions),
        enterable=np.ones(rows, dtype=bool),
        scorable=np.ones(rows, dtype=bool),
        sessions=pd.DatetimeIndex(pd.bdate_range("2018-01-02", periods=sessions)),
        symbols=tuple(f"S{i:05d}.SIM" for i in range(symbols)),
        purge_sessions=PURGE,
        hash=f"planted-{symbols}-{sessions}-{factors}-{strength}-{seed}-{missing_frac}",
    )


def fold(dataset: Dataset, name: str, *, test_first: int, test_stop: int) -> Fold:
    """Return the fold that tests sessions ``[test_first, test_stop)`` and trains on all before a purge."""
    row = np.searchsorted
    index, days = dataset.session_index, dataset.sessions
    return Fold(
        name=name,
        train_rows=slice(0, int(row(index, test_first - dataset.purge_sessions))),
        test_rows=slice(int(row(index, test_first)), int(row(index, test_stop))),
        train_first=days[0].date(),
        train_last=days[test_first - dataset.purge_sessions - 1].date(),
        test_first=days[test_first].date(),
        test_last=days[test_stop - 1].date(),
    )
