"""``ljwx check-leaks``: exit codes, what is printed, and a file kept within limits."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.cli import main
from ljwx_pipeline.config import load_settings, market_home
from ljwx_pipeline.factors.leaks.gallery import FOLDER, run_gallery
from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.leak_commands import gallery_text
from tests.fakes.bars import random_bars

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "home"))


def test_a_leak_is_exit_code_1_with_its_evidence_whatever_the_file_prints(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "noisy.py"
    leaking = (FOLDER / "leaking" / "negative_shift.py").read_text(encoding="utf-8")
    path.write_text(leaking + "\nprint('{')\nimport os; os.write(1, b'loud')\n", encoding="utf-8")
    assert main(["check-leaks", str(path), "--json"]) == 1
    said = json.loads(capfd.readouterr().out)
    assert said["leaking"] == 1
    (verdict,) = said["verdicts"]
    assert verdict["kinds"] == ["look-ahead"]
    assert {"factor", "symbol", "session", "before", "after", "cut", "cells"} <= set(verdict["findings"][0])


def test_an_honest_file_is_exit_code_0(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check-leaks", str(FOLDER / "honest" / "negative_shift.py")]) == 0
    assert "1 judged, none leaks" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("raise ValueError('no\\nreason')", [], "raised ValueError"),
        ("import os; os._exit(0)", [], "ended its process with exit code 0"),
        ("import time; time.sleep(60)", ["--seconds", "2"], "was not judged within 2 s"),
        ("import numpy\ndef factors(p):\n    return {'x': numpy.ones((10**5, 10**5))}", [], "more memory"),
        ("", ["--memory-mib", "5"], "is too small"),
        ("", ["--seconds", "0"], "leaves none"),
    ],
)
def test_a_file_that_cannot_be_judged_is_exit_code_2_and_one_line(
    text: str, options: list[str], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    assert main(["check-leaks", str(path), *options]) == 2
    said = capfd.readouterr().err
    assert words in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "no file is named"),
        (["nosuch.py"], "nosuch.py is no file"),
        (["README.md", "--gallery"], "judges its own files"),
        (["README.md", "--lake"], "was ever judged: run `ljwx backfill` first"),
        (["README.md", "--lake", "--symbols", "3"], "--symbols 3 is too few"),
        (["README.md", "--lake", "--profile", "nosuch"], "profile 'nosuch' has no file"),
        (["README.md", "--data", "bars.csv"], "--data names a market, and the file is judged on a built-in one"),
    ],
)
def test_a_mistake_on_the_command_line_is_exit_code_2(
    options: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-leaks", *options, "--json"]) == 2
    said = capfd.readouterr()
    assert words in said.err
    assert words in json.loads(said.out)["error"]["fact"] + ": " + json.loads(said.out)["error"]["remedy"]


def test_the_gallery_is_shown_with_a_line_a_leak() -> None:
    lines = gallery_text(run_gallery(("overlapping_folds", "survivors"))).splitlines()
    assert len(lines) == 5
    assert lines[2].split()[:3] == ["survivors", "survivorship", "yes"]
    assert lines[-1].startswith("2 of 2 seeded leaks caught, 0 honest twins falsely accused")


def test_a_file_is_judged_on_the_lines_own_bars(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bars, at = random_bars(symbols=12, sessions=180), datetime(2024, 6, 3, tzinfo=UTC)
    home = market_home(load_settings())
    calendar = pd.DataFrame({"session_date": sorted(bars["session_date"].unique())})
    Lake(home / "lake").write("calendar", calendar, known_at=at)
    Lake(home / "checked").write_partitions("bars", split_by_month(bars), known_at=at)
    leaking = FOLDER / "leaking" / "todays_adjustment_level.py"
    assert main(["check-leaks", str(leaking), "--lake", "--json"]) == 1
    said = json.loads(capfd.readouterr().out)
    assert said["data"] == "lake"
    (finding, *_) = said["verdicts"][0]["findings"]
    assert finding["kind"] == "restatement"
    assert finding["symbol"] in set(bars["symbol"])
    assert main(["check-leaks", str(FOLDER / "honest" / "todays_adjustment_level.py"), "--lake"]) == 0
    assert main(["check-leaks", str(FOLDER / "honest" / "restated_financials.py"), "--lake"]) == 2
    assert "this data does not know financial_indicators" in capfd.readouterr().err
