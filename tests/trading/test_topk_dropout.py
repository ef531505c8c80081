"""The sparse TopkDropout kernel against the dense one it replaced, and what exits and sizing add to it."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.trading.decide import DecisionParams, decide, ranked
from tests.trading.dense_topk_dropout import dense_orders

ODD_SCORES = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0]), st.integers(-3, 3).map(float), st.floats(-1, 1)
)


@st.composite
def sessions(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """One session's arrays: ties, NaN, suspended names, odd lots, young positions."""
    n = draw(st.integers(1, 16))

    def column(values: st.SearchStrategy[float], dtype: type) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=n, max_size=n)), dtype=dtype)

    lots = draw(st.lists(st.sampled_from([(100, 100), (200, 1), (100, 1)]), min_size=n, max_size=n))
    return {
        "scores": column(ODD_SCORES, np.float64),
        "holdings_shares": column(st.sampled_from([0, 0, 0, 100, 537, 12_000]), np.int64),
        "held_sessions": column(st.integers(0, 5), np.int64),
        "price_e4": column(st.one_of(st.just(0), st.integers(100, 5_000_000)), np.int64),
        "lot_min": np.array([low for low, _ in lots], dtype=np.int64),
        "lot_step": np.array([step for _, step in lots], dtype=np.int64),
    }


@given(
    session=sessions(),
    cash=st.integers(0, 10**10),
    top_k=st.integers(1, 8),
    n_drop=st.integers(1, 6),
    min_hold=st.integers(1, 6),
    reserve=st.integers(0, 9_999),
)
@settings(max_examples=600, deadline=None)
def test_agrees_with_the_dense_kernel_to_the_share(
    session: dict[str, np.ndarray], cash: int, top_k: int, n_drop: int, min_hold: int, reserve: int
) -> None:
    equity = cash + int(session["holdings_shares"] @ session["price_e4"]) // 100
    got = decide(**session, cash_fen=cash, equity_fen=equity, params=DecisionParams(top_k, n_drop, min_hold, reserve))
    shares, rank = dense_orders(*session.values(), cash, equity, top_k, n_drop, min_hold, reserve)
    assert got.shares.tolist() == shares.tolist()
    assert got.rank.tolist() == rank.tolist()


def test_ranked_puts_unscored_names_last_and_keeps_ties_in_symbol_order() -> None:
    scores = np.array([[0.1, math.nan], [math.nan, 0.0], [0.3, -0.0], [0.1, math.inf]])
    best_first, n_scored = ranked(scores)
    assert best_first.tolist() == [[2, 0, 3, 1], [1, 2, 0, 3]]
    assert n_scored.tolist() == [3, 2]
    assert best_first.dtype == n_scored.dtype == np.int32
