"""``ljwx sweep``: over a run's own scores in the market's home; what it prints, writes, records, counts and refuses."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ljwx_pipeline.backtest.trial_ledger import LEDGER_FILE, TrialLedger
from ljwx_pipeline.cli import main
from ljwx_pipeline.config import ljwx_home, load_settings, market_home
from ljwx_pipeline.errors import ConfigError, DataQualityError, EnvironmentFault, LakeError, RegistryError
from ljwx_pipeline.evaluation.swept_cliff import swept_cliff
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR
from ljwx_pipeline.promotion.statistics import expected_maximum_sharpe
from ljwx_pipeline.promotion.trial_count import counted_trials
from ljwx_pipeline.registry import open_registry
from ljwx_pipeline.sources.open import open_source
from ljwx_pipeline.sources.replay import description_table
from ljwx_pipeline.sweep_commands import parsed_grid, require_choice
from tests.fakes.bars import store_bars
from tests.fakes.sweeps import STUDY_SHARPES, store_scored_market

ROOT = Path(__file__).resolve().parent.parent
GRID = ["--grid", "top_k=4,6,8", "--grid", "n_drop=1,2"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A market's home after a run."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "home"))
    folder = market_home(load_settings(profile="simulated"))
    store_scored_market(folder)
    return folder


def swept(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["sweep", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def family(home: Path, body: dict[str, Any]) -> list[str]:
    return [trial.kind for trial in TrialLedger(home / LEDGER_FILE).trials_of(body["hashes"]["family"])]


def test_a_sweep_prints_the_best_with_the_luck_to_expect_and_writes_its_files(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", *GRID, "--workers", "1"]) == 0
    said = capsys.readouterr()
    assert "6 variants, " in said.out
    assert "over 000905.SH (6 computed, 0 known)" in said.out
    assert "The best of 9 trials is biased upwards: that many without any skill" in said.out
    assert said.err == ""  # no progress bar where nobody watches
    page = Path(said.out.rstrip().splitlines()[-1])
    assert page.parent.parent == home / "sweeps"
    frame = pd.read_parquet(page.with_name("sweep.parquet"))
    body = json.loads(page.with_name("sweep.json").read_text(encoding="utf-8"))
    best = frame.loc[frame["information_ratio"].idxmax()]
    assert body["verdict"]["best"] == best["name"] == body["best"][0]["name"]
    assert body["verdict"]["information_ratio"] == pytest.approx(best["information_ratio"])
    assert len(body["all"]) == len(frame) == 6
    assert (home / "sweeps" / "results" / best["file"]).exists()
    html = page.read_text(encoding="utf-8")
    assert html.count("<svg") >= 1
    assert "SIMULATED" in html
    for outside in ("<script", "<link", "@import", 'src="http'):
        assert outside not in html


def test_a_repeated_sweep_computes_counts_and_records_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = swept(capsys, *GRID)
    registry = open_registry(load_settings(profile="simulated").mlflow, home=ljwx_home())
    runs = registry.tracked_runs()
    again = swept(capsys, *GRID, "--executor", "processes", "--workers", "1")
    assert (first["computed"], again["computed"], again["known"]) == (6, 0, 6)
    assert again["best"] == first["best"]
    assert again["mlflow_run_id"] == first["mlflow_run_id"]
    assert registry.tracked_runs() == runs == 1
    assert family(home, first) == ["sweep"] * 6
    wider = swept(capsys, "--grid", "top_k=4,6,8", "--grid", "n_drop=1,2", "--grid", "slippage_bps=5,15")
    assert wider["trials_of_family"] == len(family(home, first)) + len(STUDY_SHARPES) > 9
    assert wider["verdict"]["expected_of_noise"] > 0


def test_optuna_proposes_out_of_the_grid_and_is_counted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = swept(capsys, "--grid", "top_k=2:12:2", "--grid", "n_drop=1:3", "--optuna", "10")
    assert body["kind"] == "tune"
    assert 1 < body["variants"] <= 10
    assert family(home, body) == ["tune"] * body["variants"]
    assert swept(capsys, "--grid", "top_k=2:12:2", "--grid", "n_drop=1:3", "--optuna", "10")["computed"] == 0


def test_a_dry_run_says_what_would_run_and_leaves_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path for path in home.rglob("*") if path.is_file())
    plan = swept(capsys, *GRID, "--dry-run")
    assert (plan["variants"], plan["known"], plan["trials_of_family"]) == (6, 0, len(STUDY_SHARPES))
    assert plan["estimated_s"] >= 0
    assert sorted(path for path in home.rglob("*") if path.is_file()) == before
    swept(capsys, "--grid", "top_k=4", "--grid", "n_drop=1,2")
    assert main(["sweep", *GRID, "--dry-run"]) == 0
    assert "would run 6 variants" in (said := capsys.readouterr().out)
    assert "(2 known)" in said
    assert "the family has 5 trials so far" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--grid", "top_k"], "names no values"),
        (["--grid", "top_k=9:3"], "holds no range '9:3'"),
        (["--grid", "top_k=1:9000"], "has 9,000 values"),
        (["--grid", "slippage_bps=0:inf"], "holds no range '0:inf'"),
        (["--grid", "slippage_bps=0:1:nan"], "holds no range '0:1:nan'"),
        (["--grid", "top_k=1e40"], "top_k = 1e+40 is refused"),
        (["--grid", "capital_cny=1e13"], "capital_cny = 10000000000000.0 is refused"),
        (["--grid", "costs.commission_min_cny=1e200"], "commission_min_cny = 1e+200 is refused"),
        (["--grid", "sizing.half_life_sessions=1e-9"], "write 0 for equal weights, or at least 0.1"),
        (["--grid", "top_k=4", "--grid", "strategy.top_k=5", "--optuna", "2"], "names strategy.top_k twice"),
        (["--grid", "top_k=4", "--set", "label.horizon_sessions=6"], "label.horizon_sessions = 6, but the scores"),
        (["--grid", "top_k=4", "--set", "universe.min_listed_sessions=61"], "made under 60"),
        (["--grid", "top_k=4", "--set", "research.held_out_sessions=5"], "made under 40"),
        (["--grid", "top_k=4", "--grid", "top_k=5"], "names top_k twice"),
        (["--grid", "topk=4"], "the grid names 'topk'"),
        (["--grid", "top_k=4,0"], "variant top_k=0: top_k = 0 is refused"),
        (["--grid", "top_k=2", "--grid", "n_drop=3"], "variant top_k=2 n_drop=3"),
        (["--grid", "top_k=4", "--workers", "0"], "--workers 0 can do nothing"),
        (["--grid", "top_k=4", "--optuna", "0"], "--optuna 0 proposes nothing"),
        (["--grid", "top_k=4", "--scheduler", "tcp://127.0.0.1:1"], "add --executor dask"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["sweep", *words]) == ConfigError.exit_code
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not (home / "sweeps").exists()


def test_a_market_without_a_run_or_without_its_benchmark_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sweep", "--grid", "top_k=4", "--set", "gate.benchmark=000300.SH"]
    assert main(words) == DataQualityError.exit_code
    assert "index 000300.SH has no bar" in capsys.readouterr().err
    (home / "tables" / "lineage.json").unlink()
    assert main(["sweep", "--grid", "top_k=4"]) == LakeError.exit_code
    assert "does not say what the predictions came from" in capsys.readouterr().err
    (home / "tables" / "walk_forward_predictions.parquet").unlink()
    assert main(["sweep", "--grid", "top_k=4"]) == LakeError.exit_code
    assert "run `ljwx run` first" in capsys.readouterr().err


def test_the_luck_is_that_of_every_trial_the_gate_counts(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = swept(capsys, *GRID)
    study = [{"session_sharpe": sharpe} for sharpe in STUDY_SHARPES]
    ledger = TrialLedger(home / LEDGER_FILE)
    counted = counted_trials(study, ledger=ledger, family=body["hashes"]["family"], counted=home)
    assert counted.without_returns == len(STUDY_SHARPES)
    assert 0 < counted.variance < 1
    assert body["verdict"]["trials"] == len(counted.sharpes) == 6 + len(STUDY_SHARPES)
    variance = counted.variance / (body["sessions"] - 1)
    noise = expected_maximum_sharpe(variance, len(counted.sharpes)) * math.sqrt(SESSIONS_PER_YEAR)
    assert body["verdict"]["expected_of_noise"] == pytest.approx(noise)
    (home / "tables" / "tuned_hyperparameters.json").unlink()
    assert main(["sweep", *GRID]) == LakeError.exit_code
    assert "does not say what the model's study tried" in capsys.readouterr().err


def test_bars_that_changed_since_the_run_are_refused_and_count_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checked = Lake(home / "checked")
    bars = checked.read("bars")
    bars["volume_shares"] = bars["volume_shares"] * 2
    store_bars(home, bars, known_at=datetime(2025, 1, 1, tzinfo=UTC))
    for words in (["sweep", *GRID], ["sweep", *GRID, "--dry-run"]):
        assert main(words) == LakeError.exit_code
        captured = capsys.readouterr()
        assert "are not those that its newest run saw" in captured.err
        assert "run `ljwx run` again" in captured.err
        assert captured.out == ""
    assert not (home / "sweeps").exists()
    assert not (home / LEDGER_FILE).exists()


def test_a_result_is_said_though_mlflow_is_away_and_sent_once_when_it_is_back(
    home: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    away = ["--set", "mlflow.tracking_uri=http://127.0.0.1:1"]
    with caplog.at_level("WARNING", logger="ljwx"):
        assert main(["sweep", *GRID, *away]) == 0
    assert "6 variants" in capsys.readouterr().out
    (said,) = [record.getMessage() for record in caplog.records if record.name == "ljwx.tracking"]
    assert "cannot be reached" in said
    assert "ljwx tracking flush" in said
    assert main(["tracking", "status"]) == 0
    assert "1 runs are not sent yet" in capsys.readouterr().out
    assert main(["tracking", "flush", *away]) == RegistryError.exit_code
    assert "1 runs could not be sent" in capsys.readouterr().err
    assert main(["tracking", "flush"]) == 0
    assert "1 runs sent, none left" in capsys.readouterr().out
    back = swept(capsys, *GRID)
    assert back["computed"] == 0
    registry = open_registry(load_settings(profile="simulated").mlflow, home=ljwx_home())
    (run,) = registry.views(kind="sweep", limit=10)
    assert run.run_id == back["mlflow_run_id"]
    assert run.metrics["variants"] == 6


def test_every_variant_that_the_ledger_counts_is_found_in_mlflow_once(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    bodies = [swept(capsys, *GRID), swept(capsys, "--grid", "top_k=2:12:2", "--grid", "n_drop=1:3", "--optuna", "5")]
    registry = open_registry(load_settings(profile="simulated").mlflow, home=ljwx_home())
    client = MlflowClient(tracking_uri=registry.tracking_uri)
    found = {run.run_id: run for run in registry.views(kind="sweep", limit=10)}
    assert set(found) == {body["mlflow_run_id"] for body in bodies}
    assert {run.tags["search"] for run in found.values()} == {"grid", "optuna"}
    hashes: list[str] = []
    for body in bodies:
        history = client.get_metric_history(body["mlflow_run_id"], "variant.information_ratio")
        assert [point.step for point in history] == list(range(body["variants"]))
        assert history[0].value == pytest.approx(body["verdict"]["information_ratio"])
        path = client.download_artifacts(body["mlflow_run_id"], "sweep/sweep.parquet", str(home))
        hashes += pd.read_parquet(path)["variant_hash"].tolist()
    ledger = TrialLedger(home / LEDGER_FILE).trials_of(bodies[0]["hashes"]["family"])
    assert sorted(set(hashes)) == sorted(row.variant_hash for row in ledger if row.kind in ("sweep", "tune"))


def test_dask_that_is_not_there_is_told(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    assert main(["sweep", "--grid", "top_k=4", "--executor", "dask"]) == EnvironmentFault.exit_code
    assert "distributed is not installed: `make dask` adds it" in capsys.readouterr().err


@pytest.mark.slow
def test_a_cluster_of_this_machine_runs_the_same_sweep(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    body = swept(capsys, *GRID, "--executor", "dask", "--workers", "2")
    assert (body["computed"], body["how"]) == (6, "dask, 2")
    assert swept(capsys, *GRID)["known"] == 6


def test_a_quoted_number_is_the_number(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = swept(capsys, "--grid", 'top_k=4,"6"', "--grid", "n_drop=1,2")
    assert {row["strategy.top_k"] for row in body["best"]} == {4, 6}


@pytest.mark.parametrize("said", ["[]", "null", '{"factor_hash": 1}', "not JSON"])
@pytest.mark.parametrize("name", ["lineage", "scored_under"])
def test_a_damaged_document_beside_the_scores_is_told(
    home: Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    (home / "tables" / f"{name}.json").write_text(said, encoding="utf-8")
    assert main(["sweep", "--grid", "top_k=4"]) == LakeError.exit_code
    assert "run `ljwx run` again" in capsys.readouterr().err


def test_a_sweep_of_a_replay_is_counted_where_its_market_is(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instant = "2026-01-05T18:00:00+08:00"
    replay = market_home(load_settings(profile="simulated", overrides={"source.as_of": instant}))
    store_scored_market(replay)
    known_at = datetime(2024, 1, 1, tzinfo=UTC)
    said = description_table(open_source(load_settings(profile="simulated")).describe())
    for lake in (Lake(home / "lake"), Lake(replay / "lake")):
        lake.write("source_description", said, partition="all", known_at=known_at)
    body = swept(capsys, "--grid", "top_k=4,6", "--set", f'source.as_of="{instant}"')
    assert family(home, body) == ["sweep"] * 2
    assert not (replay / LEDGER_FILE).exists()


def test_holding_every_stock_there_is_is_no_choice(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--grid", "top_k=4,500"]) == 2
    assert "top_k = 500 of " in capsys.readouterr().err
    require_choice({"strategy.top_k": [29]}, 30, symbols=30)
    with pytest.raises(ConfigError, match="top_k = 30 of 30 stocks"):
        require_choice({"n_drop": [1]}, 30, symbols=30)


def test_ranges_and_lists_become_values() -> None:
    assert parsed_grid(["top_k=10,20", "n_drop=1:7:3", "costs.slippage_bps=0:0.3:0.1", "kind=a,b", "m=2:4"]) == {
        "top_k": [10, 20],
        "n_drop": [1, 4, 7],
        "costs.slippage_bps": [0, 0.1, 0.2, 0.3],
        "kind": ["a", "b"],
        "m": [2, 3, 4],
    }


def test_the_lint_finds_the_cliff_in_the_files_that_the_command_leaves(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(profile="simulated")
    chosen = settings.strategy.top_k
    body = swept(capsys, "--grid", f"top_k={chosen - 8},{chosen},{chosen + 2}")
    span = (body["first_session"], body["last_session"])
    hashes = {name: body["hashes"][name] for name in ("data_hash", "factor_hash")}
    fall, parameter = swept_cliff(home, settings, hashes=hashes, span=span)
    ratios = {row["strategy.top_k"]: row["information_ratio"] for row in body["best"]}
    beside = min(ratios[chosen - 8], ratios[chosen + 2])
    assert parameter == "strategy.top_k"
    assert fall == pytest.approx((ratios[chosen] - beside) / abs(ratios[chosen]))
