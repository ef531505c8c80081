"""The source answers by date, and says what it holds when asked for what it does not."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.market.tables import BARS
from ljwx_pipeline.sources.folder import FolderSource
from tests.fakes.provider_files import FIRST, LAST, folder_settings, refused, tushare_daily


def test_ranges_are_inclusive_and_sessions_end_with_the_data(data_file: Path) -> None:
    source = FolderSource(folder_settings(data_file))
    days = sessions_between(date(2018, 1, 2), date(2018, 12, 31))[:60]
    assert source.sessions(FIRST, LAST).equals(days)
    part = source.bars(days[3].date(), days[5].date())
    assert part["session_date"].unique().tolist() == days[3:6].tolist()
    assert source.sessions(days[3].date(), days[5].date()).equals(days[3:6])


def test_an_empty_range_says_what_the_files_hold(data_file: Path, index_file: Path) -> None:
    source = FolderSource(folder_settings(data_file, index_file))
    for method in ("bars", "index_bars", "sessions"):
        refused(
            lambda m=method: getattr(source, m)(date(2001, 1, 1), date(2001, 12, 31)),
            "no row from 2001-01-01 to 2001-12-31",
            "2018-01-02 to 2018",
            "source.first_session",
        )


def test_a_month_missing_in_the_middle_is_empty_and_its_sessions_are_still_wanted(
    tmp_path: Path, index_file: Path
) -> None:
    given = tushare_daily(sessions=120)
    path = tmp_path / "holed.csv"
    given[~given["trade_date"].str.startswith("201803")].to_csv(path, index=False)
    source = FolderSource(folder_settings(path, index_file))
    march = (date(2018, 3, 1), date(2018, 3, 31))
    assert source.bars(*march).empty
    assert list(source.bars(*march).columns) == list(BARS)
    assert len(source.sessions(*march)) == 22
    units = source.bar_units(FIRST, LAST)
    assert sum(len(source.bars_of(unit)) for unit in units) == len(source.bars(FIRST, LAST))
    assert source.bars_of(units[2]).empty
