"""The world resembles what was measured on real A-shares (291 symbols, 2010 to 2020); figures in brackets are those."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.sources.simulated.shocks import SESSIONS_A_YEAR
from ljwx_pipeline.sources.simulated.source import WORLD_FIRST, WORLD_LAST, SimulatedMarket
from tests.sources.simulated.measures import wide


@pytest.fixture(scope="module")
def returns(bars: pd.DataFrame) -> pd.DataFrame:
    """Simple returns of the stocks listed throughout, sessions x symbols."""
    every = wide(bars, bars["close_cny"] / bars["pre_close_cny"] - 1)
    return every.loc[:, every.notna().sum() > 1700]


@pytest.fixture(scope="module")
def index(returns: pd.DataFrame) -> pd.Series:
    """The equal-weight market."""
    return returns.mean(axis=1)


def test_median_annual_volatility_is_about_43_percent(returns: pd.DataFrame) -> None:
    assert (returns.std() * np.sqrt(SESSIONS_A_YEAR)).median() == pytest.approx(0.43, abs=0.03)


def test_the_equal_weight_market_has_about_28_percent(index: pd.Series) -> None:
    assert index.std() * np.sqrt(SESSIONS_A_YEAR) == pytest.approx(0.28, abs=0.03)


def test_the_market_explains_about_42_percent_of_a_stock(returns: pd.DataFrame, index: pd.Series) -> None:
    assert (returns.corrwith(index) ** 2).mean() == pytest.approx(0.42, abs=0.05)


def test_tails_are_fat(returns: pd.DataFrame) -> None:
    assert returns.kurt().median() == pytest.approx(2.8, abs=0.8)


@pytest.mark.parametrize(("lag", "real"), [(1, 0.24), (5, 0.19), (20, 0.14)])
def test_volatility_clusters(returns: pd.DataFrame, lag: int, real: float) -> None:
    sizes = returns.abs()
    assert sizes.apply(lambda column: column.dropna().autocorr(lag)).median() == pytest.approx(real, abs=0.05)


def test_log_turnover_centres_on_7_9_with_deviation_0_6(bars: pd.DataFrame) -> None:
    turnover = np.log10(bars["amount_cny"])
    assert turnover.mean() == pytest.approx(7.9, abs=0.2)
    assert turnover.std() == pytest.approx(0.6, abs=0.1)


def test_about_one_close_in_eighty_is_at_the_upper_limit(bars: pd.DataFrame, market: SimulatedMarket) -> None:
    boards = market.securities().set_index("symbol")["board"]
    main = bars[bars["symbol"].map(boards) == 0]
    share = (main["close_cny"] / main["pre_close_cny"] > 1.095).mean()
    assert share == pytest.approx(0.012, abs=0.005)


def test_a_stock_goes_ex_dividend_about_seven_times_in_ten_years(bars: pd.DataFrame, market: SimulatedMarket) -> None:
    years = len(bars) / SESSIONS_A_YEAR
    assert len(market.corporate_actions(WORLD_FIRST, WORLD_LAST)) / years == pytest.approx(0.72, abs=0.08)
