"""``ljwx backfill``: the ingest-and-check part of the line, ended and begun again. Slow: it starts Dagster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.ingest import outcome_table
from ljwx_pipeline.failures import last_failures

ROOT = Path(__file__).resolve().parents[2]
OUTCOME: dict[str, Any] = {
    "profile": "simulated",
    "as_of": "",
    "first_session": "2024-01-02",
    "last_session": "2024-02-29",
    "rows": 12_345,
    "sessions": 37,
    "added": 345,
    "restated": 2,
    "quarantined": 3,
    "score": 98.5,
    "checks": {"passed": 56, "warned": ["raw_bars.moves_like_peers"], "blocked": []},
    "models_flagged": "none",
    "seconds": 12.3,
    "next": {
        "what the lake holds": "ljwx data tables --profile tushare",
        "rows set aside": "ljwx data quarantine --profile tushare",
        "run the whole line": "ljwx run --profile tushare",
    },
}


def test_the_outcome_tells_counts_score_and_where_to_look() -> None:
    lines = outcome_table(OUTCOME).splitlines()
    ended = lines.index("")
    told = {line.split()[0]: line for line in lines[:ended]}
    assert list(told) == ["rows", "sessions", "added", "restated", "quarantined", "score", "checks", "seconds"]
    assert "12,345" in told["rows"]
    assert "2024-01-02 to 2024-02-29" in told["sessions"]
    assert told["checks"].endswith("56 passed, 1 warn, 0 block: raw_bars.moves_like_peers")
    assert lines[ended + 1] == "what next"
    assert [line.split("  ")[-1].strip() for line in lines[ended + 2 :]] == list(OUTCOME["next"].values())


def test_a_clean_outcome_sends_nobody_looking_and_a_flagged_model_is_told() -> None:
    clean = {**OUTCOME, "quarantined": 0, "score": 100.0, "models_flagged": "model v3 was made from a restated month"}
    text = outcome_table(clean)
    assert "quarantine --profile" not in text
    assert "model v3 was made from a restated month" in text


def test_a_replay_says_what_it_read_and_that_nothing_was_added() -> None:
    text = outcome_table({**OUTCOME, "as_of": "2024-03-01T18:00:00+08:00", "added": 0})
    lines = text.splitlines()
    assert lines[0].endswith("12,345 replayed as known at 2024-03-01T18:00:00+08:00; nothing was added")
    assert not any(line.startswith("added") for line in lines)


def backfill(home: Path, last: str) -> tuple[dict[str, Any], str]:
    words = ["backfill", "--profile", "simulated", "--set", "simulated.symbols=20", "--json"]
    command = [sys.executable, "-m", "ljwx_pipeline.cli", *words, "--from", "2024-01-02", "--to", last]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=dict(os.environ, LJWX_HOME=str(home)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.slow
def test_an_outage_before_any_run_exists_leaves_a_record(tmp_path: Path) -> None:
    words = ["backfill", "--profile", "tushare", "--set", "tushare.endpoint=http://127.0.0.1:9"]
    words += ["--set", "tushare.attempts=1"]
    environment = dict(os.environ, LJWX_HOME=str(tmp_path), TUSHARE_TOKEN="0" * 56)
    done = subprocess.run(
        [sys.executable, "-m", "ljwx_pipeline.cli", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    (failure,) = last_failures(tmp_path, 9)
    assert (failure.profile, failure.job) == ("tushare", "ingest")
    assert f"error: {failure.message}" in done.stderr.splitlines()


def ljwx_data_tables(home: Path, *words: str) -> str:
    command = [sys.executable, "-m", "ljwx_pipeline.cli", "data", "tables", *words]
    environment = dict(os.environ, LJWX_HOME=str(home))
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_a_backfill_fills_and_checks_the_lake_and_a_second_one_adds_nothing(tmp_path: Path) -> None:
    first, said = backfill(tmp_path, "2024-06-28")
    assert first["added"] == first["rows"] > 0
    assert (first["first_session"], first["last_session"]) == ("2024-01-02", "2024-06-28")
    assert (first["restated"], first["quarantined"]) == (0, 0)
    assert 90 < first["score"] <= 100
    assert first["checks"]["passed"] > 40
    for step in ("raw_bars", "market_checks", "data_quality"):
        assert step in said
    assert "factor_values" not in said
    again, _ = backfill(tmp_path, "2024-06-28")
    assert (again["added"], again["rows"], again["score"]) == (0, first["rows"], first["score"])
    (market,) = (tmp_path / "markets").iterdir()
    assert (market / "checked" / "quality_scores").is_dir()
    assert not (tmp_path / "reports" / "latest").exists()
    chosen = "--set simulated.symbols=20 --set source.first_session=2024-01-02 --set source.last_session=2024-06-28"
    assert first["next"]["what the lake holds"].endswith(f"ljwx data tables {chosen}")
    assert first["next"]["run the whole line"].endswith(f"ljwx run {chosen}")
    assert first["checks"]["blocked"] == []
    empty = ljwx_data_tables(tmp_path)
    assert market.name in empty
    assert f"data tables {chosen}" in empty
    assert market.name not in ljwx_data_tables(tmp_path, *chosen.split())
