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
from assets.resources import Line
from ljwx_pipeline.ingest.rewrites import read_rewrites
from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.market.tables import TABLES
from ljwx_pipeline.sources.base import bars
from tests.fakes.line_runs import WORLD


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
