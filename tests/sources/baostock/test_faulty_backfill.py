"""A first backfill that meets faults stops or heals, and once they are over holds what an undisturbed one holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.sources.baostock import BaostockSource
from tests.fakes.increments import ingest_all
from tests.fakes.provider_stubs.baostock import BaostockStub
from tests.fakes.provider_stubs.market import SimulatedTables

Make = Callable[..., BaostockSource]
BARS, MEMBERS = "query_history_k_data_plus", "query_hs300_stocks"
FACTORS, ACTIONS = "query_adjust_factor", "query_dividend_data"
CASES = [(BARS, kind) for kind in ("drop", "cut", "10005001", "half", "empty")]
CASES += [(query, "empty") for query in (FACTORS, ACTIONS, MEMBERS, "query_stock_industry", "query_stock_basic")]
CASES += [(MEMBERS, "half"), ("query_trade_dates", "half")]


def days(market: SimulatedTables) -> tuple[date, date]:
    return market.sessions[30].date(), market.sessions[44].date()


def hashes(lake: Lake) -> dict[str, str]:
    return {table: lake.content_hash(table) for table in lake.tables()}


@pytest.fixture(scope="module")
def undisturbed(kept: Make, market: SimulatedTables, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return hashes(ingest_all(kept(), tmp_path_factory.mktemp("undisturbed"), *days(market)))


@pytest.mark.slow
@pytest.mark.parametrize(("query", "kind"), CASES)
def test_a_backfill_heals_by_the_next_run_to_the_same_content(
    undisturbed: dict[str, str],
    make: Make,
    stub: BaostockStub,
    market: SimulatedTables,
    tmp_path: Path,
    query: str,
    kind: str,
) -> None:
    first, last = days(market)
    stopped = 0
    for calls_before in (0, 3):  # at the first call, and in the middle of what the next run still asks for
        stub.fail("slow", query, times=calls_before)
        stub.fail(kind, query)
        try:
            ingest_all(make(attempts=1), tmp_path, first, last)
        except SourceError:
            stopped += 1
        stub.faults.clear()
    if kind in ("drop", "cut", "10005001"):
        assert stopped, "one try a call: such a fault stops the line"
    assert hashes(ingest_all(make(), tmp_path, first, last)) == undisturbed
