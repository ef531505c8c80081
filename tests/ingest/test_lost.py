"""Files that no longer hold what the lake holds are refused by name, before anything is written."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.ingest.bars import ingest_bars
from ljwx_pipeline.ingest.lost import lost_sessions, require_held_sessions
from ljwx_pipeline.lake import Lake
from tests.fakes.remote_source import RemoteSource

FIRST, LAST = date(2024, 1, 2), date(2024, 3, 29)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake, clock = Lake(tmp_path / "lake"), ManualClock(datetime(2024, 4, 1, 10, tzinfo=UTC))
    source = RemoteSource(LAST, "at_hand")
    ingest_bars(source, lake, FIRST, LAST, staging=tmp_path / "staging", recheck_sessions=2, clock=clock)
    return lake


def february(source: RemoteSource) -> tuple[str, ...]:
    return tuple(source.sessions(date(2024, 2, 1), date(2024, 2, 29)).strftime("%Y-%m-%d"))


def test_a_lost_month_is_named_and_counted_with_what_to_do(lake: Lake) -> None:
    source = RemoteSource(LAST, "at_hand")
    source.silent = february(source)
    with pytest.raises(SourceError) as caught:
        require_held_sessions(source, lake, FIRST, LAST)
    said = str(caught.value)
    assert f"{len(source.silent)} sessions that the lake holds" in said
    for day in (*source.silent[:5], source.silent[-1]):
        assert day in said
    assert source.silent[5] not in said
    assert "nothing was changed" in said
    assert "put the files that held them back" in said
    assert "source.first_session" in said


@pytest.mark.parametrize("silent", [("2024-02-05",), ("2024-01-02",), ("2024-03-29",)])
def test_a_single_lost_session_is_found_wherever_it_lies(silent: tuple[str, ...], lake: Lake) -> None:
    source = RemoteSource(LAST, "at_hand", silent=silent)
    assert tuple(lost_sessions(source, lake, FIRST, LAST).strftime("%Y-%m-%d")) == silent


def test_a_lost_end_is_found(lake: Lake) -> None:
    source = RemoteSource(date(2024, 2, 29), "at_hand")
    assert lost_sessions(source, lake, FIRST, LAST).equals(
        RemoteSource(LAST, "at_hand").sessions(date(2024, 3, 1), LAST)
    )


def test_sessions_outside_the_range_asked_for_are_not_lost(lake: Lake) -> None:
    source = RemoteSource(LAST, "at_hand", silent=("2024-01-02", "2024-03-29"))
    assert lost_sessions(source, lake, date(2024, 1, 3), date(2024, 3, 28)).empty


def test_nothing_is_lost_on_the_first_load_nor_by_a_source_that_is_asked_for_what_is_new(
    lake: Lake, tmp_path: Path
) -> None:
    require_held_sessions(RemoteSource(LAST, "at_hand"), lake, FIRST, LAST)
    source = RemoteSource(LAST, "at_hand", silent=("2024-02-05",))
    assert lost_sessions(source, Lake(tmp_path / "new"), FIRST, LAST).empty
    remote = RemoteSource(LAST, "by_session", silent=("2024-02-05",))
    assert lost_sessions(remote, lake, FIRST, LAST).empty
    assert remote.calls == []
