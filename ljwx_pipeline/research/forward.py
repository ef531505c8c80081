"""Forward returns a factor is held against: entered after the value is known, or close to close for comparison.

Not here: which of them a model learns (``label.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.config import LabelSettings
from ljwx_pipeline.errors import DatasetError
from ljwx_pipeline.label import forward_returns, label_values
from ljwx_pipeline.market.panel import Panel

Float = NDArray[np.float64]


@dataclass(frozen=True)
class ForwardReturns:
    """Returns by horizon.

    Parameters
    ----------
    horizons
        Sessions held, ascending.
    entry_lag_sessions
        Sessions from the factor's value to the entry at a close; 0 is the close that the value itself has seen.
    values
        float64, shape ``(n_horizons, n_symbols, n_sessions)``, fractions; NaN where the entry or exit session has no
        bar or lies past the panel.
    """

    horizons: tuple[int, ...]
    entry_lag_sessions: int
    values: Float

    def of(self, horizon: int) -> Float:
        """Return the returns of one horizon, shape ``(n_symbols, n_sessions)``."""
        values: Float = self.values[self.horizons.index(horizon)]
        return values


def entered_returns(panel: Panel, horizons: Sequence[int], *, entry_lag_sessions: int) -> ForwardReturns:
    """Return the label's return (``label.forward_return``) for several horizons: what a trade on the value can earn.

    Raises
    ------
    DatasetError
        When the panel is shorter than the longest horizon reaches.
    """
    labels = [LabelSettings(entry_lag_sessions=entry_lag_sessions, horizon_sessions=horizon) for horizon in horizons]
    return ForwardReturns(
        tuple(horizons), entry_lag_sessions, np.stack([label_values(panel, label) for label in labels])
    )


def close_to_close_returns(close: NDArray[np.floating[Any]], horizons: Sequence[int]) -> ForwardReturns:
    """Return ``close[t + h] / close[t] - 1``, alphalens' convention: it trades at the very close the value has seen.

    For comparison only. alphalens also fills a missing close with the last one; here it stays missing.

    Parameters
    ----------
    close
        Adjusted, shape ``(n_symbols, n_sessions)``.

    Raises
    ------
    DatasetError
        When a horizon is not shorter than the panel.
    """
    sessions = close.shape[1]
    for horizon in horizons:
        if not 0 < horizon < sessions:
            raise DatasetError(
                f"a horizon of {horizon} sessions does not fit {sessions} sessions", "shorten it or add sessions"
            )
    values = np.stack([forward_returns(close, entry=0, horizon=horizon) for horizon in horizons])
    return ForwardReturns(tuple(horizons), 0, values)
