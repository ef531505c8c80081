"""A version trades only when the line itself promoted it; whoever moves the alias by hand is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.registry import ModelVersion, Registry
from ljwx_pipeline.scoring.signing import public_key_of
from ljwx_pipeline.tracking import ChampionRecord
from ljwx_pipeline.tracking.champion import MOVED_TAG
from tests.fakes.bundles import tiny_bundle
from tests.fakes.mlflow_home import registry_in

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
BUNDLE = "b" * 64


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return registry_in(tmp_path)


@pytest.fixture
def record(tmp_path: Path) -> ChampionRecord:
    return ChampionRecord(tmp_path / "tracking")


def registered(registry: Registry, folder: Path, digit: str) -> ModelVersion:
    bundle = tiny_bundle(folder / "bundles", KEY, data_hash=digit * 64)
    return registry.register(bundle, run_id=registry.begin("x"), public_key=public_key_of(KEY))


def promote(record: ChampionRecord) -> None:
    record.decided("tiny", "1", BUNDLE, decision="promoted", reasons=[])


def promoted(registry: Registry, record: ChampionRecord, version: ModelVersion) -> None:
    record.decided(version.name, version.version, version.bundle_hash, decision="promoted", reasons=[])
    registry.promote(version)
    record.moved(version.name, version.version, version.bundle_hash)


def version_tags(registry: Registry, version: ModelVersion) -> dict[str, str]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=registry.tracking_uri, registry_uri=registry.tracking_uri)
    return dict(client.get_model_version(version.name, version.version).tags)


def test_what_the_line_moves_is_no_difference(registry: Registry, record: ChampionRecord, tmp_path: Path) -> None:
    assert record.audit(registry, "tiny") is None
    one, two = (registered(registry, tmp_path, digit) for digit in "ab")
    for version in (one, two, one):
        promoted(registry, record, version)
        assert record.difference(registry, "tiny") is None
        assert record.audit(registry, "tiny") is None
    last = record.last_move("tiny")
    assert last is not None
    assert (last.version, last.bundle_hash) == ("1", one.bundle_hash)
    assert record.last_by_hand("tiny") is None


def test_a_move_by_hand_is_audited_with_both_versions_and_the_moment(
    registry: Registry, record: ChampionRecord, tmp_path: Path
) -> None:
    one, two = (registered(registry, tmp_path, digit) for digit in "ab")
    promoted(registry, record, one)
    record.decided("tiny", "2", two.bundle_hash, decision="refused", reasons=["rank IC"])
    registry.promote(two)  # as a person in MLflow's page
    looked = record.difference(registry, "tiny")
    assert record.last_by_hand("tiny") is None, "looking writes nothing"
    moved = record.audit(registry, "tiny")
    assert moved is not None
    assert looked is not None
    assert (moved.old, moved.version) == (looked.old, looked.version) == ("1", "2")
    assert record.last_by_hand("tiny") == moved
    assert version_tags(registry, two)[MOVED_TAG] == moved.sentence()
    assert "from version 1 to version 2, noticed 20" in moved.sentence()
    assert record.audit(registry, "tiny") is None
    fact, remedy = record.refusal("tiny", "2", two.bundle_hash) or ("", "")
    assert fact.endswith("decision on it was refused (rank IC)")
    assert remedy.startswith("it is not deployed; point the alias at a promoted version")
    registry.promote(one)
    assert record.audit(registry, "tiny") is not None
    assert record.refusal("tiny", "1", one.bundle_hash) is None, "a rollback to a promoted version trades"


def test_an_alias_taken_off_by_hand_is_noticed(registry: Registry, record: ChampionRecord, tmp_path: Path) -> None:
    one = registered(registry, tmp_path, "a")
    promoted(registry, record, one)
    registry.drop_alias("champion", "tiny")
    moved = record.audit(registry, "tiny")
    assert moved is not None
    assert (moved.old, moved.version) == ("1", None)
    assert "from version 1 to no version" in version_tags(registry, one)[MOVED_TAG]
    assert record.audit(registry, "tiny") is None


def test_who_is_to_be_beaten_stays_whatever_becomes_of_the_alias(
    registry: Registry, record: ChampionRecord, tmp_path: Path
) -> None:
    assert record.incumbent(registry, "tiny") is None
    one, two = (registered(registry, tmp_path, digit) for digit in "ab")
    registry.promote(one)
    assert record.incumbent(registry, "tiny") == one, "the line made none: what the alias names"
    promoted(registry, record, two)
    assert record.incumbent(registry, "tiny") == two
    registry.promote(one)
    assert record.incumbent(registry, "tiny") == two, "an earlier one, by hand"
    registry.drop_alias("champion", "tiny")
    assert record.incumbent(registry, "tiny") == two, "before anybody noticed"
    record.audit(registry, "tiny")
    assert record.incumbent(registry, "tiny") == two
    lost = record.incumbent(registry_in(tmp_path / "anew"), "tiny")
    assert lost is not None
    assert (lost.version, lost.bundle_hash, lost.run_id) == ("2", two.bundle_hash, "")


def test_what_was_demoted_need_not_be_beaten(registry: Registry, record: ChampionRecord, tmp_path: Path) -> None:
    one, two = (registered(registry, tmp_path, digit) for digit in "ab")
    promoted(registry, record, one)
    promoted(registry, record, two)
    record.decided("tiny", "2", two.bundle_hash, decision="demoted", reasons=[], via="demote", by="ann")
    registry.drop_alias("champion", "tiny")
    assert record.incumbent(registry, "tiny") is None, "killed before the move was written down"
    record.moved("tiny", None, "")
    assert record.incumbent(registry, "tiny") is None


def test_a_champion_whose_move_is_not_written_down_yet_is_to_be_beaten(
    registry: Registry, record: ChampionRecord, tmp_path: Path
) -> None:
    one, two = (registered(registry, tmp_path, digit) for digit in "ab")
    promoted(registry, record, one)
    record.decided("tiny", "2", two.bundle_hash, decision="promoted", reasons=[])
    assert record.incumbent(registry, "tiny") == one
    registry.promote(two)
    assert record.incumbent(registry, "tiny") == two


def test_a_line_killed_between_alias_and_record_is_not_taken_for_a_hand(
    registry: Registry, record: ChampionRecord, tmp_path: Path
) -> None:
    one = registered(registry, tmp_path, "a")
    record.decided("tiny", "1", one.bundle_hash, decision="promoted", reasons=[])
    assert record.audit(registry, "tiny") is None, "decided, not moved yet"
    registry.promote(one)
    assert record.audit(registry, "tiny") is None
    assert [line.what for line in record.lines("tiny")] == ["decided", "moved"]


def test_a_version_that_was_never_decided_on_is_refused(registry: Registry, record: ChampionRecord) -> None:
    fact, _ = record.refusal("tiny", "1", BUNDLE) or ("", "")
    assert "the line never decided on it" in fact


def test_the_last_decision_on_a_version_counts(record: ChampionRecord) -> None:
    promote(record)
    assert record.refusal("tiny", "1", BUNDLE) is None
    record.decided("tiny", "1", BUNDLE, decision="refused", reasons=["more trials"])
    fact, _ = record.refusal("tiny", "1", BUNDLE) or ("", "")
    assert "refused (more trials)" in fact
    assert record.refusal("another", "1", BUNDLE) is not None


def test_a_promoted_bundle_trades_under_any_number_and_no_other_under_its_number(record: ChampionRecord) -> None:
    promote(record)
    assert record.refusal("tiny", "7", BUNDLE) is None
    fact, _ = record.refusal("tiny", "1", "c" * 64) or ("", "")
    assert "the line decided on bundle bbbbbbbbbbbb as version 1, which now is bundle cccccccccccc" in fact
    assert record.refusal("tiny", "1", "") is not None


def test_a_line_from_before_bundles_were_named_promotes_nothing_and_accuses_nobody(
    registry: Registry, record: ChampionRecord, tmp_path: Path
) -> None:
    promoted(registry, record, registered(registry, tmp_path, "a"))
    lines = [json.loads(line) for line in record.path.read_text().splitlines()]
    record.path.write_text("".join(json.dumps({**line, "bundle_hash": ""}) + "\n" for line in lines))
    assert record.difference(registry, "tiny") is None
    assert record.refusal("tiny", "1", registry.version("tiny", "1").bundle_hash) is not None
    assert record.refusal("tiny", "1", "") is not None


def test_numbers_that_begin_again_do_not_promote_what_now_has_an_old_one(
    registry: Registry, record: ChampionRecord, tmp_path: Path
) -> None:
    promoted(registry, record, registered(registry, tmp_path, "a"))
    anew = registry_in(tmp_path / "anew")
    gone = record.audit(anew, "tiny")
    assert gone is not None
    assert (gone.old, gone.version) == ("1", None), "noticed, though there is no version any more to tag"
    other = registered(anew, tmp_path, "b")
    assert other.version == "1"
    anew.promote(other)
    assert record.refusal("tiny", "1", other.bundle_hash) is not None
    moved = record.audit(anew, "tiny")
    assert moved is not None
    assert (moved.old, moved.version, moved.bundle_hash) == (None, "1", other.bundle_hash)
    record.decided("tiny", "1", other.bundle_hash, decision="promoted", reasons=[])
    assert record.refusal("tiny", "1", other.bundle_hash) is None


def test_a_champion_whose_bundle_tag_was_edited_is_noticed(
    registry: Registry, record: ChampionRecord, tmp_path: Path
) -> None:
    promoted(registry, record, registered(registry, tmp_path, "a"))
    registry.tag_version("tiny", "1", "bundle_hash", "c" * 64)
    moved = record.audit(registry, "tiny")
    assert moved is not None
    assert moved.bundle_hash == "c" * 64
    assert f"version 1, came to name another bundle by hand, {'c' * 12}, noticed" in moved.sentence()
    assert record.refusal("tiny", "1", moved.bundle_hash) is not None
    assert record.audit(registry, "tiny") is None


@pytest.mark.parametrize("line", ["not JSON", json.dumps({"what": "decided"}), json.dumps([])])
def test_a_damaged_record_deploys_nothing(record: ChampionRecord, line: str) -> None:
    promote(record)
    record.path.write_text(record.path.read_text() + line + "\n")
    with pytest.raises(LakeError, match="is damaged"):
        record.refusal("tiny", "1", BUNDLE)


def test_a_line_that_a_crash_tore_is_left_out_and_cut_off(record: ChampionRecord) -> None:
    promote(record)
    with record.path.open("ab") as file:
        file.write(b'{"at": "2026')
    assert record.refusal("tiny", "1", BUNDLE) is None
    record.decided("tiny", "2", "c" * 64, decision="refused", reasons=[])
    assert [line.version for line in record.lines("tiny")] == ["1", "2"]
