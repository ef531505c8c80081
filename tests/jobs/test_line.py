"""The whole line on a small simulated market, through the command a person types. Slow: minutes, not seconds."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from ljwx_pipeline.evaluation.run_summary import KEYS, summary_table
from tests.fakes.line_runs import SMALL, WORLD, Run, ljwx
from tests.jobs.conftest import SmallLine

pytestmark = pytest.mark.slow
#: Steps that a second run on the same data takes from the first.
REUSED = ("factor_values", "feature_table", "tuned_hyperparameters", "walk_forward_predictions", "trained_model")


@pytest.fixture(scope="module")
def home(small_line: SmallLine) -> Path:
    return small_line.home


@pytest.fixture(scope="module")
def first(small_line: SmallLine) -> Run:
    return small_line.run


@pytest.fixture(scope="module")
def second(home: Path, first: Run) -> Run:
    assert first.code == 0, first.err
    return ljwx(home, "--json")


def without_times_and_ids(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers alone: no times, no ids, and nothing that names the commit, which the tests may not fix."""
    kept = {key: value for key, value in summary.items() if key not in {"seconds", "mlflow", "deployment", "where"}}
    kept["model"] = {"alias": summary["model"]["alias"]}
    kept["lineage"] = {key: value for key, value in summary["lineage"].items() if key != "git_revision"}
    checks = dict(summary["checks"])  # a market's first run has no champion to judge its inputs by, and warns
    kept["checks"] = checks | {"passed": None, "warned": None, "not_failed": checks["passed"] + checks["warned"]}
    named = {"model_version", "bundle_hash"}
    kept["account"] = {key: value for key, value in summary["account"].items() if key not in named}
    return kept


def test_the_line_runs_from_bars_to_a_trading_paper_account(first: Run) -> None:
    assert first.code == 0, first.err
    summary = first.summary
    assert set(KEYS) <= set(summary)
    assert summary["simulated"] is True
    assert summary["checks"]["failed"] == summary["checks"]["blocked"] == 0
    assert summary["promotion"]["decision"] == "promoted"
    assert summary["model"]["alias"] == "champion"
    assert summary["truth"]["planted_rank_ic"] == WORLD["simulated.oracle_rank_ic"]
    assert summary["walk_forward"]["rank_ic_mean"] >= 0.6 * summary["truth"]["oracle_rank_ic"]
    assert summary["deployment"]["status"] == "spooled"
    assert summary["account"]["fills"] > 0
    assert summary["account"]["positions"] > 0
    assert set(summary["benchmarks"]) == {"000300.SH", "000905.SH", "399006.SZ"}
    assert "ljwx up --set simulated.symbols=40 " in summary["where"][0]
    assert "PROMOTED" in summary_table(summary)


def test_its_progress_names_every_step_with_its_seconds(first: Run) -> None:
    for step in ("raw_bars", "tuned_hyperparameters", "walk_forward_predictions", "deployment", "live_account"):
        assert step in first.err
        assert first.summary["seconds"][step] >= 0


def test_the_summary_is_kept_for_machines_and_the_report_for_people(first: Run, home: Path) -> None:
    latest = home / "reports" / "latest"
    assert json.loads((latest / "summary.json").read_text()) == first.summary
    page = (latest / "report.html").read_text()
    assert "SIMULATED" in page.upper()
    assert not re.search(r"(src|href)=[\"']https?:|@import|url\(https?:", page), "the report must need no network"


def test_the_lint_finds_no_error_in_the_line_and_the_numbers_lie_beside_the_report(first: Run, home: Path) -> None:
    latest = home / "reports" / "latest"
    run = json.loads((latest / "run.json").read_text())
    assert [one["fact"] for one in run["findings"] if one["severity"] == "error"] == []
    assert run["about"]["decision"] == first.summary["promotion"]["decision"]
    assert run["about"]["mlflow_run_id"] == first.summary["mlflow"]["run_id"]
    assert run["run"] == latest.resolve().name
    measured = pd.read_parquet(latest / "performance.parquet").set_index("measure")["value"]
    assert measured["sharpe"] == pytest.approx(first.summary["backtest"]["sharpe"])
    returns = pd.read_parquet(latest / "returns.parquet")
    growth = (1 + returns["strategy_return_frac"]).prod()
    assert growth == pytest.approx(returns["equity_cny"].iloc[-1] / returns["equity_cny"].iloc[0])
    assert {"equal_weight_return_frac", "momentum_return_frac", "000905.SH_return_frac"} <= set(returns.columns)


