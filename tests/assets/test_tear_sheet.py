"""The asset measures the stored factors as the command measures computed ones, links the page and logs it."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from assets import reuse
from assets.io_managers import write_json
from assets.metadata import report_url
from assets.panels import panel_of, save_factors
from assets.resources import Line
from assets.tear_sheet import factor_tear_sheet
from assets.tracking import begin_research_run
from ljwx_pipeline.cli import main
from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.factors.alpha158 import alpha158
from tests.fakes.bars import random_bars, store_bars

ROOT = Path(__file__).resolve().parents[2]
BARS = random_bars(symbols=12, sessions=150)
NAMES = ("KMID", "ROC5", "STD10")


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    """A line whose lake, factors and research run are at hand, for three factors of the catalogue."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "home"))
    line = Line()
    store_bars(line.home, BARS)
    panel = panel_of(line, line.checked_bars(), calendar(line))
    values = evaluate({name: alpha158().expressions[name] for name in NAMES}, panel)
    save_factors(line.tables, values, factor_hash=line.catalogue.version_hash)
    write_json(line.tables, "lineage", {"data_hash": "d", "factor_hash": "f"})
    begin_research_run(line, tags={}, params={})
    return line


def calendar(line: Line) -> pd.DataFrame:
    return pd.DataFrame({"session_date": line.sessions()})


def materialised(line: Line) -> dg.MaterializeResult:
    return factor_tear_sheet(
        dg.build_asset_context(),
        line=line,
        checked_bars=line.checked_bars(),
        calendar=calendar(line),
    )


def test_the_sheet_is_linked_logged_and_the_command_s_own(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    metadata = materialised(line).metadata
    assert metadata is not None
    page = line.home / "tear_sheet" / "index.html"
    assert metadata["tear_sheet"].value == report_url(line, page)
    assert metadata["tear_sheet_path"].value == str(page)
    assert metadata["factors"] == len(NAMES)
    assert "data_hash".replace("_", " ").capitalize() in page.read_text(encoding="utf-8")
    logged = {path.name: path for path in (line.home.parent.parent / "mlflow").rglob("*") if path.is_file()}
    assert logged["summary.parquet"].read_bytes() == (line.home / "tear_sheet" / "summary.parquet").read_bytes()
    assert "index.html" in logged
    assert main(["tear-sheet", "--factor", *NAMES, "--pages", "0", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["factors"]
    summary = pd.read_parquet(line.home / "tear_sheet" / "summary.parquet")
    assert summary["rank_ic_mean"].tolist() == [row["rank_ic_mean"] for row in said]
    assert summary["capacity_cny"].tolist() == [row["capacity_cny"] for row in said]


def test_an_unchanged_market_is_not_measured_again(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    materialised(line)
    monkeypatch.setattr("assets.tear_sheet.write_sheet", lambda *_: pytest.fail("measured again"))
    again = materialised(line).metadata
    assert again is not None
    assert again["factors"] == len(NAMES)
    (line.home / "tear_sheet" / "summary.json").write_text("{}")  # somebody's hand in the kept result
    measured: list[int] = []
    monkeypatch.setattr("assets.tear_sheet.write_sheet", lambda *_: measured.append(1))
    materialised(line)
    assert measured == [1]


def test_factors_stored_of_fewer_symbols_are_refused_not_read_from_other_rows(line: Line) -> None:
    bars = line.checked_bars()
    fewer = panel_of(line, bars[bars["symbol"] != bars["symbol"].min()], calendar(line))
    values = evaluate({name: alpha158().expressions[name] for name in NAMES}, fewer)
    save_factors(line.tables, values, factor_hash=line.catalogue.version_hash)
    with pytest.raises(FactorError, match="not stored of every symbol"):
        materialised(line)


def test_the_key_holds_the_code(line: Line) -> None:
    materialised(line)
    kept = json.loads((line.tables / "factor_tear_sheet.key.json").read_text())
    assert reuse.code_hash() in kept["came_from"]
    assert np.all([Path(name).is_file() for name in kept["files"]])
