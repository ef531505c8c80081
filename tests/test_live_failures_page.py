"""docs/live-failures.md names tests that exist, at least one in each row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PAGE = (TESTS.parent / "docs" / "live-failures.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| ---", "| what "))]
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def test_the_page_has_rows() -> None:
    assert len(ROWS) > 30
    assert "clock jumps" in PAGE


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_every_row_names_tests_that_exist(row: str) -> None:
    named = NAMED.findall(row.split("|")[3])
    assert named
    for file, name in named:
        module = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        assert name in {one.name for one in module.body if isinstance(one, ast.FunctionDef)}, (file, name)
