"""The verdict of a stage: equal, or what differs; unknown where nothing was recorded."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ljwx_pipeline.lake.atomic_parquet import file_sha256, write_parquet
from ljwx_pipeline.reproduction.stages import Remade, Stage, compared, settings_stage
from ljwx_pipeline.reproduction.target import Original
from tests.fakes.recorded_runs import recorded_run

TABLES = ("forward_return_label", "dataset_rows", "dataset_features", "walk_forward_predictions", "net_backtest")
RUN = "b" * 32


def market(folder: Path, *, score: float = 0.5, leaf: str = "1", rows: int = 3) -> dict[str, Any]:
    """Write all that a run makes below ``folder`` and return what it records of it."""
    sessions = pd.bdate_range("2024-01-02", periods=rows)
    frame = pd.DataFrame({"symbol": ["A"] * rows, "session_date": sessions, "score": [score] * rows})
    files = {"feature_table": folder / "feature_table" / "alpha.parquet"}
    files |= {name: folder / "tables" / f"{name}.parquet" for name in TABLES}
    for name, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_parquet(path, frame if name == "walk_forward_predictions" else frame.assign(score=1.0))
    bundle = folder / "bundles" / "h"
    bundle.mkdir(parents=True)
    (bundle / "model.txt").write_text(f"tree\nleaf={leaf}\n", encoding="utf-8")
    (bundle / "manifest.json").write_text(json.dumps({"rounds": 3, "leaf": leaf}), encoding="utf-8")
    files["bundle/model.txt"] = bundle / "model.txt"
    return {
        "artifacts": {
            name: {"sha256": file_sha256(path), "path": str(path.relative_to(folder))} for name, path in files.items()
        },
        "dataset_hash": "d",
        "best_params": {"num_leaves": 31},
        "bundle_hash": f"h{leaf}",
        "bundle": "bundles/h",
    }


def original(folder: Path, made: dict[str, Any], **tags: str) -> Original:
    hashes = {"data_hash": "x", "factor_hash": "f", "dataset_hash": "d", "config_hash": "c", **tags}
    run = recorded_run(RUN, tags=hashes, params={"model.seed": "7"})
    return Original(
        run=run,
        version=None,
        market="m",
        home=folder,
        settings={"model": {"seed": 7}},
        environment={},
        made=made,
    )


def verdicts(was: Original, folder: Path, made: dict[str, Any]) -> dict[str, Stage]:
    lineage = {"data_hash": "x", "factor_hash": "f", "as_of": "2024-06-01T00:00:00+00:00"}
    return {stage.name: stage for stage in compared(was, Remade(folder, lineage, made))}


def differing(found: dict[str, Stage]) -> list[str]:
    return [name for name, stage in found.items() if stage.verdict != "equal"]


def test_the_same_again_is_equal_in_every_stage(tmp_path: Path) -> None:
    was = original(tmp_path / "was", market(tmp_path / "was"))
    found = verdicts(was, tmp_path / "now", market(tmp_path / "now"))
    assert differing(found) == []
    assert next(iter(found)) == "data"


def test_another_score_is_named_by_symbol_and_session(tmp_path: Path) -> None:
    was = original(tmp_path / "was", market(tmp_path / "was"))
    found = verdicts(was, tmp_path / "now", market(tmp_path / "now", score=0.75))
    assert differing(found) == ["out-of-sample predictions"]
    stage = found["out-of-sample predictions"]
    assert "3 cells differ, first A 2024-01-02 score: 0.5 then, 0.75 now" in stage.sentence
    assert stage.was != stage.now


def test_of_a_table_that_a_later_run_wrote_over_only_the_hash_is_known(tmp_path: Path) -> None:
    made = market(tmp_path / "was")
    market(tmp_path / "other", score=0.1)
    path = "tables/walk_forward_predictions.parquet"
    (tmp_path / "was" / path).write_bytes((tmp_path / "other" / path).read_bytes())
    was = original(tmp_path / "was", made)
    assert differing(verdicts(was, tmp_path / "now", market(tmp_path / "now"))) == []
    found = verdicts(was, tmp_path / "third", market(tmp_path / "third", score=0.75))
    assert "no longer there to say which cells" in found["out-of-sample predictions"].sentence


def test_another_tree_is_named_in_the_model_and_in_the_manifest(tmp_path: Path) -> None:
    was = original(tmp_path / "was", market(tmp_path / "was"))
    found = verdicts(was, tmp_path / "now", market(tmp_path / "now", leaf="2"))
    assert differing(found) == ["trained model", "bundle hash"]
    assert "line 2: 'leaf=1' then, 'leaf=2' now" in found["trained model"].sentence
    assert found["bundle hash"].differences == ("leaf was 1, is 2",)


def test_a_model_file_changed_on_disk_is_found_though_it_is_made_again_as_recorded(tmp_path: Path) -> None:
    was = original(tmp_path / "was", market(tmp_path / "was"))
    (tmp_path / "was" / "bundles" / "h" / "model.txt").write_text("tree\nleaf=9\n", encoding="utf-8")
    found = verdicts(was, tmp_path / "now", market(tmp_path / "now"))
    assert differing(found) == ["trained model"]
    assert "was changed since on disk" in found["trained model"].sentence


def test_another_version_of_the_factors_comes_before_their_values(tmp_path: Path) -> None:
    was = original(tmp_path / "was", market(tmp_path / "was"), factor_hash="older")
    found = verdicts(was, tmp_path / "now", market(tmp_path / "now"))
    assert differing(found) == ["factors"]
    assert (found["factors"].was, found["factors"].now) == ("older", "f")


def test_other_hyperparameters_are_named(tmp_path: Path) -> None:
    made = market(tmp_path / "now")
    was = original(tmp_path / "was", market(tmp_path / "was"))
    other = copy.deepcopy(made) | {"best_params": {"num_leaves": 8}}
    stage = verdicts(was, tmp_path / "now", other)["tuned hyperparameters"]
    assert stage.differences == ("num_leaves was 31, is 8",)


def test_a_run_that_ended_early_leaves_stages_unknown(tmp_path: Path) -> None:
    found = verdicts(original(tmp_path / "was", {}), tmp_path / "now", market(tmp_path / "now"))
    unknown = ("factors", "dataset", "tuned hyperparameters", "trained model", "bundle hash")
    assert {found[name].verdict for name in unknown} == {"unknown"}
    assert found["data"].verdict == "equal"


@pytest.mark.parametrize(
    ("settings", "config_hash", "said"),
    [
        ({"model": {"seed": 7}}, "c", ()),
        ({"model": {"seed": 8}}, "e", ("model.seed was 7, is 8",)),
        ({"model": {"seed": 7, "kind": "rank"}}, "e", ("model.kind was null, is rank",)),
    ],
)
def test_settings_are_compared_by_key(
    tmp_path: Path, settings: dict[str, Any], config_hash: str, said: tuple[str, ...]
) -> None:
    stage = settings_stage(original(tmp_path, {}), settings, config_hash)
    assert stage.verdict == ("differs" if said else "equal")
    assert stage.differences == said


def test_settings_that_are_not_the_run_s_parameters_are_named(tmp_path: Path) -> None:
    was = original(tmp_path, {})
    changed = Original(**{**vars(was), "settings": {"model": {"seed": 8}}})
    stage = settings_stage(changed, {"model": {"seed": 8}}, "c")
    assert stage.differences == ("model.seed is 7 among the run's parameters, 8 in its settings",)
