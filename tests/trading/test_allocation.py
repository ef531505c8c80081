"""Deciding allocates nothing: a session costs what is held and ordered, and threads never wait for memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import njit
from numba.core.runtime import _nrt_python, rtsys

from ljwx_pipeline.trading.decide import SCORE_WEIGHTED, TOPK_DROPOUT, DecisionParams, decide_kernel, ranked
from ljwx_pipeline.trading.exits import ExitParams, exits_kernel
from ljwx_pipeline.trading.sizing import VOLATILITY_TARGET, SizingParams, exposure_bps

NAMES, HELD = 60, 12


@njit
def _repeat(
    times: int,
    best_first: Any,
    scores: Any,
    may_buy: Any,
    held_names: Any,
    shares: Any,
    price_e4: Any,
    lot: Any,
    equity: Any,
    cash: Any,
    params: Any,
    exits: Any,
    sizing: Any,
    forced: Any,
    names: Any,
    traded: Any,
    allocate: bool,
) -> int:
    orders = 0
    for _ in range(times):
        exits_kernel(held_names, HELD, shares, price_e4, price_e4, price_e4, exits, forced)
        share = exposure_bps(equity, cash.copy() if allocate else cash, sizing)
        orders += decide_kernel(
            best_first,
            NAMES,
            scores,
            may_buy,
            held_names,
            HELD,
            shares,
            shares,
            price_e4,
            price_e4,
            price_e4,
            lot,
            lot,
            10_000_000,
            100_000_000,
            min(share, 5_000),
            forced,
            params,
            names,
            traded,
        )
    return orders


def allocations(kind: int, times: int, *, allocate: bool = False, abstain: bool = False) -> int:
    """Return how often memory was taken while ``times`` sessions were decided."""
    rng = np.random.default_rng(1)
    scores = rng.normal(size=NAMES)
    shares = np.zeros(NAMES, dtype=np.int64)
    held = np.sort(rng.choice(NAMES, HELD, replace=False)).astype(np.int32)
    shares[held] = 700
    given = (
        ranked(scores[:, None])[0][0],
        scores,
        (scores > -1).astype(np.int8) if abstain else np.empty(0, dtype=np.int8),
        held,
        shares,
        np.full(NAMES, 100_000, dtype=np.int64),
        np.full(NAMES, 100, dtype=np.int64),
        rng.integers(50_000_000, 60_000_000, 30),
        rng.integers(10_000_000, 20_000_000, 30),
        DecisionParams(10, 3, 1, 200, kind, 0, 2_000).as_array(),
        ExitParams(500, 500, 500, 900).as_array(),
        SizingParams(VOLATILITY_TARGET, 10_000, 1_000, 5_000, 20, 10**8, 0).as_array(),
        np.zeros(HELD, dtype=np.int64),
        np.zeros(2 * NAMES, dtype=np.int32),
        np.zeros(2 * NAMES, dtype=np.int64),
    )
    assert _repeat(1, *given, allocate) > 0
    before = rtsys.get_allocation_stats().alloc
    _repeat(times, *given, allocate)
    return int(rtsys.get_allocation_stats().alloc - before)


@pytest.mark.parametrize("kind", [TOPK_DROPOUT, SCORE_WEIGHTED])
def test_a_thousand_sessions_take_no_more_memory_than_one(kind: int) -> None:
    _nrt_python.memsys_enable_stats()
    assert allocations(kind, 1_000) == allocations(kind, 1)
    assert allocations(kind, 1_000, abstain=True) == allocations(kind, 1, abstain=True)
    assert allocations(kind, 1_000, allocate=True) - allocations(kind, 1, allocate=True) == 999
