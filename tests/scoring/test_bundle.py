"""A bundle is the same bytes for the same inputs, and nothing damaged or foreign is ever loaded."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import BundleError, ModelError
from ljwx_pipeline.scoring.bundle import BUNDLE_FILES, Manifest, ModelBundle, load_bundle, verify_files, write_bundle
from ljwx_pipeline.scoring.model import Model
from ljwx_pipeline.scoring.signing import public_key_of, sign
from tests.fakes.bundles import CREATED_AT, FACTOR_HASH, tiny_booster, tiny_bundle, tiny_manifest

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
PUBLIC = public_key_of(KEY)


def load(path: Path) -> ModelBundle:
    return load_bundle(path, factor_hash=FACTOR_HASH, public_key=PUBLIC)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path, KEY)


def test_what_is_written_is_what_is_loaded(bundle: Path) -> None:
    loaded = load(bundle)
    assert loaded.bundle_hash == bundle.name
    assert loaded.created_at == CREATED_AT
    assert loaded.manifest == tiny_manifest(files=loaded.manifest.files)


def test_the_same_inputs_give_the_same_bytes_in_every_file(tmp_path: Path) -> None:
    one, two = tiny_bundle(tmp_path / "one", KEY), tiny_bundle(tmp_path / "two", KEY)
    assert {f: (one / f).read_bytes() for f in BUNDLE_FILES} == {f: (two / f).read_bytes() for f in BUNDLE_FILES}


def test_the_day_of_signing_does_not_change_the_bundle_hash(tmp_path: Path) -> None:
    one = tiny_bundle(tmp_path / "one", KEY)
    later = write_bundle(
        tmp_path / "two",
        tiny_manifest(),
        model=Model.of_booster(tiny_booster()),
        key=KEY,
        created_at=datetime(2027, 1, 1, tzinfo=UTC),
    )
    assert one.name == later.name


def test_another_input_gives_another_bundle_hash(tmp_path: Path) -> None:
    assert tiny_bundle(tmp_path, KEY).name != tiny_bundle(tmp_path, KEY, data_hash="e" * 64).name


def test_writing_again_keeps_the_intact_one_and_mends_a_damaged_one(tmp_path: Path, bundle: Path) -> None:
    before = (bundle / "signature.json").stat().st_mtime_ns
    assert tiny_bundle(tmp_path, KEY) == bundle
    assert (bundle / "signature.json").stat().st_mtime_ns == before
    (bundle / "model.txt").write_text("damaged")
    assert tiny_bundle(tmp_path, KEY) == bundle
    assert load(bundle).bundle_hash == bundle.name


def test_nothing_but_the_bundle_is_left_beside_it(tmp_path: Path, bundle: Path) -> None:
    assert list(tmp_path.iterdir()) == [bundle]
    assert sorted(p.name for p in bundle.iterdir()) == sorted(BUNDLE_FILES)


@pytest.mark.parametrize("name", BUNDLE_FILES)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=name) as caught:
        load(bundle)
    assert caught.value.remedy


def test_a_missing_directory_is_a_bundle_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        load(tmp_path / "nowhere")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["manifest.json", "model.txt"]),
    where=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
)
def test_one_changed_byte_anywhere_is_refused(bundle: Path, name: str, where: float, flip: int) -> None:
    content = (bundle / name).read_bytes()
    changed = bytearray(content)
    changed[int(where * len(content))] ^= flip
    (bundle / name).write_bytes(bytes(changed))
    try:
        with pytest.raises(BundleError):
            load(bundle)
    finally:
        (bundle / name).write_bytes(content)


def test_a_changed_moment_of_signing_is_refused(bundle: Path) -> None:
    text = (bundle / "signature.json").read_text()
    (bundle / "signature.json").write_text(text.replace("2026-01-05", "2027-01-05"))
    with pytest.raises(BundleError, match="changed after signing"):
        load(bundle)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"public_key": 1, "created_at": "x", "signature": "y"}'])
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
    from ljwx_pipeline.scoring.bundle import _message, _sha256

    content = json.dumps(tree).encode()
    moment = CREATED_AT.isoformat()
    (bundle / "manifest.json").write_bytes(content)
    signed = {"public_key": PUBLIC, "created_at": moment, "signature": sign(_message(_sha256(content), moment), KEY)}
    (bundle / "signature.json").write_text(json.dumps(signed))
    return bundle


def test_an_unknown_format_is_refused_even_when_signed(bundle: Path) -> None:
    tree = json.loads((bundle / "manifest.json").read_text())
    with pytest.raises(BundleError, match="format 2 is unknown"):
        load(resign(bundle, {**tree, "format": 2}))


@pytest.mark.parametrize("change", [{"surprise": 1}, {"first_session": "soon"}, {"factor_names": None}, {"files": {}}])
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
    tree["files"]["../secret"] = "0" * 64
    with pytest.raises(BundleError, match="not a plain file name"):
        load(resign(bundle, tree))


def test_bytes_that_are_no_json_are_no_manifest() -> None:
    with pytest.raises(BundleError, match="not a bundle manifest"):
        Manifest.from_json(b"\xff")


def test_a_file_beside_the_listed_ones_is_never_read(bundle: Path) -> None:
    (bundle / "delivery.json").write_bytes(b"\xff\xfe")
    assert load(bundle).bundle_hash == bundle.name


def test_a_booster_of_another_width_is_not_bundled(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="takes 3 features, the manifest names 4"):
        write_bundle(
            tmp_path, tiny_manifest(), model=Model.of_booster(tiny_booster(factors=3)), key=KEY, created_at=CREATED_AT
        )
    assert list(tmp_path.iterdir()) == []


def test_a_moment_without_timezone_is_not_signed(tmp_path: Path) -> None:
    naive = CREATED_AT.replace(tzinfo=None)
    with pytest.raises(BundleError, match="no timezone"):
        write_bundle(tmp_path, tiny_manifest(), model=Model.of_booster(tiny_booster()), key=KEY, created_at=naive)


def test_predictions_are_the_booster_s_own_bit_for_bit(bundle: Path) -> None:
    features = np.random.default_rng(1).standard_normal((50, 4)).astype(np.float32)
    features[::3, 1] = np.nan
    expected = lgb.Booster(model_str=tiny_booster()).predict(features)
    scores = load(bundle).predict(features)
    assert scores.dtype == np.float64
    assert np.array_equal(scores, expected)


def test_a_row_of_nothing_but_nan_has_no_score_and_leaves_others_alone(bundle: Path) -> None:
    features = np.zeros((3, 4), dtype=np.float32)
    features[1] = np.nan
    assert np.isnan(load(bundle).predict(features)).tolist() == [False, True, False]


def test_no_rows_give_no_scores(bundle: Path) -> None:
    assert load(bundle).predict(np.empty((0, 4), dtype=np.float32)).shape == (0,)


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
    manifest, bundle_hash, created_at = verify_files(bundle, public_key=PUBLIC)
    assert (manifest.model_name, bundle_hash, created_at) == ("tiny", bundle.name, CREATED_AT)


@pytest.mark.parametrize("content", [b"[1]", b"3", b"null", b"[" * 100_000, b'{"a":' * 100_000, b"\xff"])
def test_what_is_no_manifest_is_one_error(content: bytes) -> None:
    with pytest.raises(BundleError, match="not a bundle manifest"):
        Manifest.from_json(content)
