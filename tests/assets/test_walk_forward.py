"""Each fold is a step: kept alone, trained once, executed again alone, and the same table however it was made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from assets import folds as kept_folds_module
from assets import walk_forward as asset
from assets.datasets import load_dataset, save_dataset
from assets.io_managers import TableIOManager, read_json, read_table, write_json
from assets.resources import Line
from assets.trials import WALKED
from assets.walk_forward import walk_forward_predictions
from ljwx_pipeline.backtest.trial_ledger import LEDGER_FILE, TrialLedger
from ljwx_pipeline.config import load_settings, market_home
from ljwx_pipeline.dataset import folds
from ljwx_pipeline.errors import LakeError, ModelError
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.models import walk_forward as library
from tests.fakes.planted import planted_dataset

ROOT = Path(__file__).resolve().parents[2]
NAME = "walk_forward_predictions"
BEST = {"learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 20}
SETTINGS = {
    "walk_forward.min_train_sessions": 120,
    "model.early_stopping_tail_sessions": 30,
    "model.max_rounds": 5,
    "model.threads": 1,
    "walk_forward.folds": 3,
}


class Recorded:
    """What the research run was told, and each fold's below it: the same fold once, as the tracker keeps them."""

    def __init__(self) -> None:
        self.known: set[tuple[str, str]] = set()
        self.folds: dict[str, dict[str, Any]] = {}
        self.told: dict[str, Any] = {}

    def metrics(self, values: dict[str, float], *, step: int = 0) -> None:
        self.told |= values

    def tags(self, values: dict[str, Any]) -> None:
        self.told |= values

    def track_fold(self, _line: Line, key: str, record: dict[str, Any]) -> None:
        if (key, record["name"]) not in self.known:
            self.known.add((key, record["name"]))
            self.folds[record["name"]] = record


