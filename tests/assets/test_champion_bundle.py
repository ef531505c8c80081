"""The bundle that is scored and deployed is the one that was promoted, whatever the registry's tags and numbers say."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import dagster as dg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from assets.gate_evidence import champion_of as gate_champion
from assets.live import deployment, runner_holds_champion
from assets.resources import Line
from assets.scoring import champion_bundle
from assets.tracking import champion_record, notice_moved_alias, promotion_desk
from ljwx_pipeline.errors import BundleError, LiveError
from ljwx_pipeline.registry import ModelVersion, Registry
from ljwx_pipeline.scoring.signing import public_key_of, signing_key
from tests.fakes.bundles import tiny_bundle
from tests.fakes.mlflow_home import registry_in

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    monkeypatch.setenv("LJWX_CONFIG", str(ROOT / "ljwx.toml"))
    monkeypatch.setenv("LJWX_UI__RUNNER_PORT", "18709")  # nothing listens there: the inbox takes what is deployed
    registry_in(tmp_path)
    return Line()


@pytest.fixture
def key(line: Line, tmp_path: Path) -> Ed25519PrivateKey:
    return signing_key(tmp_path / "keys")


def registered(line: Line, key: Ed25519PrivateKey, folder: Path, digit: str) -> ModelVersion:
    registry = line.registry()
    bundle = tiny_bundle(folder / "made", key, data_hash=digit * 64, model_name=line.registered_model)
    return registry.register(bundle, run_id=registry.begin("x"), public_key=public_key_of(key))


def promote(line: Line, version: ModelVersion) -> None:
    record = champion_record(line)
    record.decided(version.name, version.version, version.bundle_hash, decision="promoted", reasons=[])
    line.registry().promote(version)
    record.moved(version.name, version.version, version.bundle_hash)


def deploy(line: Line) -> dict[str, object]:
    made = deployment(line=line)
    assert isinstance(made, dg.Output)
    return dict(made.value)


def champion_of(line: Line) -> tuple[Registry, ModelVersion]:
    registry = line.registry()
    champion = registry.champion(line.registered_model)
    assert champion is not None
    return registry, champion


def test_a_promotion_under_way_is_not_taken_for_a_hand(line: Line, key: Ed25519PrivateKey, tmp_path: Path) -> None:
    promote(line, registered(line, key, tmp_path, "a"))
    version, record, noticed = registered(line, key, tmp_path, "b"), champion_record(line), threading.Event()

    def look() -> None:
        notice_moved_alias(line)
        noticed.set()

    looker = threading.Thread(target=look)
    with promotion_desk(line).one_at_a_time():  # between the alias and its line
        line.registry().promote(version)
        looker.start()
        assert not noticed.wait(2.0)
        record.moved(version.name, version.version, version.bundle_hash)
    looker.join(60)
    assert noticed.is_set()
    assert record.last_by_hand(line.registered_model) is None


def test_the_promoted_bundle_is_deployed(line: Line, key: Ed25519PrivateKey, tmp_path: Path) -> None:
    version = registered(line, key, tmp_path, "a")
    promote(line, version)
    assert deploy(line)["bundle_hash"] == version.bundle_hash
    assert champion_bundle(line, *champion_of(line)) == line.home / "champions" / version.bundle_hash


def test_a_demoted_champion_is_not_deployed_though_the_alias_still_names_it(
    line: Line, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    version = registered(line, key, tmp_path, "a")
    promote(line, version)
    name, number, bundle = version.name, version.version, version.bundle_hash
    record = champion_record(line)
    record.decided(name, number, bundle, decision="demoted", reasons=[], via="demote", by="ann", reason="loses money")
    with pytest.raises(LiveError, match=r"it was demoted by ann \(`ljwx demote`\) at .*: loses money"):
        deploy(line)
    assert not (line.home / "live" / "inbox").exists()


def test_a_version_retagged_as_the_promoted_bundle_is_neither_scored_nor_deployed(
    line: Line, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    one, two = (registered(line, key, tmp_path, digit) for digit in "ab")
    promote(line, one)
    line.registry().tag_version(two.name, two.version, "bundle_hash", one.bundle_hash)
    line.registry().promote(two)
    with pytest.raises(BundleError, match=f"its files are bundle {two.bundle_hash[:12]}"):
        champion_bundle(line, *champion_of(line))
    with pytest.raises(BundleError, match=f"its files are bundle {two.bundle_hash[:12]}"):
        deploy(line)
    assert not (line.home / "live" / "inbox").exists()


def test_a_promoted_version_retagged_as_another_signed_bundle_is_not_deployed(
    line: Line, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    one, two = (registered(line, key, tmp_path, digit) for digit in "ab")
    promote(line, one)
    registry = line.registry()
    registry.download_bundle(two, line.home / "champions")  # the other one is at hand, signed by this line
    registry.tag_version(one.name, one.version, "bundle_hash", two.bundle_hash)
    with pytest.raises(LiveError, match=f"which now is bundle {two.bundle_hash[:12]}"):
        deploy(line)
    assert not (line.home / "live" / "inbox").exists()


def test_a_copy_kept_under_another_bundles_name_is_fetched_anew(
    line: Line, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    one, two = (registered(line, key, tmp_path, digit) for digit in "ab")
    promote(line, one)
    registry, _ = champion_of(line)
    foreign = registry.download_bundle(two, line.home / "champions")
    foreign.rename(line.home / "champions" / one.bundle_hash)
    assert deploy(line)["bundle_hash"] == one.bundle_hash


def test_a_runner_that_holds_another_bundle_under_the_champions_name_does_not_hold_it(
    line: Line, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    one, two = (registered(line, key, tmp_path, digit) for digit in "ab")
    promote(line, one)
    bundles = line.home / "live" / "bundles"
    kept = line.registry().download_bundle(one, bundles)
    for made in (
        line.tables / "deployment.json",
        line.tables / "live_account.json",
        bundles.parent / "account" / "journal.sqlite",
    ):
        made.parent.mkdir(parents=True, exist_ok=True)
        made.touch()
    assert runner_holds_champion(line)
    shutil.rmtree(kept)
    line.registry().download_bundle(two, bundles).rename(kept)
    assert not runner_holds_champion(line)


def test_the_gate_compares_with_the_lines_own_champion_though_mlflow_lost_it(
    line: Line, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    version = registered(line, key, tmp_path, "a")
    promote(line, version)
    named = gate_champion(line)
    assert named is not None
    assert (named.version, named.bundle_hash) == ("1", version.bundle_hash)
    line.registry().drop_alias("champion", version.name)
    assert gate_champion(line) == named
    registry_in(tmp_path)  # MLflow's database made anew, the record kept
    assert gate_champion(line) == named


def test_a_restarted_numbering_deploys_nothing_that_was_not_promoted(
    line: Line, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    promote(line, registered(line, key, tmp_path, "a"))
    registry_in(tmp_path)  # MLflow's database made anew, the record kept
    other = registered(line, key, tmp_path, "b")
    assert other.version == "1"
    line.registry().promote(other)
    with pytest.raises(LiveError, match=r"the line decided on bundle .* as version 1, which now is bundle"):
        deploy(line)
