"""A bundle is the same bytes for the same inputs, and nothing damaged or foreign is ever loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import BundleError, ModelError
from ljwx_pipeline.scoring.bundle import (
    INTERVALS,
    MAX_BUNDLE_BYTES,
    MAX_FILES,
    MONITORING,
    Manifest,
    ModelBundle,
    load_bundle,
    read_files,
    verify_files,
    write_bundle,
)
from ljwx_pipeline.scoring.model import Member, Model
from ljwx_pipeline.scoring.signing import public_key_of, sign
from tests.fakes.bundles import CARD_TEXT, FACTOR_HASH, grouped_model, tiny_booster, tiny_bundle, tiny_manifest

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
PUBLIC = public_key_of(KEY)
FILES = ["card.md", "manifest.json", "model.txt", "signature.json"]
GROUPED_FILES = [
    "all.json",
    "all.txt",
    "card.md",
    "group-7.txt",
    "high.json",
    "low.json",
    "manifest.json",
    "signature.json",
]


def load(path: Path) -> ModelBundle:
    return load_bundle(path, factor_hash=FACTOR_HASH, public_key=PUBLIC)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path, KEY)


def test_what_is_written_is_what_is_loaded(bundle: Path) -> None:
    loaded = load(bundle)
    assert loaded.bundle_hash == bundle.name
    assert loaded.card == CARD_TEXT
    assert loaded.manifest == tiny_manifest(files=loaded.manifest.files, members=loaded.model.members)
    assert loaded.manifest.file_names == ("manifest.json", "card.md", "model.txt", "signature.json")


def test_a_model_of_many_members_is_loaded_whole(tmp_path: Path) -> None:
    model = grouped_model()
    path = tiny_bundle(tmp_path, KEY, model)
    loaded = load(path)
    assert (loaded.model.members, loaded.manifest.members) == (model.members, model.members)
    assert loaded.model.group_by == loaded.manifest.group_by == "industry"
    assert sorted(p.name for p in path.iterdir()) == GROUPED_FILES
    features = np.random.default_rng(1).standard_normal((30, 4)).astype(np.float32)
    features[4] = np.nan
    groups = np.tile(np.array([7, 3, -1], dtype=np.int32), 10)
    said, expected = loaded.predict(features, groups), model.predict(features, groups)
    known = np.arange(30) != 4
    for ours, theirs in ((said.score, expected.score), (said.lower, expected.lower), (said.upper, expected.upper)):
        assert ours is not None
        assert np.array_equal(ours[known], theirs[known])
        assert np.isnan(ours[4])
    with pytest.raises(ModelError, match="has members by industry and was given no groups"):
        loaded.predict(features)


def test_the_same_inputs_give_the_same_bytes_in_every_file(tmp_path: Path) -> None:
    one, two = tiny_bundle(tmp_path / "one", KEY), tiny_bundle(tmp_path / "two", KEY)
    assert one.name == two.name
    assert sorted(read_files(one)) == sorted(p.name for p in one.iterdir()) == FILES
    assert read_files(one) == read_files(two)


def test_another_input_gives_another_bundle_hash(tmp_path: Path) -> None:
    one = tiny_bundle(tmp_path, KEY)
    assert one.name != tiny_bundle(tmp_path, KEY, data_hash="e" * 64).name
    model = Model.of_booster(tiny_booster())
    assert one.name != write_bundle(tmp_path, tiny_manifest(), model=model, card="# another card\n", key=KEY).name


def test_writing_again_keeps_the_intact_one_and_mends_a_damaged_one(tmp_path: Path, bundle: Path) -> None:
    before = (bundle / "signature.json").stat().st_mtime_ns
    assert tiny_bundle(tmp_path, KEY) == bundle
    assert (bundle / "signature.json").stat().st_mtime_ns == before
    (bundle / "model.txt").write_text("damaged")
    assert tiny_bundle(tmp_path, KEY) == bundle
    assert load(bundle).bundle_hash == bundle.name


def test_another_signed_bundle_than_asked_for_is_refused(tmp_path: Path, bundle: Path) -> None:
    other = tiny_bundle(tmp_path / "other", KEY, rounds=4)
    asked = {"public_key": PUBLIC, "bundle_hash": bundle.name}
    assert load_bundle(bundle, factor_hash=FACTOR_HASH, **asked).bundle_hash == bundle.name
    assert verify_files(bundle, **asked)[1] == bundle.name
    said = f"holds bundle {other.name[:12]}, not bundle {bundle.name[:12]}"
    with pytest.raises(BundleError, match=said):
        load_bundle(other, factor_hash=FACTOR_HASH, **asked)
    with pytest.raises(BundleError, match=said):
        verify_files(other, **asked)


def test_writing_again_replaces_another_bundle_under_its_name(tmp_path: Path, bundle: Path) -> None:
    other = tiny_bundle(tmp_path / "other", KEY, rounds=4)
    shutil.rmtree(bundle)
    other.rename(bundle)
    assert tiny_bundle(tmp_path, KEY) == bundle
    assert load(bundle).bundle_hash == bundle.name


def test_nothing_but_the_bundle_is_left_beside_it(tmp_path: Path, bundle: Path) -> None:
    assert list(tmp_path.iterdir()) == [bundle]
    assert sorted(p.name for p in bundle.iterdir()) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=name) as caught:
        load(bundle)
    assert caught.value.remedy


def test_a_missing_directory_is_a_bundle_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        load(tmp_path / "nowhere")


@pytest.fixture
def grouped(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path, KEY, grouped_model())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(
    name=st.sampled_from(GROUPED_FILES),
    where=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
)
def test_one_changed_byte_anywhere_is_refused(grouped: Path, name: str, where: float, flip: int) -> None:
    bundle = grouped
    content = (bundle / name).read_bytes()
    changed = bytearray(content)
    changed[int(where * len(content))] ^= flip
    (bundle / name).write_bytes(bytes(changed))
    try:
        with pytest.raises(BundleError):
            load(bundle)
    finally:
        (bundle / name).write_bytes(content)


@pytest.mark.parametrize("field", ["public_key", "signature"])
def test_one_changed_digit_of_the_signature_is_refused(bundle: Path, field: str) -> None:
    tree = json.loads((bundle / "signature.json").read_text())
    for place in range(0, len(tree[field]), 7):
        digit = "1" if tree[field][place] == "0" else "0"
        changed = {**tree, field: tree[field][:place] + digit + tree[field][place + 1 :]}
        (bundle / "signature.json").write_text(json.dumps(changed))
        with pytest.raises(BundleError, match=r"changed after signing|the trusted key is"):
            load(bundle)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "\n",
        lambda text: text.replace(" ", "\t", 1),
        lambda text: text.replace('"bundle_hash": "', '"bundle_hash": "0', 1),
        lambda text: text.replace('"algorithm"', '"aIgorithm"', 1),
        lambda text: text.replace("{", '{"note": "",', 1),
        lambda text: json.dumps({**json.loads(text), "signature": json.loads(text)["signature"].upper()}, indent=2),
    ],
)
def test_a_signature_file_spelled_otherwise_than_written_is_refused(bundle: Path, change: Callable[[str], str]) -> None:
    path = bundle / "signature.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(BundleError, match="does not read as it was written"):
        load(bundle)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"public_key": 1, "signature": "y"}'])
def test_a_signature_file_that_is_none_is_refused(bundle: Path, text: str) -> None:
    (bundle / "signature.json").write_text(text)
    with pytest.raises(BundleError, match="is not a signature"):
        load(bundle)


def test_an_unsigned_bundle_is_refused_as_such(bundle: Path) -> None:
    (bundle / "signature.json").unlink()
    with pytest.raises(BundleError, match="is unsigned"):
        load(bundle)


def test_a_stranger_s_bundle_is_refused_and_both_keys_are_named(tmp_path: Path) -> None:
    foreign = tiny_bundle(tmp_path, STRANGER)
    with pytest.raises(BundleError, match=public_key_of(STRANGER)[:12]) as caught:
        load(foreign)
    assert PUBLIC[:12] in str(caught.value)


def test_a_stranger_cannot_pass_under_the_trusted_name(tmp_path: Path) -> None:
    foreign = tiny_bundle(tmp_path, STRANGER)
    tree = json.loads((foreign / "signature.json").read_text())
    (foreign / "signature.json").write_text(json.dumps({**tree, "public_key": PUBLIC}))
    with pytest.raises(BundleError, match="changed after signing"):
        load(foreign)


def test_another_factor_hash_is_refused_with_both_named(bundle: Path) -> None:
    with pytest.raises(BundleError, match="trained on factors ffffffffffff, this code computes factors 000000000000"):
        load_bundle(bundle, factor_hash="0" * 64, public_key=PUBLIC)


def resign(bundle: Path, tree: dict[str, object]) -> Path:
    """Put ``tree`` in as the manifest, properly signed: what another release might write."""
    from ljwx_pipeline.scoring.bundle import _message, _sha256, _signature_json

    content = json.dumps(tree).encode()
    (bundle / "manifest.json").write_bytes(content)
    bundle_hash = _sha256(content)
    (bundle / "signature.json").write_bytes(_signature_json(bundle_hash, PUBLIC, sign(_message(bundle_hash), KEY)))
    return bundle


def test_an_unknown_format_is_refused_even_when_signed(bundle: Path) -> None:
    tree = json.loads((bundle / "manifest.json").read_text())
    with pytest.raises(BundleError, match="format 4 is unknown to this release, which reads formats 2 and 3"):
        load(resign(bundle, {**tree, "format": 4}))


def test_the_universe_it_learned_from_is_told_and_a_bundle_of_format_2_tells_none(tmp_path: Path) -> None:
    told = {"index": "000300.SH", "min_listed_sessions": 60}
    bundle = tiny_bundle(tmp_path, KEY, universe=told)
    assert load(bundle).manifest.universe == told
    tree = json.loads((bundle / "manifest.json").read_text())
    del tree["universe"]
    with pytest.raises(BundleError, match="lacks or misspells a key"):
        load(resign(bundle, tree))
    assert load(resign(bundle, {**tree, "format": 2})).manifest.universe is None
    with pytest.raises(BundleError, match="lacks or misspells a key"):
        load(resign(bundle, {**tree, "format": 2, "universe": told}))


def test_a_bundle_of_format_1_is_refused_with_the_way_out(bundle: Path) -> None:
    tree = json.loads((bundle / "manifest.json").read_text())
    with pytest.raises(BundleError, match="format 1, which held no model card") as caught:
        load(resign(bundle, {**tree, "format": 1}))
    assert "ljwx run" in caught.value.remedy


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"first_session": "soon"},
        {"factor_names": None},
        {"factor_names": [1]},
        {"rounds": True},
        {"group_by": "moon"},
        {"group_measure": 3},
        {"members": []},
        {"members": [{"file": "model.txt", "kind": "pickle"}]},
        {"members": [{"file": "model.txt", "output": "median"}]},
        {"members": [{"file": "model.txt", "weight": float("nan")}]},
        {"members": [{"file": "model.txt", "weight": "1"}]},
        {"members": [{"file": "model.txt", "group": 2**31}]},
        {"members": [{"file": "model.txt", "group": 3}]},
        {"members": [{"file": "model.txt", "output": "upper"}]},
        {"members": [{"file": 1}]},
        {"members": [{"file": "model.txt", "surprise": 1}]},
        {"members": [{"file": "model.txt"}, {"file": "absent.txt"}]},
        {"members": [{"file": "model.txt", "kind": "linear"}]},
        {"files": {}},
        {"files": {"model.txt": "0" * 64, "card.md": "0" * 64}},
        {"files": {"model.txt": {"size_bytes": -1, "sha256": "0" * 64}, "card.md": {"size_bytes": 1, "sha256": ""}}},
    ],
)
def test_a_signed_manifest_with_wrong_keys_is_refused(bundle: Path, change: dict[str, object]) -> None:
    tree = json.loads((bundle / "manifest.json").read_text())
    with pytest.raises(BundleError):
        load(resign(bundle, {**tree, **change}))


def test_a_signed_manifest_that_lacks_a_key_is_refused(bundle: Path) -> None:
    tree = json.loads((bundle / "manifest.json").read_text())
    del tree["label_hash"]
    with pytest.raises(BundleError, match="label_hash"):
        load(resign(bundle, tree))


def test_a_manifest_cannot_point_outside_its_directory(bundle: Path) -> None:
    tree = json.loads((bundle / "manifest.json").read_text())
    for name in ("../secret", "/etc/passwd", "sub/model.txt", ".hidden", "", "a" * 101, "MLmodel", "Signature.json"):
        listed = {**tree["files"], name: tree["files"]["card.md"]}
        with pytest.raises(BundleError, match="not a plain file name"):
            load(resign(bundle, {**tree, "files": listed}))


def test_a_manifest_of_too_many_files_is_refused(bundle: Path) -> None:
    tree = json.loads((bundle / "manifest.json").read_text())
    many = {f"m{i}.txt": tree["files"]["model.txt"] for i in range(MAX_FILES)}
    with pytest.raises(BundleError, match=f"lists {MAX_FILES + 1:d} files, limit {MAX_FILES:d}"):
        load(resign(bundle, {**tree, "files": {**many, "card.md": tree["files"]["card.md"]}}))


def test_a_manifest_of_too_many_bytes_is_refused_before_a_file_is_read(bundle: Path) -> None:
    tree = json.loads((bundle / "manifest.json").read_text())
    tree["files"]["model.txt"]["size_bytes"] = MAX_BUNDLE_BYTES
    (bundle / "model.txt").unlink()
    with pytest.raises(BundleError, match=f"limit {MAX_BUNDLE_BYTES:,}"):
        load(resign(bundle, tree))


def test_a_file_larger_than_listed_is_not_read_to_its_end(bundle: Path) -> None:
    with (bundle / "model.txt").open("r+b") as file:
        file.truncate(1 << 40)  # sparse: reading it would end the process
    with pytest.raises(BundleError, match="holds more than"):
        load(bundle)
    with pytest.raises(BundleError, match="holds more than"):
        read_files(bundle)


def test_a_manifest_larger_than_any_is_not_read_to_its_end(bundle: Path) -> None:
    with (bundle / "manifest.json").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError, match="holds more than"):
        load(bundle)


def test_a_manifest_that_lists_no_card_is_refused(bundle: Path) -> None:
    tree = json.loads((bundle / "manifest.json").read_text())
    del tree["files"]["card.md"]
    with pytest.raises(BundleError, match=r"lists no card\.md"):
        load(resign(bundle, tree))


def test_a_member_that_is_not_listed_is_refused(grouped: Path) -> None:
    tree = json.loads((grouped / "manifest.json").read_text())
    del tree["files"]["high.json"]
    with pytest.raises(BundleError, match=r"lists no high\.json"):
        load(resign(grouped, tree))


def test_a_listed_file_that_no_member_is_made_of_is_refused(bundle: Path) -> None:
    tree = json.loads((bundle / "manifest.json").read_text())
    tree["files"]["notes.txt"] = tree["files"]["card.md"]
    with pytest.raises(BundleError, match=r"lists notes\.txt, which is neither the card, a document nor a member"):
        load(resign(bundle, tree))


def test_documents_are_signed_and_loaded(tmp_path: Path) -> None:
    texts = {INTERVALS: '{"a": 1}', MONITORING: "{}"}
    path = tiny_bundle(tmp_path, KEY, documents=texts)
    assert load(path).documents == texts
    assert path.name != tiny_bundle(tmp_path / "without", KEY).name
    (path / INTERVALS).write_text('{"a": 2}')
    with pytest.raises(BundleError, match=r"intervals\.json is damaged"):
        load(path)


def test_a_document_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"lists notes\.json, which is neither"):
        tiny_bundle(tmp_path, KEY, documents={"notes.json": "{}"})
    assert list(tmp_path.iterdir()) == []


def test_a_signed_member_of_another_kind_than_listed_is_one_error(grouped: Path) -> None:
    tree = json.loads((grouped / "manifest.json").read_text())
    tree["members"][0]["kind"] = "linear"
    with pytest.raises(BundleError, match=r"all\.txt is not a linear model"):
        load(resign(grouped, tree))


def test_bytes_that_are_no_json_are_no_manifest() -> None:
    with pytest.raises(BundleError, match="not a bundle manifest"):
        Manifest.from_json(b"\xff")


def test_a_file_beside_the_listed_ones_is_never_read(bundle: Path) -> None:
    (bundle / "delivery.json").write_bytes(b"\xff\xfe")
    assert load(bundle).bundle_hash == bundle.name


def test_a_booster_of_another_width_is_not_bundled(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="takes 3 features, the manifest names 4"):
        tiny_bundle(tmp_path, KEY, Model.of_booster(tiny_booster(factors=3)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["card.md", "manifest.json", "mlmodel", "sub/model.txt", "-rf"])
def test_a_member_of_a_name_that_no_bundle_may_hold_is_not_bundled(tmp_path: Path, name: str) -> None:
    model = Model((Member(name),), {name: tiny_booster()})
    with pytest.raises(BundleError):
        tiny_bundle(tmp_path, KEY, model)
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_more_members_than_a_bundle_may_hold_is_not_bundled(tmp_path: Path) -> None:
    text = tiny_booster()
    names = [f"m{i}.txt" for i in range(MAX_FILES)]
    model = Model(tuple(Member(name, weight=1 / MAX_FILES) for name in names), dict.fromkeys(names, text))
    with pytest.raises(BundleError, match="limit 1024"):
        tiny_bundle(tmp_path, KEY, model)
    assert list(tmp_path.iterdir()) == []


def test_predictions_are_the_booster_s_own_bit_for_bit(bundle: Path) -> None:
    features = np.random.default_rng(1).standard_normal((50, 4)).astype(np.float32)
    features[::3, 1] = np.nan
    expected = lgb.Booster(model_str=tiny_booster()).predict(features)
    said = load(bundle).predict(features)
    assert said.score.dtype == np.float64
    assert np.array_equal(said.score, expected)
    assert said.lower is said.upper is None


def test_a_row_of_nothing_but_nan_has_no_score_and_leaves_others_alone(bundle: Path) -> None:
    features = np.zeros((3, 4), dtype=np.float32)
    features[1] = np.nan
    assert np.isnan(load(bundle).predict(features).score).tolist() == [False, True, False]


def test_no_rows_give_no_scores(bundle: Path) -> None:
    assert load(bundle).predict(np.empty((0, 4), dtype=np.float32)).score.shape == (0,)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (np.zeros((2, 4)), "float64"),
        (np.zeros((2, 5), dtype=np.float32), r"expects \(rows, 4\)"),
        (np.zeros(4, dtype=np.float32), r"expects \(rows, 4\)"),
        (np.array([[0, 0, np.inf, 0]], dtype=np.float32), "factor C is infinite in row 0"),
    ],
)
def test_features_the_model_does_not_know_are_refused(bundle: Path, features: np.ndarray, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        load(bundle).predict(features)


def test_files_are_verified_without_loading_a_model(bundle: Path) -> None:
    manifest, bundle_hash = verify_files(bundle, public_key=PUBLIC)
    assert (manifest.model_name, bundle_hash) == ("tiny", bundle.name)


@pytest.mark.parametrize("content", [b"[1]", b"3", b"null", b"[" * 100_000, b'{"a":' * 100_000, b"\xff"])
def test_what_is_no_manifest_is_one_error(content: bytes) -> None:
    with pytest.raises(BundleError, match="not a bundle manifest"):
        Manifest.from_json(content)
