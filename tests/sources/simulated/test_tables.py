"""Dated ranges neither overlap nor leave holes, and what lasts has no end."""

from __future__ import annotations

import pandas as pd

from ljwx_pipeline.sources.simulated.source import SimulatedMarket
from tests.sources.simulated.measures import WHOLE, wide


def test_a_stock_has_one_industry_on_every_session(market: SimulatedMarket, all_sessions: pd.DatetimeIndex) -> None:
    table = market.industries(*WHOLE)
    by_symbol = table.groupby("symbol")
    assert by_symbol["end_date"].apply(lambda ends: ends.isna().sum() == 1).all()
    moved = table[table["end_date"].notna()].merge(table, on="symbol", suffixes=("", "_next"))
    moved = moved[moved["start_date_next"] > moved["start_date"]]
    assert len(moved) > 0
    position = all_sessions.get_indexer
    assert (position(moved["start_date_next"]) - position(moved["end_date"]) == 1).all()


def test_the_market_value_is_kept_through_suspensions(market: SimulatedMarket, bars: pd.DataFrame) -> None:
    value = wide(market.market_values(*WHOLE), "market_value_cny")
    close = wide(bars, "close_cny").reindex_like(value)
    still = (close.isna() & value.notna() & value.shift(1).notna()).to_numpy()
    assert still.sum() > 1000
    assert (value.to_numpy()[still] == value.shift(1).to_numpy()[still]).all()


def test_bonus_shares_leave_the_market_value_where_it_was(market: SimulatedMarket, bars: pd.DataFrame) -> None:
    value = wide(market.market_values(*WHOLE), "market_value_cny")
    shares = (value / wide(bars, "close_cny").reindex_like(value)).ffill()
    bonus = market.corporate_actions(*WHOLE).query("bonus_shares_per_share > 0")
    for action in bonus.itertuples():
        own = shares[action.symbol].dropna()
        at = own.index.get_loc(action.ex_date)
        if at > 0:
            assert abs(own.iloc[at] / own.iloc[at - 1] - (1 + action.bonus_shares_per_share)) < 1e-6
