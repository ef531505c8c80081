"""The key pair: made once, kept private, verified strictly."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.errors import BundleError, EnvironmentFault
from ljwx_pipeline.scoring.signing import is_signed, public_key, public_key_of, sign, signing_key


def test_the_pair_is_made_once_and_found_again(tmp_path: Path) -> None:
    first = signing_key(tmp_path / "keys")
    second = signing_key(tmp_path / "keys")
    assert public_key_of(first) == public_key_of(second) == public_key(tmp_path / "keys")


def test_the_private_half_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    signing_key(tmp_path)
    assert (tmp_path / "signing.pem").stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["signing.pem", "signing.pub"]


def test_a_key_file_open_to_others_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    signing_key(tmp_path)
    (tmp_path / "signing.pem").chmod(0o644)
    with pytest.raises(EnvironmentFault, match="chmod 600"):
        signing_key(tmp_path)


def test_a_public_file_of_another_key_is_put_right(tmp_path: Path) -> None:
    key = signing_key(tmp_path)
    (tmp_path / "signing.pub").write_text("00" * 32)
    signing_key(tmp_path)
    assert public_key(tmp_path) == public_key_of(key)


@pytest.mark.parametrize("content", [b"not a key", b""])
def test_a_damaged_private_key_is_an_error_and_is_not_overwritten(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "signing.pem").write_bytes(content)
    (tmp_path / "signing.pem").chmod(0o600)
    with pytest.raises(BundleError, match="not a private key"):
        signing_key(tmp_path)
    assert (tmp_path / "signing.pem").read_bytes() == content


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    rsa = generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "signing.pem").write_bytes(rsa)
    (tmp_path / "signing.pem").chmod(0o600)
    with pytest.raises(BundleError, match="another kind of key"):
        signing_key(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="make the folder writable"):
        signing_key(tmp_path / "file" / "keys")


@pytest.mark.parametrize("text", ["", "zz", "ab" * 31])
def test_a_damaged_public_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "signing.pub").write_text(text)
    with pytest.raises(BundleError, match="not an Ed25519 public key"):
        public_key(tmp_path)


def test_a_missing_public_key_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"copy the pipeline's keys/signing\.pub"):
        public_key(tmp_path)


@pytest.fixture(scope="module")
def key_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    signing_key(folder)
    return folder


@given(message=st.binary(max_size=200), position=st.integers(0, 199), flip=st.integers(1, 255))
def test_any_changed_byte_breaks_the_signature(key_dir: Path, message: bytes, position: int, flip: int) -> None:
    key = signing_key(key_dir)
    signature = sign(message, key)
    assert is_signed(message, signature, public_key_of(key))
    if message:
        changed = bytearray(message)
        changed[position % len(message)] ^= flip
        assert not is_signed(bytes(changed), signature, public_key_of(key))


def test_text_that_is_no_signature_is_simply_not_one(key_dir: Path) -> None:
    assert not is_signed(b"x", "no hex", public_key(key_dir))
    assert not is_signed(b"x", "", "")
