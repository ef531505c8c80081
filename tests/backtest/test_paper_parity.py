"""The same orders through the backtest's loop and through the paper broker: equal fills and equal cents."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.backtest import engine
from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.config import CostSettings, Settings, load_settings
from ljwx_pipeline.live.orders import Fill, OrderIntent, SessionClose, Side
from ljwx_pipeline.live.paper_broker import PaperBroker
from ljwx_pipeline.trading.fill_model import FillModel, Reject
from ljwx_pipeline.trading.market_arrays import MarketArrays
from tests.fakes.random_market import random_market

PLAIN: Settings = load_settings(profile="simulated", environ={})
FILLS = [model.name.lower() for model in FillModel]
Script = list[list[tuple[int, int]]]


def scripted(market: MarketArrays, script: Script, costs: CostSettings, capital_cny: float) -> BacktestResult:
    """Run the loop itself, interpreted, with orders written down beforehand in the place of the decision."""
    closes = iter(script)

    def decide(*arguments: np.ndarray) -> int:
        names, shares = arguments[-2:]
        orders = next(closes)
        for k, (name, order) in enumerate(orders):
            names[k], shares[k] = name, order
        return len(orders)

    strategy = PLAIN.strategy.model_copy(update={"capital_cny": capital_cny})
    with patch.object(engine, "decide_kernel", decide), patch.object(engine, "_run", engine._run.py_func):
        return run_backtest(
            market,
            np.zeros(market.close_e4.shape),
            strategy=strategy,
            costs=costs,
            first=market.sessions[0].date(),
            last=market.sessions[-1].date(),
        )


def on_paper(
    folder: Path, market: MarketArrays, script: Script, costs: CostSettings, capital_cny: float
) -> list[SessionClose]:
    broker = PaperBroker(folder / "b.sqlite", market=market, costs=costs, capital_fen=round(capital_cny * 100))
    closes = []
    for t, day in enumerate(market.sessions):
        closes.append(broker.session_close(day.date()))
        if t < len(script):
            intents = [
                OrderIntent(
                    client_order_id=f"{t}|{k}",
                    session=day.date(),
                    symbol=market.symbols[name],
                    side=Side.BUY if order > 0 else Side.SELL,
                    shares=abs(order),
                    rank=k,
                    reference_price_e4=1,
                )
                for k, (name, order) in enumerate(script[t])
            ]
            broker.submit(intents)
    broker.close()
    return closes


def fill_row(fill: Fill) -> tuple[object, ...]:
    sign = 1 if fill.side is Side.BUY else -1
    costs = (fill.commission_fen, fill.stamp_duty_fen, fill.transfer_fee_fen, fill.slippage_fen, fill.impact_fen)
    return (fill.symbol, sign * fill.shares, fill.price_e4, fill.value_fen, *costs)


def random_script(seed: int, market: MarketArrays) -> Script:
    """Return orders of any kind: sales of what is not held, odd lots, names without a bar; one a name and session."""
    rng = np.random.default_rng(seed + 2)
    script: Script = []
    for _ in range(len(market.sessions) - 1):
        names = rng.permutation(len(market.symbols))[: rng.integers(0, len(market.symbols) + 1)]
        sizes = rng.choice([100, 300, 537, 2_000, 60_000], len(names)) * rng.choice([1, 1, -1], len(names))
        script.append([(int(name), int(size)) for name, size in zip(names, sizes, strict=True)])
    return script


@pytest.mark.parametrize("fill", FILLS)
@given(
    seed=st.integers(0, 2**32),
    names=st.integers(1, 6),
    sessions=st.integers(2, 12),
    impact=st.sampled_from([0.0, 0.8]),
    offset=st.sampled_from([0.0, 60.0, 10_000.0]),
    capital=st.sampled_from([2_000.0, 90_000.0, 20_000_000.0]),
)
@settings(max_examples=25, deadline=None)
def test_any_orders_come_to_the_same_fills_and_cents(
    fill: str, seed: int, names: int, sessions: int, impact: float, offset: float, capital: float
) -> None:
    market = random_market(seed, names=names, sessions=sessions, rights=True)
    script = random_script(seed, market)
    chosen = {"fill": fill, "impact_coefficient": impact, "limit_offset_bps": offset, "max_participation_frac": 0.3}
    costs = PLAIN.costs.model_copy(update=chosen)
    result = scripted(market, script, costs, capital)
    with tempfile.TemporaryDirectory(prefix="ljwx-parity-") as folder:
        closes = on_paper(Path(folder), market, script, costs, capital)
    assert [close.cash_fen for close in closes] == result.cash_fen.tolist()
    assert [close.equity_fen for close in closes] == result.equity_fen.tolist()
    assert [close.dividends_fen for close in closes] == result.dividends_fen.tolist()
    assert [close.written_off_fen for close in closes] == result.written_off_fen.tolist()
    assert [close.rights_paid_fen for close in closes] == result.rights_paid_fen.tolist()
    columns = ["symbol", "fill_shares", "price_e4", "value_fen", "commission_fen", "stamp_duty_fen"]
    columns += ["transfer_fee_fen", "slippage_fen", "impact_fen"]
    for t, close in enumerate(closes):
        here = result.orders[result.orders["session_date"] == market.sessions[t]]
        filled = here.loc[here["fill_shares"] != 0, columns].sort_values("symbol")
        assert sorted(map(fill_row, close.fills)) == [tuple(row) for row in filled.itertuples(index=False)]
        theirs = {outcome.client_order_id: outcome.reason for outcome in close.outcomes}
        if t:
            symbols = [market.symbols[name] for name, _ in script[t - 1]]
            ours = {symbol: int(code) for symbol, code in zip(here["symbol"], here["reject"], strict=True)}
            said = [Reject(ours[symbol]).name for symbol in symbols]
            assert [theirs[f"{t - 1}|{k}"] or "NONE" for k in range(len(symbols))] == said
    held = {position.symbol: position for position in closes[-1].positions}
    assert sorted(held) == result.positions["symbol"].tolist()
    for row in result.positions.itertuples():
        mine = held[row.symbol]
        assert (mine.shares, mine.entry_price_e4, mine.peak_price_e4) == (
            row.shares,
            row.entry_price_e4,
            row.peak_price_e4,
        )
