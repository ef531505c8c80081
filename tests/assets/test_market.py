"""What stands on the assets that ask the provider, and what their pages show."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pandas as pd

from assets import market
from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.market.tables import TABLES


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
