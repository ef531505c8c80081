"""The port: whatever a source yields has the columns, order and dtypes of the canonical tables."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.market.tables import TABLES
from ljwx_pipeline.sources.base import BarUnit, MarketSource, bars, month_units
from ljwx_pipeline.sources.simulated.source import SimulatedMarket


@pytest.fixture(scope="module")
def source() -> MarketSource:
    return SimulatedMarket(SimulatedSettings(seed=3, symbols=20, oracle_rank_ic=0.11))


def table(source: MarketSource, name: str) -> pd.DataFrame:
    if name == "bars":
        return bars(source, date(2020, 1, 1), date(2020, 12, 31))
    method = getattr(source, name)
    frame = method() if name == "securities" else method(date(2020, 1, 1), date(2020, 12, 31))
    assert isinstance(frame, pd.DataFrame)
    return frame


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_has_the_canonical_columns_and_dtypes(source: MarketSource, name: str) -> None:
    frame = table(source, name)
    assert len(frame) > 0
    assert list(frame.columns) == list(TABLES[name])
    wanted = {column: ("object" if dtype == "str" else dtype) for column, dtype in TABLES[name].items()}
    assert frame.dtypes.astype(str).to_dict() == wanted


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_is_indexed_from_zero_and_without_duplicate_rows(source: MarketSource, name: str) -> None:
    frame = table(source, name)
    assert frame.index.equals(pd.RangeIndex(len(frame)))
    assert not frame.duplicated().any()


def test_the_units_cover_the_range_once(source: MarketSource) -> None:
    units = source.bar_units(date(2020, 1, 10), date(2020, 3, 20))
    assert [unit.key for unit in units] == ["2020-01", "2020-02", "2020-03"]
    first, last = units[0].first, units[-1].last
    together = pd.concat([source.bars_of(unit) for unit in units], ignore_index=True)
    pd.testing.assert_frame_equal(together, bars(source, first, last))
    assert together["session_date"].min() == pd.Timestamp("2020-01-10")
    assert together["session_date"].max() == pd.Timestamp("2020-03-20")


def test_month_units_end_where_the_range_does() -> None:
    assert month_units(date(2023, 12, 31), date(2024, 2, 1)) == [
        BarUnit("2023-12", date(2023, 12, 31), date(2023, 12, 31)),
        BarUnit("2024-01", date(2024, 1, 1), date(2024, 1, 31)),
        BarUnit("2024-02", date(2024, 2, 1), date(2024, 2, 1)),
    ]


def test_suspensions_and_bars_share_no_session(source: MarketSource) -> None:
    keys = ["symbol", "session_date"]
    held = pd.concat([table(source, "suspensions")[keys], table(source, "bars")[keys]])
    assert not held.duplicated().any()


def test_every_bar_lies_within_its_published_limits(source: MarketSource) -> None:
    both = table(source, "bars").merge(table(source, "price_limits"), on=["symbol", "session_date"], validate="1:1")
    assert len(both) == len(table(source, "bars"))
    assert not (both["high_cny"] > both["limit_up_cny"] + 1e-9).any()
    assert not (both["low_cny"] < both["limit_down_cny"] - 1e-9).any()
    assert both["limit_up_cny"].isna().mean() < 0.01


def test_figures_are_announced_after_the_period_they_describe(source: MarketSource) -> None:
    figures = table(source, "financial_indicators")
    assert (figures["announced_date"] > figures["report_period"]).all()
    assert set(figures["indicator"]) == {"roe_percent", "net_profit_yoy_percent"}
