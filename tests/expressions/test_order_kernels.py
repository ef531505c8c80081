"""Sorted windows: rows cut in parts that advance together give the bits of windows sorted one after the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.expressions import order_kernels


def counts(x: np.ndarray, window: int) -> np.ndarray:
    known = np.concatenate([np.zeros(window - 1), ~np.isnan(x)])
    return np.lib.stride_tricks.sliding_window_view(known, window).sum(axis=1)


@settings(max_examples=60, deadline=None)
@given(
    sessions=st.integers(1, 300),
    window=st.integers(1, 70),
    level=st.sampled_from([0.0, 0.2, 0.37, 0.5, 0.8, 1.0]),
    known_frac=st.floats(0.0, 1.0),
    seed=st.integers(0, 2**16),
)
def test_every_quantile_is_that_of_its_sorted_window(
    sessions: int, window: int, level: float, known_frac: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-20, 20, sessions) / 7.0
    x[rng.random(sessions) > known_frac] = np.nan
    together, out = np.empty(sessions), np.empty(sessions)
    order_kernels.quantile_in_lanes(together, x, counts(x, window), window, level)
    order_kernels.quantile_of(out, x, counts(x, window), window, level)
    for t in range(sessions):
        seen = np.sort(x[max(0, t + 1 - window) : t + 1])
        seen = seen[~np.isnan(seen)]
        want = np.nan
        if len(seen):
            place = level * (len(seen) - 1)
            low = int(place)
            want = seen[low]
            if place > low:
                want += (seen[low + 1] - seen[low]) * (place - low)
        np.testing.assert_array_equal([together[t], out[t]], [want, want])


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_long_and_short_rows_meet_without_a_step(extra: int) -> None:
    window = 30
    sessions = order_kernels.MIN_WINDOWS * window + extra
    x = np.random.default_rng(1).normal(size=sessions)
    late = np.concatenate([np.full(9 * sessions, np.nan), x])
    out, long = np.empty(sessions), np.empty(10 * sessions)
    order_kernels.quantile_of(out, x, counts(x, window), window, 0.8)
    order_kernels.quantile_of(long, late, counts(late, window), window, 0.8)
    np.testing.assert_array_equal(out, long[-sessions:])


def test_an_infinite_value_is_one_and_a_missing_one_is_none() -> None:
    x = np.array([np.inf, 1.0, np.nan, -np.inf, 2.0, 3.0] * 20)
    out = np.empty(len(x))
    for level, want in ((0.0, -np.inf), (1.0, np.inf)):
        order_kernels.quantile_in_lanes(out, x, counts(x, 6), 6, level)
        np.testing.assert_array_equal(out[5:], want)
