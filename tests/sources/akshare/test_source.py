"""The adapter over the stub gives back the simulated market's own tables, up to what the pages round."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import date

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.calendar import CALENDAR_START, last_known_session, sessions_between
from ljwx_pipeline.quality.run import run_checks
from ljwx_pipeline.sources import base
from ljwx_pipeline.sources.akshare import AkshareSource
from ljwx_pipeline.sources.akshare import source as source_module
from ljwx_pipeline.sources.akshare.wire import shipped_sessions
from tests.fakes.provider_stubs.akshare import AkshareStub
from tests.fakes.provider_stubs.market import FIRST, LAST, SimulatedTables

Make = Callable[..., AkshareSource]
HIST = "/api/qt/stock/kline/get"
ONE = ("S00001.SIM",)


def rows_of_one(market: SimulatedTables) -> int:
    return int((market["bars"]["symbol"] == ONE[0]).sum())


def test_bars_equal_the_simulated_ones_reference_prices_included(make: Make, market: SimulatedTables) -> None:
    assert_frame_equal(base.bars(make(), FIRST, LAST), market["bars"])


def test_a_unit_that_begins_on_an_ex_date_follows_from_the_close_before(make: Make, market: SimulatedTables) -> None:
    mine = market["bars"][market["bars"]["symbol"] == ONE[0]]
    ex_date = mine[mine["adj_factor"].diff() > 0].iloc[0]
    found = base.bars(make(symbols=ONE), ex_date["session_date"].date(), LAST)
    assert found["session_date"].iloc[0] == ex_date["session_date"]
    assert found["pre_close_cny"].iloc[0] == ex_date["pre_close_cny"]


def test_reference_tables_equal_the_simulated_ones(make: Make, market: SimulatedTables, stub: AkshareStub) -> None:
    source = make()
    assert_frame_equal(source.securities(), market["securities"])
    assert_frame_equal(source.index_bars(FIRST, LAST), market["index_bars"])
    assert_frame_equal(source.suspensions(FIRST, LAST), market["suspensions"])
    assert source.sessions(FIRST, LAST).equals(market.sessions)
    industries = market["industries"]
    coded = industries.assign(industry=industries["industry"].map(stub.pages.industry_codes))
    assert_frame_equal(source.industries(FIRST, LAST), coded)


def test_corporate_actions_are_those_carried_out_per_share(make: Make, market: SimulatedTables) -> None:
    actions = market["corporate_actions"]
    inside = actions[actions["ex_date"].between(pd.Timestamp(FIRST), pd.Timestamp(LAST))].reset_index(drop=True)
    assert_frame_equal(make().corporate_actions(FIRST, LAST), inside)


def test_index_members_are_todays_and_start_on_the_lists_own_date(make: Make, market: SimulatedTables) -> None:
    found, last = make().index_members(FIRST, LAST), pd.Timestamp(LAST)
    known = market["index_members"]
    end = known["end_date"].fillna(pd.Timestamp.max)
    now = known[(known["index_code"] != "399006.SZ") & (known["start_date"] <= last) & (end >= last)]
    assert found[["index_code", "symbol"]].to_numpy().tolist() == now[["index_code", "symbol"]].to_numpy().tolist()
    assert (found["start_date"] == last).all()
    assert found["end_date"].isna().all()


def test_the_tables_pass_the_pipelines_own_checks(make: Make) -> None:
    source = make()
    tables = {
        "bars": base.bars(source, FIRST, LAST),
        "index_bars": source.index_bars(FIRST, LAST),
        "securities": source.securities(),
        "st_spells": source.st_spells(FIRST, LAST),
        "industries": source.industries(FIRST, LAST),
        "index_members": source.index_members(FIRST, LAST),
        "corporate_actions": source.corporate_actions(FIRST, LAST),
        "suspensions": source.suspensions(FIRST, LAST),
    }
    results = run_checks(tables, source.describe(), source.sessions(FIRST, LAST))
    assert not [result for result in results if result.blocks]


def test_what_it_cannot_say_is_empty_and_named(make: Make) -> None:
    source = make()
    for name in ("market_values", "price_limits", "financial_indicators", "news", "macro"):
        assert getattr(source, name)(FIRST, LAST).empty
    assert source.st_spells(FIRST, LAST).empty
    what = " ".join(item.what for item in source.describe().unknown)
    for word in ("ST spells", "delisted", "past index members", "market values", "pre_close", "399006.SZ"):
        assert word in what


def test_only_the_configured_symbols_are_asked_for(make: Make) -> None:
    assert [unit.key for unit in make(symbols=ONE).bar_units(FIRST, LAST)] == list(ONE)
    with pytest.raises(SourceError, match=r"no exchange's list names 600519\.SH"):
        make(symbols=("600519.SH",)).securities()


def test_a_stock_suspended_throughout_has_no_bar_and_is_proven_so(make: Make, market: SimulatedTables) -> None:
    halt = market["suspensions"].iloc[0]
    day = halt["session_date"].date()
    found = make(symbols=(halt["symbol"],)).bars_of(base.BarUnit("u", day, day, halt["symbol"]))
    assert found.empty
    assert list(found.columns) == list(market["bars"].columns)


def test_no_bar_of_a_stock_that_was_not_suspended_is_an_error(make: Make, stub: AkshareStub) -> None:
    source = make(symbols=ONE)
    unit = source.bar_units(FIRST, LAST)[0]
    stub.fail("empty", HIST, times=99)
    with pytest.raises(SourceError, match="listed and not suspended on"):
        source.bars_of(unit)


@pytest.mark.parametrize("kind", ["empty", "half"])
def test_rows_left_out_without_a_word_are_asked_for_again(
    make: Make, stub: AkshareStub, market: SimulatedTables, kind: str
) -> None:
    source = make(symbols=ONE)
    unit = source.bar_units(FIRST, LAST)[0]
    stub.fail(kind, HIST, times=1)
    assert len(source.bars_of(unit)) == rows_of_one(market)


def test_an_index_of_which_the_page_leaves_sessions_out_is_refused(make: Make, stub: AkshareStub) -> None:
    whole = make().index_bars(FIRST, LAST)
    stub.fail("half", HIST, times=1)
    with pytest.raises(SourceError, match=r"the page of index 000300\.SH lacks 2020-\d\d-\d\d \(\d+ such sessions\)"):
        make().index_bars(FIRST, LAST)
    pd.testing.assert_frame_equal(make().index_bars(FIRST, LAST), whole)


def test_a_stock_not_listed_then_is_not_asked_about(make: Make, stub: AkshareStub) -> None:
    source = make(symbols=ONE)
    source.securities()
    stub.asked.clear()
    assert source.bars_of(base.BarUnit("u", date(2012, 1, 4), date(2012, 2, 3), ONE[0])).empty
    assert stub.asked == []


def test_the_whole_calendar_akshare_ships_is_ours(make: Make) -> None:
    shipped = shipped_sessions()
    first = date.fromisoformat(CALENDAR_START)
    assert shipped[-1].date() >= date(2026, 12, 31)
    ours = sessions_between(first, min(shipped[-1].date(), last_known_session()))
    assert list(ours) == list(shipped[(shipped >= ours[0]) & (shipped <= ours[-1])])
    assert make().sessions(first, LAST).equals(sessions_between(first, LAST))


def test_a_shipped_calendar_that_is_another_is_named_and_one_that_ends_early_serves_as_far_as_it_reaches(
    make: Make, market: SimulatedTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = shipped_sessions()
    monkeypatch.setattr(source_module, "shipped_sessions", lambda: shipped.drop(pd.Timestamp("2020-06-08")))
    with pytest.raises(SourceError, match=r"akshare [\d.]+ calls 2020-06-08 closed, the exchange calendar"):
        make().sessions(FIRST, LAST)
    monkeypatch.setattr(source_module, "shipped_sessions", lambda: shipped[shipped < pd.Timestamp("2020-06-08")])
    assert make().sessions(FIRST, LAST).equals(market.sessions)


def test_the_stub_runs_as_a_process() -> None:
    command = [sys.executable, "-m", "tests.fakes.provider_stubs.akshare", "--seed", "7", "--symbols", "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        process.terminate()
        assert (address.startswith("http://127.0.0.1:"), process.wait(10)) == (True, 0)
