"""`ljwx experiments` and `ljwx tracking`: what was tracked as a person sees it, and refusals without a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from ljwx_pipeline.cli import main
from ljwx_pipeline.config import load_settings, market_name
from ljwx_pipeline.errors import ConfigError, RegistryError
from ljwx_pipeline.experiment_commands import MAIN_METRICS
from ljwx_pipeline.tracking import open_tracker, stable_id
from ljwx_pipeline.tracking.kinds import Kind
from tests.fakes.mlflow_home import empty_database

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which two research runs with a fold each were tracked."""
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    monkeypatch.setenv("LJWX_CONFIG", str(ROOT / "ljwx.toml"))
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(empty_database()[0].read_bytes())
    settings = load_settings(profile="simulated")
    tracker, market = open_tracker(settings), market_name(settings)
    for number, rank_ic in enumerate((0.04, 0.05)):
        tags = {"market": market, "decision": "promoted" if number else "refused", "config_hash": f"{number}" * 64}
        tags["reasons"] = "enough months | no leak" if number else "too few months | a leak"
        with tracker.run(f"run {number}", kind="research", tags=tags, event=stable_id("research", number)) as run:
            run.params({"model.seed": 7, "strategy.top_k": 10 + number})
            run.metrics({"rank_ic_mean": rank_ic, "backtest.sharpe": 1.5})
            with run.child("fold 2024", kind="fold", tags={"market": market}) as fold:
                fold.metrics({"rank_ic": rank_ic, "rounds": 30})
            run.metrics({"fold.rank_ic": rank_ic})
            with run.child("trial 000", kind="trial", tags={"market": market, "state": "pruned"}):
                pass
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words]) == 0
    return capsys.readouterr().out


def ids(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [run["run_id"] for run in json.loads(said(capsys, "experiments", "list", "--json"))["runs"]]


def test_runs_of_every_kind_can_be_listed() -> None:
    assert tuple(MAIN_METRICS) == get_args(Kind)


def test_the_list_shows_the_newest_first_with_main_metrics(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "experiments", "list").splitlines()
    heads = "research run began (UTC) took rank_ic_mean backtest.sharpe backtest.annual_return decision"
    assert lines[0].split() == heads.split()
    assert [line.split()[1] for line in lines[2:]] == ["1", "0"]
    assert "+0.0500" in lines[2]
    assert lines[2].endswith("promoted")
    folds = json.loads(said(capsys, "experiments", "list", "--kind", "fold", "--limit", "1", "--json"))["runs"]
    assert [(run["kind"], run["metrics"]["rank_ic"]) for run in folds] == [("fold", 0.05)]


def test_a_trial_that_was_given_up_is_pruned_and_a_fold_says_what_it_is_below(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = said(capsys, "experiments", "list", "--kind", "trial").splitlines()
    assert [line.split()[-1] for line in (trials[0], *trials[2:])] == ["state", "pruned", "pruned"]
    folds = said(capsys, "experiments", "list", "--kind", "fold").splitlines()
    assert folds[0].split()[:3] == ["fold", "run", "below"]
    newest, oldest = ids(capsys)
    assert [line.split()[3] for line in folds[2:]] == [newest[:8], oldest[:8]]


def test_a_metric_with_a_value_a_fold_says_that_the_last_is_shown(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["show", "latest"], ["compare", *ids(capsys)]):
        told = said(capsys, "experiments", *words)
        assert "fold.rank_ic (last fold)" in told
        assert "rank_ic_mean (" not in told


def test_another_market_is_shown_only_when_asked_for(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "experiments", "list", "--seed", "99")
    assert "no run of kind research or sweep or comparison or paths is recorded of market simulated-" in told
    assert "run 1" in said(capsys, "experiments", "list", "--seed", "99", "--all-markets")


def test_a_run_is_shown_with_what_is_below_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "experiments", "show", "latest")
    assert "run 1" in told
    assert "rank_ic_mean" in told
    assert "fold 2024" in told
    body = json.loads(said(capsys, "experiments", "show", ids(capsys)[1][:8], "--json"))
    assert (body["name"], [child["name"] for child in body["below"]]) == ("run 0", ["trial 000", "fold 2024"])


def test_a_run_says_why_the_gate_decided_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newest, oldest = ids(capsys)
    refused = [line.split(maxsplit=1) for line in said(capsys, "experiments", "show", oldest[:8]).splitlines()]
    assert ["because", "too few months"] in refused
    assert ["a", "leak"] in refused
    promoted = said(capsys, "experiments", "show", newest[:8])
    assert "every check asked has passed" in promoted
    assert "enough months" not in promoted


def test_a_comparison_shows_what_differs_and_nothing_else(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newest, oldest = ids(capsys)
    body = json.loads(said(capsys, "experiments", "compare", oldest, newest[:8], "--json"))
    assert body["metrics"]["rank_ic_mean"] == [0.04, 0.05]
    assert body["params"] == {"strategy.top_k": ["10", "11"]}
    assert body["tags"] == {"config_hash": ["0" * 64, "1" * 64], "decision": ["refused", "promoted"]}
    told = said(capsys, "experiments", "compare", oldest, newest)
    assert "model.seed" not in told
    assert "strategy.top_k" in told


@pytest.mark.parametrize(
    ("words", "error", "sentence"),
    [
        (["show", "no-id"], ConfigError, "'no-id' is no beginning of a run's id"),
        (["show", "00000000"], RegistryError, "no run's id begins with 00000000"),
        (["show", "latest", "--seed", "99"], RegistryError, "no research run of market simulated-"),
        (["compare", "latest"], ConfigError, "one run alone has nothing to be compared with"),
        (["compare", "latest", "latest"], ConfigError, "names a run twice"),
        (["list", "--limit", "0"], ConfigError, "--limit 0 shows nothing"),
        (["list", "--set", "mlflow.tracking_uri=http://127.0.0.1:9"], RegistryError, "cannot be reached"),
    ],
)
def test_a_mistake_is_one_message(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], error: type[RegistryError], sentence: str
) -> None:
    assert main(["experiments", *words]) == error.exit_code
    told = capsys.readouterr()
    assert sentence in told.err
    assert told.err.count("\n") == 1


def test_where_nothing_was_recorded_looking_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LJWX_CONFIG", str(ROOT / "ljwx.toml"))
    assert main(["experiments", "list"]) == RegistryError.exit_code
    assert "nothing was ever recorded" in capsys.readouterr().err
    assert said(capsys, "tracking", "status") == "MLflow has everything\n"
    assert said(capsys, "tracking", "flush") == "MLflow has everything\n"
    assert not (tmp_path / "home").exists()
