"""Names abstained from: never bought or enlarged, held and sold as any other; off, nothing differs by a share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.decide import SCORE_WEIGHTED, TOPK_DROPOUT, DecisionParams, decide
from tests.trading.test_topk_dropout import sessions

BOTH = [TOPK_DROPOUT, SCORE_WEIGHTED]
EQUITY = 10_000_000


def decided(scores: list[float], holdings: list[int], may_buy: list[int] | None, params: DecisionParams) -> list[int]:
    n = len(scores)
    shares = np.array(holdings, dtype=np.int64)
    orders = decide(
        scores=np.array(scores),
        holdings_shares=shares,
        held_sessions=np.full(n, 9),
        price_e4=np.full(n, 100_000),
        lot_min=np.full(n, 100),
        lot_step=np.full(n, 100),
        cash_fen=EQUITY - int(shares.sum()) * 1_000,
        equity_fen=EQUITY,
        params=params,
        may_buy=None if may_buy is None else np.array(may_buy, dtype=np.int8),
    )
    return [int(order) for order in orders.shares]


@given(
    kind=st.sampled_from(BOTH),
    session=sessions(),
    mask=st.lists(st.sampled_from([0, 1]), min_size=16, max_size=16),
    cash=st.integers(0, 10**10),
    top_k=st.integers(1, 8),
    n_drop=st.integers(1, 6),
    exposure=st.sampled_from([10_000, 6_000]),
)
@settings(max_examples=600, deadline=None)
def test_a_name_that_is_not_held_and_not_bought_is_as_one_without_a_score(
    kind: int, session: dict[str, np.ndarray], mask: list[int], cash: int, top_k: int, n_drop: int, exposure: int
) -> None:
    held, scores = session["holdings_shares"], session["scores"]
    equity = cash + int(held @ session["price_e4"]) // 100
    asked: dict[str, Any] = {
        "cash_fen": cash,
        "equity_fen": equity,
        "params": DecisionParams(top_k, n_drop, 1, 0, kind, 0, 5_000),
        "exposure_bps": exposure,
    }
    may_buy = np.array(mask[: len(held)], dtype=np.int8)
    got = decide(**session, **asked, may_buy=may_buy)
    assert not (got.shares[may_buy == 0] > 0).any()
    whole = decide(**session, **asked)
    all_of_them = decide(**session, **asked, may_buy=np.ones(len(held), dtype=np.int8))
    assert whole.shares.tolist() == all_of_them.shares.tolist()
    assert whole.rank.tolist() == all_of_them.rank.tolist()
    only_others = np.where(held > 0, 1, may_buy).astype(np.int8)
    unknown = np.where((held == 0) & (may_buy == 0), np.nan, scores)
    if np.isfinite(unknown).any():
        masked = decide(**session, **asked, may_buy=only_others)
        plain = decide(**{**session, "scores": unknown}, **asked)
        assert masked.shares.tolist() == plain.shares.tolist()
        assert masked.rank.tolist() == plain.rank.tolist()


def test_topk_dropout_takes_the_next_best_that_may_be_bought_and_keeps_what_it_holds() -> None:
    two = DecisionParams(2, 1, 1, 0)
    assert decided([0.9, 0.8, 0.7, 0.1], [0, 0, 0, 0], [0, 1, 1, 1], two) == [0, 5_000, 5_000, 0]
    # both held ones are abstained from: neither is sold for it, the worse one goes as its score is worst
    assert decided([0.9, 0.2, 0.7], [5_000, 5_000, 0], [0, 0, 1], two) == [0, -5_000, 5_000]
    assert decided([0.9, 0.8, 0.7], [5_000, 5_000, 0], [0, 0, 1], two) == [0, 0, 0]
    # nobody may be bought: the worst goes without a successor, as the strategy drops it whoever comes after
    assert decided([0.9, 0.2, 0.7], [5_000, 5_000, 0], [0, 0, 0], two) == [0, -5_000, 0]


def test_score_weighted_neither_buys_nor_enlarges_and_still_cuts() -> None:
    half = DecisionParams(2, 1, 1, 0, SCORE_WEIGHTED, 0, 5_000)
    assert decided([3.0, 2.0, 1.0, 0.0], [0, 0, 0, 0], [0, 1, 1, 1], half) == [0, 5_000, 5_000, 0]
    assert decided([3.0, 2.0, 1.0, 0.0], [2_000, 0, 0, 0], [0, 1, 1, 1], half) == [0, 5_000, 0, 0]
    assert decided([3.0, 2.0, 1.0, 0.0], [9_000, 0, 0, 0], [0, 1, 1, 1], half) == [-4_000, 5_000, 0, 0]


@pytest.mark.parametrize("kind", BOTH)
def test_another_length_is_refused(kind: int) -> None:
    with pytest.raises(TradingError, match="may_buy has shape"):
        decided([1.0, 2.0], [0, 0], [1], DecisionParams(2, 1, 1, 0, kind))
