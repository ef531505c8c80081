"""Backfill, daily increment, catching up, resuming and restatement: one function, seen from outside."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any, Literal

import pandas as pd
import pytest

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.ingest import store
from ljwx_pipeline.ingest.bars import IngestReport, ingest_bars
from ljwx_pipeline.ingest.store import StoredMonth, only_ingest, store_month
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.observability.progress import Progress
from tests.fakes.remote_source import RemoteSource

FIRST, LAST = date(2024, 1, 2), date(2024, 2, 29)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2024, 3, 1, 10, tzinfo=UTC))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def ingest(source: RemoteSource, lake: Lake, clock: ManualClock, *, recheck: int = 2) -> IngestReport:
    clock.set(clock.now() + timedelta(minutes=1))
    staging = lake.root.parent / "staging"
    return ingest_bars(source, lake, FIRST, LAST, staging=staging, recheck_sessions=recheck, clock=clock)


@pytest.mark.parametrize("fetches", ["by_session", "by_symbol"])
def test_a_backfill_stores_exactly_what_the_source_gives(
    lake: Lake, clock: ManualClock, fetches: Literal["by_session", "by_symbol"]
) -> None:
    source = RemoteSource(LAST, fetches)
    report = ingest(source, lake, clock)
    pd.testing.assert_frame_equal(lake.read("raw_bars"), source.market.bars(FIRST, LAST))
    assert [month.month for month in report.months] == ["2024-01-01", "2024-02-01"]
    assert report.added_rows == len(lake.read("raw_bars"))
    assert not (lake.root.parent / "staging").exists()


def test_the_next_day_fetches_the_new_session_and_the_newest_held_ones_only(lake: Lake, clock: ManualClock) -> None:
    source = RemoteSource(date(2024, 2, 27))
    ingest(source, lake, clock)
    source.published, source.calls = date(2024, 2, 28), []
    january = lake.current("raw_bars")[0]
    report = ingest(source, lake, clock)
    assert source.calls == ["2024-02-26", "2024-02-27", "2024-02-28"]
    new_session = date(2024, 2, 28)
    assert [month.added_rows for month in report.months] == [len(source.market.bars(new_session, new_session))]
    assert report.restated == ()
    assert lake.current("raw_bars")[0] == january


def test_an_outage_of_three_days_heals_itself_on_the_fourth(lake: Lake, clock: ManualClock) -> None:
    source = RemoteSource(date(2024, 2, 22))
    ingest(source, lake, clock)
    source.published, source.fail_after = date(2024, 2, 26), len(source.calls)
    for _ in range(3):
        with pytest.raises(SourceError, match="out of order"):
            ingest(source, lake, clock)
    source.fail_after = None
    ingest(source, lake, clock)
    pd.testing.assert_frame_equal(lake.read("raw_bars"), source.market.bars(FIRST, date(2024, 2, 26)))


def test_an_interrupted_backfill_goes_on_where_it_was(lake: Lake, clock: ManualClock) -> None:
    source = RemoteSource(LAST, fail_after=10)
    with pytest.raises(SourceError):
        ingest(source, lake, clock)
    assert not lake.holds("raw_bars")
    source.fail_after = None
    report = ingest(source, lake, clock)
    assert report.units_resumed == 10
    assert len(source.calls) == len(set(source.calls)) == len(report.plan.wanted)
    pd.testing.assert_frame_equal(lake.read("raw_bars"), source.market.bars(FIRST, LAST))


def test_a_restated_close_is_a_new_version_and_the_old_one_can_still_be_read(lake: Lake, clock: ManualClock) -> None:
    source = RemoteSource(LAST)
    ingest(source, lake, clock)
    before, known = lake.read("raw_bars"), clock.now()
    symbol = before["symbol"].iloc[-1]
    source.restated = {(symbol, "2024-02-29"): 99.99}
    report = ingest(source, lake, clock)
    (restated,) = report.restated
    assert (restated.month, restated.restated_rows, restated.added_rows) == ("2024-02-01", 1, 0)
    assert restated.restated_sessions == (pd.Timestamp("2024-02-29"), pd.Timestamp("2024-02-29"))
    after = lake.read("raw_bars")
    assert after[after["symbol"] == symbol]["close_cny"].iloc[-1] == 99.99
    pd.testing.assert_frame_equal(lake.read("raw_bars", as_of=known), before)


def test_an_old_restatement_is_noticed_once_the_recheck_window_reaches_it(lake: Lake, clock: ManualClock) -> None:
    source = RemoteSource(LAST)
    ingest(source, lake, clock)
    symbol = lake.read("raw_bars")["symbol"].iloc[0]
    source.restated = {(symbol, "2024-01-02"): 99.99}
    assert ingest(source, lake, clock).restated == ()
    (restated,) = ingest(source, lake, clock, recheck=1000).restated
    assert restated.month == "2024-01-01"


def test_a_session_the_provider_is_silent_about_is_an_error_and_the_rest_is_kept(
    lake: Lake, clock: ManualClock
) -> None:
    source = RemoteSource(LAST, silent=("2024-01-17",))
    with pytest.raises(SourceError, match=r"no bar for 1 of \d+ sessions, first 2024-01-17"):
        ingest(source, lake, clock)
    held = lake.read("raw_bars")["session_date"].unique()
    assert pd.Timestamp("2024-01-17") not in held
    source.silent = ()
    ingest(source, lake, clock)
    pd.testing.assert_frame_equal(lake.read("raw_bars"), source.market.bars(FIRST, LAST))


@pytest.mark.parametrize("fetches", ["by_session", "by_symbol"])
def test_rows_of_days_not_asked_for_are_left_out_and_told(
    lake: Lake, clock: ManualClock, caplog: pytest.LogCaptureFixture, fetches: Literal["by_session", "by_symbol"]
) -> None:
    source = RemoteSource(LAST, fetches)
    ingest(source, lake, clock)
    assert "not asked for" not in caplog.text
    source.days_beyond = 7
    other = Lake(lake.root.parent / "other")
    ingest(source, other, clock)
    pd.testing.assert_frame_equal(other.read("raw_bars"), lake.read("raw_bars"))
    (told,) = [record.message for record in caplog.records if "not asked for" in record.message]
    assert "remote gave" in told
    assert "they are left out" in told


@pytest.mark.parametrize("fetches", ["by_session", "at_hand"])
def test_what_a_reader_was_told_while_months_were_stored_is_told_for_ever(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, fetches: Literal["by_session", "at_hand"]
) -> None:
    clock, told = ManualClock(datetime(2024, 3, 1, 10, tzinfo=UTC)), {}

    def read_after(store: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            stored = store(*arguments)
            clock.set(clock.now() + timedelta(seconds=1))
            if lake.holds("raw_bars"):
                told[clock.now()] = lake.content_hash("raw_bars", as_of=clock.now())
            clock.set(clock.now() + timedelta(seconds=1))
            return stored

        return call

    for name in ("store_month", "store_whole_months"):
        monkeypatch.setattr(f"ljwx_pipeline.ingest.bars.{name}", read_after(getattr(store, name)))
    monkeypatch.setattr("ljwx_pipeline.ingest.bars.BATCH_ROWS", 1)
    ingest(RemoteSource(LAST, fetches), lake, clock)
    assert len(set(told.values())) == 2, "after each month"
    assert {instant: lake.content_hash("raw_bars", as_of=instant) for instant in told} == told


def test_progress_counts_units_and_ends_without_anything_remaining(lake: Lake, clock: ManualClock) -> None:
    said: list[Progress] = []
    ingest_bars(
        RemoteSource(LAST),
        lake,
        FIRST,
        LAST,
        staging=lake.root.parent / "staging",
        recheck_sessions=0,
        clock=clock,
        on_progress=said.append,
    )
    assert [step.done for step in said] == list(range(1, said[-1].total + 1))
    assert said[-1].remaining_s == 0.0
    assert said[-1].rows == len(lake.read("raw_bars"))


def test_nothing_to_fetch_stores_nothing(lake: Lake, clock: ManualClock) -> None:
    source = RemoteSource(LAST)
    ingest(source, lake, clock, recheck=0)
    source.calls = []
    report = ingest(source, lake, clock, recheck=0)
    assert (source.calls, report.months) == ([], ())


def test_a_backfill_waits_for_another_ingest_of_the_market(lake: Lake, clock: ManualClock) -> None:
    source = RemoteSource(LAST)
    second = Thread(target=lambda: ingest(source, lake, clock))
    with only_ingest(lake):
        second.start()
        second.join(0.5)
        assert second.is_alive()
        assert source.calls == []
    second.join(60)
    assert lake.holds("raw_bars")


def at_hand(source: RemoteSource, lake: Lake, clock: ManualClock, first: date, last: date) -> IngestReport:
    clock.set(clock.now() + timedelta(minutes=1))
    return ingest_bars(source, lake, first, last, staging=lake.root.parent / "staging", recheck_sessions=2, clock=clock)


def test_a_range_that_cuts_a_month_leaves_its_other_sessions_alone(lake: Lake, clock: ManualClock) -> None:
    source = RemoteSource(LAST, "at_hand")
    at_hand(source, lake, clock, FIRST, LAST)
    source.restated = {(lake.read("raw_bars")["symbol"].iloc[0], "2024-02-01"): 99.99}
    report = at_hand(source, lake, clock, date(2024, 1, 15), date(2024, 2, 15))
    assert [(month.month, month.restated_rows) for month in report.months] == [("2024-01-01", 0), ("2024-02-01", 1)]
    held = lake.read("raw_bars")
    given = source.market.bars(FIRST, LAST)
    pd.testing.assert_frame_equal(held[["session_date", "symbol"]], given[["session_date", "symbol"]])


def test_a_month_the_files_no_longer_hold_is_a_version_without_rows(lake: Lake, clock: ManualClock) -> None:
    source = RemoteSource(LAST, "at_hand")
    at_hand(source, lake, clock, FIRST, LAST)
    known = clock.now()
    source.published = date(2024, 1, 31)
    (february,) = at_hand(source, lake, clock, FIRST, LAST).restated
    assert (february.month, february.version.rows) == ("2024-02-01", 0)
    pd.testing.assert_frame_equal(lake.read("raw_bars"), source.market.bars(FIRST, date(2024, 1, 31)))
    assert len(lake.read("raw_bars", as_of=known)) == len(source.market.bars(FIRST, LAST))
    assert at_hand(source, lake, clock, FIRST, LAST).restated == ()
    source.published = LAST
    at_hand(source, lake, clock, FIRST, LAST)
    pd.testing.assert_frame_equal(lake.read("raw_bars"), source.market.bars(FIRST, LAST))


class TickingClock(ManualClock):
    """A clock that goes on by a second whenever it is read."""

    def now(self) -> datetime:
        self.set(super().now() + timedelta(seconds=1))
        return super().now()


def killed(source: RemoteSource, lake: Lake, clock: ManualClock, *, after: int) -> None:
    source.fail_after = len(source.calls) + after
    with pytest.raises(SourceError, match="out of order"):
        ingest(source, lake, clock)
    source.fail_after, source.calls = None, []


def test_a_backfill_by_symbol_that_was_killed_goes_on_the_next_day(lake: Lake) -> None:
    clock = TickingClock(datetime(2024, 2, 28, 10, tzinfo=UTC))
    source = RemoteSource(date(2024, 2, 28), "by_symbol")
    killed(source, lake, clock, after=15)
    source.published = LAST
    clock.set(clock.now() + timedelta(days=1))
    report = ingest(source, lake, clock, recheck=0)
    symbols = list(source.securities()["symbol"])
    assert report.units_resumed == 15
    assert source.calls == symbols[15:] + symbols
    assert report.plan.units[len(symbols)].first == LAST, "only the new session is asked for after what was begun"
    pd.testing.assert_frame_equal(lake.read("raw_bars"), source.market.bars(FIRST, LAST))
    assert not (lake.root.parent / "staging").exists()


def test_a_backfill_killed_between_two_months_stores_the_rest_without_a_question(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TickingClock(datetime(2024, 3, 1, 10, tzinfo=UTC))
    source = RemoteSource(LAST, "by_symbol")

    def january_only(lake: Lake, table: str, month: str, *rest: Any) -> StoredMonth:
        if month != "2024-01-01":
            raise KeyboardInterrupt
        return store_month(lake, table, month, *rest)

    monkeypatch.setattr("ljwx_pipeline.ingest.bars.store_month", january_only)
    with pytest.raises(KeyboardInterrupt):
        ingest(source, lake, clock)
    monkeypatch.undo()
    source.calls = []
    ingest(source, lake, clock)
    assert source.calls == []
    pd.testing.assert_frame_equal(lake.read("raw_bars"), source.market.bars(FIRST, LAST))


def test_units_left_for_more_than_a_week_are_fetched_again(lake: Lake) -> None:
    clock = TickingClock(datetime(2024, 3, 1, 10, tzinfo=UTC))
    source = RemoteSource(LAST, "by_symbol")
    killed(source, lake, clock, after=15)
    clock.set(clock.now() + timedelta(days=8))
    assert ingest(source, lake, clock).units_resumed == 0
    assert source.calls == list(source.securities()["symbol"])


def test_a_session_held_is_never_checked_against_an_answer_of_an_earlier_day(lake: Lake) -> None:
    clock = TickingClock(datetime(2024, 3, 1, 10, tzinfo=UTC))
    source = RemoteSource(LAST)
    ingest(source, lake, clock)
    killed(source, lake, clock, after=1)
    source.restated = {(lake.read("raw_bars")["symbol"].iloc[0], "2024-02-28"): 99.99}
    clock.set(clock.now() + timedelta(days=1))
    (restated,) = ingest(source, lake, clock).restated
    assert restated.restated_sessions == (pd.Timestamp("2024-02-28"), pd.Timestamp("2024-02-28"))
