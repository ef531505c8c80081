"""Whatever goes wrong on the line ends in the whole answer or in an error, never in part of it, and prints nothing."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable

import pytest

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.sources import base
from ljwx_pipeline.sources.baostock import BaostockSource
from tests.fakes.provider_stubs.baostock import BaostockStub
from tests.fakes.provider_stubs.market import FIRST, LAST, SimulatedTables

Make = Callable[..., BaostockSource]
DAILY = "query_history_k_data_plus"
ONE = ("S00001.SIM",)


@pytest.mark.parametrize("kind", ["drop", "cut", "10001001", "10002007", "10005001"])
def test_a_fault_that_passes_costs_a_new_login_and_nothing_else(
    make: Make, stub: BaostockStub, market: SimulatedTables, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    source = make(symbols=ONE)
    stub.fail(kind, DAILY, times=2)
    assert len(base.bars(source, FIRST, LAST)) == (market["bars"]["symbol"] == ONE[0]).sum()
    assert stub.logins == 3
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("kind", ["drop", "cut", "10002007"])
def test_a_fault_that_stays_is_an_error(
    make: Make, stub: BaostockStub, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    source = make(symbols=ONE)
    stub.fail(kind, DAILY, times=99)
    with pytest.raises(SourceError, match=DAILY):
        base.bars(source, FIRST, LAST)
    assert stub.asked.count(DAILY) == 3
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("kind", ["drop", "cut", "10002007"])
def test_a_lost_second_page_never_passes_for_the_end(
    make: Make, stub: BaostockStub, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    import baostock.common.contants as constants

    monkeypatch.setattr(constants, "BAOSTOCK_PER_PAGE_COUNT", 30)
    source = make(symbols=ONE)
    stub.fail(kind, DAILY, times=99, page=2)
    with pytest.raises(SourceError, match=DAILY):
        base.bars(source, FIRST, LAST)


def test_a_server_that_never_answers_ends_in_an_error(make: Make, stub: BaostockStub) -> None:
    source = make(symbols=ONE, timeout_s=0.2, attempts=2)
    stub.fail("hang", DAILY, times=99)
    started = time.monotonic()
    with pytest.raises(SourceError, match="timed out"):
        base.bars(source, FIRST, LAST)
    assert time.monotonic() - started < 5


def test_a_slow_answer_within_the_limit_is_taken(make: Make, stub: BaostockStub) -> None:
    stub.fail("slow", DAILY, seconds=0.2)
    assert len(base.bars(make(symbols=ONE), FIRST, LAST))
    assert stub.logins == 1


def test_a_refused_login_is_not_tried_again(make: Make, stub: BaostockStub) -> None:
    stub.fail("10001011", "login", times=99)
    with pytest.raises(SourceError, match=r"10001011.*black list"):
        make().securities()
    assert stub.asked == ["login"]


def test_nobody_listening_is_an_error_that_names_the_address(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SourceError, match=rf"127\.0\.0\.1:{port}.*refused"):
        make(port=port).securities()
    assert capfd.readouterr().out == ""


def test_a_column_that_is_gone_is_named_with_the_librarys_version(make: Make, stub: BaostockStub) -> None:
    stub.fail("rename", "query_stock_basic")
    with pytest.raises(SourceError, match=r"baostock \d+\.\d+\.\d+ query_stock_basic answered without code"):
        make().securities()


def test_a_column_more_changes_nothing(make: Make, stub: BaostockStub, market: SimulatedTables) -> None:
    stub.fail("add", "", times=99)
    assert len(make().securities()) == len(market["securities"])
    assert len(base.bars(make(symbols=ONE), FIRST, LAST)) == (market["bars"]["symbol"] == ONE[0]).sum()


def test_without_the_package_it_says_what_to_install(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make()
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "baostock", None)
        with pytest.raises(SourceError, match=r"not installed.*providers\.txt"):
            source.securities()


def test_two_sources_take_turns_on_the_one_session(make: Make, stub: BaostockStub) -> None:
    one, other = make(symbols=ONE), make(symbols=("S00002.SIM",))
    assert list(one.securities()["symbol"]) == ["S00001.SIM"]
    assert list(other.securities()["symbol"]) == ["S00002.SIM"]
    assert len(base.bars(one, FIRST, LAST))
    assert stub.logins == 3
