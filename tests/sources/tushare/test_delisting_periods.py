"""From names at the provider to limit prices: a delisting period is told once and reckoned with everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.lake import Lake
from ljwx_pipeline.lake.diff import diff_versions
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.quality import scan_kernel
from ljwx_pipeline.quality.scan import ScanContext, scan
from ljwx_pipeline.quality.schemas import validate
from ljwx_pipeline.sources.tushare import TushareSource, securities
from ljwx_pipeline.trading.market_arrays import UNLIMITED_E4, MarketArrays, market_arrays
from tests.fakes.provider_stubs.market import SimulatedTables, relabelled, simulated_tables
from tests.fakes.provider_stubs.tushare import TushareStub
from tests.fakes.provider_stubs.tushare_source import tushare_source

#: A main-board stock that leaves under special treatment at the end of the range, and its last sessions traded.
LEAVING, KEPT = "S00026.SIM", 6


@pytest.fixture(scope="module")
def market() -> SimulatedTables:
    return relabelled(simulated_tables(), date(2021, 8, 31))


@pytest.fixture(scope="module")
def traded(market: SimulatedTables) -> pd.DatetimeIndex:
    bars = market["bars"]
    return pd.DatetimeIndex(bars.loc[bars["symbol"] == LEAVING, "session_date"])[-KEPT:]


@pytest.fixture(scope="module")
def source(market: SimulatedTables, traded: pd.DatetimeIndex) -> Iterator[TushareSource]:
    with TushareStub(market) as stub:
        told = {"ts_code": LEAVING, "name": "退市甲", "start_date": f"{traded[2]:%Y%m%d}", "end_date": None}
        row = pd.DataFrame([{**told, "ann_date": f"{traded[0]:%Y%m%d}", "change_reason": "退市整理期"}])
        stub.tables["namechange"] = pd.concat([row, stub.tables["namechange"]], ignore_index=True)
        yield tushare_source(stub)


def arrays(market: SimulatedTables, source: TushareSource, stocks: pd.DataFrame) -> MarketArrays:
    spells = source.st_spells(market.first, market.last)
    nothing = empty_table("corporate_actions")
    axes = {"symbols": tuple(stocks["symbol"]), "sessions": market.sessions}
    return market_arrays(market["bars"], stocks, spells, nothing, adjustment="raw", **axes)


def test_the_limits_of_a_period_that_tushare_tells_are_the_boards_own_and_none_on_its_first_session(
    market: SimulatedTables, source: TushareSource, traded: pd.DatetimeIndex
) -> None:
    stocks = source.securities()
    assert validate("securities", stocks).passed
    row = stocks[stocks["symbol"] == LEAVING].iloc[0]
    assert (row["board"], row["delisting_period_date"]) == (Board.MAIN, traded[2])
    assert stocks["delisting_period_date"].notna().sum() == 1

    made = arrays(market, source, stocks)
    name, at = made.symbols.index(LEAVING), made.sessions.get_indexer(traded)
    reference = made.pre_close_e4[name, at].astype(np.int64)
    up = made.limit_up_e4[name, at]
    assert np.allclose(up[:2] / reference[:2], 1.05, atol=0.01), "still under special treatment"
    assert (up[2], made.limit_down_e4[name, at][2]) == (UNLIMITED_E4, 0)
    assert up[3:].tolist() == [(ref * 11 + 500) // 1000 * 100 for ref in reference[3:]], "ten per cent to the tick"

    untold = arrays(market, source, stocks.drop(columns="delisting_period_date"))
    others = np.arange(len(stocks)) != name
    assert np.array_equal(made.limit_up_e4[others], untold.limit_up_e4[others])
    assert untold.limit_up_e4[name, at][2] < UNLIMITED_E4


def test_moves_of_a_period_are_judged_by_its_limits(
    market: SimulatedTables, source: TushareSource, traded: pd.DatetimeIndex
) -> None:
    bars = market["bars"].copy()
    mine = bars["symbol"] == LEAVING
    rows = [int(np.flatnonzero(mine & (bars["session_date"] == day))[0]) for day in traded]
    moves = [0.0, 0.09, -0.45, 0.09, 0.20, 0.0]  # beyond 5 %, free, within 10 %, beyond 10 %
    bars.loc[rows, "close_cny"] = bars.loc[rows, "pre_close_cny"].to_numpy() * (1 + np.array(moves))
    spells = market["st_spells"]

    def beyond(stocks: pd.DataFrame, given: pd.DataFrame) -> list[bool]:
        context = ScanContext(market.sessions, "raw", stocks, spells)
        found = (scan(given, context) & np.uint32(scan_kernel.BEYOND_LIMIT)) != 0
        by_day = pd.Series(found, index=given["session_date"])[(given["symbol"] == LEAVING).to_numpy()]
        return by_day[traded].tolist()

    stocks = source.securities()
    assert beyond(stocks, bars) == [False, True, False, False, True, False]
    assert beyond(stocks, bars.iloc[::-1]) == [False, True, False, False, True, False], "rows in another order"
    assert beyond(stocks.drop(columns="delisting_period_date"), bars) == [False, True, True, True, True, False]


def test_a_lake_filled_before_keeps_its_rows_and_takes_the_column_as_a_new_version(
    source: TushareSource, tmp_path: Path
) -> None:
    lake, stocks = Lake(tmp_path), source.securities()
    before = lake.write(
        "securities", stocks.drop(columns="delisting_period_date"), known_at=datetime(2021, 1, 1, tzinfo=UTC)
    )
    after = lake.write("securities", stocks, known_at=datetime(2021, 1, 2, tzinfo=UTC))
    assert "delisting_period_date" not in lake.read("securities", as_of=datetime(2021, 1, 1, tzinfo=UTC))
    changed = diff_versions(lake, [before], [after])
    assert changed.columns_added == ("delisting_period_date",)
    assert (changed.added, changed.removed, changed.changed) == (0, 0, 0), "no row counts as restated"


def names(*spans: tuple[str, str | None]) -> pd.DataFrame:
    rows = [
        {"ts_code": "600001.SH", "name": name, "start_date": a, "end_date": None, "ann_date": a} for name, a in spans
    ]
    return pd.DataFrame(rows, dtype=object, columns=["ts_code", "name", "start_date", "end_date", "ann_date"])


def periods(*spans: tuple[str, str | None], gone: str | None = None) -> list[str]:
    listed = pd.DataFrame({"symbol": ["600000.SH", "600001.SH"], "delist_date": pd.to_datetime([None, gone])})
    found = securities.delisting_periods(names(*spans), listed)
    return ["" if pd.isna(day) else f"{day:%Y-%m-%d}" for day in found]


def test_a_period_begins_with_the_first_session_of_its_name() -> None:
    assert periods(("*ST甲", "20210601"), ("退市甲", "20210703"), gone="2021-07-27") == ["", "2021-07-05"]
    assert periods(("*ST甲", "20210601"), ("甲退", "20210701")) == ["", "2021-07-01"]


@pytest.mark.parametrize("name", ["退市甲", "甲退", " 退市甲 "])
def test_a_period_is_told_from_the_name(name: str) -> None:
    assert securities.is_period_name(name)


@pytest.mark.parametrize("name", ["甲(退)", "甲（退）", "*ST甲", "退", "", None])
def test_other_names_tell_no_period(name: str | None) -> None:
    assert not securities.is_period_name(name)


def test_what_does_not_date_a_period_leaves_it_unknown() -> None:
    assert periods(("退市甲", None)) == ["", ""]
    assert periods(("退市甲", "20210701"), ("甲", "20210802")) == ["", ""], "it went on after all"
    assert periods(("*ST甲", "20210601"), ("甲退", "20210727"), gone="2021-07-27") == ["", ""], "named when gone"
    assert periods() == ["", ""]
