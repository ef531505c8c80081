"""The sparse TopkDropout kernel against the dense one it replaced, and what exits and sizing add to it."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.trading.decide import DecisionParams, Orders, decide, ranked
from ljwx_pipeline.trading.order_reason import STOP_LOSS, TIME
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
    if not np.isfinite(session["scores"]).any():  # the dense kernel sold what it knew nothing about
        assert not got.shares.any()
        return
    shares, rank = dense_orders(*session.values(), cash, equity, top_k, n_drop, min_hold, reserve)
    assert got.shares.tolist() == shares.tolist()
    assert got.rank.tolist() == rank.tolist()


def test_ranked_puts_unscored_names_last_and_keeps_ties_in_symbol_order() -> None:
    scores = np.array([[0.1, math.nan], [math.nan, 0.0], [0.3, -0.0], [0.1, math.inf]])
    best_first, n_scored = ranked(scores)
    assert best_first.tolist() == [[2, 0, 3, 1], [1, 2, 0, 3]]
    assert n_scored.tolist() == [3, 2]
    assert best_first.dtype == n_scored.dtype == np.int32


@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.sampled_from([0, 1, 9]))
@settings(max_examples=60, deadline=None)
def test_ranked_is_the_stable_order_whatever_the_ties(seed: int, n: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, 70)).round(decimals)
    scores[rng.uniform(size=scores.shape) < 0.2] = math.nan
    key = np.where(np.isnan(scores), math.inf, -scores).T
    for given_ in (scores, np.asfortranarray(scores)):
        best_first, n_scored = ranked(given_)
        assert best_first.tolist() == np.argsort(key, axis=1, kind="stable").tolist()
        assert n_scored.tolist() == np.isfinite(scores).sum(axis=0).tolist()


EQUITY = 10_000_000  # 100,000 CNY


def run(scores: list[float], holdings: list[int], **over: object) -> Orders:
    """Names at 10 CNY, fully invested up to 100,000 CNY, top two, no reserve."""
    n = len(scores)
    shares = np.array(holdings, dtype=np.int64)
    return decide(
        scores=np.array(scores, dtype=np.float64),
        holdings_shares=shares,
        held_sessions=np.array(over.get("held_sessions", [9] * n), dtype=np.int64),
        price_e4=np.array(over.get("price_e4", [100_000] * n), dtype=np.int64),
        lot_min=np.full(n, 100),
        lot_step=np.full(n, 100),
        cash_fen=EQUITY - int(shares.sum()) * 1_000,
        equity_fen=EQUITY,
        params=over.get("params", DecisionParams(2, 1, 1, 0)),
        exposure_bps=int(over.get("exposure_bps", 10_000)),
        forced=np.array(over.get("forced", [0] * n), dtype=np.int64),
    )


def test_a_name_forced_out_goes_whole_beside_those_the_score_drops() -> None:
    # the best name hits its stop on the session it was bought; the other holding is replaced by score
    orders = run([0.9, 0.1, 0.8, 0.7], [5_050, 4_900, 0, 0], forced=[STOP_LOSS, 0, 0, 0], held_sessions=[0, 9, 0, 0])
    assert orders.shares.tolist() == [-5_050, -4_900, 5_000, 5_000]
    assert orders.rank.tolist() == [0, 1, 2, 3]


def test_a_name_forced_out_is_not_bought_back_on_the_same_session() -> None:
    orders = run([0.9, 0.8, 0.1], [5_000, 4_900, 0], forced=[TIME, 0, 0])
    assert orders.shares.tolist() == [-5_000, 0, 5_000]


def test_a_name_forced_out_without_a_bar_keeps_its_place() -> None:
    orders = run([0.9, 0.8, 0.1], [5_000, 5_000, 0], forced=[TIME, 0, 0], price_e4=[0, 100_000, 100_000])
    assert orders.shares.tolist() == [0, 0, 0]


def test_a_lower_exposure_buys_less() -> None:
    assert run([0.9, 0.8], [0, 0], exposure_bps=6_000).shares.tolist() == [3_000, 3_000]
    assert run([0.9, 0.8], [0, 0], exposure_bps=0).shares.tolist() == [0, 0]


def test_holdings_beyond_a_fallen_exposure_are_cut_pro_rata_in_lots_the_worst_first() -> None:
    # 98,000 CNY held, 60,000 wanted: 38/98 of each, 1,901 of 4,900 up to lots, then what is left of 3,800; young or not
    three = DecisionParams(2, 1, 3, 0)
    orders = run([0.9, 0.8, 0.1], [4_900, 4_900, 0], exposure_bps=6_000, params=three, held_sessions=[0, 0, 0])
    assert orders.shares.tolist() == [-1_800, -2_000, 0]
    assert orders.rank.tolist() == [1, 0, -1]


def test_inside_the_band_a_fallen_exposure_cuts_nothing() -> None:
    banded = DecisionParams(2, 1, 3, 0, rebalance_band_bps=500)
    held = [0.9, 0.8, 0.1], [4_900, 4_900, 0]
    assert run(*held, exposure_bps=9_300, params=banded).shares.tolist() == [0, 0, 0]
    assert run(*held, exposure_bps=9_299, params=banded).shares.tolist() == [-300, -300, 0]


def test_at_an_exposure_of_zero_everything_goes_odd_lots_too() -> None:
    assert run([0.9, 0.8], [4_950, 4_937], exposure_bps=0).shares.tolist() == [-4_950, -4_937]


@given(
    session=sessions(),
    cash=st.integers(0, 10**10),
    top_k=st.integers(1, 8),
    n_drop=st.integers(1, 6),
    band=st.sampled_from([0, 50, 1_000]),
    reserve=st.integers(0, 9_999),
    exposure=st.integers(0, 10_000),
    forced=st.lists(st.sampled_from([0, 0, 0, STOP_LOSS]), min_size=16, max_size=16),
)
@settings(max_examples=500, deadline=None)
def test_orders_are_lots_within_what_is_held_and_what_may_be_spent(
    session: dict[str, np.ndarray],
    cash: int,
    top_k: int,
    n_drop: int,
    band: int,
    reserve: int,
    exposure: int,
    forced: list[int],
) -> None:
    must_go = np.array(forced[: len(session["scores"])], dtype=np.int64)
    params = DecisionParams(top_k, n_drop, 1, reserve, rebalance_band_bps=band)
    check_orders(session, cash, params, exposure, must_go)


def check_orders(
    session: dict[str, np.ndarray], cash: int, params: DecisionParams, exposure: int, must_go: np.ndarray
) -> None:
    """What holds for the orders of every strategy, in whatever account."""
    held, price = session["holdings_shares"], session["price_e4"]
    equity = cash + int(held @ price) // 100
    asked = {"cash_fen": cash, "equity_fen": equity, "params": params, "exposure_bps": exposure, "forced": must_go}
    orders = decide(**session, **asked)
    shares = orders.shares
    assert shares.tolist() == decide(**session, **asked).shares.tolist()
    sold, bought = -np.minimum(shares, 0), np.maximum(shares, 0)
    assert (sold <= held).all()
    assert (shares[price == 0] == 0).all()
    for i in np.flatnonzero((bought > 0) | ((sold > 0) & (sold < held))):
        size = int(abs(shares[i]))
        assert size >= session["lot_min"][i]
        assert (size - session["lot_min"][i]) % session["lot_step"][i] == 0
    went = (must_go > 0) & (held > 0) & (price > 0)
    assert (sold[went] == held[went]).all()
    invested = equity * (10_000 - params.cash_reserve_bps) // 10_000 * exposure // 10_000
    proceeds = sum(int(s) * int(p) // 100 for s, p in zip(sold, price, strict=True))
    spent = sum(int(b) * int(p) for b, p in zip(bought, price, strict=True)) / 100
    assert spent <= max(0, cash + proceeds - (equity - invested))
    excess = equity - cash - proceeds - invested
    movable = (held > 0) & (price > 0) & (sold == 0)
    if exposure < 10_000 and np.isfinite(session["scores"]).any() and movable.any():
        assert excess <= max(0, equity * params.rebalance_band_bps // 10_000)
    queue = sorted(int(rank) for rank in orders.rank if rank >= 0)
    assert queue == list(range(len(queue)))
    assert all(orders.rank[s] < orders.rank[b] for s in np.flatnonzero(sold) for b in np.flatnonzero(bought))
