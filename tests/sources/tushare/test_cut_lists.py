"""Half an answer that pretends to be whole: made whole, or found out by another answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pandas as pd
import pytest
from pydantic import SecretStr

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.sources.base import BarUnit
from ljwx_pipeline.sources.tushare import dividends, proofs
from ljwx_pipeline.sources.tushare.client import TushareClient
from tests.fakes.provider_stubs.market import FIRST, LAST
from tests.fakes.provider_stubs.tushare import TOKEN, Fault, TushareStub
from tests.fakes.provider_stubs.tushare_source import tushare_settings, tushare_source
from tests.fakes.provider_stubs.waits import Waits

DAY = date(2020, 6, 8)
UNIT = BarUnit("2020-06-08", DAY, DAY)


@pytest.fixture
def tables(stub: TushareStub) -> Iterator[dict[str, pd.DataFrame]]:
    """The provider's tables, put back after the test."""
    before = dict(stub.tables)
    yield stub.tables
    stub.tables.update(before)


@pytest.mark.parametrize("name", ["securities", "st_spells", "corporate_actions"])
def test_half_a_list_is_made_whole_by_asking_on(name: str, stub: TushareStub, waits: Waits) -> None:
    api = {"securities": "stock_basic", "st_spells": "namechange", "corporate_actions": "dividend"}[name]
    span = () if name == "securities" else (FIRST, LAST)
    whole = getattr(tushare_source(stub, waits), name)(*span)
    calls = len(stub.asked("dividend"))
    stub.faults.append(Fault("silent_half", None, api, max(1, calls)))
    pd.testing.assert_frame_equal(getattr(tushare_source(stub, waits), name)(*span), whole)
    assert stub.faults[0].times == 0


@pytest.mark.parametrize("ask", ["securities", "st_spells", "bars"])
def test_a_list_of_stocks_that_stays_short_is_found_out_by_who_traded(
    ask: str, tables: dict[str, pd.DataFrame], stub: TushareStub, waits: Waits
) -> None:
    tables["stock_basic"] = tables["stock_basic"].iloc[1::2]
    source = tushare_source(stub, waits)
    with pytest.raises(
        SourceError, match=r"stock_basic lacks \d+ of the \d+ stocks that traded on .* first S00001\.SIM"
    ):
        {"bars": lambda: source.bars_of(UNIT), "st_spells": lambda: source.st_spells(FIRST, LAST)}.get(
            ask, source.securities
        )()


def test_a_list_of_names_that_stays_short_is_refused(
    tables: dict[str, pd.DataFrame], stub: TushareStub, waits: Waits
) -> None:
    names = tables["namechange"]
    tables["namechange"] = names[names["ts_code"] != "S00003.SIM"]
    with pytest.raises(SourceError, match=r"namechange has no name of 1 of \d+ stocks, first S00003\.SIM"):
        tushare_source(stub, waits).st_spells(FIRST, LAST)


@pytest.mark.parametrize("symbols", [(), ("S00003.SIM", "S00016.SIM")])
def test_dividends_that_stay_lost_are_found_out_by_the_factors(
    symbols: tuple[str, ...], tables: dict[str, pd.DataFrame], stub: TushareStub, waits: Waits
) -> None:
    tables["dividend"] = tables["dividend"].iloc[:0]
    with pytest.raises(SourceError, match=r"dividend has no reason for (\d+) of \1 moves of the factors, first S000"):
        tushare_source(stub, waits, symbols=symbols).corporate_actions(FIRST, LAST)


def test_most_dividends_lost_are_found_out_too(
    tables: dict[str, pd.DataFrame], stub: TushareStub, waits: Waits
) -> None:
    told = tables["dividend"]
    some = sorted(told["ts_code"].unique())[::2]
    tables["dividend"] = told[told["ts_code"].isin(some)]
    with pytest.raises(SourceError, match=r"dividend has no reason for \d+ of \d+ moves"):
        tushare_source(stub, waits).corporate_actions(FIRST, LAST)


def test_a_move_that_is_denied_twice_is_another_event(
    tables: dict[str, pd.DataFrame], stub: TushareStub, waits: Waits
) -> None:
    whole = tushare_source(stub, waits).corporate_actions(FIRST, LAST)
    lost = whole["symbol"].iloc[0]
    tables["dividend"] = tables["dividend"][tables["dividend"]["ts_code"] != lost]
    stub.calls.clear()
    found = tushare_source(stub, waits).corporate_actions(FIRST, LAST)
    assert found["symbol"].tolist() == whole.loc[whole["symbol"] != lost, "symbol"].tolist()
    asked = [call["ts_code"] for call in stub.asked("dividend")]
    assert sorted(set(asked)) == sorted(asked[:-1])
    assert asked[-1] == lost


def test_a_session_cut_short_is_made_whole_by_asking_for_the_stocks(stub: TushareStub, waits: Waits) -> None:
    client = TushareClient(tushare_settings(stub.endpoint), SecretStr(TOKEN), waits.clock, waits.sleep)
    sessions, actions = stub.market.sessions, stub.market["corporate_actions"]
    begins = int(sessions.searchsorted(actions.loc[actions["ex_date"] > sessions[1], "ex_date"].min())) - 1
    span = sessions[begins : begins + 15]
    symbols = sorted(set(stub.market["bars"]["symbol"]))
    whole = dividends.proven_actions(client, span, symbols)
    assert len(whole)
    assert [call["ex_date"] for call in stub.asked("dividend")] == [f"{session:%Y%m%d}" for session in span]
    stub.faults.append(Fault("empty", None, "dividend", len(span)))
    found = dividends.proven_actions(client, span, symbols)
    inside = found[found["ex_date"].between(span[0], span[-1])].reset_index(drop=True)
    pd.testing.assert_frame_equal(inside, whole)


def test_the_factors_cost_a_call_a_month(stub: TushareStub, waits: Waits) -> None:
    tushare_source(stub, waits).corporate_actions(FIRST, LAST)
    months = stub.market.sessions.to_period("M").nunique()
    assert len(stub.asked("adj_factor")) == months + 1


def test_the_list_of_stocks_is_proven_once(stub: TushareStub, waits: Waits) -> None:
    source = tushare_source(stub, waits)
    source.securities()
    source.st_spells(FIRST, LAST)
    assert len(stub.asked("daily")) == 2


@pytest.mark.parametrize("code", ["900901.SH", "200002.SZ", "430047.BJ", "510300.SH"])
def test_codes_that_are_not_covered_do_not_speak_against_the_list(code: str) -> None:
    proofs.everybody_known(DAY, {"600519.SH", code}, {"600519.SH"})


def test_a_changed_code_or_two_do_not_either() -> None:
    traded = {f"60{at:04d}.SH" for at in range(1000)}
    proofs.everybody_known(DAY, traded, traded - {"600000.SH", "600001.SH"})
    with pytest.raises(SourceError, match=r"lacks 6 of the 1000 .* first 600000\.SH"):
        proofs.everybody_known(DAY, traded, traded - {f"60000{at}.SH" for at in range(6)})
