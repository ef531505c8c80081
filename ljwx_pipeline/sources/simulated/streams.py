"""Named random streams: each part of the simulated market draws from its own, so parts do not disturb each other."""

from __future__ import annotations

import zlib

import numpy as np

#: Part of every stream's seed and of the world's hash: raise it with any change to what a seed yields.
SIMULATOR_VERSION = 1


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the generator of stream ``name`` in the world of ``seed``; the same in every process."""
    return np.random.Generator(np.random.PCG64([SIMULATOR_VERSION, seed, zlib.crc32(name.encode())]))