class SmallLine(Line):
    """A line on a planted dataset in a folder, with settings small enough for a test."""

    folder: str
    changed: dict[str, Any]

    @property
    def settings(self) -> Any:
        return load_settings(
            profile="simulated", config_file=ROOT / "ljwx.toml", environ={}, overrides={**SETTINGS, **self.changed}
        )

    @property
    def home(self) -> Path:
        return Path(self.folder)

    def source(self) -> Any:
        return object()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Recorded:
    recorded = Recorded()

    @contextmanager
    def research_run(_line: Line) -> Iterator[Recorded]:
        yield recorded

    monkeypatch.setenv("LJWX_HOME", str(tmp_path / "counting"))
    monkeypatch.setattr(asset, "research_run", research_run)
    monkeypatch.setattr(asset, "track_fold", recorded.track_fold)
    return recorded


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The last row of each training window, in the order they were trained on."""
    asked: list[int] = []
    real = library.train

    def noted(dataset: Any, rows: slice, *given: Any, **named: Any) -> Any:
        asked.append(rows.stop)
        return real(dataset, rows, *given, **named)

    monkeypatch.setattr(library, "train", noted)
    return asked


@pytest.fixture
def home(tmp_path: Path) -> Path:
    line = SmallLine(folder=str(tmp_path), changed={})
    save_dataset(line.tables, planted_dataset(symbols=20, sessions=600, factors=4))
    write_json(line.tables, "tuned_hyperparameters", {"best_params": BEST})
    return tmp_path


@dg.asset
def training_dataset() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult()


@dg.asset
def tuned_hyperparameters() -> dict[str, Any]:
    return {"best_params": BEST}


@dg.asset
def reader(walk_forward_predictions: pd.DataFrame) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"read": len(walk_forward_predictions)})


def job_over(home: Path, **changed: Any) -> dg.JobDefinition:
    line = SmallLine(folder=str(home), changed={f"walk_forward.{key}": value for key, value in changed.items()})
    definitions = dg.Definitions(
        assets=[training_dataset, tuned_hyperparameters, walk_forward_predictions, reader],
        jobs=[dg.define_asset_job("walk", selection="*")],
        resources={"line": line, "io_manager": TableIOManager(line=line)},
        executor=dg.in_process_executor,
    )
    return definitions.resolve_job_def("walk")


def walk(home: Path, *, instance: dg.DagsterInstance | None = None, **changed: Any) -> dg.ExecuteInProcessResult:
    return job_over(home, **changed).execute_in_process(instance=instance, raise_on_error=False)


def succeeded(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.step_key or "" for event in result.all_events if event.event_type_value == "STEP_SUCCESS"]


def fold_steps(result: dg.ExecuteInProcessResult) -> list[str]:
    return [step for step in succeeded(result) if step.startswith(f"{NAME}.fold[")]


def test_folds_are_steps_and_their_table_is_the_librarys(home: Path, run: Recorded, trained: list[int]) -> None:
    result = walk(home)
    assert result.success
    line = SmallLine(folder=str(home), changed={})
    dataset, settings = load_dataset(line.tables), line.settings
    planned = folds(dataset, settings.walk_forward)
    assert fold_steps(result) == [f"{NAME}.fold[{fold.name.replace('-', '_')}]" for fold in planned]
    assert trained == [fold.train_rows.stop for fold in planned]
    expected = library.walk_forward(dataset, planned, BEST, settings.model)
    found = read_table(line.tables, NAME)
    pd.testing.assert_frame_equal(found[["symbol", "session_date", "score", "fold"]], expected.predictions)
    assert {"forward_return", "enterable", "scorable"} <= set(found.columns)
    told = read_json(line.tables, "walk_forward_folds")
    assert told["dataset_hash"] == dataset.hash
    assert told["predictions_hash"] == content_hash(found), "as it reads back"
    assert [one["rank_ic"] for one in told["folds"]] == [one.rank_ic for one in expected.folds]
    texts = [(line.tables / "folds" / fold.name / "model" / "model.txt").read_text() for fold in planned]
    assert texts == [model.texts["model.txt"] for model in expected.models]


def test_a_walk_counts_as_a_trial_before_the_first_figure_is_told(
    home: Path, run: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = SmallLine(folder=str(home), changed={})
    ledger, seen = TrialLedger(market_home(line.settings) / LEDGER_FILE), []

    def killed(_line: Line, _key: str, _record: dict[str, Any]) -> None:
        seen.append(len(ledger.trials()))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(asset, "track_fold", killed)
        with pytest.raises(BaseException):  # noqa: B017, PT011 - whatever Dagster makes of it
            job_over(home).execute_in_process()
    assert seen == [1]
    assert walk(home).success
    (counted,) = ledger.trials()
    assert (counted.kind, counted.sessions) == ("manual", 0)
    assert read_json(line.tables, WALKED)["walk"] == counted.variant_hash
    assert walk(home, min_train_sessions=150).success
    assert len(ledger.trials()) == 2, "another walk forward is another look"


def test_the_asset_keeps_its_metadata_and_data_version(home: Path, run: Recorded) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        walk(home, instance=instance)
        event = instance.get_latest_materialization_event(dg.AssetKey(NAME))
        assert event is not None
        assert event.asset_materialization is not None
        metadata, tags = event.asset_materialization.metadata, event.asset_materialization.tags or {}
        read = instance.get_latest_materialization_event(dg.AssetKey("reader"))
    assert {"dagster/row_count", "dagster/column_schema", "dagster/column_lineage"} <= set(metadata)
    summary = read_json(home / "tables", "walk_forward_summary")
    for name in ("rank_ic_mean", "rank_icir", "rank_ic_mean_enterable"):
        assert isinstance(metadata[name], dg.FloatMetadataValue), "a number, which Dagster plots"
        assert metadata[name].value == summary[name]
    told = read_json(home / "tables", "walk_forward_folds")["folds"]
    table = metadata["folds"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [row.data["fold"] for row in table.records] == [one["name"] for one in told]
    assert table.records[0].data["trained on"] == f"{told[0]['train_first']} to {told[0]['train_last']}"
    previewed = metadata["preview"]
    assert isinstance(previewed, dg.TableMetadataValue)
    assert previewed.records
    assert all(row.data["forward_return"] for row in previewed.records), "rows whose outcome is known"
    assert metadata["model_kind"].value == "regression"
    schema = metadata["dagster/column_schema"].value
    assert isinstance(schema, dg.TableSchema)
    described = {column.name: column.description or "" for column in schema.columns}
    assert described["enterable"] == "whether a position could be bought at the entry; from training_dataset: enterable"
    assert metadata["predictions_hash"].value == run.told["predictions_hash"]
    assert "dagster/data_version" in tags
    assert "dagster/input_data_version/tuned_hyperparameters" in tags
    assert "dagster/input_data_version/training_dataset" in tags
    assert read is not None
    assert read.asset_materialization is not None
    assert read.asset_materialization.metadata["read"].value == metadata["dagster/row_count"].value


def test_a_second_run_trains_nothing_and_gives_the_same_bytes(home: Path, run: Recorded, trained: list[int]) -> None:
    walk(home)
    table, count = (home / "tables" / f"{NAME}.parquet").read_bytes(), len(trained)
    assert len(run.folds) == count == 3
    run.folds.clear()
    assert walk(home).success
    assert len(trained) == count
    assert run.folds == {}, "the same folds, recorded before"
    assert (home / "tables" / f"{NAME}.parquet").read_bytes() == table


@pytest.mark.parametrize("lost", ["predictions.parquet", "record.json", "model/model.txt", "fold.key.json"])
def test_a_fold_that_lost_something_is_the_only_one_trained_again(
    home: Path, run: Recorded, trained: list[int], lost: str
) -> None:
    walk(home)
    before, second = (home / "tables" / f"{NAME}.parquet").read_bytes(), trained[1]
    folder = sorted((home / "tables" / "folds").iterdir())[1]
    (folder / lost).unlink()
    trained.clear()
    assert walk(home).success
    assert trained == [second]
    assert (home / "tables" / f"{NAME}.parquet").read_bytes() == before


def test_a_fold_that_failed_is_executed_again_alone_and_the_others_are_kept(
    home: Path, run: Recorded, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, broken = library.train, True

    def breaking(dataset: Any, rows: slice, *given: Any, **named: Any) -> Any:
        if broken and len(trained) == 1:
            trained.append(-1)
            raise ModelError("this fold is broken", "mend it")
        return real(dataset, rows, *given, **named)

    monkeypatch.setattr(library, "train", breaking)
    failed = walk(home)
    assert not failed.success
    assert len(fold_steps(failed)) == 2, "the fold after the broken one is trained all the same"
    assert f"{NAME}.collect_folds" not in succeeded(failed)
    assert not (home / "tables" / f"{NAME}.parquet").exists()
    broken = False
    trained.clear()
    assert walk(home).success
    assert len(trained) == 1


def test_a_fold_recorded_nowhere_is_recorded_without_training(home: Path, run: Recorded, trained: list[int]) -> None:
    walk(home)
    first = sorted((home / "tables" / "folds").iterdir())[0]
    run.known = {(key, name) for key, name in run.known if name != first.name}
    trained.clear()
    run.folds.clear()
    walk(home)
    assert trained == []
    assert list(run.folds) == [first.name]
    assert np.isfinite(run.folds[first.name]["rank_ic"])


def test_other_folds_are_dropped_and_equal_ones_reused(home: Path, run: Recorded, trained: list[int]) -> None:
    walk(home)
    names = {folder.name for folder in (home / "tables" / "folds").iterdir()}
    trained.clear()
    assert walk(home, folds=6).success
    now = {folder.name for folder in (home / "tables" / "folds").iterdir()}
    assert len(now) == 6
    assert names & now, "a fold of six may begin where one of three does"
    assert len(trained) == 6, "and is another all the same: it ends earlier"
    trained.clear()
    assert walk(home, folds=6, workers=7).success
    assert trained == [], "how many are at work at a time decides nothing"


@pytest.mark.parametrize("changed", ["predictions.parquet", "model/model.txt", "other parameters", "other dataset"])
def test_folds_that_are_not_todays_are_not_joined(home: Path, run: Recorded, changed: str) -> None:
    line, best = SmallLine(folder=str(home), changed={}), dict(BEST)
    assert walk(home).success
    (home / "tables" / f"{NAME}.parquet").unlink()
    if changed == "other parameters":
        best["num_leaves"] = 15
    elif changed == "other dataset":
        save_dataset(line.tables, planted_dataset(symbols=20, sessions=600, factors=4, seed=1))
    else:
        kept = sorted((home / "tables" / "folds").iterdir())[1] / changed
        kept.write_bytes(kept.read_bytes() + b" ")
    with pytest.raises(LakeError, match=r"of 3 folds .* were not made from today's dataset") as caught:
        asset.collect_folds(dg.build_op_context(), line=line, tuned_hyperparameters={"best_params": best})
    assert "walk_forward_predictions" in caught.value.remedy
    assert not (home / "tables" / f"{NAME}.parquet").exists()


def test_the_note_comes_last(home: Path, run: Recorded, monkeypatch: pytest.MonkeyPatch, trained: list[int]) -> None:
    class Killed(BaseException):
        """Stands for the end of the process: nothing after it runs."""

    def killed(*_given: Any) -> None:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(kept_folds_module.reuse, "remember", killed)
        with pytest.raises(Killed):
            job_over(home).execute_in_process()
    assert len(trained) == 1
    trained.clear()
    assert walk(home).success
    assert len(trained) == 3, "a fold without its note does not count"
