"""The published suite agrees with the contract and leaves a page to open."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.quality.suite import run_suite
from ljwx_pipeline.quality.suite_page import REPORT_PAGE
from tests.fakes.bars import random_bars


def test_good_bars_meet_every_expectation_and_the_docs_can_be_opened_again_and_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = random_bars(symbols=4, sessions=30)
    for _ in range(2):
        result = run_suite(bars, tmp_path / "docs")
        assert result.passed
        assert result.expectations >= 20
        assert "checked_bars" in result.docs_index.read_text(encoding="utf-8")
        assert {path.name for path in (tmp_path / "docs").iterdir()} == {"great_expectations", REPORT_PAGE}
        assert len(list((tmp_path / "docs").rglob("validations/**/*.html"))) == 1
    assert "Calculating Metrics" not in capsys.readouterr().err


def test_broken_bars_fail_by_name(tmp_path: Path) -> None:
    bars = random_bars(symbols=4, sessions=30)
    bars.loc[3, "close_cny"] = -1.0
    bars.loc[5, "symbol"] = "what"
    result = run_suite(bars, tmp_path)
    assert not result.passed
    assert any("close_cny" in sentence for sentence in result.failed)
    assert any("expect_column_values_to_match_regex" in sentence for sentence in result.failed)
    assert result.docs_index.is_file()
    page = result.report_page.read_text(encoding="utf-8")
    assert f"{len(result.failed)} not met" in page
    first_row = page[page.index("<tbody>") :].split("</tr>")[0]
    assert 'class="no"' in first_row
    assert ">-1.0<" in page
    assert ">what<" in page


def test_the_report_names_every_expectation_escaped_and_needs_nothing_from_outside(tmp_path: Path) -> None:
    bars = random_bars(symbols=2, sessions=20)
    bars.loc[5, "symbol"] = "<script>alert(1)</script>"
    result = run_suite(bars, tmp_path)
    page = result.report_page.read_text(encoding="utf-8")
    assert page.count("<tr") == result.expectations + 1
    assert not re.search(r"<script|<link|https?:|(src|href)=|url\(|@import", page)
    assert "&lt;script&gt;alert(1)" in page
    assert f"{len(bars):,} bars, {bars['session_date'].min():%Y-%m-%d} to {bars['session_date'].max():%Y-%m-%d}" in page


def test_nothing_to_judge_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataQualityError, match="no bar to judge"):
        run_suite(empty_table("bars"), tmp_path)
    with pytest.raises(DataQualityError, match="lack the columns close_cny"):
        run_suite(random_bars(symbols=1, sessions=5).drop(columns="close_cny"), tmp_path)
    assert list(tmp_path.iterdir()) == []
