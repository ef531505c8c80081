"""The backtest's own loop with orders that were written down beforehand, and what the exchange must equal of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from unittest.mock import patch

import numpy as np

from ljwx_pipeline.backtest import engine
from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.config import CostSettings, StrategySettings
from ljwx_pipeline.trading.exchange_wire import FillReport, OrderStatus, Side
from ljwx_pipeline.trading.fill_model import Reject
from ljwx_pipeline.trading.market_arrays import MarketArrays
from tests.fakes.exchange_world import PlayedSession

#: Of each close but the last one its orders as (row of the symbol, signed shares), first things first.
Script = list[list[tuple[int, int]]]


def scripted(
    market: MarketArrays,
    script: Script,
    costs: CostSettings,
    strategy: StrategySettings,
    *,
    capital_cny: float,
    sessions: Sequence[date],
) -> BacktestResult:
    """Run the loop itself, interpreted, with the script in the place of the decision."""
    closes = iter(script)

    def decide(*arguments: np.ndarray) -> int:
        names, shares = arguments[-2:]
        orders = next(closes)
        for k, (name, order) in enumerate(orders):
            names[k], shares[k] = name, order
        return len(orders)

    chosen = strategy.model_copy(update={"capital_cny": capital_cny})
    with patch.object(engine, "decide_kernel", decide), patch.object(engine, "_run", engine._run.py_func):
        return run_backtest(
            market,
            np.zeros(market.close_e4.shape),
            strategy=chosen,
            costs=costs,
            first=sessions[0],
            last=sessions[-1],
        )


def assert_as_backtested(played: Sequence[PlayedSession], result: BacktestResult) -> None:
    """Hold what the exchange told of each session against the backtest: money, fills, refusals by reason, positions."""
    for name in ("cash_fen", "equity_fen", "dividends_fen", "written_off_fen", "rights_paid_fen"):
        assert [getattr(one, name) for one in played] == getattr(result, name).tolist(), name
    columns = ["symbol", "fill_shares", "price_e4", "value_fen", "commission_fen", "stamp_duty_fen"]
    columns += ["transfer_fee_fen", "slippage_fen", "impact_fen"]
    days = result.orders["session_date"].dt.date
    for one in played:
        here = result.orders[days == one.session]
        filled = here.loc[here["fill_shares"] != 0, columns].sort_values("symbol")
        assert sorted(map(_row, one.fills)) == [tuple(row) for row in filled.itertuples(index=False)]
        said = {symbol: Reject(int(code)).name for symbol, code in zip(here["symbol"], here["reject"], strict=True)}
        assert {report.symbol: report.reason or "NONE" for report in one.ended} == said
        assert all(
            report.state is (OrderStatus.LAPSED if report.reason else OrderStatus.FILLED) for report in one.ended
        )
    held = {position.symbol: position for position in played[-1].positions}
    assert sorted(held) == sorted(result.positions["symbol"])
    for row in result.positions.itertuples():
        mine = held[row.symbol]
        assert (mine.shares, mine.entry_price_e4, mine.peak_price_e4) == (
            row.shares,
            row.entry_price_e4,
            row.peak_price_e4,
        )


def _row(fill: FillReport) -> tuple[object, ...]:
    sign = 1 if fill.side is Side.BUY else -1
    costs = (fill.commission_fen, fill.stamp_duty_fen, fill.transfer_fee_fen, fill.slippage_fen, fill.impact_fen)
    return (fill.symbol, sign * fill.shares, fill.price_e4, fill.value_fen, *costs)