def test_the_addresses_open_on_the_asset_graph_and_on_the_lines_runs(first: Run) -> None:
    pages = dict(line.split(maxsplit=1) for line in first.summary["where"] if line.startswith(("Dagster", "MLflow")))
    assert pages["Dagster"].endswith("/asset-groups")
    assert pages["MLflow"].endswith("/#/experiments/1/runs?workflowType=machine_learning")


def test_every_trial_and_fold_is_tracked(first: Run, home: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(first.summary["mlflow"]["experiment"])
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    kinds = pd.Series([run.data.tags.get("kind", "research") for run in runs]).value_counts()
    assert kinds["trial"] >= SMALL["tune.trials"]
    assert kinds["fold"] >= first.summary["walk_forward"]["folds"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert "model_card" in {item.path for item in client.list_artifacts(first.summary["mlflow"]["run_id"])}
    research = client.get_run(first.summary["mlflow"]["run_id"])
    assert research.data.tags["data_hash"] == first.summary["lineage"]["data_hash"]
    assert research.data.tags["decision"] == "promoted"


def test_the_intervals_hold_and_travel_with_the_model(first: Run, home: Path) -> None:
    (market,) = (folder for folder in (home / "markets").iterdir() if folder.name.startswith("simulated"))
    found = json.loads((market / "tables" / "prediction_intervals.json").read_text())
    assert 0.88 <= found["coverage_frac"] <= 0.92
    assert {one["grouping"] for one in found["groups"]} == {"year", "industry", "volatility"}
    assert 0.85 <= found["least_group_frac"] <= found["most_group_frac"] <= 0.95
    assert found["interval_score"] < found["constant_interval_score"]
    rows = pd.read_parquet(market / "tables" / "walk_forward_intervals.parquet")
    assert rows["lower"].notna().sum() >= found["rows"], "the last sessions have not matured"
    (bundle,) = (market / "live" / "bundles").iterdir()
    learned = json.loads((bundle / "intervals.json").read_text())
    assert learned["session"] == f"{rows['session_date'].max():%Y-%m-%d}"


def test_the_model_that_trades_carries_the_card_of_what_was_judged(first: Run, home: Path) -> None:
    from mlflow import MlflowClient

    model, measured = first.summary["model"], first.summary["promotion"]["measured"]
    client = MlflowClient(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    registered = client.get_model_version(model["name"], str(model["version"]))
    (market,) = (folder for folder in (home / "markets").iterdir() if folder.name.startswith("simulated"))
    bundle = registered.tags["bundle_hash"]
    traded = {path.name: path.read_bytes() for path in (market / "live" / "bundles" / bundle).iterdir()}
    made = {path.name: path.read_bytes() for path in (market / "bundles" / bundle).iterdir()}
    assert {name: content for name, content in traded.items() if name != "delivery.json"} == made
    card = traded["card.md"].decode()
    assert card.startswith(f"# {model['name']}\n")
    assert "**Promoted** by the promotion gate: every check asked has passed." in card
    assert f"{measured['rank_ic_mean']:.4f} | above {measured['rank_ic_lower']:.4f}" in card
    assert "Simulated market" in card
    logged = client.download_artifacts(registered.run_id, "model_card/card.md", str(home))
    assert Path(logged).read_bytes() == traded["card.md"]


def test_the_features_file_of_the_last_research_session_is_what_the_runner_computes(
    first: Run, home: Path, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    from ljwx_pipeline.config import Settings
    from ljwx_pipeline.factors.alpha158 import alpha158
    from ljwx_pipeline.live.factor_history import FactorHistory
    from ljwx_pipeline.live.feature_file import FEATURES_DIR, read_features
    from ljwx_pipeline.live.feed import ReplayFeed
    from ljwx_pipeline.live.online.cross_check import features_alerts

    client = MlflowClient(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    kept = client.download_artifacts(first.summary["mlflow"]["run_id"], "config/settings.json", str(tmp_path))
    settings = Settings.model_validate_json(Path(kept).read_text())
    (market,) = (home / "markets").glob("simulated-*")
    live = market / "live"
    feed, factors = ReplayFeed.open(live / "feed"), alpha158()
    session = feed.pack.last_research_session
    reading = read_features(
        live / FEATURES_DIR,
        decided=session,
        sessions=feed.sessions,
        factor_hash=factors.version_hash,
        factors=factors.names,
        settings=settings.breakers,
    )
    assert reading.features is not None, reading.notes
    assert (reading.features.session, reading.age_sessions, reading.fault, reading.notes) == (session, 0, None, ())
    assert len(reading.features.symbols) > 0.9 * WORLD["simulated.symbols"]
    history = FactorHistory(feed, factors, settings.universe, benchmark=settings.gate.benchmark)
    assert features_alerts(reading.features, history) == ()


def told_by_the_line(market: Path) -> dict[str, list[Any]]:
    """What the line's own records tell of: the study's journal, the folds, the ledger, the decisions, the bundles."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState

    storage = JournalStorage(JournalFileBackend(str(market / "studies" / "journal.log")))
    trials = [
        (study.study_name, str(trial.user_attrs["kept"]["trial"]["number"]))
        for study in storage.get_all_studies()
        for trial in storage.get_all_trials(study._study_id)
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    ]
    folds = json.loads((market / "tables" / "walk_forward_folds.json").read_text())["folds"]
    with closing(sqlite3.connect(market / "trials.sqlite")) as ledger:
        rows = [row[0] for row in ledger.execute("SELECT evidence FROM trials WHERE kind = 'manual'")]
    # each backtest's walk forward was counted before it, when its first figure was shown
    evidence = [row for row in rows if not row.startswith("walk_forward:")]
    assert len(rows) == 2 * len(evidence)
    lines = [json.loads(line) for line in (market / "tracking" / "champion.jsonl").read_text().splitlines()]
    return {
        "trial": trials,
        "fold": [(fold["name"], fold["rank_ic"], float(fold["train_rows"])) for fold in folds],
        "evaluation": evidence,
        "promotion": [(line["version"], line["decision"]) for line in lines if line["what"] == "decided"],
        "training": [json.loads((market / "tables" / "trained_model.json").read_text())["model_hash"]],
    }


def found_in_mlflow(home: Path, market: Path) -> dict[str, list[Any]]:
    """The same, as MLflow holds it."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'ljwx'")
    runs = client.search_runs([experiment.experiment_id], f"tags.market = '{market.name}'", max_results=1000)
    assert {run.info.status for run in runs} == {"FINISHED"}
    told: dict[str, list[Any]] = {kind: [] for kind in ("trial", "fold", "evaluation", "promotion", "training")}
    for run in runs:
        tags, values = run.data.tags, run.data.metrics
        if tags["kind"] == "trial":
            told["trial"].append((tags["study"], tags["trial"]))
        elif tags["kind"] == "fold":
            told["fold"].append((tags["fold"], values["rank_ic"], values["train_rows"]))
        elif tags["kind"] == "promotion":
            told["promotion"].append((tags["model_version"], tags["decision"]))
        elif tags["kind"] in told:
            told[tags["kind"]].append(tags["evidence" if tags["kind"] == "evaluation" else "model_hash"])
    return told


def test_all_that_the_lines_records_tell_of_is_in_mlflow_exactly_once(first: Run, second: Run, home: Path) -> None:
    assert first.code == second.code == 0, second.err
    (market,) = (home / "markets").glob("simulated-*")
    told, found = told_by_the_line(market), found_in_mlflow(home, market)
    assert {kind: sorted(events) for kind, events in found.items()} == {
        kind: sorted(events) for kind, events in told.items()
    }
    assert {kind: len(events) for kind, events in told.items()} | {"fold": 0, "training": 0} == {
        "trial": SMALL["tune.trials"], "fold": 0, "evaluation": 1, "promotion": 2, "training": 0,
    }  # fmt: skip
    assert list((market / "tracking" / "open").iterdir()) == []


def test_a_research_run_says_what_it_was_made_of(first: Run, home: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    from ljwx_pipeline.config import Settings

    client = MlflowClient(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    run = client.get_run(first.summary["mlflow"]["run_id"])
    lineage, tags = first.summary["lineage"], run.data.tags
    assert {name: tags[name] for name in lineage if name in tags} == lineage
    assert {"data_hash", "factor_hash", "label_hash", "config_hash", "git_revision", "dataset_hash"} <= set(tags)
    assert tags["package.lightgbm"]
    assert "**Simulated market.**" in tags["mlflow.note.content"]
    digests = {one.dataset.name: one.dataset.digest for one in run.inputs.dataset_inputs}
    assert digests["checked_bars"] == lineage["data_hash"][:12]
    assert digests["factors alpha158"] == lineage["factor_hash"][:12]
    assert digests["training_dataset"] == tags["dataset_hash"][:12]
    assert digests["label 5 sessions"] == tags["label_hash"][:12]
    kept = client.download_artifacts(run.info.run_id, "config/settings.json", str(tmp_path))
    settings = Settings.model_validate_json(Path(kept).read_text())
    assert settings.config_hash == lineage["config_hash"]
    kept = client.download_artifacts(run.info.run_id, "environment/requirements.txt", str(tmp_path))
    assert re.search(r"^lightgbm==\S+$", Path(kept).read_text(), re.MULTILINE)
    folders = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"bundle", "config", "environment", "report", "shap", "tear_sheet"} <= folders
    assert run.info.start_time < run.info.end_time
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "fold.rank_ic")]
    assert steps == list(range(first.summary["walk_forward"]["folds"]))


def test_running_again_gives_the_same_numbers_sooner_and_trades_nothing_twice(first: Run, second: Run) -> None:
    assert second.code == 0, second.err
    assert without_times_and_ids(second.summary) == without_times_and_ids(first.summary)
    if second.summary["lineage"]["git_revision"] == first.summary["lineage"]["git_revision"]:
        assert second.summary["model"]["version"] == first.summary["model"]["version"]
        assert second.summary["account"]["bundle_hash"] == first.summary["account"]["bundle_hash"]
        assert "deployment" not in second.summary["seconds"], "the sensor's run key was served before"
    again, before = (sum(run.summary["seconds"][step] for step in REUSED) for run in (second, first))
    assert again < before / 2


def test_the_daily_job_scores_and_monitors_without_training(second: Run, home: Path) -> None:
    assert second.code == 0, second.err
    before = (home / "reports" / "latest" / "summary.json").read_bytes()
    daily = ljwx(home, "--job", "daily_pipeline", "--json")
    assert daily.code == 0, daily.err
    assert daily.summary["scores"] > 0
    assert (home / "reports" / "latest" / "summary.json").read_bytes() == before, "research's summary stays"
    assert "daily_scores" in daily.err
    assert "tuned_hyperparameters" not in daily.err
    (market,) = (home / "markets").iterdir()
    monitoring = json.loads((market / "tables" / "model_monitoring.json").read_text())
    assert monitoring["champion"] is True
    assert monitoring["matured_sessions"] > 0
    scores = pd.read_parquet(market / "tables" / "daily_scores.parquet")
    assert scores["score"].notna().any()
    assert scores["session_date"].max() == pd.Timestamp("2025-12-31"), "today is scored, held out from research or not"
    held_out = scores["session_date"].drop_duplicates().sort_values().iloc[-40:]
    assert set(scores.loc[scores["after_training"].astype(bool), "session_date"]) == set(held_out)


def test_every_column_that_a_lineage_names_is_in_the_table_as_it_was_made(second: Run, home: Path) -> None:
    assert second.code == 0, second.err
    tables, lineages = columns_and_lineages(home)
    assert {
        "checked_bars", "quarantined_bars", "data_quality", "factor_values", "forward_return_label",
        "feature_table", "training_dataset", "walk_forward_predictions", "shap_explanation", "net_backtest",
    } <= lineages.keys()  # fmt: skip
    for asset, lineage in lineages.items():
        assert set(lineage) <= set(tables[asset]), f"{asset} has a lineage of a column it has not"
        for column, sources in lineage.items():
            unknown = [source for source in sources if source[1] not in tables[source[0]]]
            assert unknown == [], f"{asset}.{column} names {unknown}"
    for asset in ("factor_values", "feature_table", "forward_return_label", "training_dataset", "net_backtest"):
        assert set(tables[asset]) == set(lineages[asset]), f"{asset}: a column without a lineage"


def columns_and_lineages(home: Path) -> tuple[dict[str, list[str]], dict[str, dict[str, list[tuple[str, str]]]]]:
    """Return of every table asset its columns, and of each column the asset and column of those it comes from."""
    (market,) = (folder for folder in (home / "markets").iterdir() if folder.name.startswith("simulated"))
    tables, lineages = {}, {}
    with dg.DagsterInstance.from_config(str(market / "dagster")) as instance:
        for key in instance.all_asset_keys():
            event = instance.get_latest_materialization_event(key)
            if event is None or event.asset_materialization is None:
                continue
            name, said = key.to_user_string(), event.asset_materialization.metadata
            if "dagster/column_schema" in said:
                tables[name] = [column.name for column in said["dagster/column_schema"].schema.columns]
            if "dagster/column_lineage" in said:
                lineages[name] = {
                    column: [(dep.asset_key.to_user_string(), dep.column_name) for dep in deps]
                    for column, deps in said["dagster/column_lineage"].lineage.deps_by_column.items()
                }
    return tables, lineages


def test_a_dry_run_of_research_tells_of_the_lake_and_not_of_the_source(second: Run, home: Path) -> None:
    plan = ljwx(home, "--job", "research", "--dry-run", "--json").summary
    assert (plan["read_from"], plan["symbols"]) == ("lake", second.summary["data"]["symbols"])
    assert plan["sessions"] == second.summary["data"]["sessions"]


def test_another_seed_is_another_market_beside_the_first(second: Run, home: Path) -> None:
    markets = set((home / "markets").iterdir())
    refused = ljwx(home, "--json", "--seed", "11", "--profile", "noise", settings={"simulated.oracle_rank_ic": 0.0})
    assert refused.code == 0, refused.err
    summary = refused.summary
    assert summary["promotion"]["decision"] == "refused"
    assert summary["promotion"]["reasons"]
    assert summary["model"]["alias"] == "none"
    assert summary["account"]["orders"] == 0
    assert set((home / "markets").iterdir()) > markets
    assert "deployment" not in summary["seconds"]


def test_a_part_of_the_line_before_the_whole_is_one_message(tmp_path: Path) -> None:
    refused = ljwx(tmp_path / "home", "--job", "research")
    assert refused.code != 0
    assert "run `ljwx run` once before its parts" in refused.err
    assert "Traceback" not in refused.err


def test_two_runs_of_one_market_do_not_mix(home: Path, second: Run) -> None:
    from ljwx_pipeline.lake.locking import exclusive

    (market,) = [folder for folder in (home / "markets").iterdir() if folder.name.startswith("simulated")]
    with exclusive(market / "run.lock", timeout_s=1):
        refused = ljwx(home)
    assert refused.code == 6
    assert "another process" in refused.err


def test_a_bad_file_is_one_message_and_leaves_no_report(tmp_path: Path) -> None:
    data = tmp_path / "bars.csv"
    data.write_text(
        "ts_code,trade_date,open,high,low,close,pre_close,vol,amount\n600000.SH,20200102,10,9,11,10,10,100,100\n"
    )
    index = tmp_path / "000300.csv"
    index.write_text("ts_code,trade_date,open,high,low,close,vol,amount\n000300.SH,20200102,10,11,9,10,100,100\n")
    home = tmp_path / "home"
    refused = ljwx(home, "--profile", "folder", "--data", str(data), "--index-data", str(index), "--adjustment", "raw")
    assert refused.code != 0
    errors = [line for line in refused.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "Traceback" not in refused.err
    assert not (home / "reports" / "latest").exists()


def test_an_unreachable_tracking_server_is_one_message(tmp_path: Path) -> None:
    refused = ljwx(tmp_path / "home", settings={"mlflow.tracking_uri": "http://127.0.0.1:9"})
    assert refused.code == 11
    assert "MLflow at http://127.0.0.1:9 cannot be reached" in refused.err
    assert "Traceback" not in refused.err


def test_a_lost_runner_and_damaged_results_are_made_again(second: Run, first: Run, home: Path) -> None:
    assert second.code == 0, second.err
    (market,) = [folder for folder in (home / "markets").iterdir() if folder.name.startswith("simulated")]
    shutil.rmtree(market / "live")
    for name in ("tables/walk_forward_predictions.parquet", "feature_table/alpha158.parquet"):
        path = market / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    (market / "tables" / "deployment.json").unlink()
    again = ljwx(home, "--json")
    assert again.code == 0, again.err
    assert without_times_and_ids(again.summary) == without_times_and_ids(first.summary)
    assert (market / "live" / "account" / "journal.sqlite").exists()
