"""Tables beside the bars: whole ones by content, dated ones by what is not covered yet."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Thread

import pandas as pd
import pytest

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.ingest.store import StoredMonth, only_ingest
from ljwx_pipeline.ingest.tables import (
    CALENDAR,
    WHOLE,
    ingest_dated_table,
    ingest_range_table,
    ingest_securities,
    read_market_table,
)
from ljwx_pipeline.lake import Lake
from tests.fakes.remote_source import RemoteSource

FIRST, LAST = date(2024, 1, 2), date(2024, 2, 29)
#: Months with ex-dates.
SUMMER = (date(2023, 5, 4), date(2023, 7, 31))
NOW = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def ingest(
    source: RemoteSource,
    lake: Lake,
    table: str,
    *,
    span: tuple[date, date] = (FIRST, LAST),
    recheck: int = 1,
    scope: str = "",
    hour: int = 0,
) -> list[StoredMonth]:
    return ingest_dated_table(
        source,
        lake,
        table,
        source.sessions(*span),
        coverage_file=lake.root.parent / f"{table}.json",
        recheck_sessions=recheck,
        scope=scope,
        clock=ManualClock(NOW.replace(hour=hour)),
    )


@pytest.mark.parametrize("table", ["market_values", "news"])
def test_a_dated_table_is_stored_by_month_as_given(lake: Lake, table: str) -> None:
    source = RemoteSource(LAST)
    months = ingest(source, lake, table)
    assert [month.month for month in months] == ["2024-01-01", "2024-02-01"]
    given = getattr(source.market, table)(FIRST, LAST)
    pd.testing.assert_frame_equal(read_market_table(lake, table), given)


def test_the_next_day_asks_from_the_recheck_window_on(lake: Lake) -> None:
    source = RemoteSource(date(2024, 2, 27))
    ingest(source, lake, "market_values")
    source.published, source.calls = date(2024, 2, 28), []
    (month,) = ingest(source, lake, "market_values", hour=1)
    assert source.calls == ["market_values 2024-02-27 2024-02-28"]
    assert (month.month, month.restated_rows) == ("2024-02-01", 0)
    assert month.added_rows > 0


def test_a_damaged_coverage_file_is_set_aside_and_the_table_asked_for_whole(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    source = RemoteSource(LAST)
    ingest(source, lake, "news")
    note = lake.root.parent / "news.json"
    whole = note.read_text()
    note.write_text("{")
    source.calls = []
    assert [month.restated_rows for month in ingest(source, lake, "news", hour=1)] == [0, 0]
    assert source.calls == ["news 2024-01-02 2024-01-31", "news 2024-02-01 2024-02-29"]
    assert note.read_text() == whole
    assert (lake.root.parent / "news.json.damaged").read_text() == "{"
    assert "kept as news.json.damaged, the table is asked for whole again" in caplog.text


def test_a_whole_table_of_the_same_content_is_no_new_version(lake: Lake) -> None:
    source = RemoteSource(LAST)
    first = ingest_securities(source, lake, clock=ManualClock(NOW))
    assert ingest_securities(source, lake, clock=ManualClock(NOW.replace(hour=5))) == first


@pytest.mark.parametrize("table", ["market_values", "st_spells", "securities"])
def test_what_was_told_became_known_when_it_was_told_and_not_when_it_was_asked_for(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    source, clock, told_in = RemoteSource(LAST), ManualClock(NOW), timedelta(hours=1)
    told = getattr(source.market, table)

    def slowly(*span: date) -> pd.DataFrame:
        clock.set(clock.now() + told_in)
        return told(*span)

    monkeypatch.setattr(source, table, slowly, raising=False)
    if table == "securities":
        ingest_securities(source, lake, clock=clock)
    else:
        whole = table == "st_spells"
        (ingest_range_table if whole else ingest_dated_table)(
            source,
            lake,
            table,
            source.sessions(FIRST, LAST),
            coverage_file=lake.root.parent / "covered.json",
            recheck_sessions=1,
            clock=clock,
        )
    asked = 2 if table == "market_values" else 1
    assert [version.known_at for version in lake.versions(table)] == [NOW + told_in * (n + 1) for n in range(asked)]


def test_an_empty_lake_says_that_nothing_was_loaded(lake: Lake) -> None:
    with pytest.raises(LakeError, match="was never filled: run `ljwx run` once"):
        read_market_table(lake, "securities")


def test_a_table_the_source_never_spoke_of_reads_as_empty(lake: Lake) -> None:
    calendar = pd.DataFrame({"session_date": pd.DatetimeIndex(["2024-01-02"])})
    lake.write(CALENDAR, calendar, known_at=NOW)
    assert read_market_table(lake, "industries").empty
    assert list(read_market_table(lake, "industries").columns) == ["symbol", "industry", "start_date", "end_date"]


def test_a_table_that_became_known_later_reads_as_empty_once_the_market_was_known(lake: Lake) -> None:
    source, early = RemoteSource(LAST), NOW.replace(hour=1)
    calendar = pd.DataFrame({"session_date": pd.DatetimeIndex(["2024-01-02"])})
    lake.write(CALENDAR, calendar, known_at=early)
    ingest_securities(source, lake, clock=ManualClock(NOW.replace(hour=3)))
    assert read_market_table(lake, "securities", as_of=NOW.replace(hour=2)).empty
    assert len(read_market_table(lake, "securities", as_of=NOW.replace(hour=3)))
    for table in ("securities", "industries", CALENDAR):
        with pytest.raises(LakeError, match=r"nothing of .* was known at 2024-03-01 00:00"):
            read_market_table(lake, table, as_of=NOW)


@pytest.mark.parametrize("table", ["market_values", "securities"])
def test_an_ingest_waits_for_another_one_of_the_same_market(lake: Lake, table: str) -> None:
    source = RemoteSource(LAST)
    whole = table == "securities"
    second = Thread(
        target=lambda: ingest_securities(source, lake, clock=ManualClock(NOW)) if whole else ingest(source, lake, table)
    )
    with only_ingest(lake):
        second.start()
        second.join(0.5)
        assert second.is_alive()
        assert (lake.tables(), source.calls) == ([], [])
    second.join(30)
    assert lake.holds(table)


def test_an_ingest_that_does_not_end_is_named(lake: Lake) -> None:
    with (
        only_ingest(lake),
        pytest.raises(LakeError, match=rf"is being loaded by process {os.getpid()} since .* UTC: wait for it or stop"),
        only_ingest(lake, timeout_s=0.05),
    ):
        pass


def test_a_month_deleted_from_the_lake_is_asked_for_again_and_one_without_rows_is_not(lake: Lake) -> None:
    source = RemoteSource(LAST)
    ingest(source, lake, "market_values")
    shutil.rmtree(lake.partition_folder("market_values", "2024-01-01"))
    source.calls = []
    ingest(source, lake, "market_values", hour=1)
    assert source.calls == ["market_values 2024-01-02 2024-01-31", "market_values 2024-02-29 2024-02-29"]
    given = source.market.market_values(FIRST, LAST)
    pd.testing.assert_frame_equal(read_market_table(lake, "market_values"), given)
    coverage = json.loads((lake.root.parent / "market_values.json").read_text())
    assert coverage == {"first": "2024-01-02", "last": "2024-02-29", "empty": [], "scope": ""}


def test_a_month_without_rows_is_asked_for_once(lake: Lake) -> None:
    source = RemoteSource(LAST)
    source.without_values = ("2024-01",)
    ingest(source, lake, "market_values")
    source.calls = []
    ingest(source, lake, "market_values", hour=1)
    assert source.calls == ["market_values 2024-02-29 2024-02-29"]


def test_actions_outside_the_dates_asked_for_stay_and_a_change_inside_is_a_restatement(lake: Lake) -> None:
    source = RemoteSource(SUMMER[1])
    ingest(source, lake, "corporate_actions", span=SUMMER)
    given = source.market.corporate_actions(*SUMMER)
    assert read_market_table(lake, "corporate_actions").equals(
        given.sort_values(["ex_date", "symbol"], ignore_index=True)
    )
    days = source.sessions(*SUMMER)
    asked = given["ex_date"] >= days[-10]
    assert 0 < asked.sum() < len(given)
    source.paid_more_cny, source.calls = 0.5, []
    stored = ingest(source, lake, "corporate_actions", span=(days[20].date(), SUMMER[1]), recheck=10, hour=1)
    assert source.calls[0].startswith(f"corporate_actions {days[-10]:%Y-%m-%d}")
    assert sum(month.restated_rows for month in stored) == asked.sum()
    found = read_market_table(lake, "corporate_actions")
    more = (
        found["cash_cny_per_share"] - given.sort_values(["ex_date", "symbol"], ignore_index=True)["cash_cny_per_share"]
    )
    assert more.to_numpy() == pytest.approx(0.5 * (found["ex_date"] >= days[-10]).to_numpy())
    before = read_market_table(lake, "corporate_actions", as_of=NOW)
    assert before["cash_cny_per_share"].sum() == pytest.approx(given["cash_cny_per_share"].sum())


def test_actions_once_kept_in_one_partition_are_told_by_month_and_not_twice(lake: Lake) -> None:
    source = RemoteSource(SUMMER[1])
    given = source.market.corporate_actions(*SUMMER)
    lake.write("corporate_actions", given, partition=WHOLE, known_at=NOW)
    ingest(source, lake, "corporate_actions", span=SUMMER, hour=1)
    found = read_market_table(lake, "corporate_actions")
    pd.testing.assert_frame_equal(found, given.sort_values(["ex_date", "symbol"], ignore_index=True))


def test_what_was_covered_of_another_scope_is_asked_for_whole(lake: Lake) -> None:
    source = RemoteSource(LAST)
    for scope in ("000300.SH", "000300.SH", "000300.SH 000905.SH"):
        source.calls = []
        ingest(source, lake, "news", scope=scope)
    assert source.calls == ["news 2024-01-02 2024-01-31", "news 2024-02-01 2024-02-29"]
