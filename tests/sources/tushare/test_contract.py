"""What goes through tushare's spelling and back is the simulated market again, up to the provider's rounding."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.market.tables import TABLES
from ljwx_pipeline.quality.run import run_checks
from ljwx_pipeline.sources import base
from ljwx_pipeline.sources.tushare import TushareSource
from tests.fakes.provider_stubs.market import SimulatedTables
from tests.fakes.provider_stubs.tushare import TushareStub
from tests.sources.tushare.conftest import Build

BY_RANGE = ("index_bars", "market_values", "suspensions", "price_limits", "financial_indicators")
#: What half of the provider's last decimal amounts to: thousand CNY to three decimals, 10,000 CNY and factors to four.
ROUNDING = {"amount_cny": 0.5, "market_value_cny": 0.5, "adj_factor": 5e-5}


def table(source: TushareSource, market: SimulatedTables, name: str) -> pd.DataFrame:
    if name == "bars":
        return base.bars(source, market.first, market.last)
    method = getattr(source, name)
    frame = method(market.first, market.last) if name in (*BY_RANGE, "news", "macro") else method()
    assert isinstance(frame, pd.DataFrame)
    return frame


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    exact = [column for column in expected.columns if column not in ROUNDING]
    pd.testing.assert_frame_equal(found[exact], expected[exact], check_exact=True)
    for column in set(expected.columns) & set(ROUNDING):
        np.testing.assert_allclose(found[column], expected[column], rtol=0, atol=1.01 * ROUNDING[column])


@pytest.mark.parametrize(
    "name", ["bars", "index_bars", "securities", "st_spells", "suspensions", "price_limits", "financial_indicators"]
)
def test_the_table_is_the_simulated_one(name: str, build: Build, market: SimulatedTables) -> None:
    found, expected = table(build(), market, name), market[name]
    if name == "st_spells":  # spells of the whole world; the provider of that day would not know later ones
        expected = expected.reset_index(drop=True)
    assert_same(found, expected)


def test_market_values_are_those_of_the_sessions_traded(build: Build, market: SimulatedTables) -> None:
    keys = ["symbol", "session_date"]
    traded = market["market_values"].merge(market["bars"][keys], on=keys)
    assert len(traded) < len(market["market_values"])
    assert_same(table(build(), market, "market_values"), traded)


def test_corporate_actions_are_those_carried_out_in_the_range(build: Build, market: SimulatedTables) -> None:
    every = market["corporate_actions"]
    inside = every[every["ex_date"].between(market.sessions[0], market.sessions[-1])].reset_index(drop=True)
    assert (inside["bonus_shares_per_share"] > 0).any()
    assert_same(table(build(), market, "corporate_actions"), inside)


def test_members_count_from_the_snapshot_that_shows_them(build: Build, market: SimulatedTables) -> None:
    found = table(build(), market, "index_members")
    snapshots = {month: day for day in market.sessions[::-1] if (month := f"{day:%Y-%m}")}
    for day in snapshots.values():  # the first session of each month
        for code in found["index_code"].unique():
            for frame in (found, market["index_members"]):
                spans = frame[frame["index_code"] == code]
                held = spans[(spans["start_date"] <= day) & ~(spans["end_date"] < day)]
                frame.attrs[code] = set(held["symbol"])
            assert found.attrs[code] == market["index_members"].attrs[code], f"{code} on {day}"
    joined = found[found["start_date"] > market.sessions[0]]
    changed = market["index_members"]["start_date"].between(market.sessions[1], market.sessions[-1])
    assert len(joined) == changed.sum() > 0
    assert (joined["start_date"] == pd.Timestamp("2020-06-30")).all(), "the change of 15 June is first seen on the 30th"


def test_industries_begin_on_the_day_of_the_download(build: Build, market: SimulatedTables) -> None:
    found = table(build(), market, "industries")
    stocks = market["securities"]
    assert set(found["symbol"]) == set(stocks.loc[stocks["delist_date"].isna(), "symbol"])
    assert (found["start_date"] == pd.Timestamp(market.last) + pd.Timedelta(days=1)).all()
    assert "industries before the day of the download" in {item.what for item in build().describe().unknown}


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_has_the_canonical_columns_and_dtypes(name: str, build: Build, market: SimulatedTables) -> None:
    frame = table(build(), market, name)
    assert list(frame.columns) == list(TABLES[name])
    wanted = {column: ("object" if dtype == "str" else dtype) for column, dtype in TABLES[name].items()}
    assert frame.dtypes.astype(str).to_dict() == wanted
    assert frame.index.equals(pd.RangeIndex(len(frame)))


def test_the_tables_pass_the_quality_checks(build: Build, market: SimulatedTables) -> None:
    source = build()
    names = ("bars", "securities", "index_bars", "st_spells", "industries", "index_members")
    tables = {name: table(source, market, name) for name in names}
    results = run_checks(tables, source.describe(), source.sessions(market.first, market.last))
    assert [result.name for result in results if not result.passed] == []


@pytest.mark.parametrize("name", ["bars", "market_values", "price_limits", "suspensions", "financial_indicators"])
def test_chosen_symbols_give_their_share_of_the_table(name: str, build: Build, market: SimulatedTables) -> None:
    symbols = ("S00003.SIM", "S00016.SIM", "S00024.SIM", "S00026.SIM")
    whole = table(build(), market, name)
    found = table(build(symbols=symbols), market, name)
    assert_same(found, whole[whole["symbol"].isin(symbols)].reset_index(drop=True))
    assert set(build(symbols=symbols).securities()["symbol"]) == set(symbols)


def test_few_symbols_over_many_sessions_are_asked_by_symbol(
    build: Build, market: SimulatedTables, stub: TushareStub
) -> None:
    source = build(symbols=("S00003.SIM", "S00016.SIM"))
    units = source.bar_units(market.first, market.last)
    assert [unit.symbol for unit in units] == ["S00003.SIM", "S00016.SIM"]
    for unit in units:
        source.bars_of(unit)
    assert (len(stub.asked("daily")), len(stub.asked("adj_factor"))) == (2, 2)


def test_the_whole_market_is_asked_by_session_and_a_unit_can_be_fetched_again(
    build: Build, market: SimulatedTables, stub: TushareStub
) -> None:
    units = build().bar_units(market.first, market.last)
    assert [unit.key for unit in units] == [f"{session:%Y-%m-%d}" for session in market.sessions]
    assert [unit.key for unit in build().bar_units(market.first, market.last)] == [unit.key for unit in units]
    later = build()  # another process takes up where the first stopped
    pd.testing.assert_frame_equal(later.bars_of(units[5]), build().bars_of(units[5]))
    assert stub.asked("daily")[-1]["trade_date"] == units[5].key.replace("-", "")


def test_one_connection_carries_many_questions(build: Build, market: SimulatedTables, stub: TushareStub) -> None:
    before = stub.connections
    build().market_values(market.first, market.last)
    assert len(stub.calls) > 80
    assert stub.connections - before == 1
