"""Limits of the opening auction in the whole loop: the list says what dense arrays would, and only to fills there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.config import CostSettings, Settings, load_settings
from ljwx_pipeline.trading.fill_model import FillModel
from ljwx_pipeline.trading.market_arrays import MarketArrays
from tests.fakes.random_market import random_market, random_scores

PLAIN: Settings = load_settings(profile="simulated", environ={})
MARKET = random_market(11, names=30, sessions=60)
SCORES = random_scores(11, MARKET)


def run(market: MarketArrays, fill: str) -> BacktestResult:
    costs: CostSettings = PLAIN.costs.model_copy(update={"fill": fill})
    first, last = (market.sessions[at].date() for at in (0, -1))
    return run_backtest(market, SCORES, strategy=PLAIN.strategy, costs=costs, first=first, last=last)


def patched(market: MarketArrays) -> MarketArrays:
    """Return the market with the opening's limits in the place of the session's."""
    assert market.opening_limits is not None
    up, down = market.limit_up_e4.copy(order="F"), market.limit_down_e4.copy(order="F")
    for session in range(len(market.sessions)):
        for name, above, below in market.opening_limits.on(session):
            up[name, session], down[name, session] = above, below
    return replace(market, limit_up_e4=up, limit_down_e4=down, opening_limits=None)


def test_at_the_open_the_list_says_what_dense_limits_would() -> None:
    assert run(MARKET, "open").orders.equals(run(patched(MARKET), "open").orders)
    assert not run(MARKET, "open").orders.equals(run(replace(MARKET, opening_limits=None), "open").orders)


@pytest.mark.parametrize("fill", [FillModel.CLOSE, FillModel.VWAP])
def test_what_does_not_fill_at_the_open_does_not_read_it(fill: FillModel) -> None:
    name = fill.name.lower()
    assert run(MARKET, name).orders.equals(run(replace(MARKET, opening_limits=None), name).orders)
