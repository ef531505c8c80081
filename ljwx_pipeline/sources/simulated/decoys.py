"""Decoys: columns that look like strong factors and work only because they look ahead.

A look-ahead check that lets one of these through is broken. Each is plausible: a gap filed under the wrong session, a
smoothing window centred instead of trailing, a figure overwritten by its later restatement.

Not here: factors anybody should use (``factors/``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.sources.simulated.streams import stream
from ljwx_pipeline.sources.simulated.world import World

Float = NDArray[np.float64]

#: Sessions a decoy sees ahead, and how much of the restated figure is the future.
CENTRED_HALF_WINDOW, RESTATED_AHEAD, RESTATED_WEIGHT = 5, 6, 0.5


def decoy_columns(seed: int, world: World) -> dict[str, Float]:
    """Return decoys by name, shape ``(n_sessions, n_symbols)``, NaN where they would need sessions past the end."""
    close = np.where(world.has_bar, world.close_ticks * world.adj_factor, np.nan)
    opened = np.where(world.has_bar, world.open_ticks * world.adj_factor, np.nan)
    half = CENTRED_HALF_WINDOW
    centred = np.full(close.shape, np.nan)
    centred[half:-half] = np.lib.stride_tricks.sliding_window_view(close, 2 * half + 1, axis=0).mean(axis=-1)
    ahead = _later(close, RESTATED_AHEAD) / _later(close, 1) - 1.0
    spread = np.nanstd(ahead)
    first_print = stream(seed, "restated").standard_normal(close.shape)
    return {
        "decoy_misfiled_gap": _later(opened, 2) / _later(close, 1) - 1.0,
        "decoy_centred_mean": centred / close - 1.0,
        "decoy_restated_figure": first_print + RESTATED_WEIGHT * ahead / spread,
    }


def _later(values: Float, sessions: int) -> Float:
    out = np.full(values.shape, np.nan)
    out[:-sessions] = values[sessions:]
    return out
