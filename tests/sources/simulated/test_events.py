"""News and macro figures are known when their instant says, and no earlier."""

from __future__ import annotations

from datetime import date, time

import numpy as np
import pandas as pd

from ljwx_pipeline.sources.simulated.source import SimulatedMarket
from tests.sources.simulated.measures import WHOLE, five_session_return, wide


def test_news_is_published_after_the_close_of_a_session_its_stock_traded(
    market: SimulatedMarket, bars: pd.DataFrame
) -> None:
    news = market.news(*WHOLE)
    local = news["published_at"].dt.tz_convert("Asia/Shanghai")
    assert (local.dt.time > time(15, 0)).all()
    assert (local.dt.time < time(23, 59)).all()
    traded = set(zip(bars["symbol"], bars["session_date"], strict=True))
    days = local.dt.tz_localize(None).dt.normalize()
    assert set(zip(news["symbol"], days, strict=True)) <= traded


def test_sentiment_tells_the_session_that_was_and_not_the_sessions_to_come(
    market: SimulatedMarket, bars: pd.DataFrame
) -> None:
    news = market.news(*WHOLE)
    assert news["sentiment"].between(-1, 1).all()
    day = news["published_at"].dt.tz_convert("Asia/Shanghai").dt.tz_localize(None).dt.normalize()
    sentiment = wide(news.assign(session_date=day), "sentiment")
    today = wide(bars, bars["close_cny"] / bars["pre_close_cny"] - 1)
    assert correlation(sentiment, today) > 0.6
    ahead = five_session_return(bars).rank(axis=1, pct=True)
    assert abs(correlation(sentiment, ahead)) < 0.06


def correlation(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """Pooled over the cells both have."""
    one, other = one.align(other, join="inner")
    both = (one.notna() & other.notna()).to_numpy()
    return float(np.corrcoef(one.to_numpy()[both], other.to_numpy()[both])[0, 1])


def test_a_macro_figure_is_released_in_the_month_after_the_one_it_describes(market: SimulatedMarket) -> None:
    macro = market.macro(*WHOLE)
    released = macro["released_at"].dt.tz_convert("Asia/Shanghai").dt.tz_localize(None)
    lag = (released.dt.year - macro["reference_month"].dt.year) * 12 + (
        released.dt.month - macro["reference_month"].dt.month
    )
    assert (lag == 1).all()
    assert (macro["reference_month"].dt.day == 1).all()
    assert set(macro.groupby("series").size()) == {95}  # 96 months, the last one released after the world ends
    assert len(macro["series"].unique()) >= 3


def test_a_figure_released_after_the_asked_day_is_not_told(market: SimulatedMarket) -> None:
    known = market.macro(date(2020, 1, 2), date(2020, 3, 9))
    assert not ((known["series"] == "cpi_yoy_percent") & (known["reference_month"] == "2020-02-01")).any()
    known = market.macro(date(2020, 1, 2), date(2020, 3, 10))
    assert ((known["series"] == "cpi_yoy_percent") & (known["reference_month"] == "2020-02-01")).any()


def test_news_counts_follow_large_moves(market: SimulatedMarket, bars: pd.DataFrame) -> None:
    news = market.news(*WHOLE)
    large = np.abs(np.log(bars["close_cny"] / bars["pre_close_cny"])) > 0.07
    assert news["title"].str.contains("sharply").sum() == large.sum()
