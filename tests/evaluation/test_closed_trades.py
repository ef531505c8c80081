"""Round trips: by hand, and to the fen against the account they came from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.config import CostSettings, Settings, StrategySettings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.evaluation.closed_trades import OPEN_COLUMNS, TRADE_COLUMNS, closed_trades, open_lots
from ljwx_pipeline.trading.market_arrays import MarketArrays
from tests.fakes.backtests import a_result, fill, flat_market, small_market, with_actions
from tests.fakes.random_market import random_market, random_scores


def trades_of(market: MarketArrays, *fills: dict[str, object]) -> pd.DataFrame:
    return closed_trades(a_result(market, fills), market)


def test_the_oldest_lot_is_closed_first_with_its_own_fees() -> None:
    market = flat_market(sessions=6)
    trades = trades_of(
        market,
        fill(market, 0, 100, 1_000_00, fees=500),
        fill(market, 1, 200, 2_400_00, fees=600),
        fill(market, 3, -200, 2_600_00, fees=800),
        fill(market, 5, -100, 1_100_00, fees=400),
    )
    assert list(trades.columns) == list(TRADE_COLUMNS)
    assert trades["shares"].tolist() == [100, 100, 100]
    assert trades["holding_sessions"].tolist() == [3, 2, 4]
    assert trades["cost_fen"].tolist() == [1_005_00, 1_203_00, 1_203_00]
    assert trades["proceeds_fen"].tolist() == [1_296_00, 1_296_00, 1_096_00]
    assert trades["fees_fen"].tolist() == [500 + 400, 300 + 400, 300 + 400]
    assert trades["profit_fen"].tolist() == [291_00, 93_00, -107_00]
    assert trades["return_frac"].tolist() == pytest.approx([291 / 1005, 93 / 1203, -107 / 1203])
    assert set(trades["exit"]) == {"sold"}


def test_dividends_and_bonus_shares_go_to_the_lots_that_were_held() -> None:
    market = with_actions(flat_market(sessions=5), (2, 0, 1_000, 5_000))  # 0.10 CNY a share, five for ten
    trades = trades_of(
        market,
        fill(market, 0, 100, 1_000_00),
        fill(market, 1, 300, 3_000_00),
        fill(market, 2, 100, 660_00),  # bought on the ex-date: gets neither
        fill(market, 4, -700, 4_900_00),
    )
    assert trades["shares"].tolist() == [150, 450, 100]
    assert trades["dividends_fen"].tolist() == [10_00, 30_00, 0]
    assert trades["profit_fen"].tolist() == [1050_00 + 10_00 - 1000_00, 3150_00 + 30_00 - 3000_00, 700_00 - 660_00]


def test_rights_are_paid_for_while_cash_covers_them() -> None:
    offer = with_actions(flat_market(sessions=5), (2, 0, 0, 0, 3_000, 50_000))  # three for ten at 5 CNY
    fills = [fill(offer, 1, 100, 1_000_00), fill(offer, 4, -130, 1_300_00)]
    result = a_result(offer, fills)
    result.cash_fen[:] = 150_00
    trade = closed_trades(result, offer).iloc[0]
    assert trade[["shares", "cost_fen", "profit_fen"]].tolist() == [130, 1_150_00, 150_00]
    result.cash_fen[:] = 149_99
    with pytest.raises(TradingError, match="without having been held"):  # 100 are left, and 130 were sold
        closed_trades(result, offer)


def test_what_is_delisted_while_held_is_lost() -> None:
    market = flat_market(sessions=5)
    market.listed[0, 3:] = False
    trades = trades_of(market, fill(market, 1, 100, 1_000_00, fees=500))
    assert trades[["exit", "profit_fen", "return_frac"]].iloc[0].tolist() == ["lost", -1_005_00, -1.0]
    assert trades["exit_date"].iloc[0] == market.sessions[3]
    assert open_lots(a_result(market, [fill(market, 1, 100, 1_000_00)]), market).empty


def test_a_sale_of_what_was_never_bought_is_refused() -> None:
    market = flat_market(sessions=4)
    with pytest.raises(TradingError, match="without having been held"):
        trades_of(market, fill(market, 1, 100, 1_000_00), fill(market, 2, -200, 2_000_00))


def test_no_trade_is_an_empty_table_of_the_same_columns() -> None:
    market = flat_market(sessions=4)
    trades = trades_of(market)
    assert trades.empty
    assert list(trades.columns) == list(TRADE_COLUMNS)
    assert list(open_lots(a_result(market, []), market).columns) == list(OPEN_COLUMNS)


@pytest.mark.parametrize("seed", range(4))
def test_closed_and_open_lots_explain_the_account_to_the_fen(seed: int, settings: Settings) -> None:
    """Dividends, bonus shares, rights, reverse splits, a delisting, partial sales: nothing is lost or made."""
    market, scores = small_market(seed)
    result = backtest(market, scores, settings.strategy, settings.costs)
    trades = explained(result, market)
    assert len(trades) > 100
    assert "lost" in set(trades["exit"])
    assert trades["dividends_fen"].sum() > 0
    assert result.rights_paid_fen.sum() > 0


@pytest.mark.parametrize("fill_at", ["open", "vwap", "bar_path"])
def test_so_they_do_at_every_fill_price_with_impact_and_forced_exits(fill_at: str, settings: Settings) -> None:
    market = random_market(7, names=30, sessions=200, rights=True)
    costs = settings.costs.model_copy(update={"fill": fill_at, "impact_coefficient": 0.5})
    exits = settings.strategy.exits.model_copy(update={"stop_loss_frac": 0.05, "take_profit_frac": 0.1})
    strategy = settings.strategy.model_copy(update={"kind": "score_weighted", "exits": exits})
    result = backtest(market, random_scores(7, market), strategy, costs)
    assert len(explained(result, market)) > 100
    assert result.impact_fen.sum() > 0


def explained(result: BacktestResult, market: MarketArrays) -> pd.DataFrame:
    """Assert that lots are what the account holds, spent and earned; return the closed trades."""
    trades, still = closed_trades(result, market), open_lots(result, market)
    held = still.groupby("symbol")["shares"].sum()
    positions = result.positions.set_index("symbol")["shares"]
    pd.testing.assert_series_equal(held, positions, check_names=False, check_dtype=False, check_index_type=False)
    value = int(result.equity_fen[-1] - result.cash_fen[-1])
    profit = int(trades["profit_fen"].sum()) + value + int((still["dividends_fen"] - still["cost_fen"]).sum())
    assert profit == int(result.equity_fen[-1] - result.equity_fen[0])
    assert int(trades["fees_fen"].sum() + still["fees_fen"].sum()) == int(result.fees_fen.sum())
    assert int(trades["dividends_fen"].sum() + still["dividends_fen"].sum()) == int(result.dividends_fen.sum())
    assert (trades["holding_sessions"] >= 1).all()  # T+1
    return trades


def backtest(
    market: MarketArrays, scores: np.ndarray, strategy: StrategySettings, costs: CostSettings
) -> BacktestResult:
    return run_backtest(
        market,
        scores,
        strategy=strategy.model_copy(update={"top_k": 6, "n_drop": 2, "capital_cny": 4e5}),
        costs=costs,
        first=market.sessions[0].date(),
        last=market.sessions[-1].date(),
    )
