"""The decision: TopkDropout against a plain sorted-list version, and its habits one by one."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.config import Settings
from ljwx_pipeline.trading.decide import TOPK_DROPOUT, DecisionParams, Orders, decide
from tests.trading import reference_ledger as ref

CAPITAL = 10_000_000


def run(scores: list[float], holdings: list[int], **over: object) -> Orders:
    n = len(scores)
    given_ = {"held_sessions": [9] * n, "price_e4": [100_000] * n, "cash_fen": CAPITAL, "equity_fen": CAPITAL, **over}
    return decide(
        scores=np.array(scores, dtype=np.float64),
        holdings_shares=np.array(holdings, dtype=np.int64),
        held_sessions=np.array(given_["held_sessions"], dtype=np.int64),
        price_e4=np.array(given_["price_e4"], dtype=np.int64),
        lot_min=np.full(n, 100),
        lot_step=np.full(n, 100),
        cash_fen=given_["cash_fen"],
        equity_fen=given_["equity_fen"],
        params=given_.get("params", DecisionParams(2, 1, 1, 200)),
    )


def test_parameters_follow_settings(settings: Settings) -> None:
    assert DecisionParams.of(settings.strategy) == DecisionParams(
        20, 3, 3, 200, kind=TOPK_DROPOUT, rebalance_band_bps=50, max_weight_bps=1_000
    )


def test_an_empty_account_buys_the_best_at_equal_weight() -> None:
    orders = run([0.1, 0.4, 0.3, 0.2], [0, 0, 0, 0])
    assert orders.shares.tolist() == [0, 4_900, 4_900, 0]  # 98 % of 100,000 CNY in two names at 10 CNY
    assert orders.rank.tolist() == [-1, 0, 1, -1]


def test_the_worst_held_name_is_replaced_only_by_a_better_one() -> None:
    assert run([0.1, 0.4, 0.3, 0.2], [500, 500, 0, 0]).shares.tolist() == [-500, 0, 4_900, 0]
    assert run([0.5, 0.4, 0.3, 0.2], [500, 500, 0, 0]).shares.tolist() == [0, 0, 0, 0]


def test_equal_scores_keep_symbol_order() -> None:
    assert run([0.1, 0.1, 0.1, 0.1], [0, 0, 0, 0]).shares.tolist() == [4_900, 4_900, 0, 0]


def test_a_held_name_that_left_the_universe_goes_first() -> None:
    assert run([math.nan, 0.1, 0.4, 0.3], [500, 500, 0, 0]).shares.tolist() == [-500, 0, 4_900, 0]


def test_a_suspended_holding_keeps_its_place_and_is_not_ordered() -> None:
    orders = run([math.nan, 0.4, 0.3, 0.2], [500, 500, 0, 0], price_e4=[0, 100_000, 100_000, 100_000])
    assert orders.shares.tolist() == [0, 0, 0, 0]


def test_a_young_position_is_kept() -> None:
    young = DecisionParams(2, 1, 3, 200)
    kept = run([0.1, 0.4, 0.3, 0.2], [500, 500, 0, 0], held_sessions=[1, 9, 0, 0], params=young)
    assert kept.shares.tolist() == [0, 0, 0, 0]
    sold = run([0.1, 0.4, 0.3, 0.2], [500, 500, 0, 0], held_sessions=[2, 9, 0, 0], params=young)
    assert sold.shares.tolist() == [-500, 0, 4_900, 0]


def test_a_lack_of_cash_shrinks_the_buys_and_the_reserve_is_kept() -> None:
    orders = run([0.4, 0.3], [0, 0], cash_fen=2_200_000, equity_fen=CAPITAL)
    assert orders.shares.tolist() == [1_000, 1_000]


def test_a_price_too_high_for_a_lot_makes_no_order() -> None:
    orders = run([0.4, 0.3], [0, 0], price_e4=[9_000_000, 100_000])
    assert orders.shares.tolist() == [0, 4_900]
    assert orders.rank.tolist() == [-1, 0]


N = 9


@given(
    scores=st.lists(st.one_of(st.just(math.nan), st.integers(-3, 3).map(float)), min_size=N, max_size=N),
    holdings=st.lists(st.sampled_from([0, 0, 100, 537, 12_000]), min_size=N, max_size=N),
    held=st.lists(st.integers(0, 5), min_size=N, max_size=N),
    price=st.lists(st.one_of(st.just(0), st.integers(100, 5_000_000)), min_size=N, max_size=N),
    lots=st.lists(st.sampled_from([(100, 100), (200, 1), (100, 1)]), min_size=N, max_size=N),
    cash=st.integers(0, 10**10),
    top_k=st.integers(1, 6),
    n_drop=st.integers(1, 4),
    min_hold=st.integers(1, 5),
    reserve=st.integers(0, 9_000),
)
@settings(max_examples=200, deadline=None)
def test_agrees_with_sorted_lists(
    scores: list[float],
    holdings: list[int],
    held: list[int],
    price: list[int],
    lots: list[tuple[int, int]],
    cash: int,
    top_k: int,
    n_drop: int,
    min_hold: int,
    reserve: int,
) -> None:
    equity = cash + sum(h * p for h, p in zip(holdings, price, strict=True)) // 100
    got = decide(
        scores=np.array(scores),
        holdings_shares=np.array(holdings),
        held_sessions=np.array(held),
        price_e4=np.array(price),
        lot_min=np.array([low for low, _ in lots]),
        lot_step=np.array([step for _, step in lots]),
        cash_fen=cash,
        equity_fen=equity,
        params=DecisionParams(top_k, n_drop, min_hold, reserve),
    )
    expected = ref.reference_orders(
        scores=scores,
        holdings=holdings,
        held_sessions=held,
        price_e4=price,
        lots=lots,
        cash_fen=cash,
        equity_fen=equity,
        top_k=top_k,
        n_drop=n_drop,
        min_hold=min_hold,
        reserve_bps=reserve,
    )
    queue = sorted((int(got.rank[i]), i) for i in range(N) if got.shares[i])
    assert [(i, int(got.shares[i])) for _, i in queue] == expected
    assert [rank for rank, _ in queue] == list(range(len(expected)))
