"""What the deploy job sends is what the runner stores, and nobody else's request is taken."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.errors import BundleError
from ljwx_pipeline.scoring.bundle import load_bundle
from ljwx_pipeline.scoring.signing import public_key_of
from ljwx_pipeline.scoring.transfer import delivered_version, pack, request_headers, store, unpack, verify_request
from tests.fakes.bundles import FACTOR_HASH, SENT_AT, tiny_bundle

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = public_key_of(KEY)


@pytest.fixture
def body(tmp_path: Path) -> bytes:
    return pack(tiny_bundle(tmp_path / "made", KEY), "3")


def test_a_bundle_arrives_as_it_left(tmp_path: Path, body: bytes) -> None:
    arrived = store(unpack(body), tmp_path / "inbox", public_key=PUBLIC)
    loaded = load_bundle(arrived, factor_hash=FACTOR_HASH, public_key=PUBLIC)
    assert loaded.bundle_hash == arrived.name
    assert delivered_version(arrived) == "3"


def test_the_same_bundle_twice_changes_nothing(tmp_path: Path, body: bytes) -> None:
    first = store(unpack(body), tmp_path / "inbox", public_key=PUBLIC)
    stamp = (first / "model.txt").stat().st_mtime_ns
    assert store(unpack(body), tmp_path / "inbox", public_key=PUBLIC) == first
    assert (first / "model.txt").stat().st_mtime_ns == stamp
    assert list((tmp_path / "inbox").iterdir()) == [first]


def test_a_damaged_bundle_in_the_inbox_is_replaced_by_a_good_one(tmp_path: Path, body: bytes) -> None:
    first = store(unpack(body), tmp_path / "inbox", public_key=PUBLIC)
    (first / "model.txt").write_text("damaged")
    again = store(unpack(body), tmp_path / "inbox", public_key=PUBLIC)
    assert load_bundle(again, factor_hash=FACTOR_HASH, public_key=PUBLIC).bundle_hash == first.name


def test_another_signed_bundle_under_its_name_is_replaced(tmp_path: Path, body: bytes) -> None:
    first = store(unpack(body), tmp_path / "inbox", public_key=PUBLIC)
    tiny_bundle(tmp_path / "other", KEY, rounds=4).rename(tmp_path / "exchanged")
    shutil.rmtree(first)
    (tmp_path / "exchanged").rename(first)
    again = store(unpack(body), tmp_path / "inbox", public_key=PUBLIC)
    assert again == first
    assert load_bundle(again, factor_hash=FACTOR_HASH, public_key=PUBLIC).bundle_hash == first.name


def test_a_damaged_delivery_leaves_nothing_in_the_inbox(tmp_path: Path, body: bytes) -> None:
    tree = json.loads(body)
    tree["files"]["model.txt"] += " "
    with pytest.raises(BundleError, match="damaged"):
        store(unpack(json.dumps(tree).encode()), tmp_path / "inbox", public_key=PUBLIC)
    assert list((tmp_path / "inbox").iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"\xff",
        b"[]",
        b"{}",
        b'{"version": 3, "files": {}}',
        b'{"version": "3", "files": []}',
        b'{"version": "3", "files": {"../../etc/passwd": "x"}}',
        b'{"version": "3", "files": {"manifest.json": 1, "model.txt": 2, "signature.json": 3}}',
        b'{"version": "3", "files": {"manifest.json": "{}", "model.txt": 2, "signature.json": "{}"}}',
    ],
)
def test_a_body_that_carries_no_bundle_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError):
        unpack(content)


def test_a_directory_without_a_bundle_cannot_be_packed(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        pack(tmp_path, "1")


def test_a_delivery_without_its_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"delivery\.json"):
        delivered_version(tmp_path)


def test_a_signed_request_is_taken_whatever_the_case_of_its_headers(body: bytes) -> None:
    headers = {k.lower(): v for k, v in request_headers(body, moment=SENT_AT, key=KEY).items()}
    verify_request(body, headers, public_key=PUBLIC, now=SENT_AT + timedelta(seconds=5), max_age_s=60)


def test_a_request_changed_under_way_is_refused(body: bytes) -> None:
    headers = request_headers(body, moment=SENT_AT, key=KEY)
    with pytest.raises(BundleError, match="not signed by the trusted key"):
        verify_request(body + b" ", headers, public_key=PUBLIC, now=SENT_AT, max_age_s=60)


def test_a_request_without_a_signature_is_refused(body: bytes) -> None:
    with pytest.raises(BundleError, match="not signed by the trusted key"):
        verify_request(body, {}, public_key=PUBLIC, now=SENT_AT, max_age_s=60)


@pytest.mark.parametrize("seconds", [61, -61])
def test_an_old_or_future_request_is_refused(body: bytes, seconds: int) -> None:
    headers = request_headers(body, moment=SENT_AT, key=KEY)
    with pytest.raises(BundleError, match="61 s away from now, limit 60 s"):
        verify_request(body, headers, public_key=PUBLIC, now=SENT_AT + timedelta(seconds=seconds), max_age_s=60)


def test_a_signed_moment_without_timezone_is_refused(body: bytes) -> None:
    headers = request_headers(body, moment=SENT_AT.replace(tzinfo=None), key=KEY)
    with pytest.raises(BundleError, match="not an aware instant"):
        verify_request(body, headers, public_key=PUBLIC, now=SENT_AT, max_age_s=60)
