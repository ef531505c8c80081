"""Everything a daily run asks of a provider, stored as the line stores it; what it cost is counted at the stub."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd

from ljwx_pipeline.ingest.bars import ingest_bars
from ljwx_pipeline.ingest.tables import ingest_dated_table, ingest_range_table, ingest_securities
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.market.tables import RANGE_TABLES
from ljwx_pipeline.sources.base import MarketSource

RECHECKED = 5
#: Tables that grow by date.
DATED_TABLES = (
    "index_bars",
    "market_values",
    "corporate_actions",
    "suspensions",
    "price_limits",
    "financial_indicators",
    "news",
    "macro",
)


def ingest_all(source: MarketSource, home: Path, first: date, last: date) -> Lake:
    """Bring the lake below ``home`` up to ``[first, last]``: reference tables, dated ones, bars; return it."""
    lake, sessions = Lake(home / "lake"), source.sessions(first, last)
    ingest_securities(source, lake)
    for ingest, names in ((ingest_range_table, tuple(RANGE_TABLES)), (ingest_dated_table, DATED_TABLES)):
        for name in names:
            ingest(
                source,
                lake,
                name,
                sessions,
                coverage_file=home / f"{name}.json",
                recheck_sessions=RECHECKED,
            )
    ingest_bars(source, lake, first, last, staging=home / "staging", recheck_sessions=RECHECKED)
    return lake


def assert_same_lake(found: Lake, expected: Lake, tables: tuple[str, ...]) -> None:
    """Check that two lakes say the same now."""
    for name in tables:
        assert found.holds(name) == expected.holds(name), name
        if found.holds(name):
            pd.testing.assert_frame_equal(found.read(name), expected.read(name), obj=name)
