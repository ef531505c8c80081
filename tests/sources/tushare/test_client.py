"""The address, the token and the pages of a question."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.sources.tushare.apis import DAILY, STK_LIMIT
from ljwx_pipeline.sources.tushare.client import TushareClient
from ljwx_pipeline.sources.tushare.credentials import read_token
from ljwx_pipeline.sources.tushare.pages import fetch
from tests.fakes.provider_stubs.market import simulated_tables
from tests.fakes.provider_stubs.tushare import TOKEN, Fault, TushareStub
from tests.fakes.provider_stubs.tushare_source import tushare_settings
from tests.fakes.provider_stubs.waits import Waits

DAY = {"trade_date": "20200608"}


def client_of(stub: TushareStub, waits: Waits) -> TushareClient:
    return TushareClient(tushare_settings(stub.endpoint), SecretStr(TOKEN), waits.clock, waits.sleep)


@pytest.fixture
def client(stub: TushareStub, waits: Waits) -> TushareClient:
    return client_of(stub, waits)


@pytest.mark.parametrize(
    "endpoint",
    ["http://api.tushare.pro", "ftp://api.tushare.pro", "api.tushare.pro", "https://", "http://127.0.0.1.example.org"],
)
def test_a_token_is_not_sent_in_clear_or_to_no_address(endpoint: str, waits: Waits) -> None:
    with pytest.raises(SourceError, match=r"tushare\.endpoint"):
        TushareClient(tushare_settings(endpoint), SecretStr(TOKEN), waits.clock)


@pytest.mark.parametrize("endpoint", ["https://api.tushare.pro", "http://127.0.0.1:8521", "http://[::1]:8521"])
def test_https_and_this_machine_are_taken(endpoint: str, waits: Waits) -> None:
    TushareClient(tushare_settings(endpoint), SecretStr(TOKEN), waits.clock)


def test_an_address_where_nobody_answers_is_named(waits: Waits) -> None:
    settings = tushare_settings("http://127.0.0.1:9", attempts=2)
    with pytest.raises(SourceError, match="cannot be reached"):
        TushareClient(settings, SecretStr(TOKEN), waits.clock, waits.sleep).ask(DAILY, {})
    assert len(waits.slept) == 1


def test_a_closed_client_opens_again(client: TushareClient) -> None:
    client.ask(DAILY, DAY)
    client.close()
    assert client.ask(DAILY, DAY).items


def test_only_what_is_used_is_asked_for(client: TushareClient) -> None:
    assert client.ask(DAILY, DAY).fields == DAILY.fields


def test_the_token_comes_from_a_file_of_ones_own_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    assert read_token(str(file), {}).get_secret_value() == TOKEN
    assert read_token("", {"TUSHARE_TOKEN": TOKEN}).get_secret_value() == TOKEN
    assert TOKEN not in repr(read_token(str(file), {}))


def test_an_absent_token_names_both_ways(tmp_path: Path) -> None:
    for token_file in ("", str(tmp_path / "none")):
        with pytest.raises(SourceError, match=r"TUSHARE_TOKEN, or into a file .* tushare\.token_file"):
            read_token(token_file, {})


@pytest.mark.parametrize("content", ["", " \n", "two words", "token\nanother", "jeton-é"])
def test_a_token_file_without_a_token_is_refused_without_telling_its_content(content: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(SourceError, match="token") as caught:
        read_token(str(file), {})
    assert content.strip() == "" or content not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_token_file_that_others_may_read_is_refused(mode: int, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(mode)
    with pytest.raises(SourceError, match="chmod 600"):
        read_token(str(file), {})


@pytest.mark.parametrize("says_has_more", [True, False])
@pytest.mark.parametrize("cap", [1, 7, 10_000])
def test_pages_together_are_the_whole_answer(cap: int, says_has_more: bool, stub: TushareStub, waits: Waits) -> None:
    stub.says_has_more = says_has_more
    rows = fetch(client_of(stub, waits), replace(DAILY, cap=cap), DAY)
    whole = stub.tables["daily"]
    wanted = whole[whole["trade_date"] == DAY["trade_date"]]
    assert rows["ts_code"].tolist() == wanted["ts_code"].tolist()
    assert len(stub.calls) == len(wanted) // cap + 1


def test_a_cap_lower_than_we_know_loses_no_row(waits: Waits) -> None:
    with TushareStub(simulated_tables(), caps={"stk_limit": 6}) as other:
        rows = fetch(client_of(other, waits), STK_LIMIT, DAY)
    assert len(rows) == (other.tables["stk_limit"]["trade_date"] == DAY["trade_date"]).sum()


def test_rows_that_two_pages_share_are_kept_once(client: TushareClient, stub: TushareStub) -> None:
    wanted = fetch(client, DAILY, DAY)
    stub.faults.append(Fault("overlap", None, "daily", 99))
    rows = fetch(client, replace(DAILY, cap=5), DAY)
    assert not rows.duplicated().any()
    assert set(rows["ts_code"]) <= set(wanted["ts_code"])


def test_columns_are_taken_by_name(client: TushareClient, stub: TushareStub) -> None:
    wanted = fetch(client, DAILY, DAY)
    stub.faults += [Fault("add_columns"), Fault("reverse_columns")]
    for _ in range(2):
        assert fetch(client, DAILY, DAY).equals(wanted)
