"""A comparison in MLflow: its candidates and folds below it, found by the tags and shown by the metrics of any run."""

from __future__ import annotations

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
}
HASHES = {"family": "f", "factor_hash": "a", "label_hash": "l", "data_hash": "d", "dataset_hash": "e"}


def walk(candidate: Candidate, dataset_hash: str) -> Walked:
    return Walked(
        candidate, f"key of {candidate.name}", pd.DataFrame(), (FOLD,), known=False, dataset_hash=dataset_hash
    )


def measured(name: str) -> Measured:
    row = {"name": name, **dict.fromkeys(_METRICS, 0.5)}
    return Measured(row, trial=None, evidence="", rank_ic=pd.Series(dtype=float))  # type: ignore[arg-type]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry that holds one comparison of the configured model and one by group."""
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    monkeypatch.setenv("LJWX_CONFIG", str(ROOT / "ljwx.toml"))
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(empty_database()[0].read_bytes())
    (tmp_path / "comparison").mkdir()
    (tmp_path / "comparison" / "comparison.json").write_text("{}", encoding="utf-8")
    settings = load_settings(profile="simulated")
    asked = candidates(settings.model, ["quantile"], None)
    body = {
        "simulated": True,
        "folds": 1,
        "trials_of_family": 4,
        "hashes": HASHES | {"config_hash": settings.config_hash},
    }
    run_id = track_comparison(
        settings,
        tmp_path / "comparison",
        body,
        [walk(asked[0], "e"), walk(asked[1], "own")],
        [measured(candidate.name) for candidate in asked],
        tags={"factors": "alpha158", "git_revision": "r"},
    )
    registry = open_registry(settings.mlflow, tmp_path)
    assert [run.run_id for run in registry.views(kind="comparison", limit=10)] == [run_id]
    return registry


def runs(registry: Registry, kind: str) -> dict[str, TrackedView]:
    return {run.name: run for run in registry.views(kind=kind, limit=10)}


def test_a_comparison_and_what_is_below_it_carry_the_tags_of_a_research_run(registry: Registry) -> None:
    found = [run for kind in ("comparison", "candidate", "fold") for run in registry.views(kind=kind, limit=10)]
    assert len(found) == 5
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
