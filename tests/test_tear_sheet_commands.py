"""``ljwx tear-sheet``: on the line's own lake, for shipped catalogues and a user's file; mistakes are one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ljwx_pipeline.cli import main
from ljwx_pipeline.config import load_settings, market_home
from ljwx_pipeline.errors import ConfigError, FactorError, LakeError
from tests.fakes.bars import random_bars, store_bars

ROOT = Path(__file__).resolve().parent.parent
BARS = random_bars(symbols=15, sessions=200)
OWN = """
from ljwx_pipeline.expressions.operators import field, mean, ref
from ljwx_pipeline.factors.catalogue import Factor

close = field("close")
FACTORS = [
    Factor("MOM5", close / ref(close, 5) - 1, "five sessions' return", "my notebook", "ratio"),
    ("DEV10", close / mean(close, 10)),
]
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A market's folder whose lake holds a small market."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "home"))
    folder = market_home(load_settings(profile="simulated"))
    store_bars(folder, BARS)
    return folder


def refused(capsys: pytest.CaptureFixture[str], *words: str, code: int = ConfigError.exit_code) -> str:
    assert main(["tear-sheet", *words]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert len(said.err.strip().splitlines()) == 1
    return said.err


def test_some_factors_of_the_shipped_catalogue(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tear-sheet", "--factor", "ROC5", "KMID"]) == 0
    said = capsys.readouterr()
    assert "ROC5" in said.out
    assert said.err == ""  # no progress bar where nobody watches
    folder = home / "tear_sheets" / "alpha158"
    assert said.out.rstrip().endswith(str(folder / "index.html"))
    assert sorted(path.name for path in (folder / "factors").iterdir()) == ["KMID.html", "ROC5.html"]


def test_one_factor_alone_has_a_page_without_a_map(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tear-sheet", "--factor", "ROC5"]) == 0
    page = (home / "tear_sheets" / "alpha158" / "index.html").read_text(encoding="utf-8")
    assert "Which know something" in page
    assert "Which are alike" not in page


def test_as_many_pages_as_asked_of_the_strongest_first(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tear-sheet", "--factor", "ROC5", "KMID", "STD5", "--pages", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["factors"]
    strongest = max(rows, key=lambda row: abs(row["rank_ic_t"]))["factor"]
    folder = home / "tear_sheets" / "alpha158"
    assert [path.stem for path in (folder / "factors").iterdir()] == [strongest]
    assert "--pages -1 is less than none" in refused(capsys, "--pages", "-1")


def test_a_user_s_own_file_with_its_words_over_a_range(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    days = sorted(BARS["session_date"].unique())
    first, last = str(days[60].date()), str(days[140].date())
    words = ["--catalogue", str(tmp_path / "mine.py"), "--from", first, "--to", last, "--out", str(tmp_path / "sheet")]
    assert main(["tear-sheet", *words, "--json"]) == 0
    body: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (body["set"], body["sessions"]) == ("mine", 81)
    assert (body["first_session"], body["last_session"]) == (first, last)
    momentum, deviation = body["factors"]
    assert (momentum["meaning"], momentum["source"], momentum["unit"]) == (
        "five sessions' return",
        "my notebook",
        "ratio",
    )
    assert (deviation["meaning"], deviation["source"]) == ("(close / mean(close, 10))", "mine.py")
    assert (momentum["window_sessions"], deviation["window_sessions"]) == (6, 10)
    assert body["page"] == str(tmp_path / "sheet" / "index.html")
    written = json.loads((tmp_path / "sheet" / "summary.json").read_text())
    assert written["factors"] == body["factors"]


def test_held_out_sessions_cannot_be_asked_for(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = str(BARS["session_date"].max().date())
    assert "are held out, and research never reads them" in refused(capsys, "--to", last)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--from", "yesterday"], "--from 'yesterday' is no date"),
        (["--from", "2018-06-01", "--to", "2018-05-01"], "--from 2018-06-01 lies after --to 2018-05-01"),
        (["--from", "2031-01-01"], "--from 2031-01-01 lies outside the research sessions"),
    ],
)
def test_a_mistake_is_one_line_with_its_remedy(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    assert expected in refused(capsys, *words)


def test_an_unknown_catalogue_is_one_line_with_those_there_are(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "--catalogue", "alpha191", code=FactorError.exit_code)
    assert "there is no catalogue 'alpha191': use one of alpha158, alpha360, alpha101, ashare, or a FILE.py" in said


def test_an_unknown_factor_is_one_line_with_some_that_exist(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "--factor", "ROC7", "KMID", code=FactorError.exit_code)
    assert "alpha158 has no factor ROC7: choose among ROC5, ROC60" in said


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import nothing_of_this_name", "raised ModuleNotFoundError"),
        ("x = 1", "mine.py declares no factor: define FACTORS"),
        ("def catalogue(): return 3", "returned int, not a Catalogue"),
        (OWN.replace('"ratio"', '""'), "factor MOM5 has no unit"),
        (OWN.replace("ref(close, 5)", "ref(close, -5)"), "looks 5 sessions ahead"),
        ("def catalogue(:", "mine.py is no Python in line 1"),
    ],
)
def test_a_fault_in_the_user_s_file_is_one_line(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, expected: str
) -> None:
    (tmp_path / "mine.py").write_text(source)
    assert expected in refused(capsys, "--catalogue", str(tmp_path / "mine.py"), code=FactorError.exit_code)


def test_an_empty_lake_says_what_fills_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "home"))
    assert main(["tear-sheet"]) == LakeError.exit_code
    assert "was never filled: run `ljwx run` once" in capsys.readouterr().err
