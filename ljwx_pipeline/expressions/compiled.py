"""The one way numba is used here: which options every compiled function shares, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` compiled on first use.

    Cached on disk; the interpreter lock is released, so that threads may share the work; division follows IEEE 754
    (no exception at zero, which also lets loops vectorise); no fast-math, which would reorder sums and lose NaN.
    """
    return cast("Callable[P, R]", njit(cache=True, nogil=True, error_model="numpy")(function))
