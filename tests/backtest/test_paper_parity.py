"""The same orders through the backtest's loop and through the paper exchange: equal fills and equal cents."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.config import CostSettings, Settings, load_settings
from ljwx_pipeline.trading.fill_model import FillModel
from ljwx_pipeline.trading.market_arrays import MarketArrays
from tests.fakes.array_market import exchange_of
from tests.fakes.exchange_world import PlayedSession, play_session, session_order
from tests.fakes.random_market import random_market
from tests.fakes.scripted_backtest import Script, assert_as_backtested, scripted

PLAIN: Settings = load_settings(profile="simulated", environ={})
FILLS = [model.name.lower() for model in FillModel]


def on_the_exchange(
    folder: Path, market: MarketArrays, script: Script, costs: CostSettings, capital_cny: float
) -> list[PlayedSession]:
    days = [day.date() for day in market.sessions]
    played = []
    with exchange_of(market, folder, costs, capital_fen=round(capital_cny * 100)) as exchange:
        for t, day in enumerate(days):
            played.append(play_session(exchange, day))
            for k, (name, order) in enumerate(script[t] if t < len(script) else []):
                asked = session_order(days[t + 1], market.symbols[name], order, rank=k, name=f"{t}|{k}")
                assert exchange.desk.submit(asked, 1)[0].reason == ""
    return played


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
    days = [day.date() for day in market.sessions]
    result = scripted(market, script, costs, PLAIN.strategy, capital_cny=capital, sessions=days)
    with tempfile.TemporaryDirectory(prefix="ljwx-parity-") as folder:
        assert_as_backtested(on_the_exchange(Path(folder), market, script, costs, capital), result)
