"""The rulebook as rows: every rule is there, each ends where the next begins, and the document says the same."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from ljwx_pipeline.market import rulebook
from ljwx_pipeline.market.rulebook import BOOK_FIRST, BOOK_LAST, Checked
from ljwx_pipeline.market.rulebook_rows import RuleRow, markdown_table, rule_rows, rules_in_force
from ljwx_pipeline.market.symbols import Board

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "rulebook.md"
ROWS = rule_rows()


def test_the_document_holds_the_table_as_the_code_gives_it() -> None:
    assert markdown_table() in DOCUMENT.read_text(encoding="utf-8"), "run `ljwx rules --markdown` into the document"


def test_no_rule_of_the_book_is_missing() -> None:
    tables = [getattr(rulebook, name) for name in rulebook.__all__ if name.endswith(("_RULES", "_FEES", "_SESSIONS"))]
    assert len(ROWS) == sum(len(table) for table in tables) > 70


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.topic} {row.where} {row.first}")
def test_every_rule_names_a_notice_and_lies_in_the_book(row: RuleRow) -> None:
    assert len(row.notice.title) > 20
    assert row.notice.checked in Checked
    assert any(character.isdigit() for character in row.notice.title)  # a number or a date to look it up by
    assert BOOK_FIRST <= row.first <= BOOK_LAST
    assert row.last is None or row.first <= row.last


def test_what_was_only_remembered_is_named_in_the_document() -> None:
    told = DOCUMENT.read_text(encoding="utf-8").split("## What could not be verified")[1].split("\n## ")[0]
    remembered = {row.topic for row in ROWS if row.notice.checked is Checked.MEMORY}
    assert remembered == {"order size", "halt", "short session"}
    assert all(f"**{topic}**" in told for topic in remembered)


@pytest.mark.parametrize(
    ("board", "exchange", "is_st", "topics_once"),
    [
        (
            Board.MAIN,
            "SH",
            True,
            ("price limit", "new listing", "delisting period", "lot", "session", "statutory fees"),
        ),
        (
            Board.MAIN,
            "SZ",
            False,
            ("price limit", "new listing", "relisting", "limit rounding", "session", "order price"),
        ),
        (Board.CHINEXT, "SZ", True, ("price limit", "new listing", "session", "order price", "halt", "tick")),
        (Board.STAR, "SH", False, ("price limit", "new listing", "session", "order price", "settlement", "commission")),
        (Board.BEIJING, "BJ", True, ("price limit", "new listing", "session", "order price", "buys", "statutory fees")),
    ],
)
def test_one_answer_a_topic_for_a_stock_on_a_day(
    board: Board, exchange: str, is_st: bool, topics_once: tuple[str, ...]
) -> None:
    topics = [row.topic for row in rules_in_force(date(2026, 11, 20), board=board, exchange=exchange, is_st=is_st)]
    assert {topic: topics.count(topic) for topic in topics_once} == dict.fromkeys(topics_once, 1)


def test_a_rule_ends_the_day_before_the_next_of_its_kind() -> None:
    special = [row for row in ROWS if row.topic == "price limit" and row.boards == (Board.MAIN,) and row.is_st]
    assert [(row.first, row.last) for row in special] == [
        (BOOK_FIRST, date(2026, 7, 6) - timedelta(days=1)),
        (date(2026, 7, 6), None),
    ]
    short = [row for row in ROWS if row.topic == "short session"]
    assert [(row.first, row.last) for row in short] == [(date(2016, 1, day), date(2016, 1, day)) for day in (4, 7)]
    assert not [row for row in rules_in_force(date(2016, 1, 5)) if row.topic == "short session"]
