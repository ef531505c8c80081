"""A run's numbers lie beside its report, come back as they were, and any runs can be set side by side."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.cli import main
from ljwx_pipeline.errors import ConfigError, EnvironmentFault, LakeError
from ljwx_pipeline.evaluation.comparison import STRATEGY
from ljwx_pipeline.evaluation.lint import Finding
from ljwx_pipeline.evaluation.performance import FRAC, RATIO, Figure
from ljwx_pipeline.evaluation.run_comparison import compare_runs, find_run, render_comparison, run_folders
from ljwx_pipeline.evaluation.run_files import FILES, RunNumbers, numbers_of_findings, read_numbers, write_numbers

ROOT = Path(__file__).resolve().parents[2]
SESSIONS = pd.bdate_range("2024-01-02", periods=60, name="session_date")


def numbers(run: str = "simulated-1-aaaaaaaaaaaa", *, top_k: int = 20, seed: int = 1) -> RunNumbers:
    rng = np.random.default_rng(seed)
    moves = np.c_[np.zeros(2), rng.normal(0.001, 0.01, (2, len(SESSIONS) - 1))]
    curves = pd.DataFrame(
        {STRATEGY: 1e7 * np.cumprod(1 + moves[0]), "000905.SH": 5000 * np.cumprod(1 + moves[1])}, index=SESSIONS
    )
    finding = Finding("parameter_cliff", "info", "no_sweep", None, 0.5, {})
    return RunNumbers(
        run=run,
        about={
            "profile": "simulated",
            "source": "simulated market",
            "simulated": True,
            "model": "m version 1",
            "decision": "promoted",
            "first_session": "2024-01-02",
            "last_session": "2024-03-25",
            "sessions": 60,
            "gate_benchmark": "000905.SH",
            "confidence": 0.95,
            "resamples": 2000,
            "mlflow_run_id": f"{run[-12:]}99",
        },
        hashes={"data_hash": "ab" * 32, "config_hash": f"{top_k:064d}", "known_at": run},
        settings={"strategy.top_k": top_k, "strategy.n_drop": 3},
        figures={
            "annual_return": Figure(0.1 * seed, 0.01, 0.3, FRAC, "sessions"),
            "sharpe": Figure(1.2, math.nan, math.nan, RATIO, "sessions"),
            "profit_factor_months": Figure(math.inf, math.nan, math.nan, RATIO, "months"),
            "beta:000905.SH": Figure(0.9, 0.8, 1.0, RATIO, "sessions against 000905.SH"),
        },
        findings=numbers_of_findings([finding]),
        curves=curves,
    )


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    folder = tmp_path / "reports"
    for run, top_k, seed in (("simulated-1-aaaaaaaaaaaa", 20, 1), ("simulated-1-bbbbbbbbbbbb", 30, 2)):
        write_numbers(folder / run, numbers(run, top_k=top_k, seed=seed))
    (folder / "latest").symlink_to("simulated-1-bbbbbbbbbbbb")
    return folder


def test_numbers_come_back_as_they_were_written(tmp_path: Path) -> None:
    wrote = numbers()
    write_numbers(tmp_path, wrote)
    read = read_numbers(tmp_path)
    assert replace(read, curves=wrote.curves, figures=wrote.figures) == wrote
    assert {name: str(figure) for name, figure in read.figures.items()} == {
        name: str(figure) for name, figure in wrote.figures.items()
    }
    growth = wrote.curves / wrote.curves.iloc[0]
    np.testing.assert_allclose(read.curves.to_numpy(), growth.to_numpy(), rtol=1e-12)
    assert list(read.curves.columns) == list(growth.columns)


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_numbers(tmp_path / folder, numbers())
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_returns_begin_with_nothing_and_carry_the_drawdown(tmp_path: Path) -> None:
    write_numbers(tmp_path, numbers())
    frame = pd.read_parquet(tmp_path / "returns.parquet")
    assert frame["strategy_return_frac"].iloc[0] == 0
    curve = numbers().curves[STRATEGY].to_numpy()
    np.testing.assert_allclose(frame["drawdown_frac"], 1 - curve / np.maximum.accumulate(curve), atol=1e-12)


def test_a_folder_without_numbers_or_with_damaged_ones_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no run\.json"):
        read_numbers(tmp_path)
    write_numbers(tmp_path, numbers())
    (tmp_path / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="is damaged"):
        read_numbers(tmp_path)
    (tmp_path / "run.json").write_text('{"schema": 99}', encoding="utf-8")
    with pytest.raises(ConfigError, match="is of layout 99, this version reads 1"):
        read_numbers(tmp_path)


def test_a_run_is_found_by_folder_link_id_and_path(reports: Path) -> None:
    first = reports / "simulated-1-aaaaaaaaaaaa"
    assert len(run_folders(reports)) == 2  # the link to the latest is none of its own
    assert find_run(reports, first.name) == find_run(reports, "aaaaaa") == find_run(reports, str(first)) == first
    assert read_numbers(find_run(reports, "latest")).run == "simulated-1-bbbbbbbbbbbb"
    for unknown in ("aaaaa", "cccccccc"):  # too short to mean one, or none
        with pytest.raises(ConfigError, match=f"no run is called {unknown}"):
            find_run(reports, unknown)


def test_an_id_that_begins_two_runs_is_refused(reports: Path) -> None:
    write_numbers(reports / "folder-1-aaaaaaaaaaaa", numbers("folder-1-aaaaaaaaaaaa"))
    with pytest.raises(ConfigError, match="begins the ids of 2 runs"):
        find_run(reports, "aaaaaaaa")


def test_runs_side_by_side_show_what_differs_and_only_that(reports: Path) -> None:
    compared = compare_runs(run_folders(reports)[::-1])
    assert compared.settings == {"strategy.top_k": (20, 30)}
    assert list(compared.hashes) == ["config_hash"]  # when the data became known differs always
    body = compared.as_dict()
    assert [row["value"] for row in body["figures"]["annual_return"]] == [0.1, 0.2]
    assert [row["value"] for row in body["figures"]["profit_factor_months"]] == [None, None]  # infinite
    json.dumps(body, allow_nan=False)
    with pytest.raises(ConfigError, match="1 run cannot be compared"):
        compare_runs(run_folders(reports)[:1])


def test_the_page_of_a_comparison_marks_what_differs_and_fetches_nothing(reports: Path) -> None:
    page = render_comparison(compare_runs(run_folders(reports)[::-1]))
    assert page == render_comparison(compare_runs(run_folders(reports)[::-1]))
    assert '<td class="n code differs">30</td>' in page
    assert '<td class="n code">20</td>' in page
    assert "1.00% … 30.00%" in page
    assert "多次运行并列" in page
    assert "<script" not in page
    assert "href=" not in page.replace('xlink:href="#', "")


def test_the_command_lists_and_compares(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "list"]) == 0
    listed = capsys.readouterr().out
    assert "simulated-1-aaaaaaaaaaaa" in listed
    assert "+20.0%" in listed
    page = reports.parent / "out" / "both.html"
    assert main(["report", "compare", "latest", "aaaaaa", "--html", str(page)]) == 0
    told = capsys.readouterr().out
    assert "20.00% [1.00% … 30.00%]" in told
    assert "strategy.top_k" in told
    assert str(page) in told
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert main(["report", "compare", "latest", "aaaaaa", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"] == {"strategy.top_k": [30, 20]}


@pytest.mark.parametrize(
    ("file", "holds", "said"),
    [
        ("run.json", b"{", "is damaged"),
        ("run.json", b'{"schema": 0}', "is of layout 0, this version reads 1"),
        ("run.json", b'{"schema": 1, "about": {}}', "is damaged"),
        ("run.json", b'{"schema": 1, "about": {}, "hashes": {}, "settings": {}, "findings": []}', "is damaged"),
        ("performance.json", b"[]", "does not hold the figures of one run"),
        ("returns.parquet", b"PAR", "returns.parquet"),
    ],
)
def test_a_run_that_cannot_be_read_is_listed_with_its_reason_and_hides_no_other(
    reports: Path, capsys: pytest.CaptureFixture[str], file: str, holds: bytes, said: str
) -> None:
    write_numbers(reports / "simulated-1-cccccccccccc", numbers("simulated-1-cccccccccccc", seed=3))
    (reports / "simulated-1-cccccccccccc" / file).write_bytes(holds)
    assert main(["report", "list"]) == 0
    told = capsys.readouterr().out
    assert "+20.0%" in told
    (line,) = [line for line in told.splitlines() if line.startswith("simulated-1-cccccccccccc")]
    assert "cannot be read: " in line
    assert said in line
    assert main(["report", "list", "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert {run["run"]: "unreadable" in run for run in runs} == {
        "simulated-1-aaaaaaaaaaaa": False,
        "simulated-1-bbbbbbbbbbbb": False,
        "simulated-1-cccccccccccc": True,
    }
    assert main(["report", "compare", "latest", "aaaaaa"]) == 0
    capsys.readouterr()
    assert main(["report", "compare", "latest", "simulated-1-cccccccccccc"]) in (
        ConfigError.exit_code,
        LakeError.exit_code,
    )
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["report", "compare", "latest", "dddddd"]) == ConfigError.exit_code
    assert "simulated-1-cccccccccccc cannot be read" in capsys.readouterr().err


def test_a_mistyped_run_ends_in_one_line(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "compare", "latest", "nope"]) != 0
    assert capsys.readouterr().err.startswith("error: no run is called nope: name one that `ljwx report list` shows")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("run.json", '{"schema": 1}'),
        ("run.json", '{"schema": 1, "about": null, "findings": [3], "hashes": {}, "settings": {}}'),
        ("run.json", '{"schema": 1, "about": {}, "findings": [], "hashes": {}, "settings": {}}'),
        ("performance.json", "[]"),
        ("performance.json", "[1]"),
    ],
)
def test_a_damaged_run_is_told_by_list_and_comparison(
    reports: Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    (reports / "simulated-1-aaaaaaaaaaaa" / name).write_text(said, encoding="utf-8")
    assert main(["report", "list"]) == 0  # the others are listed all the same
    assert name in capsys.readouterr().out
    assert main(["report", "compare", "simulated-1-aaaaaaaaaaaa", "latest"]) in (
        ConfigError.exit_code,
        LakeError.exit_code,
    )
    assert name in capsys.readouterr().err


def test_returns_of_another_table_and_a_folder_in_place_of_a_file_are_told(reports: Path) -> None:
    folder = reports / "simulated-1-aaaaaaaaaaaa"
    (folder / "returns.parquet").write_bytes((folder / "performance.parquet").read_bytes())
    with pytest.raises(LakeError, match="holds no returns by session"):
        read_numbers(folder)
    (folder / "run.json").unlink()
    (folder / "run.json").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        read_numbers(folder)


def test_a_page_that_cannot_be_written_is_told(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    below_a_file = reports / "latest" / "run.json" / "page.html"
    words = ["report", "compare", "latest", "simulated-1-aaaaaaaaaaaa", "--html", str(below_a_file)]
    assert main(words) == LakeError.exit_code
    assert "cannot be written" in capsys.readouterr().err


def test_output_that_cannot_be_written_or_spelled_is_no_traceback(reports: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ljwx_pipeline.cli", "report", "list"]
    environment = dict(os.environ, LJWX_HOME=str(reports.parent), PYTHONIOENCODING="ascii")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == EnvironmentFault.exit_code
    assert done.stderr.decode().startswith("error: the output cannot be written (No space left on device)")
    done = subprocess.run(
        [*command[:-1], "compare", "latest", "latest"], cwd=ROOT, env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
