"""The Ed25519 key pair that says "the pipeline made this": kept in a folder, used to sign, used to verify.

The pipeline holds both halves; the runner needs the public one alone (``signing.pub``, hexadecimal text), so that a
broken-into runner cannot make bundles. Not here: what is signed (``bundle.py``, ``transfer.py``).
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ljwx_pipeline.errors import BundleError, EnvironmentFault

PRIVATE_NAME = "signing.pem"
PUBLIC_NAME = "signing.pub"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def signing_key(keys_dir: Path) -> Ed25519PrivateKey:
    """Return the private key in ``keys_dir``, making the pair on first use (file mode 0600).

    Two processes that start at once end with the same key: the first to link its file into place wins.

    Raises
    ------
    EnvironmentFault
        When the folder cannot be written, or the key file may be read by others than its owner.
    BundleError
        When the file is not an Ed25519 private key.
    """
    path = keys_dir / PRIVATE_NAME
    try:
        if not path.exists():
            _create_once(path)
        mode = path.stat().st_mode
        pem = path.read_bytes()
    except OSError as error:
        raise EnvironmentFault(
            f"signing key {path} cannot be made or read ({error})", "make the folder writable"
        ) from None
    if os.name == "posix" and mode & _OTHERS:
        raise EnvironmentFault(f"signing key {path} has mode {stat.S_IMODE(mode):04o}", f"run: chmod 600 {path}")
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise BundleError(
            f"{path} is not a private key ({error})", "restore it, or move it away to make a new one"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError(f"{path} holds another kind of key than Ed25519", "move it away to make a new one")
    public = keys_dir / PUBLIC_NAME
    text = public_key_of(key) + "\n"
    if not public.exists() or public.read_text(encoding="ascii") != text:
        _replace(public, text.encode(), mode=0o644)
    return key


def public_key(keys_dir: Path) -> str:
    """Return the public key in ``keys_dir`` as 64 hexadecimal characters.

    Raises
    ------
    BundleError
        When the file is missing or is not such a key.
    """
    path = keys_dir / PUBLIC_NAME
    try:
        text = path.read_text(encoding="ascii").strip()
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    except FileNotFoundError:
        raise BundleError(f"public key {path} does not exist", "copy the pipeline's keys/signing.pub there") from None
    except (ValueError, OSError) as error:
        raise BundleError(
            f"{path} is not an Ed25519 public key ({error})", "copy the pipeline's signing.pub again"
        ) from None
    return text


def public_key_of(key: Ed25519PrivateKey) -> str:
    """Return the public half of ``key`` as hexadecimal text."""
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return raw.hex()


def sign(message: bytes, key: Ed25519PrivateKey) -> str:
    """Return the signature of ``message`` as 128 hexadecimal characters (deterministic, RFC 8032)."""
    return key.sign(message).hex()


def is_signed(message: bytes, signature: str, public: str) -> bool:
    """Tell whether ``signature`` is that of ``message`` under the hexadecimal ``public`` key."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _create_once(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    temporary = _temporary(path, pem, mode=0o600)
    try:
        os.link(temporary, path)  # unlike a rename, fails when another process was first
    except FileExistsError:
        return
    finally:
        temporary.unlink()


def _replace(path: Path, content: bytes, *, mode: int) -> None:
    _temporary(path, content, mode=mode).replace(path)


def _temporary(path: Path, content: bytes, *, mode: int) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(name).chmod(mode)
    return Path(name)
