"""A day more costs a few calls a session that is asked for, and day by day gives what a whole load gives."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ljwx_pipeline.market.calendar import sessions_between
from tests.fakes.increments import RECHECKED, assert_same_lake, ingest_all
from tests.fakes.provider_stubs.market import FIRST, LAST
from tests.fakes.provider_stubs.tushare import TushareStub
from tests.fakes.provider_stubs.tushare_source import INDICES, tushare_source

SESSIONS = sessions_between(FIRST, LAST)
SINCE = SESSIONS[50].date()


def test_a_day_more_asks_for_the_sessions_rechecked_and_the_new_one(stub: TushareStub, tmp_path: Path) -> None:
    ingest_all(tushare_source(stub, fundamentals="off"), tmp_path, SINCE, SESSIONS[-2].date())
    stub.calls.clear()
    ingest_all(tushare_source(stub, fundamentals="off"), tmp_path, SINCE, LAST)
    asked = Counter(api for api, _ in stub.calls if api != "suspend_d")  # a small market asks it for a proof
    days = RECHECKED + 1
    assert asked["dividend"] == days
    assert asked["index_weight"] == 2 * len(INDICES), "the month before, for a snapshot, and this one"
    assert asked["adj_factor"] == days + 2, "bars, the session before them and the month's last"
    assert asked["daily"] == days + 2, "bars, and the stock list proven twice"
    assert asked["daily_basic"] == asked["stk_limit"] == days
    lists = {"stock_basic": 5, "namechange": 2, "trade_cal": 2, "index_daily": len(INDICES)}
    assert {api: asked[api] for api in asked.keys() & lists.keys()} == lists
    assert sum(asked.values()) == 5 * days + 2 + 2 + 2 * len(INDICES) + sum(lists.values())


def test_day_by_day_gives_what_a_whole_load_gives(stub: TushareStub, tmp_path: Path) -> None:
    since = SESSIONS[25].date()
    for last in (30, 39, 43):
        grown = ingest_all(tushare_source(stub), tmp_path / "grown", since, SESSIONS[last].date())
    whole = ingest_all(tushare_source(stub), tmp_path / "whole", since, SESSIONS[43].date())
    assert whole.read("index_members")["end_date"].notna().any()
    names = ("st_spells", "index_members", "corporate_actions", "suspensions", "financial_indicators", "raw_bars")
    assert_same_lake(grown, whole, names)


def test_a_narrower_range_takes_nothing_away(stub: TushareStub, tmp_path: Path) -> None:
    lake = ingest_all(tushare_source(stub), tmp_path, SINCE, LAST)
    names = ("index_members", "corporate_actions", "suspensions", "market_values", "financial_indicators")
    before = {name: lake.content_hash(name) for name in names}
    ingest_all(tushare_source(stub), tmp_path, SESSIONS[60].date(), SESSIONS[70].date())
    assert {name: lake.content_hash(name) for name in names} == before


def test_figures_that_are_turned_on_later_are_loaded_from_the_first_day_on(stub: TushareStub, tmp_path: Path) -> None:
    lake = ingest_all(tushare_source(stub, fundamentals="off"), tmp_path, SINCE, LAST)
    assert not lake.holds("financial_indicators")
    ingest_all(tushare_source(stub, fundamentals="vip"), tmp_path, SINCE, LAST)
    told = stub.market["financial_indicators"]["announced_date"] >= SESSIONS[50]
    assert len(lake.read("financial_indicators")) == told.sum() > 0


def test_vip_asks_a_call_a_quarter_and_says_what_asking_by_stock_says(stub: TushareStub) -> None:
    by_stock = tushare_source(stub).financial_indicators(FIRST, LAST)
    stub.calls.clear()
    found = tushare_source(stub, fundamentals="vip").financial_indicators(FIRST, LAST)
    assert found.equals(by_stock)
    assert not stub.asked("fina_indicator")
    periods = [call["period"] for call in stub.asked("fina_indicator_vip") if call["offset"] == 0]
    assert periods == ["20190331", "20190630", "20190930", "20191231", "20200331", "20200630"]


def test_figures_that_are_off_are_said_to_be_unknown_with_the_reason(stub: TushareStub) -> None:
    source = tushare_source(stub, fundamentals="off")
    assert source.financial_indicators(FIRST, LAST).empty
    assert not stub.calls
    said = {item.what: item.consequence for item in source.describe().unknown}
    assert "tushare.fundamentals is off" in said["figures of periodic reports"]
    assert source.describe().untold == ("financial_indicators",)
    with_them = tushare_source(stub, fundamentals="vip").describe()
    assert with_them.untold == ()
    assert "figures of periodic reports" not in {item.what for item in with_them.unknown}
