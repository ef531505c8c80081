"""The adapter over the stub gives back the simulated market's own tables, up to what the wire rounds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.quality.run import run_checks
from ljwx_pipeline.sources import base
from ljwx_pipeline.sources.baostock import BaostockSource
from tests.fakes.provider_stubs.baostock import BaostockStub
from tests.fakes.provider_stubs.market import FIRST, LAST, SimulatedTables

Make = Callable[..., BaostockSource]


def clipped(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return ranges as a source sees them that looks from FIRST to LAST: what goes on at the end is open."""
    first, last = pd.Timestamp(FIRST), pd.Timestamp(LAST)
    end = table["end_date"].fillna(pd.Timestamp.max)
    seen = table[(table["start_date"] <= last) & (end >= first)].copy()
    seen["start_date"] = seen["start_date"].clip(lower=first)
    seen["end_date"] = seen["end_date"].where(seen["end_date"] < last)
    return seen.sort_values([*keys, "start_date"], ignore_index=True)


def test_bars_equal_the_simulated_ones_to_six_decimals_of_the_factor(make: Make, market: SimulatedTables) -> None:
    source = make()
    found = base.bars(source, FIRST, LAST)
    assert_frame_equal(found.drop(columns="adj_factor"), market["bars"].drop(columns="adj_factor"))
    np.testing.assert_allclose(found["adj_factor"], market["bars"]["adj_factor"], rtol=0, atol=5e-7)


def test_suspended_days_are_no_bars_but_suspensions(make: Make, market: SimulatedTables, stub: BaostockStub) -> None:
    source = make()
    base.bars(source, FIRST, LAST)
    asked = len(stub.asked)
    assert_frame_equal(source.suspensions(FIRST, LAST), market["suspensions"])
    assert len(stub.asked) == asked  # the bars' own rows told
    assert_frame_equal(make().suspensions(FIRST, LAST), market["suspensions"])


def test_reference_tables_equal_the_simulated_ones(make: Make, market: SimulatedTables) -> None:
    source = make()
    expected = market["securities"].assign(name=market["securities"]["name"].str.replace(" ", ""))
    assert_frame_equal(source.securities(), expected)  # the library takes blanks out of names
    assert_frame_equal(source.index_bars(FIRST, LAST), market["index_bars"])
    assert source.sessions(FIRST, LAST).equals(market.sessions)
    actions = market["corporate_actions"]
    inside = actions[actions["ex_date"].between(pd.Timestamp(FIRST), pd.Timestamp(LAST))].reset_index(drop=True)
    assert_frame_equal(source.corporate_actions(FIRST, LAST), inside)
    assert_frame_equal(source.st_spells(FIRST, LAST), clipped(market["st_spells"], ["symbol"]))


def test_index_members_change_on_the_very_session(make: Make, market: SimulatedTables) -> None:
    known = market["index_members"]
    known = known[known["index_code"] != "399006.SZ"]
    assert_frame_equal(make().index_members(FIRST, LAST), clipped(known, ["index_code", "symbol"]))


def test_industries_are_right_on_every_sampled_session(make: Make, market: SimulatedTables) -> None:
    found = make().industries(FIRST, LAST)
    for day in (market.sessions[0], *market.sessions[market.sessions.day <= 3]):
        expected = clipped(market["industries"], ["symbol"])
        shown, wanted = (
            table[(table["start_date"] <= day) & (table["end_date"].fillna(pd.Timestamp.max) >= day)]
            for table in (found, expected)
        )
        wanted = wanted[wanted["symbol"].isin(shown["symbol"])]
        assert dict(zip(shown["symbol"], shown["industry"], strict=True)) == dict(
            zip(wanted["symbol"], wanted["industry"], strict=True)
        )


def test_the_tables_pass_the_pipelines_own_checks(make: Make, market: SimulatedTables) -> None:
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
    what = " ".join(item.what for item in source.describe().unknown)
    for word in ("market values", "price limits", "news", "Beijing", "399006.SZ"):
        assert word in what
    assert source.describe().adjustment == "raw"
    assert not source.describe().simulated


def test_only_the_configured_symbols_are_asked_for(make: Make) -> None:
    source = make(symbols=("S00002.SIM",))
    assert [unit.key for unit in source.bar_units(FIRST, LAST)] == ["S00002.SIM"]
    assert list(source.securities()["symbol"]) == ["S00002.SIM"]
    with pytest.raises(SourceError, match=r"does not know 600519\.SH"):
        make(symbols=("600519.SH",)).securities()


def test_units_leave_out_stocks_that_were_not_listed_then(make: Make, market: SimulatedTables) -> None:
    keys = {unit.key for unit in make().bar_units(FIRST, LAST)}
    table = market["securities"]
    gone = (table["list_date"] > pd.Timestamp(LAST)) | (table["delist_date"] <= pd.Timestamp(FIRST))
    assert gone.any()
    assert keys == set(table.loc[~gone, "symbol"])


def test_a_listed_stock_without_rows_is_an_error_and_no_empty_table(make: Make, stub: BaostockStub) -> None:
    source = make()
    unit = source.bar_units(FIRST, LAST)[0]
    stub.fail("empty", "query_history_k_data_plus", times=99)
    with pytest.raises(SourceError, match=r"has no row .* though it was listed"):
        source.bars_of(unit)


