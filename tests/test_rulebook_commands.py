"""``ljwx rules``: the rules of a day for a stock or a board, as a table, as JSON, as the document's table."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ljwx_pipeline import cli
from ljwx_pipeline.errors import ConfigError, SourceError, TradingError
from ljwx_pipeline.market.rulebook_rows import markdown_table


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(["rules", *words]) == 0
    out = capsys.readouterr()
    assert out.err == ""
    return out.out


def body(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    return json.loads(said(capsys, *words, "--json"))


def limit(found: dict[str, Any]) -> list[str]:
    return [rule["value"] for rule in found["rules"] if rule["topic"] == "price limit"]


def test_a_symbol_names_board_and_exchange(capsys: pytest.CaptureFixture[str]) -> None:
    found = body(capsys, "--date", "2018-08-17", "--symbol", "600519.SH")
    assert (found["date"], found["board"], found["exchange"]) == ("2018-08-17", "main", "SH")
    assert limit(found) == ["10 % of the reference price, up and down"]
    sessions = [rule for rule in found["rules"] if rule["topic"] == "session"]
    assert [rule["last"] for rule in sessions] == ["2018-08-19"]
    assert "closing call" not in sessions[0]["value"]


def test_special_treatment_changes_with_the_day(capsys: pytest.CaptureFixture[str]) -> None:
    before = limit(body(capsys, "--date", "2026-07-03", "--board", "main", "--st"))
    after = limit(body(capsys, "--date", "2026-07-06", "--board", "main", "--st"))
    assert (before, after) == (
        ["5 % of the reference price, up and down"],
        ["10 % of the reference price, up and down"],
    )


def test_the_table_has_every_board_and_cites_notices(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "--date", "2023-08-28").splitlines()
    limits = [line for line in lines if line.startswith("price limit")]
    boards = ("main", "chinext", "star", "beijing")
    assert [f"{board}, other" in line for board, line in zip(boards, limits, strict=True)] == [True] * 4
    assert any(line.startswith("statutory fees") and "announcement 2023 No. 39" in line for line in lines)


def test_a_rule_that_ends_says_when(capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "--date", "2026-07-03", "--symbol", "600519.SH", "--st").splitlines()
    (limit_line,) = [line for line in found if line.startswith("price limit")]
    assert "2007-05-30  2026-07-05  5 %" in limit_line


def test_without_a_date_it_is_today_in_shanghai(capsys: pytest.CaptureFixture[str]) -> None:
    from ljwx_pipeline.clock import SHANGHAI, utc_now

    before = utc_now().astimezone(SHANGHAI).date().isoformat()
    found = body(capsys, "--board", "star")["date"]
    assert before <= found <= utc_now().astimezone(SHANGHAI).date().isoformat()


def test_the_whole_book_as_the_document_holds_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--markdown") == f"{markdown_table()}\n"


@pytest.mark.parametrize(
    ("words", "error", "fact"),
    [
        (["--date", "2007-05-29"], TradingError, "outside the rulebook"),
        (["--date", "2027-01-01", "--json"], TradingError, "outside the rulebook"),
        (["--date", "yesterday"], ConfigError, "is no date"),
        (["--date", "2024-01-02", "--symbol", "600519"], SourceError, "is not a symbol"),
        (["--date", "2024-01-02", "--symbol", "S00001.SIM"], SourceError, "read its board from the securities table"),
    ],
)
def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], error: type[ConfigError], fact: str
) -> None:
    assert cli.main(["rules", *words]) == error.exit_code
    out = capsys.readouterr()
    assert out.out == ""
    assert fact in out.err
    assert len(out.err.strip().splitlines()) == 1
