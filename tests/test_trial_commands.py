"""`ljwx trials` tells what was ever tried on a market, and that nothing is missing, or what is."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ljwx_pipeline.backtest.trial_ledger import LEDGER_FILE, NewTrial, TrialLedger
from ljwx_pipeline.cli import main
from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.config import load_settings, market_home
from ljwx_pipeline.errors import LakeError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrialLedger:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)
    clock = ManualClock(datetime(2026, 3, 2, 12, tzinfo=UTC))
    return TrialLedger(market_home(load_settings()) / LEDGER_FILE, clock=clock)


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(["trials", *words]) == code
    return capsys.readouterr().out


def told(capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(said(capsys, "--json", code=code))
    return body


def test_a_market_where_nothing_was_tried_says_so(ledger: TrialLedger, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing was ever tried on simulated-" in said(capsys)
    assert told(capsys) == {
        "market": ledger.path.parent.name,
        "rows": [],
        "trials": 0,
        "whole": True,
        "fault": None,
    }
    assert not ledger.path.parent.exists()


def test_trials_are_told_by_family_kind_and_what_they_were_tried_on(
    ledger: TrialLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    for at in range(3):
        ledger.count("a-b-c", "study", [NewTrial(f"v{at}", 0.1, 500, "{}")], evidence="ljwx-1:0123")
        ledger._clock.set(datetime(2026, 3, 3 + at, tzinfo=UTC))  # type: ignore[attr-defined]
    ledger.count("a-b-c", "compare", [NewTrial("w", 0.1, 500, "{}")], evidence="e" * 64)
    body = told(capsys)
    assert body["rows"] == [
        {
            "family": "a-b-c",
            "kind": "study",
            "evidence": "ljwx-1:0123",
            "trials": 3,
            "first_at": "2026-03-02T12:00:00+00:00",
            "last_at": "2026-03-04T00:00:00+00:00",
        },
        {
            "family": "a-b-c",
            "kind": "compare",
            "evidence": "e" * 64,
            "trials": 1,
            "first_at": "2026-03-05T00:00:00+00:00",
            "last_at": "2026-03-05T00:00:00+00:00",
        },
    ]
    assert (body["trials"], body["whole"]) == (4, True)
    assert "4 trials; the ledger is whole" in said(capsys)


def test_a_ledger_that_lacks_rows_is_shown_with_what_is_wrong(
    ledger: TrialLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.count("a-b-c", "study", [NewTrial(f"v{at}", 0.1, 500, "{}") for at in range(3)], evidence="e")
    with closing(sqlite3.connect(ledger.path)) as connection, connection:
        connection.execute("DROP TRIGGER trials_never_go")
        connection.execute("DELETE FROM trials WHERE number = 3")
    out = said(capsys, code=LakeError.exit_code)
    assert "THE LEDGER IS NOT WHOLE: " in out
    assert "holds 2 trials, but 3 were counted: rows are gone: restore both files" in out
    body = told(capsys, code=LakeError.exit_code)
    assert (body["trials"], body["whole"]) == (2, False)
    for path in ledger.path.parent.glob("trials.sqlite*"):
        path.unlink()
    assert "trials.sqlite is missing, but 3 were counted" in told(capsys, code=LakeError.exit_code)["fault"]
