from __future__ import annotations

from datetime import UTC, date, datetime

from assets.partitions import month_partitions, range_tags
from ljwx_pipeline.config import OPEN, SourceSettings


def source(first: str, last: str) -> SourceSettings:
    return SourceSettings(
        kind="simulated",
        first_session=date.fromisoformat(first),
        last_session=date.fromisoformat(last),
        symbols=(),
        as_of="",
    )


def test_both_end_months_are_partitions() -> None:
    keys = month_partitions(source("2018-01-15", "2018-03-02")).get_partition_keys()
    assert keys == ["2018-01-01", "2018-02-01", "2018-03-01"]


def test_december_ends_in_the_next_year() -> None:
    keys = month_partitions(source("2017-12-29", "2018-12-31")).get_partition_keys()
    assert (keys[0], keys[-1], len(keys)) == ("2017-12-01", "2018-12-01", 13)


def test_one_run_covers_a_range() -> None:
    assert range_tags("2018-01-01", "2018-03-01") == {
        "dagster/asset_partition_range_start": "2018-01-01",
        "dagster/asset_partition_range_end": "2018-03-01",
    }


def test_the_running_month_is_a_partition_of_a_source_that_goes_on() -> None:
    months = month_partitions(source("2026-09-01", "2026-12-31"))
    keys = months.get_partition_keys(current_time=datetime(2026, 11, 20, 10, tzinfo=UTC))
    assert keys == ["2026-09-01", "2026-10-01", "2026-11-01"]


def test_the_months_of_an_open_source_go_on_with_the_clock() -> None:
    open_end = source("2026-09-01", "2026-12-31").model_copy(update={"last_session": OPEN})
    keys = month_partitions(open_end).get_partition_keys(current_time=datetime(2027, 1, 4, 10, tzinfo=UTC))
    assert keys == ["2026-09-01", "2026-10-01", "2026-11-01", "2026-12-01", "2027-01-01"]
