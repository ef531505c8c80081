"""What goes wrong on the way: cured by waiting, or named with its remedy; the token is never told."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta

import pandas as pd
import pytest

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.tables import SUSPENSIONS
from ljwx_pipeline.sources.base import BarUnit
from ljwx_pipeline.sources.tushare import TushareSource
from tests.fakes.provider_stubs import tushare as provider
from tests.fakes.provider_stubs.market import FIRST, LAST, simulated_tables
from tests.fakes.provider_stubs.tushare import TOKEN, Fault, TushareStub
from tests.fakes.provider_stubs.tushare_source import tushare_source
from tests.fakes.provider_stubs.waits import Waits

DAY = date(2020, 6, 8)
UNIT = BarUnit("2020-06-08", DAY, DAY)
EXACT = ["symbol", "open_cny", "close_cny", "pre_close_cny", "volume_shares"]

CURED = [
    Fault("http", 500, "daily", 3),
    Fault("http", 502, None, 2),
    Fault("http", 429, "daily"),
    Fault("truncated", None, "daily", 2),
    Fault("truncated", None, "stock_basic"),
    Fault("reset", None, "daily", 2),
    Fault("refuse", provider.BUSY, "adj_factor", 2),
    Fault("refuse", provider.RATE_LIMITED, "daily", 3),
    Fault("half_page", None, "daily"),
    Fault("half_page", None, "adj_factor"),
    Fault("add_columns", None, None, 99),
    Fault("reverse_columns", None, None, 99),
]


def bars(source: TushareSource) -> pd.DataFrame:
    return source.bars_of(UNIT)


@pytest.mark.parametrize("fault", CURED, ids=lambda fault: f"{fault.kind}-{fault.detail}-{fault.api}")
def test_what_may_pass_is_tried_again_and_the_bars_are_whole(fault: Fault, stub: TushareStub, waits: Waits) -> None:
    stub.faults.append(replace(fault))
    found, whole = bars(tushare_source(stub, waits)), simulated_tables()["bars"]
    wanted = whole[whole["session_date"] == pd.Timestamp(DAY)].reset_index(drop=True)
    pd.testing.assert_frame_equal(found[EXACT], wanted[EXACT])
    assert fault.times == 99 or stub.faults[0].times == 0


def test_waits_grow_and_a_rate_limit_is_waited_out(stub: TushareStub, waits: Waits) -> None:
    stub.faults.append(Fault("http", 500, "daily", 3))
    bars(tushare_source(stub, waits))
    assert len(waits.slept) == 3
    assert waits.slept == sorted(waits.slept)
    waits.slept.clear()
    stub.faults.append(Fault("refuse", provider.RATE_LIMITED, "daily"))
    bars(tushare_source(stub, waits))
    assert waits.slept == [61.0]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("http", 500, "daily", 9), "HTTP 500"),
        (Fault("truncated", None, "daily", 9), "breaks off after"),
        (Fault("reset", None, "daily", 9), "cannot be reached or broke off"),
        (Fault("refuse", provider.RATE_LIMITED, "daily", 9), "lower tushare.calls_per_minute"),
    ],
)
def test_what_does_not_pass_is_given_up_after_the_configured_tries(
    fault: Fault, said: str, stub: TushareStub, waits: Waits
) -> None:
    stub.faults.append(replace(fault))
    with pytest.raises(SourceError, match=said):
        bars(tushare_source(stub, waits, attempts=3))
    assert len(stub.asked("daily")) == 3


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (provider.NO_PERMISSION, "points do not open this interface"),
        (provider.BAD_TOKEN, "check the token"),
        (provider.DAY_QUOTA, "go on tomorrow"),
        (provider.HOUR_QUOTA, "go on in an hour"),
        ((-2001, "必填参数"), "was not understood"),
        ((40002, "抱歉，您的IP数量超限"), "few addresses"),
    ],
)
def test_a_refusal_that_waiting_does_not_cure_is_named_at_once(
    answer: tuple[int, str], remedy: str, stub: TushareStub, waits: Waits
) -> None:
    stub.faults.append(Fault("refuse", answer, "daily", 9))
    with pytest.raises(SourceError, match=remedy) as caught:
        bars(tushare_source(stub, waits))
    assert answer[1] in str(caught.value)
    assert (len(stub.asked("daily")), waits.slept) == (1, [])


def test_a_wrong_token_is_named_at_once(stub: TushareStub, waits: Waits) -> None:
    with pytest.raises(SourceError, match="check the token"):
        bars(tushare_source(stub, waits, token="anothertoken"))
    assert len(stub.calls) == 1


def test_an_address_that_is_not_tushares_is_named(stub: TushareStub, waits: Waits) -> None:
    stub.faults.append(Fault("http", 404))
    with pytest.raises(SourceError, match=r"check tushare\.endpoint"):
        bars(tushare_source(stub, waits))


@pytest.mark.parametrize("column", ["amount", "trade_date"])
def test_a_documented_column_that_is_gone_is_named(column: str, stub: TushareStub, waits: Waits) -> None:
    stub.faults.append(Fault("drop_column", column, "daily"))
    with pytest.raises(SourceError, match=f"no longer answers the column {column}"):
        bars(tushare_source(stub, waits))


def test_a_call_that_takes_too_long_is_broken_off(stub: TushareStub, waits: Waits) -> None:
    source = tushare_source(stub, waits, timeout_s=0.2, attempts=2)
    source.securities()
    stub.faults.append(Fault("slow", 0.5, "daily", 2))
    with pytest.raises(SourceError, match=r"no whole answer within 0\.2 s"):
        bars(source)


def test_half_a_session_that_pretends_to_be_whole_is_found_out(stub: TushareStub, waits: Waits) -> None:
    stub.faults.append(Fault("silent_half", None, "daily"))
    with pytest.raises(SourceError, match=r"lacks \d+ of \d+ listed stocks that nobody suspended"):
        bars(tushare_source(stub, waits))


def test_bars_without_their_factor_are_refused(stub: TushareStub, waits: Waits) -> None:
    stub.faults.append(Fault("silent_half", None, "adj_factor"))
    with pytest.raises(SourceError, match="adj_factor lacks"):
        bars(tushare_source(stub, waits))


def test_an_index_that_lacks_sessions_is_refused(stub: TushareStub, waits: Waits) -> None:
    whole = stub.tables["index_daily"]
    stub.tables["index_daily"] = whole[whole["trade_date"] != "20200610"]
    try:
        with pytest.raises(SourceError, match=r"index_daily of 000300\.SH lacks 2020-06-10"):
            tushare_source(stub, waits).index_bars(date(2020, 6, 1), date(2020, 6, 30))
    finally:
        stub.tables["index_daily"] = whole


def test_an_index_whose_oldest_sessions_were_cut_off_is_refused_and_one_that_began_later_is_not(
    stub: TushareStub, waits: Waits
) -> None:
    first, last = date(2020, 6, 1), date(2020, 6, 30)
    stub.faults.append(Fault("silent_half", None, "index_daily"))
    with pytest.raises(SourceError, match=r"index_daily of 000300\.SH lacks 2020-06-01 \(\d+ such sessions\)"):
        tushare_source(stub, waits).index_bars(first, last)
    whole = stub.tables["index_daily"]
    began = (whole["ts_code"] != "000905.SH") | (whole["trade_date"] >= "20200610")
    stub.tables["index_daily"] = whole[began]
    try:
        found = tushare_source(stub, waits).index_bars(first, last)
    finally:
        stub.tables["index_daily"] = whole
    assert found.groupby("index_code")["session_date"].min()["000905.SH"] == pd.Timestamp("2020-06-10")


@pytest.mark.parametrize(
    ("api", "ask"),
    [
        ("daily", lambda source: source.bars_of(UNIT)),
        ("adj_factor", lambda source: source.bars_of(UNIT)),
        ("daily_basic", lambda source: source.market_values(DAY, DAY)),
        ("stk_limit", lambda source: source.price_limits(DAY, DAY)),
        ("suspend_d", lambda source: source.suspensions(DAY, DAY + timedelta(days=9))),
        ("index_daily", lambda source: source.index_bars(DAY, DAY)),
        ("index_weight", lambda source: source.index_members(FIRST, LAST)),
        ("dividend", lambda source: source.corporate_actions(FIRST, LAST)),
        ("namechange", lambda source: source.st_spells(FIRST, LAST)),
        ("stock_basic", lambda source: source.securities()),
        ("fina_indicator", lambda source: source.financial_indicators(date(2020, 8, 1), date(2020, 8, 31))),
        ("trade_cal", lambda source: source.sessions(DAY, DAY)),
    ],
)
def test_an_empty_answer_is_not_taken_for_no_data(
    api: str, ask: Callable[[TushareSource], object], stub: TushareStub, waits: Waits
) -> None:
    stub.faults.append(Fault("empty", None, api, 999))
    with pytest.raises(SourceError, match=api):
        ask(tushare_source(stub, waits))


def test_a_range_in_which_nobody_was_suspended_is_proven_by_the_bars(stub: TushareStub, waits: Waits) -> None:
    market = simulated_tables()
    free = market.sessions[~market.sessions.isin(market["suspensions"]["session_date"])]
    session = free[0].date()
    found = tushare_source(stub, waits).suspensions(session, session)
    assert found.empty
    assert list(found) == list(SUSPENSIONS)
    assert [call["trade_date"] for call in stub.asked("daily")] == [f"{session:%Y%m%d}"]


def test_a_range_without_an_ex_date_is_proven_by_the_factors(stub: TushareStub, waits: Waits) -> None:
    assert tushare_source(stub, waits, symbols=("S00014.SIM",)).corporate_actions(FIRST, LAST).empty
    assert [call["ts_code"] for call in stub.asked("adj_factor")] == ["S00014.SIM"]


def test_one_symbol_without_rows_is_questioned(stub: TushareStub, waits: Waits) -> None:
    source = tushare_source(stub, waits, symbols=("S00003.SIM",))
    (unit,) = source.bar_units(date(2020, 6, 1), date(2020, 8, 31))
    stub.faults.append(Fault("empty", None, "daily"))
    with pytest.raises(SourceError, match=r"gives 0 of \d+ sessions of S00003.SIM .* were not suspended"):
        source.bars_of(unit)


def test_a_symbol_that_was_suspended_throughout_has_no_bars(stub: TushareStub, waits: Waits) -> None:
    market = simulated_tables()
    row = market["suspensions"].iloc[0]
    symbol, session = row["symbol"], row["session_date"].date()
    source = tushare_source(stub, waits, symbols=(symbol,))
    assert source.bars_of(BarUnit("x", session, session, symbol)).empty
    assert len(stub.asked("suspend_d")) == 1


def test_a_symbol_not_listed_in_the_range_is_not_asked_for(stub: TushareStub, waits: Waits) -> None:
    first, last = date(2020, 6, 1), date(2020, 8, 31)
    source = tushare_source(stub, waits, symbols=("S00022.SIM", "S00003.SIM"))
    assert [unit.symbol for unit in source.bar_units(first, last)] == ["S00003.SIM"]
    assert source.bars_of(BarUnit("x", first, last, "S00022.SIM")).empty
    assert stub.asked("daily") == []
    with pytest.raises(SourceError, match=r"none of source\.symbols was listed"):
        tushare_source(stub, waits, symbols=("S00022.SIM",)).bar_units(first, last)


def test_an_unknown_symbol_is_named(stub: TushareStub, waits: Waits) -> None:
    with pytest.raises(SourceError, match=r"knows no stock 600519\.SH"):
        tushare_source(stub, waits, symbols=("600519.SH",)).securities()


def test_a_session_not_yet_published_says_so(stub: TushareStub, waits: Waits) -> None:
    waits.clock.set(datetime(2020, 6, 8, 18, 30, tzinfo=SHANGHAI))
    stub.faults.append(Fault("empty", None, "daily"))
    with pytest.raises(SourceError, match="not published yet, or withheld"):
        bars(tushare_source(stub, waits))


def test_a_closed_day_has_no_bars_and_is_not_asked_for(stub: TushareStub, waits: Waits) -> None:
    saturday = date(2020, 6, 6)
    assert tushare_source(stub, waits).bars_of(BarUnit("2020-06-06", saturday, saturday)).empty
    assert stub.asked("daily") == []


def test_the_rate_limit_is_kept(stub: TushareStub, waits: Waits) -> None:
    tushare_source(stub, waits, calls_per_minute=10).market_values(DAY, DAY + timedelta(days=21))
    assert len(stub.calls) > 20
    assert waits.clock.monotonic_s() == pytest.approx(60.0 * ((len(stub.calls) - 1) // 10))


def test_the_token_is_never_told(
    stub: TushareStub, waits: Waits, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    source = tushare_source(stub, waits, attempts=2)
    source.securities()
    slow = tushare_source(stub, waits, attempts=2, timeout_s=0.2)
    slow.securities()
    faults = [Fault("echo", None, "daily"), Fault("reset", None, "daily", 2), Fault("truncated", None, "daily", 2)]
    faults += [Fault("http", 500, "daily", 2), Fault("refuse", provider.BAD_TOKEN), Fault("slow", 0.4, "daily", 2)]
    told = []
    for fault in faults:
        stub.faults[:] = [fault]
        with pytest.raises(SourceError) as caught:
            bars(slow if fault.kind == "slow" else source)
        told += [str(caught.value), repr(caught.value), repr(caught.value.__context__)]
        told += traceback.format_exception(caught.value)
    told += [repr(source), repr(vars(source)), repr(vars(source._questions.client))]
    told += [f"{record.getMessage()} {record.args}" for record in caplog.records]
    told += list(capsys.readouterr())
    assert any("***" in text for text in told), "the provider did repeat the token"
    assert any("next in" in text for text in told), "the retries are logged"
    assert [text for text in told if TOKEN in text] == []
