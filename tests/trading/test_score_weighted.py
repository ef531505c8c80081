"""The score-weighted portfolio: worked by hand, against a plain version with fractions, and its habits."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.trading.decide import SCORE_WEIGHTED, DecisionParams, Orders, decide, ranked
from ljwx_pipeline.trading.order_reason import STOP_LOSS
from ljwx_pipeline.trading.score_weighted import target_weight, weight_rule
from tests.trading.test_topk_dropout import check_orders, sessions

EQUITY = 10_000_000  # 100,000 CNY


def params(top_k: int = 2, *, cap: int = 10_000, band: int = 0, hold: int = 1, reserve: int = 0) -> DecisionParams:
    return DecisionParams(top_k, 1, hold, reserve, SCORE_WEIGHTED, band, cap)


def run(scores: list[float], holdings: list[int], chosen: DecisionParams, **over: object) -> Orders:
    n = len(scores)
    price = np.array(over.get("price_e4", [100_000] * n), dtype=np.int64)
    shares = np.array(holdings, dtype=np.int64)
    held_fen = int(shares @ np.where(price > 0, price, 100_000)) // 100
    return decide(
        scores=np.array(scores, dtype=np.float64),
        holdings_shares=shares,
        held_sessions=np.array(over.get("held_sessions", [9] * n), dtype=np.int64),
        price_e4=price,
        lot_min=np.full(n, 100),
        lot_step=np.full(n, 100),
        cash_fen=EQUITY - held_fen,
        equity_fen=EQUITY,
        params=chosen,
        exposure_bps=int(over.get("exposure_bps", 10_000)),
        forced=over.get("forced"),
    )


def weights(scores: list[float], top_k: int, cap: float) -> list[float]:
    """Weights of every name as the kernels make them."""
    array = np.array(scores, dtype=np.float64)
    best_first, n_scored = ranked(array[:, None])
    found, chosen = min(int(n_scored[0]), top_k + 1), min(int(n_scored[0]), top_k)
    if not found:
        return [0.0] * len(scores)
    base = float(array[best_first[0][found - 1]])
    rule = weight_rule(best_first[0], 0, chosen, base, array, cap)
    return [target_weight(i, best_first[0], 0, chosen, base, array, cap, rule) for i in range(len(scores))]


def plain_weights(scores: list[float], top_k: int, cap: float) -> list[Fraction]:
    """The rule of the docstring with fractions: cap the largest, share the rest, again until nothing is above."""
    order = sorted((i for i, s in enumerate(scores) if math.isfinite(s)), key=lambda i: (-scores[i], i))
    chosen, result = order[:top_k], [Fraction(0)] * len(scores)
    if not chosen:
        return result
    limit = Fraction(cap)
    base = Fraction(scores[order[: top_k + 1][-1]])
    excess = {i: Fraction(scores[i]) - base for i in chosen}
    if not sum(excess.values()):
        for i in chosen:
            result[i] = min(limit, Fraction(1, len(chosen)))
        return result
    free, left = list(chosen), Fraction(1)
    while True:
        total = sum(excess[i] for i in free)
        if not total:
            break
        above = [i for i in free if excess[i] / total * left > limit]
        if not above:
            for i in free:
                result[i] = excess[i] / total * left
            break
        for i in above:
            result[i] = limit
            free.remove(i)
            left -= limit
        left = max(left, Fraction(0))
    return result


def test_weights_follow_the_excess_over_the_best_name_left_out() -> None:
    # excesses 3, 2, 1 over the fourth
    assert weights([4.0, 3.0, 2.0, 1.0], 3, 1.0) == [0.5, 2 / 6, 1 / 6, 0.0]


def test_what_the_cap_cuts_off_goes_to_the_others_in_proportion() -> None:
    # excesses 6, 2, 1, 1: 0.6 is cut to 0.4, and 0.6 is shared 2 : 1 : 1
    assert weights([7.0, 3.0, 2.0, 2.0, 1.0], 4, 0.4) == pytest.approx([0.4, 0.3, 0.15, 0.15, 0.0], abs=1e-15)


def test_what_nobody_may_take_stays_in_cash() -> None:
    assert weights([4.0, 3.0, 2.0, 1.0], 3, 0.25) == [0.25, 0.25, 0.25, 0.0]
    assert weights([4.0, 1.0, 1.0, 1.0], 3, 0.25) == [0.25, 0.0, 0.0, 0.0]


def test_equal_scores_weigh_the_same() -> None:
    assert weights([1.0, 1.0, 1.0, 1.0], 3, 1.0) == [1 / 3, 1 / 3, 1 / 3, 0.0]
    assert weights([1.0, math.nan], 3, 0.1) == [0.1, 0.0]


@given(
    scores=st.lists(st.one_of(st.just(math.nan), st.integers(-5, 5).map(float)), min_size=1, max_size=12),
    top_k=st.integers(1, 8),
    cap=st.sampled_from([0.03125, 0.125, 0.25, 0.5, 1.0]),
)
@settings(max_examples=400, deadline=None)
def test_weights_agree_with_fractions_and_never_exceed_one(scores: list[float], top_k: int, cap: float) -> None:
    got = weights(scores, top_k, cap)
    assert got == pytest.approx([float(weight) for weight in plain_weights(scores, top_k, cap)], abs=1e-12)
    assert sum(got) <= 1 + 1e-12
    assert max(got) <= cap


def test_an_empty_account_buys_its_targets_best_first() -> None:
    # excesses 2 and 1 of 98,000 CNY at 10 CNY: 6,533 and 3,266 shares, in lots
    orders = run([0.3, 0.1, 0.2], [0, 0, 0], params(reserve=200))
    assert orders.shares.tolist() == [6_500, 0, 3_200]
    assert orders.rank.tolist() == [0, -1, 1]


def test_a_holding_is_brought_to_its_target_in_whole_lots() -> None:
    # targets 6,666 and 3,333 shares; 8,000 and 1,000 are held
    assert run([0.3, 0.1, 0.2], [8_000, 0, 1_000], params()).shares.tolist() == [-1_300, 0, 2_300]


def test_inside_the_band_nothing_is_traded() -> None:
    # 6,600 and 3,300 held: 66 and 33 shares, 0.7 % and 0.3 % of equity, are missing
    assert run([0.3, 0.1, 0.2], [6_500, 0, 3_100], params(band=300)).shares.tolist() == [0, 0, 0]
    assert run([0.3, 0.1, 0.2], [6_500, 0, 3_100], params(band=100)).shares.tolist() == [100, 0, 200]


def test_a_name_no_longer_chosen_is_sold_whole_band_or_not() -> None:
    assert run([0.3, 0.1, 0.2], [6_600, 150, 3_200], params(band=5_000)).shares.tolist() == [0, -150, 0]


def test_a_young_position_is_not_cut() -> None:
    kept = run([0.3, 0.1, 0.2], [8_000, 100, 1_000], params(hold=3), held_sessions=[1, 1, 9])
    assert kept.shares.tolist() == [0, 0, 900]  # no more than the cash there is
    cut = run([0.3, 0.1, 0.2], [8_000, 100, 1_000], params(hold=3), held_sessions=[2, 2, 9])
    assert cut.shares.tolist() == [-1_300, -100, 2_300]


def test_what_is_held_without_a_bar_is_taken_off_the_budget() -> None:
    # 40,000 CNY stand still: 60,000 are shared 2 : 1
    orders = run([0.5, 0.3, 0.1, 0.2], [4_000, 0, 0, 0], params(), price_e4=[0, 100_000, 100_000, 100_000])
    assert orders.shares.tolist() == [0, 4_000, 0, 2_000]


def test_a_name_forced_out_is_sold_whole_and_its_place_goes_to_the_next() -> None:
    forced = np.array([STOP_LOSS, 0, 0, 0])
    orders = run([0.4, 0.3, 0.2, 0.1], [1_050, 0, 0, 0], params(), forced=forced, held_sessions=[0] * 4)
    assert orders.shares.tolist() == [-1_050, 6_600, 3_300, 0]
    assert orders.rank.tolist() == [0, 1, 2, -1]


def test_a_lower_exposure_lowers_every_target() -> None:
    orders = run([0.3, 0.1, 0.2], [6_600, 0, 3_300], params(), exposure_bps=5_000)
    assert orders.shares.tolist() == [-3_200, 0, -1_600]


def test_inside_the_band_of_each_name_a_lower_exposure_cuts_all_of_them() -> None:
    # 99 % are held, 94 % wanted: 3.3 % and 1.7 % too much of each is inside the band of 4 %, 5 % in sum is not;
    # 5/99 of each position in lots, the worst score first: 200 of 3,300 (167), then what is left of 500
    orders = run([0.3, 0.1, 0.2], [6_600, 0, 3_300], params(band=400), exposure_bps=9_400)
    assert orders.shares.tolist() == [-300, 0, -200]
    assert orders.rank.tolist() == [1, -1, 0]


@given(
    session=sessions(),
    cash=st.integers(0, 10**10),
    top_k=st.integers(1, 8),
    cap=st.sampled_from([500, 3_000, 10_000]),
    band=st.sampled_from([0, 50, 1_000]),
    hold=st.integers(1, 4),
    reserve=st.integers(0, 9_999),
    exposure=st.integers(0, 10_000),
    forced=st.lists(st.sampled_from([0, 0, 0, STOP_LOSS]), min_size=16, max_size=16),
)
@settings(max_examples=500, deadline=None)
def test_orders_are_lots_within_what_is_held_and_what_may_be_spent(
    session: dict[str, np.ndarray],
    cash: int,
    top_k: int,
    cap: int,
    band: int,
    hold: int,
    reserve: int,
    exposure: int,
    forced: list[int],
) -> None:
    must_go = np.array(forced[: len(session["scores"])], dtype=np.int64)
    check_orders(session, cash, params(top_k, cap=cap, band=band, hold=hold, reserve=reserve), exposure, must_go)
