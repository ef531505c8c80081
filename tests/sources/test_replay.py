"""A replayed market says what its lake knew at an instant, and of what came later nothing at all."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.errors import LakeError, SourceError
from ljwx_pipeline.lake import Catalogue, Lake
from ljwx_pipeline.lake.compaction import compact
from ljwx_pipeline.lake.retention import retain
from ljwx_pipeline.market.tables import RANGE_TABLES, TABLES, SourceDescription, empty_table
from ljwx_pipeline.sources.replay import ReplaySource, description_from, description_table
from tests.fakes.bars import random_bars
from tests.fakes.increments import DATED_TABLES

MONDAY = datetime(2024, 6, 3, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)
SESSIONS = pd.bdate_range("2024-03-01", "2024-05-31")
WHOLE = ("securities", *RANGE_TABLES)


def news(*instants: str) -> pd.DataFrame:
    published = pd.to_datetime(list(instants)).tz_localize(SHANGHAI).tz_convert("UTC")
    table = pd.DataFrame({name: pd.Series([""] * len(instants), dtype=object) for name in TABLES["news"]})
    return table.assign(published_at=published, title=[f"item {text}" for text in instants])


def suspensions(month: str) -> pd.DataFrame:
    days = SESSIONS[SESSIONS.strftime("%Y-%m") == month]
    return pd.DataFrame({"symbol": "000001.SZ", "session_date": days})[list(TABLES["suspensions"])]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    said = SourceDescription(name="folder", simulated=False, adjustment="raw", unknown=())
    lake.write("source_description", description_table(said), known_at=MONDAY)
    lake.write("calendar", pd.DataFrame({"session_date": SESSIONS}), known_at=MONDAY)
    for month in ("2024-03", "2024-04", "2024-05"):
        lake.write("suspensions", suspensions(month), partition=f"{month}-01", known_at=MONDAY)
    lake.write("news", news("2024-03-31 23:30"), partition="2024-03-01", known_at=MONDAY)
    lake.write("news", news("2024-04-01 00:30", "2024-04-09 10:00"), partition="2024-04-01", known_at=MONDAY)
    return lake


def test_the_symbols_that_a_source_was_narrowed_to_are_kept_with_its_description() -> None:
    said = SourceDescription("tushare", False, "raw", (), symbols=("600519.SH", "000001.SZ"))
    assert description_from(description_table(said)) == said


@pytest.mark.parametrize("name", [*WHOLE, *DATED_TABLES])
def test_a_table_that_arrived_later_is_empty(tmp_path: Path, name: str) -> None:
    lake = Lake(tmp_path / "lake")
    lake.write(name, empty_table(name), partition="2024-04-01" if name in DATED_TABLES else "all", known_at=TUESDAY)
    source = ReplaySource(lake, MONDAY)
    ask = getattr(source, name)
    found = ask() if name == "securities" else ask(date(2024, 4, 1), date(2024, 4, 30))
    assert found.empty
    assert list(found.columns) == list(TABLES[name])


def test_bars_that_arrived_later_are_none(lake: Lake) -> None:
    lake.write("raw_bars", random_bars(symbols=2, sessions=5), partition="2024-04-01", known_at=TUESDAY)
    source = ReplaySource(lake, MONDAY)
    unit = source.bar_units(date(2024, 4, 1), date(2024, 4, 30))[0]
    assert source.bars_of(unit).empty
    assert list(source.bars_of(unit).columns) == list(TABLES["bars"])


def test_an_instant_before_anything_was_loaded_is_refused(lake: Lake) -> None:
    with pytest.raises(SourceError, match=r"held no source_description at .* nothing was loaded by then"):
        ReplaySource(lake, MONDAY - timedelta(days=1)).describe()


def test_what_retention_removed_is_an_error_and_never_empty(lake: Lake) -> None:
    lake.write("suspensions", suspensions("2024-03").iloc[:2], partition="2024-03-01", known_at=TUESDAY)
    retain(lake, keep_days=0, dry_run=False, now=TUESDAY + timedelta(days=9))
    with pytest.raises(LakeError, match="which retention removed"):
        ReplaySource(lake, MONDAY).suspensions(date(2024, 3, 1), date(2024, 3, 31))


def test_a_replay_is_the_same_to_the_byte_after_compaction_and_retention_or_refused(tmp_path: Path) -> None:
    lake, bars = Lake(tmp_path / "lake"), random_bars(symbols=3, sessions=20)
    days = bars["session_date"].unique()
    said = SourceDescription(name="remote", simulated=False, adjustment="raw", unknown=())
    lake.write("source_description", description_table(said), known_at=MONDAY)
    lake.write("calendar", pd.DataFrame({"session_date": days}), known_at=MONDAY)
    month, instants = "2018-01-01", [MONDAY + timedelta(days=number) for number in range(len(days) + 1)]
    for day, instant in zip(days, instants[:-1], strict=True):  # day by day, as a daily increment does
        lake.append("raw_bars", bars[bars["session_date"] == day], partition=month, known_at=instant)
    restated = bars.assign(volume_shares=bars["volume_shares"] * 2)
    lake.write("raw_bars", restated, partition=month, known_at=instants[-1])

    def replayed(instant: datetime) -> bytes:
        source = ReplaySource(lake, instant)
        (unit,) = source.bar_units(days[0].date(), days[-1].date())
        return source.bars_of(unit).to_csv().encode()

    before = {instant: replayed(instant) for instant in instants}
    assert len(set(before.values())) == len(instants)
    Catalogue(lake).create("pinned", ["raw_bars"], instants[4])
    compact(lake, "raw_bars", month)
    assert {instant: replayed(instant) for instant in instants} == before
    retain(lake, keep_days=10, dry_run=False, now=instants[-1])
    superseded_before, pinned = instants[-1] - timedelta(days=10), instants[4]
    for instant in instants:
        if instant + timedelta(days=1) < superseded_before and instant != pinned:
            with pytest.raises(LakeError, match=r"which retention removed: ask for a later instant"):
                replayed(instant)
        else:
            assert replayed(instant) == before[instant]


def test_a_month_opens_no_file_of_another_month(lake: Lake) -> None:
    for table in ("suspensions", "news"):
        for file in (lake.root / table / "2024-03-01").glob("*.parquet"):
            file.unlink()
    source, april = ReplaySource(lake, MONDAY), (date(2024, 4, 1), date(2024, 4, 30))
    assert source.suspensions(*april)["session_date"].dt.month.unique().tolist() == [4]
    assert len(source.news(*april)) == 2
    with pytest.raises(LakeError, match="missing"):
        source.news(date(2024, 3, 1), date(2024, 3, 31))


def test_an_item_belongs_to_its_day_in_shanghai(lake: Lake) -> None:
    source = ReplaySource(lake, MONDAY)
    assert source.news(date(2024, 3, 31), date(2024, 4, 1))["title"].tolist() == [
        "item 2024-03-31 23:30",
        "item 2024-04-01 00:30",
    ]
