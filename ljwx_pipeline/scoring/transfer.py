"""The way of a bundle to the runner: one signed JSON request, the same bytes over HTTP or as a spooled file's content.

The body is ``{"version": "3", "files": {name: text}}``, the files those that the manifest among them lists, all UTF-8
text. Its headers carry the moment and an Ed25519 signature over both, so that the runner can refuse a stranger, and an
old request sent again.
Not here: sending (``promotion/deploy.py``), receiving (``live/inbox.py``).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ljwx_pipeline.errors import BundleError
from ljwx_pipeline.scoring.bundle import MALFORMED, MANIFEST, Manifest, place_directory, read_files, verify_files
from ljwx_pipeline.scoring.signing import is_signed, sign

#: Where the runner takes bundles.
BUNDLES_PATH = "/bundles"
HEADER_MOMENT = "X-Ljwx-Signed-At"
HEADER_SIGNATURE = "X-Ljwx-Signature"
#: Beside the bundle's files in a delivered directory: ``{"version": ...}``.
DELIVERY = "delivery.json"


@dataclass(frozen=True)
class Delivery:
    """A bundle on its way: the registry's version and the directory's files as text."""

    version: str
    files: Mapping[str, str]

    @property
    def bundle_hash(self) -> str:
        """The identity of the bundle carried."""
        return hashlib.sha256(self.files[MANIFEST].encode()).hexdigest()


def pack(bundle: Path, version: str) -> bytes:
    """Return the request body that carries directory ``bundle``; the same bytes for the same bundle and version."""
    try:
        files = {name: content.decode() for name, content in read_files(bundle).items()}
    except UnicodeDecodeError as error:
        raise BundleError(f"bundle {bundle} cannot be packed ({error})", "write or download it again") from None
    return json.dumps({"files": files, "version": version}, sort_keys=True, ensure_ascii=False).encode()


def unpack(body: bytes) -> Delivery:
    """Return the delivery in a request body.

    Raises
    ------
    BundleError
        When the body is not one, or carries other files than its manifest lists.
    """
    try:
        tree = json.loads(body)
        version, files = tree["version"], tree["files"]
    except MALFORMED as error:
        raise BundleError(f"the request does not carry a bundle ({error!r})", "send it with the deploy job") from None
    if not isinstance(version, str) or not isinstance(files, dict) or not isinstance(files.get(MANIFEST), str):
        raise BundleError("the request does not carry a bundle's manifest", "send it with the deploy job")
    if not all(isinstance(text, str) for text in files.values()):
        raise BundleError("a file in the request is not text", "send it with the deploy job")
    try:
        for text in (version, *files.values()):
            text.encode()
    except UnicodeEncodeError as error:  # JSON can spell half of a surrogate pair
        raise BundleError(f"a text in the request is not Unicode ({error})", "send it with the deploy job") from None
    if sorted(files) != sorted(Manifest.from_json(files[MANIFEST].encode()).file_names):
        raise BundleError(
            "the request does not carry exactly the files that its manifest lists", "send it with the deploy job"
        )
    return Delivery(version, files)


def store(delivery: Delivery, inbox: Path, *, public_key: str) -> Path:
    """Verify and write ``delivery`` as ``inbox/<bundle_hash>`` in one step and return that directory.

    The intact bundle already there stays, as the newest; a damaged one, or another under its name, is replaced.

    Raises
    ------
    BundleError
        When the delivery fails verification; nothing of it stays.
    """
    final = inbox / delivery.bundle_hash
    if final.is_dir():
        try:
            verify_files(final, public_key=public_key, bundle_hash=delivery.bundle_hash)
        except BundleError:
            shutil.rmtree(final)
        else:
            os.utime(final)  # whoever reads the folder goes by when a bundle came last
            return final
    content = {name: text.encode() for name, text in delivery.files.items()}
    content[DELIVERY] = (json.dumps({"version": delivery.version}) + "\n").encode()
    inbox.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=inbox, prefix=".unchecked-") as unchecked:
        checked = place_directory(Path(unchecked) / delivery.bundle_hash, content)
        verify_files(checked, public_key=public_key)
        if not final.is_dir():
            checked.rename(final)
    return final


def delivered_version(directory: Path) -> str:
    """Return the registry version of a delivered bundle directory."""
    try:
        return str(json.loads((directory / DELIVERY).read_bytes())["version"])
    except (OSError, *MALFORMED) as error:
        raise BundleError(f"{directory / DELIVERY} cannot be read ({error!r})", "deploy the bundle again") from None


def request_headers(body: bytes, *, moment: datetime, key: Ed25519PrivateKey) -> dict[str, str]:
    """Return the headers that sign ``body`` at ``moment``."""
    text = moment.isoformat()
    return {
        "Content-Type": "application/json",
        HEADER_MOMENT: text,
        HEADER_SIGNATURE: sign(_message(body, text), key),
    }


def verify_request(
    body: bytes, headers: Mapping[str, str], *, public_key: str, now: datetime, max_age_s: float
) -> datetime:
    """Return when a request was signed by ``public_key``, at most ``max_age_s`` seconds from ``now``.

    ``headers`` is looked up without regard to case.

    Raises
    ------
    BundleError
        When it was not, or too long ago.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    moment = lowered.get(HEADER_MOMENT.lower(), "")
    signature = lowered.get(HEADER_SIGNATURE.lower(), "")
    if not is_signed(_message(body, moment), signature, public_key):
        raise BundleError(
            "the request is not signed by the trusted key", "send it with the deploy job of this pipeline"
        )
    try:
        signed_at = datetime.fromisoformat(moment)
        age_s = abs((now - signed_at).total_seconds())
    except (ValueError, TypeError):
        raise BundleError(f"the request's moment {moment!r} is not an aware instant", "send it again") from None
    if age_s > max_age_s:
        raise BundleError(
            f"the request was signed {age_s:.0f} s away from now, limit {max_age_s:.0f} s", "send it again"
        )
    return signed_at


def _message(body: bytes, moment: str) -> bytes:
    return f"POST {BUNDLES_PATH}\n{moment}\n{hashlib.sha256(body).hexdigest()}\n".encode()
