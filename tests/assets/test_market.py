"""What stands on the assets that ask the provider, and what their pages show."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from assets import market
from assets.io_managers import LakeIOManager
from assets.resources import Line, _opened_source
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.ingest.rewrites import read_rewrites
from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.market.tables import TABLES
from ljwx_pipeline.sources.base import bars
from tests.fakes.line_runs import WORLD
from tests.fakes.provider_files import tushare_daily, tushare_index


def test_every_asset_that_asks_the_provider_is_in_its_pool() -> None:
    raw_bars = market.raw_bars_asset(dg.MonthlyPartitionsDefinition(start_date="2024-01-01"))
    asking = (market.calendar, market.reference_tables, market.context_tables, market.index_bars, raw_bars)
    assert {asset.op.pool for asset in asking} == {market.POOL}


def test_a_page_counts_every_row_and_opens_the_newest_month_alone(tmp_path: Path) -> None:
    lake, days = Lake(tmp_path), pd.bdate_range("2024-03-04", "2024-05-31")
    rows = pd.DataFrame({"symbol": "000001.SZ", "session_date": days})[list(TABLES["suspensions"])]
    lake.write_partitions("suspensions", split_by_month(rows), known_at=datetime(2024, 6, 3, tzinfo=UTC))
    for file in lake.root.glob("suspensions/2024-0[34]-01/*.parquet"):
        file.unlink()
    found = market.held_metadata("suspensions", lake.current("suspensions"))
    assert found["dagster/row_count"] == len(days)
    assert (found["first_session"], found["last_session"]) == ("2024-03-04", "2024-05-31")
    assert market.held_metadata("news", [])["dagster/row_count"] == 0


def test_a_history_that_comes_back_different_is_noted_for_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    monkeypatch.setattr(market, "flagging", lambda _line: nullcontext([]))
    first, last = date(2024, 3, 1), date(2024, 3, 29)
    for key, value in {"source.first_session": first, "source.last_session": last, **WORLD}.items():
        monkeypatch.setenv("LJWX_" + key.upper().replace(".", "__"), str(value))
    line = Line()
    raw_bars = market.raw_bars_asset(dg.MonthlyPartitionsDefinition(start_date="2024-03-01"))
    held = bars(line.source(), first, last)
    held["volume_shares"] /= 100.0
    line.lake().write("raw_bars", held, partition="2024-03-01", known_at=datetime(2024, 4, 1, tzinfo=UTC))
    done = dg.materialize(
        [raw_bars], partition_key="2024-03-01", resources={"line": line, "lake_io_manager": LakeIOManager(line=line)}
    )
    assert done.success
    (noted,) = read_rewrites(line.home / market.REWRITES, line.lake())
    assert (noted.month, noted.frac) == ("2024-03-01", 1.0)


def test_files_that_lost_a_month_change_neither_the_calendar_nor_the_bars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market, "flagging", lambda _line: nullcontext([]))
    given, data, index = tushare_daily(sessions=80), tmp_path / "bars.csv", tmp_path / "000905.SH.csv"
    given.to_csv(data, index=False)
    tushare_index(sessions=80).to_csv(index, index=False)
    raw_bars = market.raw_bars_asset(dg.MonthlyPartitionsDefinition(start_date="2018-01-01", end_date="2018-05-01"))

    def load(last_session: str = "2018-04-27") -> Line:
        _opened_source.cache_clear()  # as in a process of its own
        settings = {
            "HOME": tmp_path / "home",
            "PROFILE": "folder",
            "SOURCE__FIRST_SESSION": "2018-01-02",
            "SOURCE__LAST_SESSION": last_session,
            "FOLDER__DATA": data,
            "FOLDER__INDEX_DATA": f'["{index}"]',
            "FOLDER__ADJUSTMENT": "raw",
            "EVALUATION__INDICES": '["000905.SH"]',
            "GATE__BENCHMARK": "000905.SH",
        }
        for name, value in settings.items():
            monkeypatch.setenv(f"LJWX_{name}", str(value))
        line = Line()
        dg.materialize(
            [market.calendar, raw_bars],
            tags={
                "dagster/asset_partition_range_start": "2018-01-01",
                "dagster/asset_partition_range_end": "2018-04-01",
            },
            resources={"line": line, "lake_io_manager": LakeIOManager(line=line)},
        )
        return line

    lake = load().lake()
    before = {name: lake.content_hash(name) for name in ("calendar", "raw_bars", "source_description")}
    given[~given["trade_date"].str.startswith("201803")].to_csv(data, index=False)
    with pytest.raises(SourceError, match=r"22 sessions that the lake holds .* 2018-03-01, .* 2018-03-30; nothing was"):
        load()
    assert {name: lake.content_hash(name) for name in before} == before
    load("2018-02-28")  # the remedy: a range the files still hold
    assert lake.content_hash("raw_bars") == before["raw_bars"]
