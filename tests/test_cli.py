from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ljwx_pipeline.supervisor
from ljwx_pipeline.cli import build_parser, main, overrides_of
from ljwx_pipeline.errors import ConfigError, FactorError, LakeError, SourceError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "home"))


def test_options_become_dotted_overrides() -> None:
    options = ["--seed", "9", "--data", "d.csv", "--index-data", "a.csv", "b.csv", "--adjustment", "raw"]
    keys = ["--set", "gate.kpi_enabled=false", "--set", "costs.slippage_bps=0.0"]
    arguments = build_parser().parse_args(["run", *options, *keys])
    assert overrides_of(arguments) == {
        "simulated.seed": 9,
        "folder.data": "d.csv",
        "folder.index_data": ["a.csv", "b.csv"],
        "folder.adjustment": "raw",
        "gate.kpi_enabled": False,
        "costs.slippage_bps": 0.0,
    }


def test_an_override_without_a_value_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no '='"):
        overrides_of(build_parser().parse_args(["run", "--set", "gate.kpi_enabled"]))


@pytest.mark.parametrize("command", ["run", "backfill", "up", "live", "console", "doctor"])
def test_every_command_about_a_market_takes_the_files_that_make_it(command: str) -> None:
    options = ["--profile", "folder", "--data", "d.csv", "--index-data", "a.csv", "--adjustment", "forward"]
    arguments = build_parser().parse_args([command, *options])
    assert overrides_of(arguments)["folder.data"] == "d.csv"
    assert overrides_of(arguments)["folder.index_data"] == ["a.csv"]


@pytest.mark.parametrize("command", ["run", "backfill", "up", "live", "console"])
def test_files_beside_a_profile_that_reads_none_are_refused(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--data", "bars.csv"]) == ConfigError.exit_code
    assert "reads no files: --data: add --profile folder" in capsys.readouterr().err


def test_help_says_what_each_job_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for job in (
        "main (the default): the whole line",
        "daily_pipeline: data to scores",
        "research: dataset to",
        "ingest: data to",
    ):
        assert job in said


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["run", "--profile", "nosuch"], "profile 'nosuch' has no file"),
        (["run", "--set", "gate.min_sharp=1"], "unknown key gate.min_sharp"),
        (["run", "--set", "source.last_session=2001-01-01"], "is not before last_session"),
        (["summary"], "no finished run is recorded"),
        (["run", "--data", "bars.csv"], "add --profile folder"),
        (["run", "--profile", "../ljwx"], "is no name"),
        (["run", "--set", "schedule.daily_at=99:99"], "schedule.daily_at"),
        (["run", "--set", "strategy.capital_cny=inf"], "strategy.capital_cny"),
        (["run", "--as-of", "yesterdayish"], "--as-of 'yesterdayish' is no instant"),
        (["run", "--as-of", "2999-01-01"], "has not passed"),
        (["backfill", "--from", "soon"], "source.first_session = 'soon' is refused"),
        (["backfill", "--from", "2020-01-02", "--to", "2019-01-02"], "is not before last_session"),
        (["data", "reconcile", "nosuch"], "profile 'nosuch' has no file"),
        (["data", "history", "bars", "--symbol", "x", "--session", "soon"], "--session 'soon' is no date"),
    ],
)
def test_a_users_mistake_is_one_line_and_an_exit_code(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(argv) == ConfigError.exit_code
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not (tmp_path / "home").exists(), "a refused command must leave nothing behind"


def dry_run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ljwx_pipeline.cli", "run", "--dry-run", "--set", "simulated.symbols=20"]
    return subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_dry_run_says_what_it_would_do_and_does_nothing(tmp_path: Path) -> None:
    done = dry_run("--set", "strategy.top_k=10")
    assert done.returncode == 0, done.stderr
    assert "would run job main of profile simulated" in done.stdout
    assert "testing from 2021" in done.stdout
    assert not (tmp_path / "home").exists()


def test_a_dry_run_for_machines_is_json() -> None:
    plan = json.loads(dry_run("--json", "--job", "daily_pipeline").stdout)
    assert (plan["job"], plan["source"], plan["first_test_year"]) == ("daily_pipeline", "simulated", None)
    assert (plan["first_session"], plan["last_session"], plan["sessions"]) == ("2018-01-02", "2025-12-31", 1942)


def test_a_catalogue_that_cannot_be_used_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    done = dry_run("--job", "daily_pipeline", "--set", "factors.catalogue=alpha185")
    assert done.returncode == FactorError.exit_code
    assert "there is no catalogue 'alpha185': use one of alpha158," in done.stderr
    long = tmp_path / "long.py"
    text = "from ljwx_pipeline.expressions.operators import field, mean\n"
    long.write_text(text + "FACTORS = {'LONG': field('close') / mean(field('close'), 3000)}", encoding="utf-8")
    done = dry_run("--set", "strategy.top_k=10", "--set", f"factors.catalogue={long}")
    assert done.returncode == ConfigError.exit_code
    assert "catalogue long look back 3019 sessions, and 1902 are there" in done.stderr


def test_a_dry_run_of_research_asks_the_lake_it_would_work_on(tmp_path: Path) -> None:
    done = dry_run("--job", "research")
    assert done.returncode == LakeError.exit_code
    assert "was never filled: run `ljwx run` once before its parts" in done.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--profile", "tushare"], "TUSHARE_TOKEN"),
        (["--profile", "folder"], "folder.data names no file"),
        (["--profile", "folder", "--data", "no/such/place"], "folder.data = no/such/place does not exist"),
    ],
)
def test_a_dry_run_opens_the_source_as_a_run_does(options: list[str], words: str, tmp_path: Path) -> None:
    done = dry_run(*options)
    assert done.returncode == SourceError.exit_code
    assert words in done.stderr
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert not (tmp_path / "home").exists()


