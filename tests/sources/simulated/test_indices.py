"""Indices follow from their members: weights by market value, members by date, ranges that change half-yearly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.sources.simulated.indices import BASE_POINTS, INDEX_NAMES
from ljwx_pipeline.sources.simulated.source import SimulatedMarket
from tests.sources.simulated.measures import WHOLE, wide


def membership(market: SimulatedMarket, code: str, like: pd.DataFrame) -> pd.DataFrame:
    table = market.index_members(*WHOLE).query("index_code == @code")
    inside = pd.DataFrame(False, index=like.index, columns=like.columns)
    for row in table.itertuples():
        last = like.index[-1] if pd.isna(row.end_date) else row.end_date
        inside.loc[row.start_date : last, row.symbol] = True
    return inside


@pytest.mark.parametrize("code", list(INDEX_NAMES))
def test_levels_are_the_members_returns_weighted_by_market_value(
    market: SimulatedMarket, bars: pd.DataFrame, code: str
) -> None:
    value = wide(market.market_values(*WHOLE), "market_value_cny")
    returns = wide(bars, bars["close_cny"] / bars["pre_close_cny"] - 1).reindex_like(value).fillna(0.0)
    weight = value.shift(1).where(membership(market, code, value))
    daily = (weight * returns).sum(axis=1) / weight.sum(axis=1)
    points = market.index_bars(*WHOLE).query("index_code == @code").set_index("session_date")["close_points"]
    level = points.iloc[0] * (1 + daily.iloc[1:]).cumprod()
    np.testing.assert_allclose(points.iloc[1:], level, rtol=1e-6)
    assert 0.9 * BASE_POINTS[code] < points.iloc[0] < 1.1 * BASE_POINTS[code]


def test_index_bars_are_consistent(market: SimulatedMarket) -> None:
    frame = market.index_bars(*WHOLE)
    assert (frame["high_points"] >= frame[["open_points", "close_points"]].max(axis=1)).all()
    assert (frame["low_points"] <= frame[["open_points", "close_points"]].min(axis=1)).all()
    assert (frame[["volume_shares", "amount_cny"]] > 0).all(axis=None)


def test_members_change_only_at_the_half_years_or_when_a_stock_leaves(market: SimulatedMarket) -> None:
    table = market.index_members(*WHOLE)
    entered = table.loc[table["start_date"] > "2018-01-02", "start_date"]
    assert len(entered) > 20
    assert entered.dt.month.isin([6, 12]).all()
    assert (entered.dt.day >= 15).all()
    securities = market.securities().set_index("symbol")
    left = table.dropna(subset=["end_date"])
    next_month_half = left["end_date"].dt.strftime("%m-%d").between("06-05", "06-30") | left["end_date"].dt.strftime(
        "%m-%d"
    ).between("12-05", "12-31")
    gone = left.loc[~next_month_half]
    assert (gone["end_date"] < gone["symbol"].map(securities["delist_date"])).all()


def test_the_large_and_the_broad_index_share_no_member_and_cover_most_stocks(market: SimulatedMarket) -> None:
    value = wide(market.market_values(*WHOLE), "market_value_cny")
    large, broad = (membership(market, code, value) for code in ("000300.SH", "000905.SH"))
    assert not (large & broad).any(axis=None)
    listed = value.notna().sum(axis=1)
    assert ((large | broad).sum(axis=1) / listed > 0.75).all()
    assert (broad.sum(axis=1) > 2 * large.sum(axis=1)).all()


def test_a_member_is_listed(market: SimulatedMarket) -> None:
    value = wide(market.market_values(*WHOLE), "market_value_cny")
    for code in INDEX_NAMES:
        assert value.notna()[membership(market, code, value)].sum().sum() == membership(market, code, value).sum().sum()
