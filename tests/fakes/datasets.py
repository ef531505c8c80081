"""Small datasets over real XSHG sessions, for tests of folds and of what trains on them."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.config import LabelSettings
from ljwx_pipeline.dataset import Dataset, build_dataset
from ljwx_pipeline.market.calendar import sessions_between

FACTORS = ("A", "B", "C")


def feature_frame(present: NDArray[np.bool_], sessions: pd.DatetimeIndex, *, seed: int = 0) -> pd.DataFrame:
    """Return random features for the rows where ``present``, shape ``(n_symbols, n_sessions)``."""
    at_session, at_symbol = np.nonzero(present.T)
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(len(at_session), len(FACTORS))).astype(np.float32), columns=list(FACTORS))
    frame.insert(0, "session_date", sessions[at_session])
    frame.insert(0, "symbol", np.array(symbol_names(len(present)), dtype=object)[at_symbol])
    return frame


def symbol_names(count: int) -> tuple[str, ...]:
    """Return ``count`` symbols, ascending."""
    return tuple(f"{600000 + number}.SH" for number in range(count))


def random_dataset(
    *,
    symbols: int = 6,
    first: date = date(2019, 1, 2),
    last: date = date(2022, 6, 30),
    signal: float = 0.0,
    label: LabelSettings | None = None,
    seed: int = 0,
) -> Dataset:
    """Return a dataset whose forward return follows factor A by ``signal`` and is noise otherwise."""
    sessions = sessions_between(first, last)
    rng = np.random.default_rng(seed)
    present = rng.random((symbols, len(sessions))) > 0.05
    frame = feature_frame(present, sessions, seed=seed)
    forward = rng.normal(0, 0.03, present.shape)
    at_session, at_symbol = np.nonzero(present.T)
    forward[at_symbol, at_session] += signal * frame["A"].to_numpy()
    return build_dataset(
        frame,
        FACTORS,
        forward_return=forward,
        can_buy=rng.random(present.shape) > 0.02,
        scorable=rng.random(present.shape) > 0.1,
        symbols=symbol_names(symbols),
        sessions=sessions,
        label=label or LabelSettings(entry_lag_sessions=1, horizon_sessions=5),
    )
