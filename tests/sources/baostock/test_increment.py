"""A day more costs two calls a stock and a handful beside them, and day by day gives what a whole load gives."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.sources.baostock import BaostockSource
from ljwx_pipeline.sources.base import month_units
from tests.fakes.increments import assert_same_lake, ingest_all
from tests.fakes.provider_stubs.baostock import BaostockStub
from tests.fakes.provider_stubs.market import FIRST, LAST, SimulatedTables

Make = Callable[..., BaostockSource]


@pytest.fixture(scope="module")
def loaded(kept: Make, market: SimulatedTables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first sessions, loaded once: a test that adds to them copies the folder."""
    home = tmp_path_factory.mktemp("loaded")
    ingest_all(kept(), home, FIRST, market.sessions[30].date())
    return home


@pytest.fixture(scope="module")
def a_day_more(kept: Make, market: SimulatedTables, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """These sessions and the next one, loaded at once."""
    return ingest_all(kept(), tmp_path_factory.mktemp("whole"), FIRST, market.sessions[31].date())


@pytest.fixture
def home(loaded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(loaded, tmp_path / "home"))


def test_a_day_more_asks_twice_a_stock(make: Make, stub: BaostockStub, market: SimulatedTables, tmp_path: Path) -> None:
    sessions = market.sessions
    ingest_all(make(), tmp_path, FIRST, sessions[-2].date())
    stub.asked.clear()
    source = make()
    ingest_all(source, tmp_path, FIRST, LAST)
    stocks = len(source.bar_units(sessions[-6].date(), LAST))
    paid = market["corporate_actions"]["ex_date"].between(sessions[-6], sessions[-1]).sum()
    asked = Counter(stub.asked)
    indices, members = 3, 2
    assert asked.pop("query_history_k_data_plus") == stocks + indices, "bars, spells and suspensions of one answer"
    symbols = {unit.symbol for unit in source.bar_units(sessions[-6].date(), LAST)}
    bars = market["bars"][market["bars"]["symbol"].isin(symbols)]
    unpaid = (bars.groupby("symbol")["adj_factor"].max() == 1.0).sum()
    assert asked.pop("query_adjust_factor") == stocks + unpaid, "that there is no factor is said twice"
    assert asked.pop("query_dividend_data", 0) == paid
    assert asked.pop("query_hs300_stocks") + asked.pop("query_zz500_stocks") == 2 * members, "first and last session"
    assert asked.pop("query_stock_industry") == 2
    assert asked.pop("query_stock_basic") == 1
    assert asked == {"login": 1, "query_trade_dates": 4}


@pytest.mark.slow
def test_day_by_day_gives_what_a_whole_load_gives(make: Make, market: SimulatedTables, tmp_path: Path) -> None:
    changed = market["index_members"]["start_date"]
    day = changed[changed.between(market.sessions[1], market.sessions[-1])].iloc[0]
    at = int(market.sessions.searchsorted(day))
    for last in (at - 3, at - 1, at, at + 4, at + 20):
        grown = ingest_all(make(), tmp_path / "grown", FIRST, market.sessions[last].date())
    whole = ingest_all(make(), tmp_path / "whole", FIRST, market.sessions[at + 20].date())
    assert (whole.read("index_members")["start_date"] == day).any()
    names = ("st_spells", "index_members", "corporate_actions", "suspensions", "raw_bars")
    assert_same_lake(grown, whole, names)


def test_a_narrower_range_takes_nothing_away(make: Make, market: SimulatedTables, tmp_path: Path) -> None:
    lake = ingest_all(make(), tmp_path, FIRST, LAST)
    names = ("st_spells", "index_members", "corporate_actions", "suspensions")
    before = {name: lake.content_hash(name) for name in names}
    ingest_all(make(), tmp_path, market.sessions[30].date(), market.sessions[50].date())
    assert {name: lake.content_hash(name) for name in names} == before


def test_months_of_suspensions_are_one_question_a_stock(
    make: Make, stub: BaostockStub, market: SimulatedTables
) -> None:
    source = make()
    found = [source.suspensions(unit.first, unit.last) for unit in month_units(FIRST, LAST)]
    assert stub.asked.count("query_history_k_data_plus") <= len(source.bar_units(FIRST, LAST))
    pd.testing.assert_frame_equal(pd.concat(found, ignore_index=True), market["suspensions"])


@pytest.mark.parametrize("table", ["index_members", "industries"])
def test_one_empty_answer_leaves_no_hole_in_what_is_held(
    make: Make, stub: BaostockStub, market: SimulatedTables, home: Path, a_day_more: Lake, table: str
) -> None:
    query = {"index_members": "query_hs300_stocks", "industries": "query_stock_industry"}[table]
    stub.fail("empty", query)
    grown = ingest_all(make(), home, FIRST, market.sessions[31].date())
    assert not stub.faults[-1].times
    assert_same_lake(grown, a_day_more, (table,))


@pytest.mark.parametrize(
    ("query", "said"),
    [("query_stock_basic", "list of securities names"), ("query_stock_industry", "of industries names")],
)
def test_another_list_that_is_cut_short_leaves_what_is_held(
    make: Make, stub: BaostockStub, market: SimulatedTables, home: Path, query: str, said: str
) -> None:
    lake = Lake(home / "lake")
    names = ("securities", "industries", "raw_bars")
    before = {name: lake.content_hash(name) for name in names}
    stub.fail("half", query, times=9)
    with pytest.raises(SourceError, match=rf"{said} \d+, the lake holds \d+: it was cut short"):
        ingest_all(make(), home, FIRST, market.sessions[31].date())
    assert {name: lake.content_hash(name) for name in names} == before


def test_lists_of_members_all_cut_short_alike_leave_what_is_held(
    make: Make,
    stub: BaostockStub,
    market: SimulatedTables,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lake = Lake(home / "lake")
    before, whole = lake.content_hash("index_members"), stub.answers.members

    def cut(code: str, day: str) -> tuple[str, list[list[str]]]:
        fields, rows = whole(code, day)
        return fields, rows[: len(rows) // 2]

    monkeypatch.setattr(stub.answers, "members", cut)
    with pytest.raises(SourceError, match=r"members of 000300\.SH names \d+, the lake holds \d+: it was cut short"):
        ingest_all(make(), home, FIRST, market.sessions[31].date())
    assert lake.content_hash("index_members") == before
