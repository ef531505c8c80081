"""`ljwx models show` on a registered version: its card, or why the card cannot be had beside what else is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.cli import main
from ljwx_pipeline.config import load_settings, registered_model
from ljwx_pipeline.errors import RegistryError
from ljwx_pipeline.registry import open_registry
from ljwx_pipeline.scoring.signing import public_key_of
from ljwx_pipeline.tracking import Tracker
from tests.fakes.bundles import CARD_TEXT, tiny_bundle
from tests.fakes.mlflow_home import empty_database

ROOT = Path(__file__).resolve().parents[1]
TAGS = {"decision": "refused", "reasons": "too many trials | too deep a drawdown"}
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose registry holds one version of the simulated market's model."""
    home = tmp_path / "home"
    monkeypatch.setenv("LJWX_HOME", str(home))
    monkeypatch.setenv("LJWX_CONFIG", str(ROOT / "ljwx.toml"))
    (home / "mlflow").mkdir(parents=True)
    (home / "mlflow" / "mlflow.db").write_bytes(empty_database()[0].read_bytes())
    settings = load_settings(profile="simulated")
    registry = open_registry(settings.mlflow, home=home)
    bundle = tiny_bundle(tmp_path / "b", KEY, model_name=registered_model(settings))
    with Tracker(home / "tracking", registry).run("research", kind="research", tags=TAGS) as run:
        registry.register(bundle, run_id=run.run_id, public_key=public_key_of(KEY))
    return home


def test_a_version_is_shown_with_the_card_in_its_bundle(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", "1", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["card"], body["no_card"]) == (CARD_TEXT, "")


def test_a_version_whose_bundle_cannot_be_read_is_shown_with_the_reason(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (manifest,) = home.rglob("manifest.json")
    earlier = json.loads(manifest.read_text(encoding="utf-8")) | {"format": 1}
    manifest.write_text(json.dumps(earlier), encoding="utf-8")
    assert main(["models", "show", "1"]) == 0
    shown = capsys.readouterr().out
    assert "decision       refused" in shown
    assert "no card: version 1 of" in shown
    assert main(["models", "show", "1", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["card"] is None
    assert "is no bundle" in body["no_card"]


def test_reasons_of_the_gate_stand_on_lines_of_their_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", "1"]) == 0
    assert "\nreasons        too many trials\n               too deep a drawdown\n" in capsys.readouterr().out


def test_a_version_that_is_none_is_refused_with_those_there_are(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", "Champion"]) == RegistryError.exit_code
    assert "has no version 'Champion': choose among 1\n" in capsys.readouterr().err
    settings = load_settings(profile="simulated")
    registry = open_registry(settings.mlflow, home=home)
    registry.promote(registry.versions(registered_model(settings))[0])
    assert main(["models", "show", "Champion"]) == RegistryError.exit_code
    assert "choose among champion, 1\n" in capsys.readouterr().err