@pytest.mark.parametrize("kind", ["half", "empty"])
def test_rows_left_out_without_a_word_are_asked_for_again(
    make: Make, stub: BaostockStub, market: SimulatedTables, kind: str
) -> None:
    source = make(symbols=("S00001.SIM",))
    stub.fail(kind, "query_history_k_data_plus", times=1)
    found = base.bars(source, FIRST, LAST)
    assert len(found) == (market["bars"]["symbol"] == "S00001.SIM").sum()


def test_one_empty_answer_about_factors_is_not_taken_for_no_adjustment(
    make: Make, stub: BaostockStub, market: SimulatedTables
) -> None:
    source = make(symbols=("S00001.SIM",))
    stub.fail("empty", "query_adjust_factor")
    found = base.bars(source, FIRST, LAST)
    assert not stub.faults[-1].times
    expected = market["bars"].loc[market["bars"]["symbol"] == "S00001.SIM", "adj_factor"]
    assert (expected > 1.0).any(), "there is something to miss"
    np.testing.assert_allclose(found["adj_factor"], expected, rtol=0, atol=5e-7)


def test_one_empty_answer_about_dividends_leaves_none_out(
    make: Make, stub: BaostockStub, market: SimulatedTables
) -> None:
    stub.fail("empty", "query_dividend_data")
    found = make().corporate_actions(FIRST, LAST)
    assert not stub.faults[-1].times
    actions = market["corporate_actions"]
    assert len(found) == actions["ex_date"].between(pd.Timestamp(FIRST), pd.Timestamp(LAST)).sum() > 0


def test_rows_past_a_page_are_fetched_page_by_page(
    make: Make, stub: BaostockStub, market: SimulatedTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    import baostock.common.contants as constants

    monkeypatch.setattr(constants, "BAOSTOCK_PER_PAGE_COUNT", len(market.sessions) // 2)
    source = make(symbols=("S00001.SIM",))
    found = base.bars(source, FIRST, LAST)
    assert stub.asked.count("query_history_k_data_plus") == 3
    assert len(found) == (market["bars"]["symbol"] == "S00001.SIM").sum()


def test_an_index_without_bars_is_an_error(make: Make, stub: BaostockStub) -> None:
    stub.fail("empty", "query_history_k_data_plus", times=99)
    with pytest.raises(SourceError, match=r"no bar of index 000300\.SH"):
        make().index_bars(FIRST, LAST)


def test_an_index_without_members_is_an_error(make: Make, stub: BaostockStub) -> None:
    stub.fail("empty", "query_hs300_stocks", times=99)
    with pytest.raises(SourceError, match=r"names no member of 000300\.SH"):
        make().index_members(FIRST, LAST)


@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_list_of_members_cut_short_once_is_asked_for_again(
    make: Make, stub: BaostockStub, market: SimulatedTables, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    whole, asked = stub.answers.members, []

    def cut_once(code: str, day: str) -> tuple[str, list[list[str]]]:
        fields, rows = whole(code, day)
        asked.append(day)
        return fields, rows[: len(rows) // 2] if len(asked) == before + 1 else rows

    monkeypatch.setattr(stub.answers, "members", cut_once)
    known = market["index_members"]
    known = known[known["index_code"] != "399006.SZ"]
    assert_frame_equal(make().index_members(FIRST, LAST), clipped(known, ["index_code", "symbol"]))


def test_a_list_of_members_that_stays_cut_short_is_no_change_of_members(
    make: Make, stub: BaostockStub, market: SimulatedTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, last = stub.answers.members, f"{market.sessions[-1]:%Y-%m-%d}"

    def cut(code: str, day: str) -> tuple[str, list[list[str]]]:
        fields, rows = whole(code, day)
        return fields, rows[: len(rows) // 2] if day == last else rows

    monkeypatch.setattr(stub.answers, "members", cut)
    with pytest.raises(SourceError, match=rf"members of 000300\.SH is cut short on 1 sessions, first {last}"):
        make().index_members(FIRST, LAST)


def test_a_range_without_a_session_is_an_error(make: Make) -> None:
    with pytest.raises(SourceError, match="no trading day"):
        make().sessions(date(2020, 5, 9), date(2020, 5, 10))


@pytest.mark.parametrize("kind", ["half", "empty"])
def test_a_shortened_calendar_is_refused(make: Make, stub: BaostockStub, kind: str) -> None:
    stub.fail(kind, "query_trade_dates")
    with pytest.raises(SourceError, match=r"query_trade_dates says nothing about 2020-0\d-\d\d"):
        make().sessions(FIRST, LAST)


def test_a_trading_day_that_is_not_the_exchanges_is_named(
    make: Make, stub: BaostockStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields, rows = stub.answers.trade_dates(f"{FIRST}", f"{LAST}")
    moved = [[day, "0" if day == "2020-06-08" else word] for day, word in rows]
    monkeypatch.setattr(stub.answers, "trade_dates", lambda *_: (fields, moved))
    with pytest.raises(SourceError, match="query_trade_dates calls 2020-06-08 closed, the exchange calendar"):
        make().sessions(FIRST, LAST)


def test_the_stub_runs_as_a_process() -> None:
    command = [sys.executable, "-m", "tests.fakes.provider_stubs.baostock", "--seed", "7", "--symbols", "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        host, port = process.stdout.readline().strip().split(":")
        process.terminate()
        assert (host, int(port) > 0, process.wait(10)) == ("127.0.0.1", True, 0)
