"""``ljwx contest``: begun, shown and ended by a person; what cannot be is told in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assets.io_managers import write_json
from ljwx_pipeline.cli import main
from ljwx_pipeline.errors import ConfigError, PromotionError, RegistryError
from tests.fakes.contest_home import SESSIONS, START, ContestHome, contest_home

BOUND = ("--bound-frac", "0.05")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContestHome:
    home = contest_home(tmp_path, monkeypatch)
    home.promote(home.registered("luck"))
    home.registered("good")
    home.registered("bad")
    return home


def ljwx(*words: str) -> int:
    return main(["contest", *words])


def test_a_rehearsal_from_the_command_line_is_judged_and_shown(
    home: ContestHome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LJWX_USER", "ann")
    assert ljwx("show") == 0
    assert "was ever begun: `ljwx contest start VERSION`" in capsys.readouterr().out
    assert ljwx("start", "2", "3", "--as", "shadow", "--rehearse", *BOUND) == 0
    said = capsys.readouterr().out
    assert "version 2, 3 as shadow against champion version 1, from session 2018-08-14 on" in said
    assert "chance of any wrong verdict 0.05, 0.0250 for each of them" in said
    assert "a rehearsal: 39 daily returns exist" in said
    assert ljwx("show") == 0
    assert "the daily job has not judged it yet: `ljwx run --job daily_pipeline`" in capsys.readouterr().out
    document = home.day(SESSIONS)
    write_json(
        home.line.tables,
        "model_contest",
        {name: value for name, value in document.items() if name not in ("metadata", "scores")},
    )
    assert ljwx("show") == 0
    said = capsys.readouterr().out
    assert "begun by ann" in said
    assert "39 daily returns up to 2018-10-16, a rehearsal" in said
    assert "version 2: " in said
    assert f"page: {home.line.home / 'report' / 'contest' / 'report.html'}" in said
    assert ljwx("show", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["status"], body["judged"], len(body["standings"])) == ("running", True, 2)
    assert ljwx("stop", "--reason", "seen enough") == 0
    assert "ended: stopped: seen enough" in capsys.readouterr().out
    assert home.aliases() == {"champion": "1"}
    assert ljwx("show") == 0
    assert "ended: stopped: seen enough" in capsys.readouterr().out


def test_a_rehearsal_that_cannot_come_to_a_verdict_says_so(
    home: ContestHome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LJWX_CONTEST__MIN_SESSIONS", "60")
    assert ljwx("start", "2", "--as", "shadow", "--rehearse", *BOUND) == 0
    assert "39 of the 60 daily returns exist, so that it never comes to a verdict" in capsys.readouterr().out


def test_where_the_end_of_the_source_names_the_market_nobody_is_sent_to_another(
    home: ContestHome, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ljwx("start", "2", "--as", "shadow", *BOUND) == PromotionError.exit_code
    said = capsys.readouterr().err
    assert "another it is another market, without this champion" in said
    assert "--rehearse" in said
    assert "today" not in said


def test_a_second_start_is_told_which_contest_runs(home: ContestHome, capsys: pytest.CaptureFixture[str]) -> None:
    contest = home.begin(home.line.registry().version(home.line.registered_model, "2"))
    assert ljwx("start", "3", "--as", "shadow", "--rehearse", *BOUND) == PromotionError.exit_code
    said = capsys.readouterr().err
    assert said.startswith(f"error: contest {contest.id} runs since {home.sessions[START]:%Y-%m-%d}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("start", "2", "--as", "shadow", *BOUND), PromotionError.exit_code, "the source ends on 2025-12-31"),
        (("start", "9", "--as", "shadow", "--rehearse", *BOUND), RegistryError.exit_code, "has no version '9'"),
        (("start", "2", "--as", "canary", "--rehearse", *BOUND), PromotionError.exit_code, "may not trade as a canary"),
        (("start", "2", "--as", "shadow", "--rehearse"), PromotionError.exit_code, "give the bound yourself"),
        (("stop",), PromotionError.exit_code, "no contest of"),
        (
            ("start", "2", "--as", "shadow", "--set", 'source.as_of="2026-01-05T18:00:00+08:00"'),
            ConfigError.exit_code,
            "begins no contest",
        ),
        (
            ("start", "2", "--as", "shadow", "--rehearse", "--set", "strategy.kind=long_short"),
            ConfigError.exit_code,
            "cannot trade",
        ),
        (
            ("show", "--set", "contest.canary_capital_frac=0.6"),
            ConfigError.exit_code,
            "no canary could ever start",
        ),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    home: ContestHome, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, said: str
) -> None:
    assert ljwx(*words) == code
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert home.course() is None
