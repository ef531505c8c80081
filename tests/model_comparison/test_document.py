"""A comparison in MLflow: its candidates and folds below it, found by the tags and shown by the metrics of any run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.config import load_settings
from ljwx_pipeline.experiment_commands import MAIN_METRICS
from ljwx_pipeline.model_comparison.candidates import Candidate, candidates
from ljwx_pipeline.model_comparison.document import _METRICS, track_comparison
from ljwx_pipeline.model_comparison.measures import Measured
from ljwx_pipeline.model_comparison.walk import Walked
from ljwx_pipeline.registry import Registry, TrackedView, open_registry
from ljwx_pipeline.tracking import SHARED_TAGS
from tests.fakes.mlflow_home import empty_database

ROOT = Path(__file__).resolve().parents[2]
FOLD = {
    "name": "2024",
    "rank_ic": 0.1,
    "tail_rank_ic": 0.1,
    "rounds": 3,
    "train_rows": 9,
    "test_rows": 9,
    "seconds": 1.0,
    "train_first": "2022-01-04",
    "train_last": "2023-12-20",
    "test_first": "2024-01-02",
    "test_last": "2024-12-31",
    "began_at": "2026-01-05T01:00:00+00:00",
    "ended_at": "2026-01-05T01:03:00+00:00",
}
BEGAN = datetime(2026, 1, 6, 1, 0, tzinfo=UTC)
TUNED = {"num_leaves": 31, "learning_rate": 0.05}
HASHES = {"family": "f", "factor_hash": "a", "label_hash": "l", "data_hash": "d", "dataset_hash": "e"}


def walk(candidate: Candidate, dataset_hash: str) -> Walked:
    return Walked(
        candidate, f"key of {candidate.name}", pd.DataFrame(), (FOLD,), known=False, dataset_hash=dataset_hash
    )


def measured(name: str, rank_ic: float) -> Measured:
    row = {"name": name, **dict.fromkeys(_METRICS, 0.5), "rank_ic": rank_ic, "net_sharpe": 1 - rank_ic}
    return Measured(row, trial=None, evidence="", rank_ic=pd.Series(dtype=float))  # type: ignore[arg-type]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry that holds one comparison of the configured model, one of quantiles and a linear one."""
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    monkeypatch.setenv("LJWX_CONFIG", str(ROOT / "ljwx.toml"))
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(empty_database()[0].read_bytes())
    (tmp_path / "comparison").mkdir()
    (tmp_path / "comparison" / "comparison.json").write_text("{}", encoding="utf-8")
    settings = load_settings(profile="simulated")
    asked = candidates(settings.model, ["quantile", "linear"], None)
    body = {
        "simulated": True,
        "benchmark": "000905.SH",
        "first_session": "2024-01-02",
        "last_session": "2024-12-31",
        "folds": 1,
        "study": "ljwx-0123",
        "tuned": TUNED,
        "trials_of_family": 4,
        "hashes": HASHES | {"config_hash": settings.config_hash},
    }
    run_id = track_comparison(
        settings,
        tmp_path / "comparison",
        body,
        [walk(asked[0], "e"), walk(asked[1], "own"), walk(asked[2], "e")],
        [measured(candidate.name, 0.1 * place) for place, candidate in enumerate(asked)],
        tags={"factors": "alpha158", "git_revision": "r-dirty"},
        began_at=BEGAN,
    )
    registry = open_registry(settings.mlflow, tmp_path)
    assert [run.run_id for run in registry.views(kind="comparison", limit=10)] == [run_id]
    return registry


def runs(registry: Registry, kind: str) -> dict[str, TrackedView]:
    return {run.name: run for run in registry.views(kind=kind, limit=10)}


def test_a_comparison_and_what_is_below_it_carry_the_tags_of_a_research_run(registry: Registry) -> None:
    found = [run for kind in ("comparison", "candidate", "fold") for run in registry.views(kind=kind, limit=10)]
    assert len(found) == 7
    for run in found:
        assert {name for name in SHARED_TAGS if run.tags.get(name)} == set(SHARED_TAGS), run.name
        assert (run.tags["simulated"], run.tags["factors"]) == ("True", "alpha158")


def test_a_candidate_s_tags_are_its_own_where_it_differs(registry: Registry) -> None:
    (comparison,), found = runs(registry, "comparison").values(), runs(registry, "candidate")
    plain, other = found["configured"].tags, found["quantile"].tags
    assert (plain["model_kind"], other["model_kind"]) == ("regression", "quantile")
    assert (plain["dataset_hash"], other["dataset_hash"]) == ("e", "own")
    assert plain["config_hash"] == comparison.tags["config_hash"] != other["config_hash"]


@pytest.mark.parametrize("kind", ["comparison", "candidate"])
def test_the_table_of_experiments_names_metrics_that_are_recorded(registry: Registry, kind: str) -> None:
    for run in runs(registry, kind).values():
        assert set(MAIN_METRICS[kind]) <= set(run.metrics)


def test_a_candidate_says_its_hyperparameters_and_whose_they_are(registry: Registry) -> None:
    found = runs(registry, "candidate")
    tuned = {f"tuned.{name}": str(value) for name, value in TUNED.items()}
    assert {name: found["quantile"].params[name] for name in tuned} == tuned
    assert not [name for name in found["linear"].params if name.startswith("tuned.")], "it reads none of them"
    for run in [*runs(registry, "comparison").values(), *found.values(), *runs(registry, "fold").values()]:
        assert run.tags["study"] == "ljwx-0123"


def test_parameters_of_candidates_and_folds_are_single_values_by_dotted_key(registry: Registry) -> None:
    found = runs(registry, "candidate")["quantile"].params
    assert (found["model.kind"], found["model.ensemble.kind"]) == ("quantile", "none")
    assert not [value for value in found.values() if value.startswith("{")]
    fold = runs(registry, "fold")["quantile fold 2024"]
    spans = ("train_first", "train_last", "test_first", "test_last")
    assert fold.params == {name: str(FOLD[name]) for name in spans}


def test_candidates_and_folds_begin_and_end_with_their_training(registry: Registry) -> None:
    for run in [*runs(registry, "candidate").values(), *runs(registry, "fold").values()]:
        assert (run.started_ms, run.ended_at) == (1_767_574_800_000, datetime(2026, 1, 5, 1, 3, tzinfo=UTC))
    (comparison,) = runs(registry, "comparison").values()
    assert comparison.started_ms == BEGAN.timestamp() * 1000


def test_a_comparison_s_page_says_who_was_compared_on_what_and_what_was_best(registry: Registry) -> None:
    (comparison,) = runs(registry, "comparison").values()
    assert comparison.name == "configured, quantile, linear simulated"
    assert comparison.metrics["best.rank_ic"] == 0.2
    assert comparison.metrics["best.net_sharpe"] == 1.0
    assert comparison.inputs == [{"name": "training_dataset", "digest": "e"}]
    assert [run.inputs[0]["digest"] for run in runs(registry, "candidate").values()].count("own") == 1
    note = comparison.tags["mlflow.note.content"]
    assert all(text in note for text in ("Simulated market", "`quantile`", "2024-01-02 to 2024-12-31", "`ljwx-0123`"))
    source = [comparison.tags[f"mlflow.source.{name}"] for name in ("name", "type", "git.commit")]
    assert source == ["ljwx models compare", "JOB", "r"]