def test_a_dry_run_of_a_backfill_says_what_is_missing_and_does_nothing(tmp_path: Path) -> None:
    words = ["backfill", "--dry-run", "--json", "--set", "simulated.symbols=20"]
    span = ["--from", "2024-01-02", "--to", "2024-03-29"]
    command = [sys.executable, "-m", "ljwx_pipeline.cli", *words, *span]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["first_session"], told["last_session"]) == ("2024-01-02", "2024-03-29")
    assert (told["missing"], told["units"], told["calls"]) == (told["sessions"], 3, None)
    assert not (tmp_path / "home").exists()


def asked(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, Any]]:
    """Return the job and the overrides that a command hands to the process that runs it."""
    seen: list[tuple[str, dict[str, Any]]] = []

    def run_job(_settings: object, overrides: dict[str, Any], *, job: str, **_: object) -> int:
        seen.append((job, overrides))
        return 0

    monkeypatch.setattr(ljwx_pipeline.supervisor, "run_job", run_job)
    assert main(argv) == 0
    return seen[0]


def test_a_backfill_is_the_ingest_job_over_the_range_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    job, overrides = asked(["backfill", "--from", "2024-01-02", "--seed", "9"], monkeypatch)
    assert job == "ingest"
    assert overrides == {"source.first_session": "2024-01-02", "simulated.seed": 9}
    assert asked(["run", "--job", "ingest"], monkeypatch) == ("ingest", {})


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-05", "2026-01-05T23:59:59.999999+08:00"),
        ("2026-01-05T18:00", "2026-01-05T18:00:00+08:00"),
        ("2026-01-05T10:00:00+00:00", "2026-01-05T10:00:00+00:00"),
    ],
)
def test_a_replay_names_the_instant_with_its_zone(text: str, instant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(["run", "--as-of", text], monkeypatch) == ("main", {"source.as_of": instant})


def test_a_replay_of_a_market_that_was_never_loaded_says_what_to_do(tmp_path: Path) -> None:
    done = dry_run("--as-of", "2026-01-05")
    assert done.returncode == SourceError.exit_code
    assert "run the same command without --as-of first" in done.stderr
    assert not (tmp_path / "home").exists()


def test_running_outside_a_checkout_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LJWX_CONFIG", str(ROOT / "ljwx.toml"))
    monkeypatch.chdir(tmp_path)
    assert main(["run"]) == 3
    assert "run this command from the project's checkout" in capsys.readouterr().err


def test_the_summary_is_printed_as_it_was_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    latest = tmp_path / "home" / "reports" / "latest"
    latest.mkdir(parents=True)
    (latest / "summary.json").write_text(json.dumps({"profile": "simulated"}))
    assert main(["summary", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"profile": "simulated"}


def test_a_damaged_summary_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    latest = tmp_path / "home" / "reports" / "latest"
    latest.mkdir(parents=True)
    (latest / "summary.json").write_text("{half")
    assert main(["summary"]) == ConfigError.exit_code
    assert "is damaged" in capsys.readouterr().err


def test_a_model_that_cannot_be_is_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    keys = ["--set", "model.kind=rank", "--set", "model.group_by=size"]
    assert main(["run", *keys]) == ConfigError.exit_code
    said = capsys.readouterr().err
    assert "have no unit, so those of one size do not compare with those of another" in said
    assert "Traceback" not in said
