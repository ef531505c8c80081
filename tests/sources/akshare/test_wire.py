"""Whatever the pages answer ends in the whole table or in an error that says what to do, and prints nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import pytest
import requests
from pandas.testing import assert_frame_equal

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.errors import ConfigError, SourceError
from ljwx_pipeline.sources import base
from ljwx_pipeline.sources.akshare import AkshareSource
from ljwx_pipeline.sources.akshare.transport import PageAdapter, routed
from ljwx_pipeline.sources.wire import TokenBucket
from tests.fakes.provider_stubs.akshare import AkshareStub
from tests.fakes.provider_stubs.market import FIRST, LAST, SimulatedTables

Make = Callable[..., AkshareSource]
HIST, FACTOR, BONUS = "/api/qt/stock/kline/get", "hfq.js", "datacenter-web"
ONE = ("S00001.SIM",)


@pytest.mark.parametrize("path", [HIST, FACTOR, "sseQuery", "ShowReport"])
@pytest.mark.parametrize("kind", ["500", "429", "ban", "truncated", "short"])
def test_a_fault_that_passes_changes_nothing(
    make: Make,
    stub: AkshareStub,
    market: SimulatedTables,
    kind: str,
    path: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    stub.fail(kind, path, times=1)
    found = base.bars(make(symbols=ONE), FIRST, LAST)
    assert len(found) == (market["bars"]["symbol"] == ONE[0]).sum()
    assert stub.faults[0].times == 0
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("500", "HTTP 500"),
        ("403", "refuses us"),
        ("ban", "a web page .访问验证"),
        ("truncated", "stock_zh_a_hist"),
        ("short", "stock_zh_a_hist"),
    ],
)
def test_a_fault_that_stays_is_an_error_that_says_what_it_was(
    make: Make, stub: AkshareStub, kind: str, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    stub.fail(kind, HIST, times=99)
    with pytest.raises(SourceError, match=says):
        base.bars(make(symbols=ONE), FIRST, LAST)
    assert sum(HIST in path for path in stub.asked) == 3
    assert capfd.readouterr().out == ""


def test_a_page_that_blocks_is_left_alone_for_a_minute(make: Make, stub: AkshareStub, waits: list[float]) -> None:
    stub.fail("ban", HIST, times=1)
    base.bars(make(symbols=ONE), FIRST, LAST)
    assert waits == [60.0]


def test_a_page_that_hangs_ends_in_an_error(make: Make, stub: AkshareStub) -> None:
    source = make(symbols=ONE, timeout_s=0.3, attempts=2)
    source.securities()
    stub.fail("hang", HIST, times=99, seconds=3.0)
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"(?i)timed out"):
        base.bars(source, FIRST, LAST)
    assert time.monotonic() - started < 3


def test_a_slow_page_within_the_limit_is_taken(make: Make, stub: AkshareStub, waits: list[float]) -> None:
    stub.fail("slow", HIST, seconds=0.2)
    assert len(base.bars(make(symbols=ONE), FIRST, LAST))
    assert waits == []


@pytest.mark.parametrize("path", ["sseQuery", "ShowReport"])
def test_a_renamed_column_is_an_error_that_names_the_librarys_version(make: Make, stub: AkshareStub, path: str) -> None:
    stub.fail("rename", path, times=99)
    with pytest.raises(SourceError, match=r"akshare \d+\.\d+\.\d+ stock_info_s[hz]_name_code"):
        make().securities()


def test_a_renamed_column_that_akshare_lets_through_is_named(make: Make, stub: AkshareStub) -> None:
    stub.fail("rename", "StockClassifyUse", times=99)
    with pytest.raises(SourceError, match=r"akshare \d+\.\d+\.\d+ stock_industry_clf_hist_sw"):
        make().industries(FIRST, LAST)


def test_columns_more_are_ignored_where_a_page_is_read_by_name(
    make: Make, stub: AkshareStub, market: SimulatedTables
) -> None:
    for path in ("query.sse.com.cn", "www.szse.cn", "www.swsresearch.com"):
        stub.fail("add", path, times=99)
    source = make()
    assert len(source.securities()) == len(market["securities"])
    assert len(source.industries(FIRST, LAST)) == len(market["industries"])


def test_columns_more_are_an_error_where_akshare_reads_by_position(make: Make, stub: AkshareStub) -> None:
    stub.fail("add", HIST, times=99)
    with pytest.raises(SourceError, match=r"akshare \d+\.\d+\.\d+ stock_zh_a_hist.*cannot read the page.*upgrade"):
        base.bars(make(symbols=ONE), FIRST, LAST)


def test_an_empty_list_of_stocks_is_an_error(make: Make, stub: AkshareStub) -> None:
    stub.fail("empty", "sseQuery", times=99)
    with pytest.raises(SourceError, match="stock_info_sh_name_code"):
        make().securities()


@pytest.mark.parametrize("times", [1, 99])
def test_a_later_page_that_says_empty_does_not_make_the_answer_empty(make: Make, stub: AkshareStub, times: int) -> None:
    whole = make().corporate_actions(FIRST, LAST)
    assert len(whole)
    stub.fail("slow", BONUS, times=4)  # three periods without a row, then the first page of the one with rows
    stub.fail("empty", BONUS, times=times)
    if times == 1:
        assert_frame_equal(make().corporate_actions(FIRST, LAST), whole)
    else:
        with pytest.raises(SourceError, match=r"stock_fhps_em\(20191231\): one of its 2 pages says .* no row"):
            make(attempts=1).corporate_actions(FIRST, LAST)
    assert stub.faults[0].times == 0


def test_a_script_that_holds_more_than_data_is_never_run(make: Make, stub: AkshareStub) -> None:
    stub.fail("script", FACTOR, times=99)
    with pytest.raises(SourceError, match="holds more than data"):
        base.bars(make(symbols=ONE), FIRST, LAST)


def test_no_factor_at_all_is_an_error(make: Make, stub: AkshareStub) -> None:
    stub.fail("empty", FACTOR, times=99)
    with pytest.raises(SourceError, match="stock_zh_a_daily"):
        base.bars(make(symbols=ONE), FIRST, LAST)


def test_without_the_package_it_says_what_to_install(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "akshare", None)
    with pytest.raises(SourceError, match=r"cannot be imported.*providers\.txt"):
        make().securities()


def test_plain_http_is_refused_beyond_loopback(make: Make) -> None:
    with pytest.raises(ConfigError, match="http on loopback"):
        make(endpoint="http://mirror.example")


def test_requests_of_other_threads_keep_their_own_way(stub: AkshareStub) -> None:
    adapter = PageAdapter(stub.url, 5.0, TokenBucket(100, SystemClock()), SystemClock())
    seen: list[bool] = []

    def look() -> None:
        with requests.Session() as session:
            seen.append(session.get_adapter("https://example.org") is adapter)

    with routed(adapter):
        look()
        other = threading.Thread(target=look)
        other.start()
        other.join()
    look()
    assert seen == [True, False, False]


def test_every_request_takes_its_turn_and_names_its_host_in_the_path(stub: AkshareStub) -> None:
    taken: list[int] = []

    class Counting(TokenBucket):
        def take(self) -> float:
            taken.append(1)
            return super().take()

    clock = SystemClock()
    with routed(PageAdapter(stub.url, 5.0, Counting(100, clock), clock)):
        for _ in range(3):
            requests.get("https://www.bse.cn/nqxxController/nqxxCnzq.do", timeout=5)
    assert len(taken) == 3
    assert stub.asked == ["/www.bse.cn/nqxxController/nqxxCnzq.do"] * 3
