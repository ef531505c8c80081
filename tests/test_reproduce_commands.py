"""What a replay runs under: the run's settings, with nothing of its own kept outside its home."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ljwx_pipeline.config import dotted, load_settings
from ljwx_pipeline.errors import LakeError, RegistryError
from ljwx_pipeline.registry import TrackedView
from ljwx_pipeline.reproduce_commands import _changed, _conclusion, _made_again, _Plan
from ljwx_pipeline.reproduction.replay_home import OWN_PLACES
from ljwx_pipeline.reproduction.stages import Stage, settings_stage
from ljwx_pipeline.reproduction.target import Original

ROOT = Path(__file__).resolve().parents[1]
PLACES = {
    "mlflow.tracking_uri": "postgresql+psycopg2://user@127.0.0.1/mlflow",
    "mlflow.artifact_root": "s3://bucket/prefix",
    "tune.storage": "postgresql+psycopg2://user:secret@127.0.0.1/studies",
}
WARM = {"study": "ljwx-1", "params": {"num_leaves": 31, "learning_rate": 0.1}, "earlier_trials": []}


def original(made: dict[str, Any], **tags: str) -> Original:
    """Return a run that kept MLflow, artifacts and study elsewhere, as it recorded its settings."""
    settings = load_settings(profile="simulated", environ={}, overrides=PLACES)
    recorded = json.loads(settings.model_dump_json())
    run = TrackedView(
        run_id="b" * 32,
        name="research",
        kind="research",
        status="FINISHED",
        started_ms=0,
        ended_ms=1,
        params={key: str(value) for key, value in dotted(recorded).items()},
        metrics={},
        tags={"known_at": "2024-06-01T00:00:00+00:00", "config_hash": settings.config_hash, **tags},
        inputs=[],
    )
    return Original(run, version=None, market="m", home=Path("m"), settings=recorded, environment={}, made=made)


def test_a_replay_keeps_everything_in_its_home() -> None:
    plan = _Plan.of(original({}), None, {})
    stated = dotted(json.loads(plan.settings.model_dump_json()))
    assert set(OWN_PLACES) == set(PLACES)
    assert [stated[key] for key in OWN_PLACES] == ["", "", ""]


def test_nobody_leads_a_replay_elsewhere_by_hand() -> None:
    assert _changed(original({}), {**PLACES, "model.seed": 8}) == {"model.seed": 8}


def test_where_a_study_was_kept_is_no_difference_and_another_seed_is_one() -> None:
    was = original({})
    for changed, said in (({}, ()), ({"model.seed": 8}, ("model.seed was 7, is 8",))):
        settings = _Plan.of(was, None, changed).settings
        stage = settings_stage(was, settings.model_dump(mode="json"), settings.config_hash)
        assert stage.differences == said
        assert (stage.verdict == "equal") is (not changed)


def test_a_replay_is_told_what_the_study_tried_early() -> None:
    assert _Plan.of(original({"warm_start": {}}), None, {}).warm_start() == {}
    assert _Plan.of(original({}, study_warm_start="none"), None, {}).warm_start() == {}
    plan = _Plan.of(original({"warm_start": WARM}, study_warm_start="ljwx-1"), None, {})
    assert plan.warm_start() == WARM


def test_a_run_that_recorded_no_parameters_of_its_warm_start_is_refused() -> None:
    plan = _Plan.of(original({}, study_warm_start="ljwx-1"), None, {})
    with pytest.raises(RegistryError, match="tried the best of study ljwx-1 early on"):
        plan.warm_start()


def test_a_plan_tells_what_was_set_by_hand_and_the_instant() -> None:
    plan = _Plan.of(original({}), "2025-01-02T00:00:00+00:00", {"model.seed": 8})
    assert "as known at 2025-01-02T00:00:00+00:00 with model.seed=8; nothing was made" in plan.sentence()
    assert plan.as_dict([])["changed"] == {"model.seed": 8}


def test_under_another_setting_the_answer_is_the_first_result_that_differs() -> None:
    asked = Stage("settings", "differs", "1 differ", differences=("model.seed was 7, is 8",))
    equal, other = Stage("dataset", "equal", "rows"), Stage("tuned hyperparameters", "differs", "3 of 9 differ")
    said = _conclusion([asked, equal, other], [], "model.seed=8")
    assert said == "DIFFERS under model.seed=8, first in tuned hyperparameters: 3 of 9 differ"
    said = _conclusion([asked, equal], [], "model.seed=8")
    assert said == "DIFFERS in settings alone: model.seed=8 changes no result that was recorded"
    assert _conclusion([asked, equal, other], [], "") == "DIFFERS, first in settings: 1 differ"


def test_what_stops_a_replay_is_told_once_with_its_own_remedy(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = _Plan.of(original({}), None, {})
    with pytest.raises(LakeError) as refused:
        _made_again(plan, plan.as_of, ["model"], tmp_path, ROOT)
    assert f"as known at 2024-06-01T00:00:00+00:00 stopped: {tmp_path}" in refused.value.fact
    assert "held no calendar at 2024-06-01T00:00:00+00:00" in refused.value.fact
    assert refused.value.remedy.startswith("name a later instant")
    assert "error:" not in capfd.readouterr().err
