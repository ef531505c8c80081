from __future__ import annotations

from datetime import datetime
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from assets.resources import Line
from jobs.definitions import build_definitions
from jobs.sensors import Handover, champion_sensor
from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.config import Settings, market_home
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
    assert parents == {"trained_model", "shap_explanation", "promotion_decision"}
    judged = {key.to_user_string() for key in graph.get(dg.AssetKey("promotion_decision")).parent_keys}
    assert not {"trained_model", "model_bundle"} & judged


def test_every_asset_can_be_materialised_alone_from_its_page(definitions: dg.Definitions) -> None:
    graph, job = definitions.resolve_asset_graph(), definitions.resolve_implicit_global_asset_job_def()
    for key in graph.executable_asset_keys:
        together = {one for one in graph.get(key).execution_set_entity_keys if isinstance(one, dg.AssetKey)}
        checks = graph.get_check_keys_for_assets(together)
        alone = job.get_subset(asset_selection=together, asset_check_selection=checks)
        assert alone.asset_layer.executable_asset_keys == together


class OneChampion:
    """A registry that holds at most one champion."""

    def __init__(self, version: str | None) -> None:
        self.version = version

    def champion(self, name: str) -> ModelVersion | None:
        return None if self.version is None else ModelVersion(name, self.version, "run", "hash")


def tick(monkeypatch: pytest.MonkeyPatch, version: str | None, cursor: str | None = None) -> dg.SensorResult:
    monkeypatch.setattr(Line, "registry", lambda _self: OneChampion(version))
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


@pytest.mark.parametrize("text", [None, "", "something else"])
def test_a_cursor_of_another_form_means_nothing_was_handed_over(text: str | None) -> None:
    assert Handover.parse(text) is None


def test_a_handover_reads_back_from_its_text() -> None:
    handover = Handover("ljwx-cross-section-simulated-8f9fd7e8", "12", 3)
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
