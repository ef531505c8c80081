"""At default settings the engine comes to what the dense engine it replaced came to, to the fen."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.config import Settings, load_settings
from ljwx_pipeline.trading.costs import rates_table
from ljwx_pipeline.trading.market_arrays import MarketArrays
from ljwx_pipeline.trading.matching import FILL_FIELDS
from tests.backtest.reference_dense import run_dense
from tests.fakes.market_views import going_ex
from tests.fakes.random_market import random_market, random_scores

PLAIN: Settings = load_settings(profile="simulated", environ={})


def dense(market: MarketArrays, scores: np.ndarray, chosen: Settings) -> tuple[np.ndarray, ...]:
    def wide(values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(values, dtype=np.int64)

    strategy, days = chosen.strategy, [day.date() for day in market.sessions]
    return run_dense(
        np.ascontiguousarray(scores),
        *(wide(values) for values in (market.close_e4, market.limit_up_e4, market.limit_down_e4)),
        *(wide(values) for values in (market.volume_shares, going_ex(market, "cash_e4"), going_ex(market, "bonus_e4"))),
        np.ascontiguousarray(market.listed),
        market.lot_min,
        market.lot_step,
        rates_table(chosen.costs, days),
        0,
        len(days) - 1,
        round(strategy.capital_cny * 100),
        strategy.top_k,
        strategy.n_drop,
        strategy.min_hold_sessions,
        round(strategy.cash_reserve_frac * 10_000),
    )


@given(
    seed=st.integers(0, 2**32),
    names=st.integers(2, 14),
    sessions=st.integers(3, 40),
    suspended=st.sampled_from([0.0, 0.1, 0.5]),
    top_k=st.integers(1, 8),
    n_drop=st.integers(1, 5),
    min_hold=st.integers(1, 4),
    capital=st.sampled_from([3_000.0, 60_000.0, 5_000_000.0, 1e9]),
    reserve=st.sampled_from([0.0, 0.02, 0.6]),
)
@settings(max_examples=150, deadline=None)
def test_the_sparse_engine_equals_the_dense_one(
    seed: int,
    names: int,
    sessions: int,
    suspended: float,
    top_k: int,
    n_drop: int,
    min_hold: int,
    capital: float,
    reserve: float,
) -> None:
    market = random_market(seed, names=names, sessions=sessions, suspended_frac=suspended)
    scores = random_scores(seed, market)
    chosen = {
        "top_k": top_k,
        "n_drop": n_drop,
        "min_hold_sessions": min_hold,
        "capital_cny": capital,
        "cash_reserve_frac": reserve,
    }
    plain = PLAIN.model_copy(update={"strategy": PLAIN.strategy.model_copy(update=chosen)})
    first, last = market.sessions[0].date(), market.sessions[-1].date()
    got = run_backtest(market, scores, strategy=plain.strategy, costs=plain.costs, first=first, last=last)
    figures, log, shares, held, last_price = dense(market, scores, plain)
    ours = (
        *(got.equity_fen, got.cash_fen, got.fees_fen, got.dividends_fen, got.written_off_fen),
        *(got.bought_fen, got.sold_fen, got.names_held),
    )
    assert np.stack(ours).tolist() == figures.T[:8].tolist()
    rows = np.flatnonzero(shares)
    assert got.positions["shares"].tolist() == shares[rows].tolist()
    assert got.positions["held_sessions"].tolist() == held[rows].tolist()
    assert got.positions["last_price_e4"].tolist() == last_price[rows].tolist()
    # the dense log stands in symbol order within a session, ours in queue order
    orders = got.orders.sort_values(["session_date", "symbol"], kind="stable")
    fields = (*FILL_FIELDS[2:9], "reject")
    assert orders[list(fields)].to_numpy().tolist() == log[:, 2:].tolist()
