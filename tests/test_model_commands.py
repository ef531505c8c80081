"""`ljwx models show` on a registered version: its card, or why the card cannot be had beside what else is known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.cli import main
from ljwx_pipeline.config import load_settings, market_home, registered_model
from ljwx_pipeline.errors import ConfigError, DatasetError, LakeError, RegistryError
from ljwx_pipeline.registry import open_registry
from ljwx_pipeline.scoring.signing import public_key_of
from ljwx_pipeline.tracking import ChampionRecord, Tracker
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
        run.metrics({"rank_ic_mean": 0.1066, "rank_ic_mean_enterable": 0.1069})
        run.metrics({"backtest.sharpe": 0.6812, "gate.sharpe": 1.4321, "gate.max_drawdown": 0.0876})
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
    assert "gate said        refused" in shown
    assert "no card: version 1 of" in shown
    assert main(["models", "show", "1", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["card"] is None
    assert "is no bundle" in body["no_card"]


def test_the_rank_ic_is_the_gate_s_and_says_of_which_rows(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["list"], ["show", "1"]):
        assert main(["models", *words]) == 0
        said = capsys.readouterr().out
        assert "0.1069" in said
        assert "0.1066" not in said, "of every scored row"
        assert "of scored rows that could be bought" in said


def test_a_version_whose_files_are_gone_is_shown_with_the_reason(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (manifest,) = home.rglob("manifest.json")
    shutil.rmtree(manifest.parent)
    assert main(["models", "show", "1"]) == 0
    shown = capsys.readouterr().out
    assert "gate said        refused" in shown
    reason = shown.partition("no card: ")[2]
    assert "version 1 of" in reason
    assert f"No such artifact: '{manifest.parent.name}'" in reason
    assert "the research job again" in reason
    assert "make up" not in reason


def test_a_version_whose_run_was_deleted_is_listed_with_another_run_of_its_bundle(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    registry = open_registry(load_settings(profile="simulated").mlflow, home=home)
    (version,) = registry.versions(registered_model(load_settings(profile="simulated")))
    MlflowClient(tracking_uri=registry.tracking_uri).delete_run(version.run_id)
    with Tracker(tmp_path / "again", registry).run("research", kind="research", tags={"decision": "promoted"}) as run:
        run.metrics({"rank_ic_mean_enterable": 0.05})
        with run.child("promoted", kind="promotion", tags={"bundle_hash": version.bundle_hash}):
            pass
    assert main(["models", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["versions"]
    assert (row["decision"], row["metrics"], row["run_id"]) == (
        "promoted",
        {"rank_ic_mean_enterable": 0.05},
        run.run_id,
    )


def test_reasons_of_the_gate_stand_on_lines_of_their_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", "1"]) == 0
    assert "\nbecause          too many trials\n                 too deep a drawdown\n" in capsys.readouterr().out


def test_reasons_that_the_record_holds_too_are_told_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = load_settings(profile="simulated")
    model = registered_model(settings)
    (version,) = open_registry(settings.mlflow, home=home).versions(model)
    record = ChampionRecord(market_home(settings) / "tracking")
    record.decided(model, "1", version.bundle_hash, decision="refused", reasons=TAGS["reasons"].split(" | "))
    assert main(["models", "show", "1"]) == 0
    said = capsys.readouterr().out
    assert "\ndecided          refused by the gate at " in said
    assert said.count("too deep a drawdown") == 1


def test_a_version_that_is_none_is_refused_with_those_there_are(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", "Champion"]) == RegistryError.exit_code
    assert "has no version 'Champion': choose among 1\n" in capsys.readouterr().err
    settings = load_settings(profile="simulated")
    registry = open_registry(settings.mlflow, home=home)
    registry.promote(registry.versions(registered_model(settings))[0])
    assert main(["models", "show", "Champion"]) == RegistryError.exit_code
    assert "choose among champion, 1\n" in capsys.readouterr().err


def test_sharpe_and_drawdown_are_the_gate_s_beside_the_account_s(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "show", "1"]) == 0
    said = capsys.readouterr().out
    assert "\nSharpe           0.6812\n" in said
    assert "\nexcess Sharpe    1.4321\nexcess drawdown  0.0876\n" in said
    assert main(["models", "list"]) == 0
    listed = capsys.readouterr().out
    assert "0.6812" in listed
    assert "1.4321" in listed
    assert "of monthly net returns less those of gate.benchmark, which the gate asks" in listed


def test_a_person_s_later_word_is_what_was_decided_and_the_gate_s_stands_apart(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(profile="simulated")
    model = registered_model(settings)
    (version,) = open_registry(settings.mlflow, home=home).versions(model)
    record = ChampionRecord(market_home(settings) / "tracking")
    record.decided(model, "1", version.bundle_hash, decision="awaiting_approval", reasons=["six"])
    record.decided(model, "1", version.bundle_hash, decision="promoted", reasons=[], via="promote", by="ann")
    assert main(["models", "show", "1"]) == 0
    said = capsys.readouterr().out
    assert "\ndecided          promoted by ann (`ljwx promote`) at " in said
    assert "\ngate said        refused\n" in said, "the tag of the run that made it"


def test_what_the_gate_promoted_is_told_in_one_line_and_its_checks_stand_on_the_card_alone(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(profile="simulated")
    registry, model = open_registry(settings.mlflow, home=home), registered_model(settings)
    bundle = tiny_bundle(tmp_path / "second", KEY, model_name=model, data_hash="b" * 64)
    tags = {"decision": "promoted", "reasons": "enough months | no leak"}
    with Tracker(home / "tracking", registry).run("research", kind="research", tags=tags) as run:
        version = registry.register(bundle, run_id=run.run_id, public_key=public_key_of(KEY))
    record = ChampionRecord(market_home(settings) / "tracking")
    record.decided(model, "2", version.bundle_hash, decision="promoted", reasons=["enough months", "no leak"])
    assert main(["models", "show", "2"]) == 0
    said = capsys.readouterr().out
    assert said.count("every check asked has passed") == 2
    assert "enough months" not in said
    assert main(["models", "show", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reasons"] == "enough months | no leak"


def test_versions_that_one_run_made_are_shown_each_with_its_own_decision_and_figures(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(profile="simulated")
    registry, model = open_registry(settings.mlflow, home=home), registered_model(settings)
    with Tracker(tmp_path / "twice", registry).run("research", kind="research", tags=TAGS) as run:
        for digit, decision, sharpe in (("a", "refused", 0.4), ("b", "promoted", 1.2)):
            bundle = tiny_bundle(tmp_path / digit, KEY, model_name=model, data_hash=digit * 64)
            version = registry.register(bundle, run_id=run.run_id, public_key=public_key_of(KEY))
            run.metrics({"backtest.sharpe": sharpe})
            tags = {"bundle_hash": version.bundle_hash, "decision": decision, "reasons": f"why {decision}"}
            with run.child(decision, kind="promotion", tags=tags) as judged:
                judged.metrics({"backtest.sharpe": sharpe})
    assert main(["models", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["versions"]
    assert [(row["decision"], row["reasons"], row["metrics"].get("backtest.sharpe")) for row in rows[:2]] == [
        ("promoted", "why promoted", 1.2),
        ("refused", "why refused", 0.4),
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--groups", "1", "--tested", "1"], "1 test groups of 1 leave nothing to train or to test on: test 1 to 1 of"),
        (["--groups", "4", "--tested", "4"], "4 test groups of 4 leave nothing to train or to test on: test 1 to 3 of"),
        (["--tested", "0"], "0 test groups of 6 leave nothing to train or to test on: test 1 to 5 of at least 2"),
        (["--groups", "11", "--tested", "4"], "make 330 splits, each a model to train, and 120 paths, each a trial"),
        (["--groups", "20", "--tested", "10", "--yes"], "make 184,756 folds, each a model to fit"),
    ],
)
def test_groups_that_make_no_paths_or_too_many_are_refused_before_anything_starts(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    assert main(["models", "paths", *words]) in {ConfigError.exit_code, DatasetError.exit_code}
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_paths_of_a_market_that_was_never_run_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    assert main(["models", "paths", "--dry-run"]) == LakeError.exit_code
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert "was never run: run `ljwx run` first" in said
