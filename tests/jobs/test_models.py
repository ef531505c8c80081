"""`ljwx models` on a finished line: models compared on its dataset and folds, versions listed and shown."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ljwx_pipeline.errors import RegistryError
from ljwx_pipeline.lake.locking import exclusive
from ljwx_pipeline.tracking import SHARED_TAGS
from tests.jobs.conftest import SmallLine

pytestmark = pytest.mark.slow
BINS, SHORT = "max_bin=31", "max_rounds=3"


def trials(line: SmallLine) -> int:
    with sqlite3.connect(line.market / "trials.sqlite") as ledger:
        return int(ledger.execute("SELECT count(*) FROM trials").fetchone()[0])


@pytest.fixture(scope="module")
def before(small_line: SmallLine) -> int:
    return trials(small_line)


@pytest.fixture(scope="module")
def compared(small_line: SmallLine, before: int) -> dict[str, Any]:
    run = small_line("models", "compare", BINS, SHORT, "--json")
    assert run.code == 0, run.err
    told = [line for line in run.err.splitlines() if line.lstrip().startswith("fold ")]
    assert told
    assert not [line for line in told if "IC" in line]  # who has seen how well a fold did has made the trial
    body: dict[str, Any] = json.loads(run.out)
    return body


def test_each_model_has_a_row_with_its_measures_inside_their_intervals(compared: dict[str, Any]) -> None:
    rows = {row["name"]: row for row in compared["rows"]}
    assert list(rows) == ["configured", BINS, SHORT]
    for row in rows.values():
        assert row["rank_ic_lower"] < row["rank_ic"] < row["rank_ic_upper"]
        assert row["net_sharpe_lower"] < row["net_sharpe"] < row["net_sharpe_upper"]
        assert row["turnover"] > 0
        assert row["training_seconds"] > 0
    assert len({row["rank_ic"] for row in rows.values()}) == 3


def test_the_configured_model_is_the_one_the_run_walked_forward(
    small_line: SmallLine, compared: dict[str, Any]
) -> None:
    measured = small_line.summary["promotion"]["measured"]
    assert compared["rows"][0]["rank_ic"] == pytest.approx(measured["rank_ic_mean"], abs=1e-12)
    excess = compared["rows"][0]["net_excess_annual_return"]
    assert excess == pytest.approx(measured["net_excess_annual_return"], abs=1e-9), "one name, one figure"
    assert compared["rows"][0]["turnover"] == pytest.approx(small_line.summary["backtest"]["turnover"])


def test_each_new_model_counts_as_one_trial(small_line: SmallLine, before: int, compared: dict[str, Any]) -> None:
    assert trials(small_line) == before + 2  # the configured one was counted by the run itself
    assert compared["trials_of_family"] == before + 2 - 1, "the run's walk forward and its backtest are one trial"


def test_the_page_shows_every_model_and_both_pictures(compared: dict[str, Any]) -> None:
    page = Path(compared["page"]).read_text(encoding="utf-8")
    assert all(f"<td>{name}</td>" in page for name in ("configured", BINS, SHORT))
    assert page.count("<svg") == 2
    assert "SIMULATED" in page


def test_mlflow_holds_a_comparison_with_candidates_and_their_folds(
    small_line: SmallLine, compared: dict[str, Any]
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{small_line.home / 'mlflow' / 'mlflow.db'}")
    outer = client.get_run(compared["mlflow_run_id"])
    assert outer.data.tags["kind"] == "comparison"
    assert {name for name in SHARED_TAGS if outer.data.tags.get(name)} == set(SHARED_TAGS)
    experiment = [outer.info.experiment_id]

    def below(run_id: str) -> list[Any]:
        return list(client.search_runs(experiment, f"tags.`mlflow.parentRunId` = '{run_id}'"))

    children = {run.info.run_name: run for run in below(compared["mlflow_run_id"])}
    assert set(children) == {"configured", BINS, SHORT}
    assert children[BINS].data.params["model.max_bin"] == "31"
    tuned = compared["tuned"]
    assert {name: children[BINS].data.params[f"tuned.{name}"] for name in tuned} == {
        name: str(value) for name, value in tuned.items()
    }
    (research,) = client.search_runs(experiment, "tags.kind = 'research'")
    assert children[BINS].data.tags["study"] == research.data.tags["study"]
    began, ended = children[BINS].info.start_time, children[BINS].info.end_time
    seconds = next(row["training_seconds"] for row in compared["rows"] if row["name"] == BINS)
    assert ended - began >= seconds * 1000 * 0.99
    assert outer.info.start_time <= began
    assert ended <= outer.info.end_time
    assert {run.data.tags["kind"] for run in below(children[SHORT].info.run_id)} == {"fold"}


def test_a_finished_candidate_is_not_trained_again_and_a_repeat_is_no_second_run(
    small_line: SmallLine, compared: dict[str, Any]
) -> None:
    counted = trials(small_line)
    run = small_line("models", "compare", BINS, SHORT, "--json")
    again = json.loads(run.out)
    assert [row["trained_now"] for row in again["rows"]] == [False, False, False]
    assert [row["rank_ic"] for row in again["rows"]] == [row["rank_ic"] for row in compared["rows"]]
    assert again["mlflow_run_id"] == compared["mlflow_run_id"]
    assert trials(small_line) == counted


def test_models_that_cannot_be_trained_are_named_and_the_others_compared(
    small_line: SmallLine, compared: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "models.toml"
    file.write_text(
        '[far]\nensemble = { kind = "horizon_blend", horizons = [1, 60] }\n'  # its purge leaves too few sessions
        "[tail]\nearly_stopping_tail_sessions = 400\n"
        '[by-size]\ngroup_by = "size"\nmin_group_rows = 500\nmax_rounds = 3\n',
        encoding="utf-8",
    )
    few = {"walk_forward.min_train_sessions": 430}
    run = small_line("models", "compare", "--candidates", str(file), "--json", settings=few)
    assert run.code == 9, run.err
    body = json.loads(run.out)
    assert [row["name"] for row in body["rows"]] == ["configured", "by-size"]
    assert body["rows"][0]["trained_now"] is False
    assert "has 423 training sessions before it" in body["failed"]["far"]
    assert "training sessions leave too little before a tail of 400" in body["failed"]["tail"]
    # what no dataset mends is not asked of another one
    assert run.err.count("on a dataset of its own") == 2


def test_no_comparison_mixes_in_what_a_run_is_writing(small_line: SmallLine) -> None:
    with exclusive(small_line.market / "run.lock", timeout_s=1):
        refused = small_line("models", "compare", BINS)
    assert refused.code == 6
    assert "another process" in refused.err


def test_other_folds_than_those_of_the_newest_research_are_refused(small_line: SmallLine) -> None:
    run = small_line("models", "compare", BINS, settings={"walk_forward.first_test_year": 2025})
    assert run.code == 2
    assert "walk_forward now asks for 1 fold" in run.err
    assert "Traceback" not in run.err


def test_paths_stand_beside_the_walk_forward_that_the_gate_judged(
    small_line: SmallLine, compared: dict[str, Any]
) -> None:
    counted = trials(small_line)
    run = small_line("models", "paths", "champion", "--groups", "3", "--tested", "1", "--json")
    assert run.code == 0, run.err
    body = json.loads(run.out)
    judged = small_line.summary["promotion"]["measured"]["rank_ic_mean"]
    assert body["walk_forward"]["rank_ic"] == pytest.approx(judged, abs=1e-12)
    assert (body["splits"], len(body["paths"])) == (3, 1)
    assert trials(small_line) == counted + 1, "the walk forward was counted by the run"


def test_versions_are_listed_with_alias_decision_and_hashes(small_line: SmallLine) -> None:
    (version,) = json.loads(small_line("models", "list", "--json").out)["versions"]
    assert version["alias"] == "champion"
    assert version["decision"] == "promoted"
    assert version["hashes"]["data"] == small_line.summary["lineage"]["data_hash"]
    assert version["metrics"]["rank_ic_mean_enterable"] == pytest.approx(
        small_line.summary["walk_forward"]["rank_ic_mean_enterable"]
    )
    gated = small_line.summary["promotion"]["measured"]["rank_ic_mean"]
    assert version["metrics"]["rank_ic_mean_enterable"] == pytest.approx(gated)


def test_a_version_is_shown_with_its_card(small_line: SmallLine) -> None:
    shown = small_line("models", "show", "champion")
    assert shown.code == 0, shown.err
    assert f"# {small_line.summary['model']['name']}" in shown.out
    assert "Promoted" in shown.out
    assert small_line("models", "show", "7").code == RegistryError.exit_code
