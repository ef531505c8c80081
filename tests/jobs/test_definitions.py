from __future__ import annotations

from datetime import datetime
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from assets.resources import Line
from assets.tracking import champion_record, require_promoted
from jobs.definitions import build_definitions
from jobs.sensors import Handover, champion_sensor
from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.config import Settings, market_home
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.registry import ModelVersion, Registry
from tests.fakes.bars import random_bars

TRAINING = {"tuned_hyperparameters", "walk_forward_predictions", "trained_model", "model_bundle"}


@pytest.fixture
def definitions(settings: Settings) -> dg.Definitions:
    return build_definitions(settings)


def keys(definitions: dg.Definitions, job: str) -> set[str]:
    layer = definitions.resolve_job_def(job).asset_layer
    return {key.to_user_string() for key in layer.executable_asset_keys}


def test_every_asset_tells_what_it_is_whose_it_is_and_what_it_is_made_with(definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.group_name not in (None, "default"), spec.key


def test_the_graph_is_connected_from_raw_bars_to_the_live_account(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    upstream, queue = set(), [dg.AssetKey("live_account")]
    while queue:
        key = queue.pop()
        for parent in graph.get(key).parent_keys:
            if parent not in upstream:
                upstream.add(parent)
                queue.append(parent)
    assert dg.AssetKey("raw_bars") in upstream


def test_the_daily_job_trains_nothing_and_the_research_job_ingests_nothing(definitions: dg.Definitions) -> None:
    daily, research = keys(definitions, "daily_pipeline"), keys(definitions, "research")
    assert {"raw_bars", "daily_scores", "model_monitoring"} <= daily
    assert not TRAINING & daily
    assert research >= TRAINING
    assert "raw_bars" not in research
    assert keys(definitions, "main") == daily | research
    ingest = keys(definitions, "ingest")
    assert {"raw_bars", "securities", "checked_bars", "quarantined_bars", "data_quality"} <= ingest
    assert not {"factor_values", "daily_scores", *TRAINING} & ingest
    assert ingest < daily
    assert keys(definitions, "deploy") == {"deployment", "live_account"}


def test_a_bundle_is_made_of_what_was_judged_and_explained(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    parents = {key.to_user_string() for key in graph.get(dg.AssetKey("model_bundle")).parent_keys}
    evidence = {"promotion_decision", "prediction_intervals", "monitoring_reference"}
    assert parents == {"trained_model", "shap_explanation", *evidence}
    judged = {key.to_user_string() for key in graph.get(dg.AssetKey("promotion_decision")).parent_keys}
    assert not {"trained_model", "model_bundle"} & judged


def test_every_asset_can_be_materialised_alone_from_its_page(definitions: dg.Definitions) -> None:
    graph, job = definitions.resolve_asset_graph(), definitions.resolve_implicit_global_asset_job_def()
    for key in graph.executable_asset_keys:
        together = {one for one in graph.get(key).execution_set_entity_keys if isinstance(one, dg.AssetKey)}
        checks = graph.get_check_keys_for_assets(together)
        alone = job.get_subset(asset_selection=together, asset_check_selection=checks)
        assert alone.asset_layer.executable_asset_keys == together


def bundle_of(version: str) -> str:
    return version * 64


class OneChampion:
    """A registry that holds at most one champion, and the tags that were set on versions."""

    def __init__(self, version: str | None) -> None:
        self.version = version
        self.tags: list[tuple[str, str, str, str]] = []

    def tag_version(self, name: str, version: str, tag: str, value: str) -> None:
        self.tags.append((name, version, tag, value))

    def versions(self, name: str) -> list[ModelVersion]:
        return [ModelVersion(name, version, "run", bundle_of(version)) for version in "345"]

    def champion(self, name: str) -> ModelVersion | None:
        return None if self.version is None else ModelVersion(name, self.version, "run", bundle_of(self.version))


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    record, name = champion_record(Line()), Line().registered_model
    for version, decision in (("3", "promoted"), ("4", "promoted"), ("5", "refused")):
        reasons = ["rank IC"] if decision == "refused" else []
        record.decided(name, version, bundle_of(version), decision=decision, reasons=reasons)
        if decision == "promoted":
            record.moved(name, version, bundle_of(version))


def tick(monkeypatch: pytest.MonkeyPatch, version: str | None, cursor: str | None = None) -> dg.SensorResult:
    registry = OneChampion(version)
    monkeypatch.setattr(Line, "registry", lambda _self: registry)
    sensor = champion_sensor(dg.define_asset_job("deploy", selection="*"))
    context = dg.build_sensor_context(cursor=cursor, resources={"line": Line()})
    return sensor.evaluate_tick(context)


def test_without_a_champion_nothing_is_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not tick(monkeypatch, None).run_requests


def test_a_new_champion_is_deployed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = tick(monkeypatch, "3")
    assert [request.tags["ljwx/model_version"] for request in first.run_requests] == ["3"]
    assert not tick(monkeypatch, "3", first.cursor).run_requests


def test_a_champion_that_comes_back_is_a_request_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    first = tick(monkeypatch, "3")
    second = tick(monkeypatch, "4", first.cursor)
    third = tick(monkeypatch, "3", second.cursor)
    keys_asked = [answer.run_requests[0].run_key for answer in (first, second, third)]
    assert len(set(keys_asked)) == 3


@pytest.mark.parametrize(
    ("version", "why"),
    [("5", "the gate's decision on it was refused (rank IC)"), ("6", "the line never decided on it")],
)
def test_a_version_that_the_line_did_not_promote_is_not_deployed(
    monkeypatch: pytest.MonkeyPatch, version: str, why: str
) -> None:
    answer = tick(monkeypatch, version)
    assert not answer.run_requests
    assert (
        f"version {version} of {Line().registered_model} is champion in the registry, but {why}" in answer.skip_message
    )
    with pytest.raises(LiveError, match="it is not deployed"):
        require_promoted(Line(), version, bundle_of(version))
    require_promoted(Line(), "3", bundle_of("3"))


def test_a_new_version_of_an_old_number_is_not_deployed_and_once_promoted_is_handed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after MLflow's database was made anew: its numbers begin again, the record and the cursor stay."""
    before = tick(monkeypatch, "3")
    monkeypatch.setattr(f"{__name__}.bundle_of", lambda _version: "f" * 64)
    answer = tick(monkeypatch, "3", before.cursor)
    assert not answer.run_requests
    assert (
        "the line decided on bundle 333333333333 as version 3, which now is bundle ffffffffffff" in answer.skip_message
    )
    with pytest.raises(LiveError, match="which now is bundle ffffffffffff"):
        require_promoted(Line(), "3", "f" * 64)
    champion_record(Line()).decided(Line().registered_model, "3", "f" * 64, decision="promoted", reasons=[])
    assert len(tick(monkeypatch, "3", before.cursor).run_requests) == 1


def test_an_alias_moved_by_hand_is_tagged_and_written_down_once(monkeypatch: pytest.MonkeyPatch) -> None:
    record, name = champion_record(Line()), Line().registered_model
    asked = tick(monkeypatch, "3", "not a handover")
    assert [request.tags["ljwx/model_version"] for request in asked.run_requests] == ["3"], "a rollback is deployed"
    moved = record.last_by_hand(name)
    assert (moved.old, moved.version) == ("4", "3")
    assert Line().registry().tags == [(name, "3", "alias_moved_by_hand", moved.sentence())]
    tick(monkeypatch, "3", asked.cursor)
    assert Line().registry().tags == []
    assert [line.what for line in record.lines(name)].count("moved_by_hand") == 1


@pytest.mark.parametrize("text", [None, "", "something else", "ljwx-cross-section/v3/1"])
def test_a_cursor_of_another_form_means_nothing_was_handed_over(text: str | None) -> None:
    assert Handover.parse(text) is None


def test_a_handover_reads_back_from_its_text() -> None:
    handover = Handover("ljwx-cross-section-simulated-8f9fd7e8", "12", "a" * 64, 3)
    assert Handover.parse(str(handover)) == handover


def test_the_fake_registry_has_the_real_ones_face() -> None:
    assert callable(Registry.champion)


def test_the_schedule_asks_the_lake_of_its_own_market(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    schedule = build_definitions(settings).resolve_schedule_def("daily_schedule")
    at = datetime(2025, 9, 30, 18, tzinfo=SHANGHAI)
    bars = random_bars(symbols=2, sessions=1865)  # to 2025-09
    assert bars["session_date"].max() < pd.Timestamp("2025-09-30")

    def first_asked() -> str:
        with dg.build_schedule_context(scheduled_execution_time=at) as context:
            (request,) = schedule.evaluate_tick(context).run_requests
        return request.tags["dagster/asset_partition_range_start"]

    assert first_asked() == "2018-01-01"
    lake = Lake(market_home(settings) / "lake")
    held = bars[bars["session_date"] < pd.Timestamp("2025-08-10")]
    lake.write_partitions("raw_bars", split_by_month(held), known_at=at)
    assert first_asked() == "2025-08-01"


def test_the_workspace_file_names_the_code_location() -> None:
    workspace = (Path(__file__).resolve().parents[2] / "workspace.yaml").read_text()
    assert "module_name: jobs.definitions" in workspace
