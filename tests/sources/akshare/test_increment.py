"""A day more asks for the pages of the sessions rechecked and the new one, and for the reports of two years."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ljwx_pipeline.sources.akshare import AkshareSource
from tests.fakes.increments import assert_same_lake, ingest_all
from tests.fakes.provider_stubs.akshare import AkshareStub
from tests.fakes.provider_stubs.market import FIRST, LAST, SimulatedTables

Make = Callable[..., AkshareSource]
SYMBOLS = ("S00001.SIM", "S00002.SIM", "S00003.SIM")


def test_a_day_more_asks_about_each_stock_and_for_few_pages(
    make: Make, stub: AkshareStub, market: SimulatedTables, tmp_path: Path
) -> None:
    ingest_all(make(symbols=SYMBOLS), tmp_path, FIRST, market.sessions[-2].date())
    stub.asked.clear()
    ingest_all(make(symbols=SYMBOLS), tmp_path, FIRST, LAST)
    hosts = Counter(path.split("/")[1] for path in stub.asked)
    days, indices, quarters = 6, 3, 6
    assert hosts.pop("finance.sina.com.cn") == len(SYMBOLS), "a factor a stock"
    assert hosts.pop("push2his.eastmoney.com") == len(SYMBOLS) + indices, "bars"
    suspended = hosts.pop("datacenter-web.eastmoney.com") - quarters
    assert days <= suspended <= 2 * days
    lists = {"query.sse.com.cn": 4, "www.szse.cn": 2, "www.bse.cn": 2}
    assert hosts == {**lists, "oss-ch.csindex.com.cn": 2, "www.swsresearch.com": 1}


def test_day_by_day_gives_what_a_whole_load_gives(make: Make, market: SimulatedTables, tmp_path: Path) -> None:
    for last in (20, 24, 40):
        grown = ingest_all(make(symbols=SYMBOLS), tmp_path / "grown", FIRST, market.sessions[last].date())
    whole = ingest_all(make(symbols=SYMBOLS), tmp_path / "whole", FIRST, market.sessions[40].date())
    assert_same_lake(grown, whole, ("corporate_actions", "industries", "suspensions", "raw_bars"))
