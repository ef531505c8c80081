"""The model bundle: a directory that holds a model, what it was made from, and who made it.

::

    <bundle_hash>/
      manifest.json    format, names and hash of the factors, label, data and config hashes, parameters, and the
                       SHA-256 of every other file; its own SHA-256 is the *bundle hash*
      model.txt        the booster in LightGBM's text form (never a pickle)
      signature.json   Ed25519 signature of the bundle hash and the moment of signing

The moment of signing stands in ``signature.json`` alone: the same inputs give the same manifest, the same model bytes
and so the same bundle hash on any day. Not here: keys (``signing.py``), the way to the runner (``transfer.py``).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from ljwx_pipeline.errors import BundleError, ModelError
from ljwx_pipeline.scoring.model import Model
from ljwx_pipeline.scoring.signing import is_signed, public_key_of, sign

FORMAT = 1
MANIFEST = "manifest.json"
MODEL = "model.txt"
SIGNATURE = "signature.json"
BUNDLE_FILES = (MANIFEST, MODEL, SIGNATURE)
_RESTORE = "take the bundle again from the registry or train a new one"
#: What reading a foreign JSON text as something it is not raises; nesting without end is a RecursionError.
MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
_TEXT_KEYS = ("model_name", "profile", "factor_hash", "label_hash", "data_hash", "config_hash", "git_revision")


@dataclass(frozen=True)
class Manifest:
    """What a model is and what it was made from: everything that decides its predictions.

    Parameters
    ----------
    model_name
        Name it is registered under.
    profile, simulated
        Configuration profile, and whether the market it learned from is simulated.
    factor_names
        Columns of the feature matrix, in order.
    factor_hash, label_hash, data_hash, config_hash
        Versions of the factor catalogue, the label, the training data and the configuration.
    git_revision
        Commit of the code, or ``"unknown"`` outside a checkout.
    first_session, last_session
        Interval of the training rows, inclusive.
    params
        Training parameters, tuned and fixed.
    rounds
        Boosting rounds of the booster.
    files
        SHA-256 by file name; filled in by ``write_bundle``.
    """

    model_name: str
    profile: str
    simulated: bool
    factor_names: tuple[str, ...]
    factor_hash: str
    label_hash: str
    data_hash: str
    config_hash: str
    git_revision: str
    first_session: date
    last_session: date
    params: Mapping[str, Any]
    rounds: int
    files: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Return the canonical bytes: sorted keys, two spaces, one final newline."""
        tree = {
            **asdict(self),
            "format": FORMAT,
            "first_session": self.first_session.isoformat(),
            "last_session": self.last_session.isoformat(),
        }
        return (json.dumps(tree, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> Manifest:
        """Return the manifest in ``content``.

        Raises
        ------
        BundleError
            For another format version or a missing, unknown or malformed key.
        """
        try:
            tree = json.loads(content)
            if not isinstance(tree, dict):
                raise TypeError(f"it holds a {type(tree).__name__}, not an object")
            version = tree.pop("format")
        except MALFORMED as error:
            raise BundleError(f"{MANIFEST} is not a bundle manifest ({error!r})", _RESTORE) from None
        if version != FORMAT:
            raise BundleError(
                f"bundle format {version!r} is unknown to this release, which reads format {FORMAT}",
                "install the release that wrote it or train again",
            )
        try:
            tree["factor_names"] = tuple(tree["factor_names"])
            tree["first_session"] = date.fromisoformat(tree["first_session"])
            tree["last_session"] = date.fromisoformat(tree["last_session"])
            manifest = cls(**tree)
            manifest._refuse_other_types()
        except MALFORMED as error:
            raise BundleError(f"{MANIFEST} lacks or misspells a key ({error!r})", _RESTORE) from None
        return manifest

    def _refuse_other_types(self) -> None:
        fits = {name: isinstance(getattr(self, name), str) for name in _TEXT_KEYS}
        for name in _TEXT_KEYS:
            str(getattr(self, name)).encode()  # JSON can spell half of a surrogate pair
        fits["simulated"] = isinstance(self.simulated, bool)
        fits["factor_names"] = all(isinstance(name, str) for name in self.factor_names)
        fits["params"] = isinstance(self.params, dict)
        fits["rounds"] = isinstance(self.rounds, int)
        fits["files"] = isinstance(self.files, dict) and all(isinstance(sha, str) for sha in self.files.values())
        wrong = [name for name, right in fits.items() if not right]
        if wrong:
            raise TypeError(f"{', '.join(wrong)}: another type than expected")


@dataclass(frozen=True)
class ModelBundle:
    """A verified bundle, ready to predict.

    Parameters
    ----------
    path
        Directory it was loaded from.
    bundle_hash
        SHA-256 of its manifest: its identity everywhere.
    manifest
        What it was made from.
    created_at
        When it was signed.
    """

    path: Path
    bundle_hash: str
    manifest: Manifest
    created_at: datetime
    model: Model = field(repr=False, compare=False)

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return one score a row: higher means a better expected rank within the session.

        Parameters
        ----------
        features
            float32 of shape ``(n, len(manifest.factor_names))``, columns in that order. NaN is a missing value
            and allowed (LightGBM learned a direction for it); a row of nothing but NaN is scored NaN, because
            a constant would rank it among the others.

        Raises
        ------
        ModelError
            For another dtype, another width, or an infinite value.
        """
        width = len(self.manifest.factor_names)
        if features.dtype != np.float32:
            raise ModelError(
                f"features are {features.dtype}, the model was trained on float32", "pass the factors as float32"
            )
        if features.ndim != 2 or features.shape[1] != width:
            raise ModelError(
                f"features have shape {features.shape}, the model expects (rows, {width})",
                "compute the factors of the bundle's manifest, in its order",
            )
        if np.isinf(features).any():
            row, column = np.argwhere(np.isinf(features))[0]
            raise ModelError(
                f"factor {self.manifest.factor_names[column]} is infinite in row {row}",
                "give NaN where a factor is undefined",
            )
        if len(features) == 0:
            return np.empty(0)
        scores = self.model.predict(features).score
        scores[np.isnan(features).all(axis=1)] = np.nan
        return scores


def write_bundle(root: Path, manifest: Manifest, *, model: Model, key: Ed25519PrivateKey, created_at: datetime) -> Path:
    """Write and sign a bundle as ``root/<bundle_hash>`` and return that directory.

    The directory appears whole or not at all. Writing the same bundle again leaves the existing one as it is, unless
    its bytes were damaged: then it is written anew.

    Raises
    ------
    BundleError
        When the model's width is not that of the manifest's factors, or ``created_at`` has no timezone.
    """
    if model.width != len(manifest.factor_names):
        raise BundleError(
            f"the model takes {model.width} features, the manifest names {len(manifest.factor_names)}",
            "train on the catalogue whose names go into the manifest",
        )
    if created_at.tzinfo is None:
        raise BundleError(f"created_at {created_at} has no timezone", "pass an aware instant")
    text = model.texts[MODEL].encode()
    content = Manifest(**{**_shallow(manifest), "files": {MODEL: _sha256(text)}}).to_json()
    bundle_hash = _sha256(content)
    moment = created_at.isoformat()
    signature = {
        "algorithm": "ed25519",
        "bundle_hash": bundle_hash,
        "created_at": moment,
        "public_key": public_key_of(key),
        "signature": sign(_message(bundle_hash, moment), key),
    }
    files = {
        MANIFEST: content,
        MODEL: text,
        SIGNATURE: (json.dumps(signature, sort_keys=True, indent=2) + "\n").encode(),
    }
    final = root / bundle_hash
    if final.is_dir():
        try:
            verify_files(final, public_key=public_key_of(key))
        except BundleError:
            shutil.rmtree(final)
        else:
            return final
    return place_directory(final, files)


def load_bundle(path: Path, *, factor_hash: str, public_key: str) -> ModelBundle:
    """Return the bundle in directory ``path`` after verifying signature, hashes and factor hash.

    Files that the manifest does not list are never read.

    Parameters
    ----------
    factor_hash
        Version hash of the running code's factor catalogue.
    public_key
        The one key trusted, hexadecimal (``signing.public_key``).

    Raises
    ------
    BundleError
        For a missing file, a changed byte, a missing or foreign signature, an unknown format, another factor hash.
    """
    manifest, bundle_hash, created_at = verify_files(path, public_key=public_key)
    if manifest.factor_hash != factor_hash:
        raise BundleError(
            f"bundle {bundle_hash[:12]} was trained on factors {manifest.factor_hash[:12]}, "
            f"this code computes factors {factor_hash[:12]}",
            f"train a new model with this code, or run the code the bundle names (git {manifest.git_revision[:12]})",
        )
    try:
        text = _read(path, MODEL).decode()
    except UnicodeDecodeError as error:
        raise BundleError(f"{path / MODEL} is not UTF-8 text ({error})", _RESTORE) from None
    try:
        model = Model.of_booster(text)
    except ModelError as error:
        raise BundleError(error.fact, _RESTORE) from None
    return ModelBundle(path, bundle_hash, manifest, created_at, model)


def verify_files(path: Path, *, public_key: str) -> tuple[Manifest, str, datetime]:
    """Return (manifest, bundle hash, moment of signing) of an intact bundle signed by ``public_key``.

    Raises
    ------
    BundleError
        For a missing file, a changed byte, a missing or foreign signature, or an unknown format.
    """
    content = _read(path, MANIFEST)
    bundle_hash = _sha256(content)
    created_at = _verify_signature(path, bundle_hash, public_key)
    manifest = Manifest.from_json(content)
    if MODEL not in manifest.files:
        raise BundleError(f"the manifest in {path} lists no {MODEL}", _RESTORE)
    for name, expected in manifest.files.items():
        if Path(name).name != name:
            raise BundleError(f"the manifest in {path} lists {name!r}, which is not a plain file name", _RESTORE)
        found = _sha256(_read(path, name))
        if found != expected:
            raise BundleError(
                f"{path / name} is damaged: its SHA-256 is {found[:12]}, the manifest says {expected[:12]}", _RESTORE
            )
    return manifest, bundle_hash, created_at


def place_directory(final: Path, files: Mapping[str, bytes]) -> Path:
    """Write ``files`` as directory ``final`` in one step and return it; an existing one stays as it is."""
    final.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name[:12]}."))
    try:
        staging.chmod(0o755)
        for name, content in files.items():
            with (staging / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        try:
            staging.rename(final)
        except OSError:
            if not final.is_dir():
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return final


def _verify_signature(path: Path, bundle_hash: str, public_key: str) -> datetime:
    if not (path / SIGNATURE).is_file():
        raise BundleError(f"bundle {path} is unsigned: it holds no {SIGNATURE}", _RESTORE)
    try:
        tree = json.loads(_read(path, SIGNATURE))
        signer, moment, signature = (str(tree[k]) for k in ("public_key", "created_at", "signature"))
        created_at = datetime.fromisoformat(moment)
        bytes.fromhex(signer)
    except MALFORMED as error:
        raise BundleError(f"{path / SIGNATURE} is not a signature ({error!r})", _RESTORE) from None
    if signer != public_key:
        raise BundleError(
            f"bundle {path} is signed by key {signer[:12]}, the trusted key is {public_key[:12]}",
            "take the bundle from the pipeline whose keys/signing.pub stands here, or replace that file",
        )
    if not is_signed(_message(bundle_hash, moment), signature, public_key):
        raise BundleError(f"{path / MANIFEST} or its signature was changed after signing", _RESTORE)
    return created_at


def _read(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: the name holds a NUL
        raise BundleError(f"{str(path / name)!r} cannot be read ({error})", _RESTORE) from None


def _message(bundle_hash: str, moment: str) -> bytes:
    return f"ljwx bundle {FORMAT}\n{bundle_hash}\n{moment}\n".encode()


def _shallow(manifest: Manifest) -> dict[str, Any]:
    return {name: getattr(manifest, name) for name in manifest.__dataclass_fields__}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
