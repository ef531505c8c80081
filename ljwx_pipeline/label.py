"""Where the label is defined: the forward return that a score is about, and its rank in the session.

Not here: which rows are trained on (``dataset/``), what an entry costs (``trading/``).
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.config import LabelSettings
from ljwx_pipeline.errors import DatasetError
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.expressions.operators import field, ref
from ljwx_pipeline.market.panel import Panel

NAME = "forward_return"
RANK_RULE = "rank in session, scaled to [-0.5, 0.5]"


def forward_return(label: LabelSettings) -> Expr:
    """Return the label as an expression: adjusted close[t + lag + horizon] / adjusted close[t + lag] - 1."""
    entry = label.entry_lag_sessions
    close = field("close")
    return ref(close, -(entry + label.horizon_sessions)) / ref(close, -entry) - 1


def purge_sessions(label: LabelSettings) -> int:
    """Return how many sessions ahead the label reads: a training row must end that long before a test begins."""
    return forward_return(label).horizon


def label_hash(label: LabelSettings) -> str:
    """Return the SHA-256 of the label's expression and of how it is ranked."""
    return hashlib.sha256(f"{forward_return(label)}; {RANK_RULE}".encode()).hexdigest()


def label_values(panel: Panel, label: LabelSettings) -> NDArray[np.float64]:
    """Return forward returns, float64 of shape ``(n_symbols, n_sessions)``.

    NaN where the entry or the exit session has no bar (suspended, delisted) or lies past the panel's end.

    Raises
    ------
    DatasetError
        When every value is NaN: the panel is shorter than the label reaches, or holds no bars.
    """
    values = np.asarray(evaluate({NAME: forward_return(label)}, panel, dtype=np.float64).of(NAME), dtype=np.float64)
    if np.isnan(values).all():
        raise DatasetError(
            f"no label is known over {len(panel.sessions)} sessions; it reads {purge_sessions(label)} sessions ahead",
            "ask for a longer range of sessions or shorten label.horizon_sessions",
        )
    return values


def forward_returns(close: NDArray[np.floating[Any]], *, entry: int, horizon: int) -> NDArray[np.float64]:
    """Return ``close[t + entry + horizon] / close[t + entry] - 1`` of an array: the label's formula for any entry.

    Parameters
    ----------
    close
        Adjusted, shape ``(n_symbols, n_sessions)``.
    entry
        Sessions from t to the entry; 0 trades at the very close that t has seen, which no label may.
    horizon
        Sessions held.

    Returns
    -------
    Shape as ``close``; NaN where either session has no bar or lies past the end.
    """
    out = np.full(close.shape, np.nan)
    reach = entry + horizon
    if close.shape[1] > reach:
        out[:, :-reach] = close[:, reach:] / close[:, entry : close.shape[1] - horizon] - 1
    return out


def matured_sessions(sessions: pd.DatetimeIndex, label: LabelSettings) -> pd.DatetimeIndex:
    """Return the session at whose close each session's label is known; NaT where it lies past the last one."""
    reach = purge_sessions(label)
    known = np.full(len(sessions), np.datetime64("NaT", "ns"))
    known[: max(len(sessions) - reach, 0)] = sessions[reach:]
    return pd.DatetimeIndex(known)


def rank_label(forward: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return each session's ranks scaled to [-0.5, 0.5], float32 of the shape of ``forward``.

    Parameters
    ----------
    forward
        Shape ``(n_symbols, n_sessions)``; NaN is left out and stays NaN. Equal returns share their mean rank; a
        session with one known return ranks it 0.
    """
    out = np.full(forward.shape, np.nan, dtype=np.float32)
    for session in range(forward.shape[1]):
        known = ~np.isnan(forward[:, session])
        returns = forward[known, session]
        ordered = np.sort(returns)
        below = np.searchsorted(ordered, returns, side="left")
        not_above = np.searchsorted(ordered, returns, side="right")
        rank = (below + not_above - 1) / 2
        out[known, session] = rank / (len(returns) - 1) - 0.5 if len(returns) > 1 else 0.0
    return out
