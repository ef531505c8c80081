"""Under every fill model, with impact, rights, exits and money management: the account adds up, and bad input stops."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numba.core.runtime import _nrt_python, rtsys

from ljwx_pipeline.backtest import engine
from ljwx_pipeline.backtest.engine import run_backtest, simulate
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.config import Settings, load_settings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.decide import ranked
from ljwx_pipeline.trading.fill_model import FillModel, Reject
from ljwx_pipeline.trading.market_arrays import MarketArrays
from tests.fakes.random_market import random_market, random_scores

PLAIN: Settings = load_settings(profile="simulated", environ={})
FILLS = [model.name.lower() for model in FillModel]


def chosen(**over: object) -> Settings:
    """Return plain settings with a small strategy; keys of strategy, costs, exits and sizing by name."""
    strategy = {"top_k": 5, "n_drop": 2, "min_hold_sessions": 1, "capital_cny": 300_000.0}
    costs: dict[str, object] = {"max_participation_frac": 0.3}
    parts: dict[str, object] = {}
    for key, value in over.items():
        if key in ("exits", "sizing"):
            parts[key] = getattr(PLAIN.strategy, key).model_copy(update=value)
        elif hasattr(PLAIN.costs, key):
            costs[key] = value
        else:
            strategy[key] = value  # type: ignore[assignment]
    return PLAIN.model_copy(
        update={
            "strategy": PLAIN.strategy.model_copy(update=strategy | parts),
            "costs": PLAIN.costs.model_copy(update=costs),
        }
    )


def backtest(market: MarketArrays, scores: np.ndarray, settings: Settings) -> BacktestResult:
    first, last = market.sessions[0].date(), market.sessions[-1].date()
    return run_backtest(market, scores, strategy=settings.strategy, costs=settings.costs, first=first, last=last)


def everything(fill: str) -> Settings:
    return chosen(
        fill=fill,
        impact_coefficient=0.6,
        exits={"stop_loss_frac": 0.06, "take_profit_frac": 0.15, "trailing_stop_frac": 0.08, "max_hold_sessions": 9},
        sizing={"kind": "volatility_target", "window_sessions": 10, "fraction": 0.7},
    )


def ledger(market: MarketArrays, result: BacktestResult) -> tuple[list[int], list[int], list[int]]:
    """Reckon cash, equity and price P&L of every session from the orders and the market alone, name by name."""
    cash, shares, marks = int(result.equity_fen[0]), {}, {}
    by_session = dict(tuple(result.orders.groupby("session_date")))
    row_of = {symbol: row for row, symbol in enumerate(market.symbols)}
    cashes, equities, moves = [], [], []
    for t, day in enumerate(market.sessions):
        before = 100 * cash + sum(shares[i] * marks[i] for i in shares)
        written_off = 0
        for i in [name for name in shares if not market.listed[name, t]]:
            written_off += shares.pop(i) * marks.pop(i) // 100
        goes_ex = market.actions.on(t).tolist()
        dividends = sum(shares.get(i, 0) * per_share // 100 for i, per_share, *_ in goes_ex)
        cash += dividends
        for i, per_share, bonus, offered, price in goes_ex:
            if i not in shares:
                continue
            old = shares[i]
            shares[i] += old * bonus // 10_000
            cost = -(-(old * offered // 10_000) * price // 100)
            if cost <= cash:
                cash -= cost
                shares[i] += old * offered // 10_000
            marks[i] = max(0, ((marks[i] - per_share) * 10_000 + offered * price) // (10_000 + bonus + offered))
            if shares[i] == 0:
                del shares[i]
        costs = 0
        for order in by_session.get(day, pd.DataFrame()).itertuples():
            i, fees = row_of[order.symbol], order.commission_fen + order.stamp_duty_fen + order.transfer_fee_fen
            costs += fees + order.slippage_fen + order.impact_fen
            cash -= (order.value_fen if order.fill_shares > 0 else -order.value_fen) + fees
            shares[i] = shares.get(i, 0) + order.fill_shares
            if shares[i] == 0:
                del shares[i]
        marks |= {i: int(market.close_e4[i, t]) for i in shares if market.close_e4[i, t] > 0}
        after = 100 * cash + sum(shares[i] * marks[i] for i in shares)
        cashes.append(cash)
        equities.append(cash + sum(shares[i] * marks[i] for i in shares) // 100)
        moves.append(after - before - 100 * (dividends - costs - written_off))
    return cashes, equities, moves


@pytest.mark.parametrize("fill", FILLS)
@given(seed=st.integers(0, 2**32), names=st.integers(3, 12), sessions=st.integers(5, 40))
@hypothesis_settings(max_examples=20, deadline=None)
def test_equity_is_what_prices_dividends_and_costs_made_of_it(fill: str, seed: int, names: int, sessions: int) -> None:
    market = random_market(seed, names=names, sessions=sessions, rights=True)
    result = backtest(market, random_scores(seed, market), everything(fill))
    cashes, equities, moves = ledger(market, result)
    assert result.cash_fen.tolist() == cashes
    assert result.equity_fen.tolist() == equities
    assert result.price_pnl_e4.tolist() == moves
    assert (result.cash_fen >= 0).all()


@pytest.fixture(scope="module")
def market() -> MarketArrays:
    return random_market(11, names=20, sessions=250, rights=True)


@pytest.fixture(scope="module")
def scores(market: MarketArrays) -> np.ndarray:
    return random_scores(11, market)


def test_the_markets_above_hold_every_kind_of_event(market: MarketArrays, scores: np.ndarray) -> None:
    seen: set[str] = set()
    for fill in FILLS:
        result = backtest(market, scores, everything(fill))
        seen |= {name for name, count in result.rejects.items() if count}
        assert result.dividends_fen.sum() > 0
        assert result.rights_paid_fen.sum() > 0
        assert result.impact_fen.sum() > 0
        assert set(result.orders["order_reason"]) >= {1, 2, 3, 4, 5}
    assert result.written_off_fen.sum() > 0
    assert {"SUSPENDED", "LIMIT_UP", "LIMIT_DOWN", "LOT", "PARTICIPATION", "LIMIT_PRICE"} <= seen


def test_fills_of_another_model_stand_at_its_price(market: MarketArrays, scores: np.ndarray) -> None:
    for fill, column in (("open", market.open_e4), ("close", market.close_e4)):
        trades = backtest(market, scores, chosen(fill=fill)).trades
        rows = pd.Index(market.symbols).get_indexer(pd.Index(trades["symbol"]))
        days = market.sessions.get_indexer(pd.DatetimeIndex(trades["session_date"]))
        assert column is not None
        assert trades["base_price_e4"].tolist() == column[rows, days].tolist()


def test_impact_only_ever_costs(market: MarketArrays, scores: np.ndarray) -> None:
    free, dear = (backtest(market, scores, chosen(impact_coefficient=each)) for each in (0.0, 2.0))
    assert free.impact_fen.sum() == 0
    trades = dear.trades
    assert (trades["impact_fen"] >= 0).all()
    buys = trades["fill_shares"] > 0
    assert (trades.loc[buys, "price_e4"] >= trades.loc[buys, "base_price_e4"]).all()
    assert (trades.loc[~buys, "price_e4"] <= trades.loc[~buys, "base_price_e4"]).all()


def test_a_session_without_a_scored_name_holds_everything(market: MarketArrays, scores: np.ndarray) -> None:
    empty = scores.copy()
    empty[:, 100:110] = np.nan
    result = backtest(market, empty, chosen())
    after = result.orders["session_date"].isin(market.sessions[101:111])
    assert not after.any()
    assert result.names_held[99] > 0
    assert result.unscored_sessions == 10
    assert backtest(market, scores, chosen()).unscored_sessions == 0


def test_an_order_on_a_suspended_day_is_rejected_and_kept(market: MarketArrays, scores: np.ndarray) -> None:
    orders = backtest(market, scores, chosen()).orders
    rows = pd.Index(market.symbols).get_indexer(pd.Index(orders["symbol"]))
    days = market.sessions.get_indexer(pd.DatetimeIndex(orders["session_date"]))
    suspended = market.close_e4[rows, days] == 0
    assert suspended.any()
    assert (orders.loc[suspended, "reject"] == Reject.SUSPENDED).all()
    assert (orders.loc[suspended, "fill_shares"] == 0).all()


def test_a_held_name_that_traded_without_a_price_stops_the_run(market: MarketArrays, scores: np.ndarray) -> None:
    result = backtest(market, scores, chosen())
    name = market.symbols.index(result.positions["symbol"].iloc[0])
    close = market.close_e4.copy(order="F")
    last = int(np.flatnonzero(close[name])[-1])
    close[name, last] = 0
    broken = replace(market, close_e4=close)
    with pytest.raises(
        TradingError, match=f"{market.symbols[name]} traded on {market.sessions[last]:%Y-%m-%d}, is held"
    ):
        backtest(broken, scores, chosen())


def test_an_amount_that_is_no_price_of_the_session_rejects_the_order_and_the_run_goes_on(
    market: MarketArrays, scores: np.ndarray
) -> None:
    assert market.amount_fen is not None
    broken = replace(market, amount_fen=market.amount_fen // 1_000)
    result = backtest(broken, scores, chosen(fill="vwap"))
    traded = result.orders[~result.orders["reject"].isin([Reject.SUSPENDED, Reject.LIMIT_UP, Reject.LIMIT_DOWN])]
    assert len(traded) > 0
    assert (traded["reject"] == Reject.OUTSIDE_BAR).all()
    assert (result.orders["fill_shares"] == 0).all()
    assert set(result.equity_fen) == {30_000_000}


def test_a_market_without_what_the_fills_read_is_refused(market: MarketArrays, scores: np.ndarray) -> None:
    with pytest.raises(TradingError, match='"vwap" reads amount'):
        backtest(replace(market, amount_fen=None), scores, chosen(fill="vwap"))
    with pytest.raises(TradingError, match='"open" reads open'):
        backtest(replace(market, open_e4=None), scores, chosen(fill="open"))


def test_weights_above_one_are_refused(
    market: MarketArrays, scores: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_run", engine._run.py_func)
    monkeypatch.setattr(engine, "exposure_bps", lambda *_: 15_000)
    with pytest.raises(TradingError, match=f"asks for 150.00% of the equity on {market.sessions[0]:%Y-%m-%d}"):
        backtest(market, scores, chosen())


def test_a_ranking_of_other_scores_is_refused(market: MarketArrays, scores: np.ndarray) -> None:
    ends = {"first": market.sessions[0].date(), "last": market.sessions[-1].date()}
    small = chosen()
    with pytest.raises(TradingError, match="rank these scores"):
        run_backtest(market, scores, strategy=small.strategy, costs=small.costs, **ends, ranking=ranked(scores[:, :-1]))
    given_ = run_backtest(market, scores, strategy=small.strategy, costs=small.costs, **ends, ranking=ranked(scores))
    assert given_.equity_fen.tolist() == backtest(market, scores, small).equity_fen.tolist()


def test_a_log_that_runs_full_is_made_longer_and_loses_nothing(
    market: MarketArrays, scores: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy = backtest(market, scores, everything("close"))
    monkeypatch.setattr(engine, "_LOG_ROWS_A_SESSION", 0)
    tight = backtest(market, scores, everything("close"))
    assert len(roomy.orders) > 2 * len(market.symbols)
    pd.testing.assert_frame_equal(tight.orders, roomy.orders, check_exact=True)
    assert tight.equity_fen.tolist() == roomy.equity_fen.tolist()


def digest_of(run: Callable[[], BacktestResult]) -> bytes:
    result = run()
    return result.equity_fen.tobytes() + pd.util.hash_pandas_object(result.orders).to_numpy().tobytes()


def test_threads_give_the_same_bits(market: MarketArrays, scores: np.ndarray) -> None:
    alone = {fill: digest_of(lambda fill=fill: backtest(market, scores, everything(fill))) for fill in FILLS}
    with ThreadPoolExecutor(4) as pool:
        many = list(pool.map(lambda fill: digest_of(lambda: backtest(market, scores, everything(fill))), FILLS * 6))
    assert many == [alone[fill] for fill in FILLS] * 6


@pytest.mark.slow
def test_hash_seeds_and_thread_counts_give_the_same_bits() -> None:
    program = (
        "import hashlib\n"
        "from tests.backtest.test_engine_rules import *\n"
        "market = random_market(11, names=20, sessions=120, rights=True)\n"
        "runs = [digest_of(lambda: backtest(market, random_scores(11, market), everything(f))) for f in FILLS]\n"
        "print(hashlib.sha256(b''.join(runs)).hexdigest())\n"
    )
    root = Path(__file__).resolve().parents[2]
    seen = set()
    for seed, threads in (("0", "1"), ("1", "2"), ("77", "4")):
        environment = os.environ | {
            "PYTHONHASHSEED": seed,
            "NUMBA_NUM_THREADS": threads,
            "OMP_NUM_THREADS": threads,
            "PYTHONPATH": str(root),
        }
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True, check=True
        )
        seen.add(done.stdout.strip())
    assert len(seen) == 1


def allocations(market: MarketArrays, scores: np.ndarray, sessions: int) -> int:
    """Return how many arrays a run of so many sessions makes inside compiled code."""
    chosen_ = everything("bar_path")
    ends = {"first": market.sessions[0].date(), "last": market.sessions[sessions - 1].date()}
    ranking = ranked(scores)
    before = rtsys.get_allocation_stats().alloc
    simulate(market, scores, strategy=chosen_.strategy, costs=chosen_.costs, ranking=ranking, **ends)
    return int(rtsys.get_allocation_stats().alloc - before)


def test_the_loop_allocates_nothing_for_a_session(market: MarketArrays, scores: np.ndarray) -> None:
    _nrt_python.memsys_enable_stats()
    by_session = np.asfortranarray(scores)
    allocations(market, by_session, 20)  # the market's volatilities are made once
    few, many = (allocations(market, by_session, sessions) for sessions in (20, 200))
    assert few == many
    made = rtsys.get_allocation_stats().alloc
    backtest(replace(market), scores, everything("bar_path"))  # its volatilities are not made yet
    assert rtsys.get_allocation_stats().alloc > made
