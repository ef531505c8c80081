"""What goes through tushare's spelling and back is the simulated market again, up to the provider's rounding."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.tables import OPTIONAL_COLUMNS, TABLES
from ljwx_pipeline.quality.run import run_checks
from ljwx_pipeline.sources import base
from ljwx_pipeline.sources.tushare import TushareSource
from tests.fakes.provider_stubs.market import FIRST, LAST, SimulatedTables, simulated_tables
from tests.fakes.provider_stubs.tushare import TushareStub
from tests.fakes.provider_stubs.tushare_source import tushare_source

#: What half of the provider's last decimal amounts to: thousand CNY to three decimals, 10,000 CNY and factors to four.
ROUNDING = {"amount_cny": 0.5, "market_value_cny": 0.5, "adj_factor": 5e-5}
Read = Callable[[str], pd.DataFrame]


@pytest.fixture(scope="module")
def market(server: TushareStub) -> SimulatedTables:
    return server.market


@pytest.fixture(scope="module")
def read(server: TushareStub) -> Read:
    """Return a table by name, each asked for once; never change one in place."""
    source = tushare_source(server)
    return lru_cache(lambda name: table(source, name))


def table(source: TushareSource, name: str) -> pd.DataFrame:
    market = simulated_tables()
    if name == "bars":
        return base.bars(source, market.first, market.last)
    method = getattr(source, name)
    frame = method() if name == "securities" else method(market.first, market.last)
    assert isinstance(frame, pd.DataFrame)
    return frame


def members_on(spans: pd.DataFrame, day: pd.Timestamp) -> set[tuple[str, str]]:
    held = spans[(spans["start_date"] <= day) & ~(spans["end_date"] < day)]
    return set(zip(held["index_code"], held["symbol"], strict=True))


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    exact = [column for column in expected.columns if column not in ROUNDING]
    pd.testing.assert_frame_equal(found[exact], expected[exact], check_exact=True)
    for column in set(expected.columns) & set(ROUNDING):
        np.testing.assert_allclose(found[column], expected[column], rtol=0, atol=1.01 * ROUNDING[column])


@pytest.mark.parametrize(
    "name", ["bars", "index_bars", "securities", "st_spells", "suspensions", "price_limits", "financial_indicators"]
)
def test_the_table_is_the_simulated_one(name: str, read: Read, market: SimulatedTables) -> None:
    assert_same(read(name), market[name])


def test_market_values_are_those_of_the_sessions_traded(read: Read, market: SimulatedTables) -> None:
    keys = ["symbol", "session_date"]
    traded = market["market_values"].merge(market["bars"][keys], on=keys)
    assert len(traded) < len(market["market_values"])
    assert_same(read("market_values"), traded)


def test_corporate_actions_are_those_carried_out_in_the_range(read: Read, market: SimulatedTables) -> None:
    every = market["corporate_actions"]
    inside = every[every["ex_date"].between(market.sessions[0], market.sessions[-1])].reset_index(drop=True)
    assert (inside["bonus_shares_per_share"] > 0).any()
    assert_same(read("corporate_actions"), inside)


def test_members_count_from_the_snapshot_that_shows_them(read: Read, market: SimulatedTables) -> None:
    found, truth = read("index_members"), market["index_members"]
    for day in market.sessions[~market.sessions.to_period("M").duplicated()]:
        assert members_on(found, day) == members_on(truth, day), f"first session of the month, {day}"
    joined = found[found["start_date"] > market.sessions[0]]
    changed = truth["start_date"].between(market.sessions[1], market.sessions[-1])
    assert len(joined) == changed.sum() > 0
    assert (joined["start_date"] == pd.Timestamp("2020-06-30")).all(), "the change of 15 June is first seen on the 30th"
    left = found["end_date"].dropna()
    assert len(left) > 0
    assert (left == pd.Timestamp("2020-06-29")).all()


def test_industries_begin_on_the_day_of_the_download(read: Read, market: SimulatedTables) -> None:
    found = read("industries")
    stocks = market["securities"]
    assert set(found["symbol"]) == set(stocks.loc[stocks["delist_date"].isna(), "symbol"])
    assert (found["start_date"] == pd.Timestamp(market.last) + pd.Timedelta(days=1)).all()


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_has_the_canonical_columns_and_dtypes(name: str, read: Read) -> None:
    frame = read(name)
    columns = TABLES[name] | OPTIONAL_COLUMNS.get(name, {})
    assert list(frame.columns) == list(columns)
    wanted = {column: ("object" if dtype == "str" else dtype) for column, dtype in columns.items()}
    assert frame.dtypes.astype(str).to_dict() == wanted
    assert frame.index.equals(pd.RangeIndex(len(frame)))


def test_the_tables_pass_the_quality_checks(read: Read, server: TushareStub) -> None:
    names = ("bars", "securities", "index_bars", "st_spells", "industries", "index_members")
    tables = {name: read(name) for name in names}
    results = run_checks(tables, tushare_source(server).describe(), server.market.sessions)
    assert [result.name for result in results if not result.passed] == []


@pytest.mark.parametrize("name", ["bars", "market_values", "price_limits", "suspensions", "financial_indicators"])
def test_chosen_symbols_give_their_share_of_the_table(name: str, read: Read, stub: TushareStub) -> None:
    symbols = ("S00003.SIM", "S00016.SIM", "S00024.SIM", "S00026.SIM")
    whole, source = read(name), tushare_source(stub, symbols=symbols)
    assert_same(table(source, name), whole[whole["symbol"].isin(symbols)].reset_index(drop=True))
    assert set(source.securities()["symbol"]) == set(symbols)


def test_few_symbols_over_many_sessions_are_asked_by_symbol(stub: TushareStub, market: SimulatedTables) -> None:
    source = tushare_source(stub, symbols=("S00003.SIM", "S00016.SIM"))
    units = source.bar_units(market.first, market.last)
    assert [unit.symbol for unit in units] == ["S00003.SIM", "S00016.SIM"]
    for unit in units:
        source.bars_of(unit)
    assert (len(stub.asked("daily")), len(stub.asked("adj_factor"))) == (2, 2)


def test_many_symbols_over_few_sessions_are_asked_by_session(stub: TushareStub) -> None:
    source = tushare_source(stub, symbols=("S00003.SIM", "S00016.SIM", "S00017.SIM"))
    units = source.bar_units(date(2020, 5, 6), date(2020, 5, 7))
    assert [unit.key for unit in units] == ["2020-05-06", "2020-05-07"]
    assert set(source.bars_of(units[0])["symbol"]) == {"S00003.SIM", "S00016.SIM", "S00017.SIM"}


def test_a_unit_is_the_same_in_another_process_and_fetched_alone(stub: TushareStub, market: SimulatedTables) -> None:
    units = tushare_source(stub).bar_units(market.first, market.last)
    assert [unit.key for unit in units] == [f"{session:%Y-%m-%d}" for session in market.sessions]
    later = tushare_source(stub)
    assert later.bar_units(market.first, market.last) == units
    asked = len(stub.asked("daily"))
    bars = later.bars_of(units[5])
    assert_same(bars, market["bars"][market["bars"]["session_date"] == units[5].key].reset_index(drop=True))
    assert [call["trade_date"] for call in stub.asked("daily")[asked:]] == [units[5].key.replace("-", "")]


def test_one_connection_carries_many_questions(stub: TushareStub) -> None:
    before, source = stub.connections, tushare_source(stub)
    source.market_values(date(2020, 5, 6), date(2020, 5, 29))
    assert len(stub.calls) > 18
    assert stub.connections - before == 1


def test_nothing_is_asked_and_no_token_read_before_the_first_table(stub: TushareStub) -> None:
    source = tushare_source(stub, token="")
    assert source.describe().adjustment == "raw"
    assert "industries before the day of the download" in {item.what for item in source.describe().unknown}
    assert stub.calls == []
    with pytest.raises(SourceError, match="TUSHARE_TOKEN"):
        source.securities()


def test_few_symbols_have_their_dividends_asked_by_symbol(stub: TushareStub) -> None:
    tushare_source(stub, symbols=("S00003.SIM",)).corporate_actions(FIRST, LAST)
    assert stub.asked("dividend") == [{"ts_code": "S00003.SIM", "limit": 2000, "offset": 0}]
