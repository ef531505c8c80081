"""What an id leads to: a research run with all that it recorded, or a refusal that says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.config import load_settings, market_name
from ljwx_pipeline.errors import ConfigError, LakeError, LjwxError, RegistryError
from ljwx_pipeline.registry import Registry, open_registry
from ljwx_pipeline.reproduction.target import find_original
from ljwx_pipeline.scoring.signing import public_key_of
from ljwx_pipeline.tracking import Tracker
from tests.fakes.bundles import tiny_bundle
from tests.fakes.mlflow_home import gone_for_good

SETTINGS = load_settings(profile="simulated", environ={})
KNOWN_AT = "2026-01-05T10:00:00+00:00"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def registry(home: Path) -> Registry:
    return open_registry(SETTINGS.mlflow, home=home)


def research(registry: Registry, folder: Path, **documents: dict[str, Any]) -> str:
    """Record a research run with ``documents`` below ``config`` and return its id."""
    with Tracker(folder / "tracking", registry).run("research", kind="research", tags={"known_at": KNOWN_AT}) as run:
        folder.mkdir(exist_ok=True)
        for name, document in documents.items():
            path = folder / f"{name}.json"
            path.write_text(json.dumps(document), encoding="utf-8")
            run.artifacts(path, "config")
    return run.run_id


def test_a_run_is_found_with_what_it_recorded(registry: Registry, home: Path, tmp_path: Path) -> None:
    settings, market = SETTINGS.model_dump(mode="json"), market_name(SETTINGS)
    run_id = research(registry, tmp_path, settings=settings, environment={"market": market, "python": "3"}, made={})
    found = find_original(run_id, SETTINGS, registry, home=home)
    assert (found.run.run_id, found.market, found.home) == (run_id, market, home / "markets" / market)
    assert found.settings["model"]["seed"] == SETTINGS.model.seed
    assert found.as_of == KNOWN_AT
    assert found.version is None
    assert found.run.ended_at is not None


def test_the_replay_of_a_replay_is_of_the_same_instant(registry: Registry, home: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_dump(mode="json")
    settings["source"]["as_of"] = "2025-12-01T00:00:00+00:00"
    run_id = research(registry, tmp_path, settings=settings, environment={"market": "m"}, made={})
    assert find_original(run_id, SETTINGS, registry, home=home).as_of == "2025-12-01T00:00:00+00:00"


def test_the_beginning_of_an_id_that_lists_print_is_enough(registry: Registry, home: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_dump(mode="json")
    run_id = research(registry, tmp_path, settings=settings, environment={"market": "m"}, made={})
    assert find_original(run_id[:8], SETTINGS, registry, home=home).run.run_id == run_id


def test_a_beginning_of_several_runs_asks_for_more_digits(registry: Registry, home: Path, tmp_path: Path) -> None:
    class Both:
        """Every run there is begins alike."""

        def __getattr__(self, name: str) -> Any:
            return getattr(registry, name)

        def views_beginning(self, digits: str) -> list[Any]:
            return registry.views(limit=2)

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        research(registry, tmp_path / name)
    both: Any = Both()
    with pytest.raises(ConfigError, match="several runs begin with abcd1234: write more of its digits"):
        find_original("abcd1234", SETTINGS, both, home=home)


def test_a_run_of_an_earlier_release_cannot_be_made_again(registry: Registry, home: Path, tmp_path: Path) -> None:
    run_id = research(registry, tmp_path)
    with pytest.raises(RegistryError, match=r"recorded no config/settings\.json"):
        find_original(run_id, SETTINGS, registry, home=home)


def deleted(registry: Registry, run_id: str) -> None:
    from mlflow import MlflowClient

    MlflowClient(tracking_uri=registry.tracking_uri).delete_run(run_id)


def test_a_version_is_found_by_another_run_of_its_bundle_when_its_own_was_deleted(
    registry: Registry, home: Path, tmp_path: Path
) -> None:
    settings, key = SETTINGS.model_dump(mode="json"), Ed25519PrivateKey.from_private_bytes(bytes(32))
    recorded = {"settings": settings, "environment": {"market": "m"}, "made": {}}
    first, second = (research(registry, tmp_path / name, **recorded) for name in ("one", "two"))
    bundle = tiny_bundle(tmp_path / "b", key, model_name="deleted-run")
    version = registry.register(bundle, run_id=first, public_key=public_key_of(key))
    asked = f"deleted-run/{version.version}"
    assert find_original(asked, SETTINGS, registry, home=home).run.run_id == first
    deleted(registry, first)
    restored = rf"was deleted in MLflow: run: mlflow runs restore --run-id {first}"
    with pytest.raises(RegistryError, match=restored):
        find_original(asked, SETTINGS, registry, home=home)
    about = {"mlflow.parentRunId": second, "bundle_hash": bundle.name}
    with Tracker(tmp_path / "tracking", registry).run("promoted", kind="promotion", tags=about):
        pass
    found = find_original(asked, SETTINGS, registry, home=home)
    assert (found.run.run_id, found.version) == (second, version)
    gone_for_good(registry, first)
    assert find_original(asked, SETTINGS, registry, home=home).run.run_id == second
    gone_for_good(registry, second)
    with pytest.raises(RegistryError, match=r"no longer in MLflow: train again"):
        find_original(asked, SETTINGS, registry, home=home)


def test_a_fold_names_the_research_run_it_belongs_to(registry: Registry, home: Path, tmp_path: Path) -> None:
    tracker = Tracker(tmp_path / "tracking", registry)
    with tracker.run("research", kind="research") as run, run.child("fold", kind="fold") as fold:
        pass
    with pytest.raises(ConfigError, match=f"is a fold, no research run: name the .* {run.run_id}"):
        find_original(fold.run_id, SETTINGS, registry, home=home)


@pytest.mark.parametrize(
    ("text", "refusal", "said"),
    [
        ("f" * 32, ConfigError, "holds no run"),
        ("champion", ConfigError, "has no champion"),
        ("3", ConfigError, "has no version 3"),
        ("other-model/3", ConfigError, "other-model has no version 3"),
        ("latest", ConfigError, "names nothing that could be made again"),
        ("topk-dropout|1|S00001.SIM|2025-01-02|buy", LakeError, "no runner has traded"),
    ],
)
def test_what_leads_nowhere_is_refused(
    registry: Registry, home: Path, text: str, refusal: type[LjwxError], said: str
) -> None:
    with pytest.raises(refusal) as told:
        find_original(text, SETTINGS, registry, home=home)
    assert said in str(told.value)
