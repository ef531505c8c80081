"""A first backfill that meets faults stops or heals, and once they are over holds what an undisturbed one holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.market.calendar import sessions_between
from tests.fakes.increments import ingest_all
from tests.fakes.provider_stubs.market import FIRST, LAST
from tests.fakes.provider_stubs.tushare import Fault, TushareStub
from tests.fakes.provider_stubs.tushare_source import tushare_source

FIRST_LOADED, LAST_LOADED = (sessions_between(FIRST, LAST)[at].date() for at in (30, 44))
LOUD, QUIET = ("http", "truncated", "reset", "half_page"), ("silent_half", "empty")
BARS = ("daily", "adj_factor")
TABLES = ("stock_basic", "index_weight", "dividend", "suspend_d", "stk_limit", "daily_basic", "index_daily")
CASES = [(api, kind) for api in BARS for kind in (*LOUD, *QUIET)] + [(api, kind) for api in TABLES for kind in QUIET]


def backfill(stub: TushareStub, home: Path) -> Lake:
    return ingest_all(tushare_source(stub, attempts=1), home, FIRST_LOADED, LAST_LOADED)


def hashes(lake: Lake) -> dict[str, str]:
    return {table: lake.content_hash(table) for table in lake.tables()}


@pytest.fixture(scope="module")
def undisturbed(server: TushareStub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    server.reset()
    return hashes(backfill(server, tmp_path_factory.mktemp("undisturbed")))


@pytest.mark.slow
@pytest.mark.parametrize(("api", "kind"), CASES)
def test_a_backfill_heals_by_the_next_run_to_the_same_content(
    stub: TushareStub, undisturbed: dict[str, str], tmp_path: Path, api: str, kind: str
) -> None:
    stopped = 0
    for calls_before in (0, 3):  # at the first call, and in the middle of what the next run still asks for
        stub.faults.append(Fault("slow", 0.0, api=api, times=calls_before))
        stub.faults.append(Fault(kind, 500 if kind == "http" else None, api=api))
        try:
            backfill(stub, tmp_path)
        except SourceError:
            stopped += 1
        stub.reset()
    if kind in ("http", "truncated", "reset"):
        assert stopped, "one try a call: such a fault stops the line"
    assert hashes(backfill(stub, tmp_path)) == undisturbed
