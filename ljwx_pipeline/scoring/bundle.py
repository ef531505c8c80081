"""The model bundle: a directory that holds a model, what it was made from, what it showed, and who made it.

::

    <bundle_hash>/
      manifest.json    format, members, names and hash of the factors, label, data and config hashes, parameters, and
                       size and SHA-256 of every file below; its own SHA-256 is the *bundle hash*
      card.md          the model card: intended use, evidence, limits, the gate's decision
      intervals.json   what its prediction intervals have learned, where there are any
      monitoring.json  what its live scores and inputs are judged by, where it is known
      model.txt ...    a text file a member: LightGBM's text form or JSON, never a pickle
      signature.json   Ed25519 signature of the bundle hash

The same inputs and key give the same bytes in every file on any day. A file counts because the manifest lists it;
others beside it are never read. Not here: keys (``signing.py``), the way to the runner (``transfer.py``), what the
card says (``promotion/model_card.py``).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, get_args

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from ljwx_pipeline.errors import BundleError, ModelError
from ljwx_pipeline.scoring.model import GroupBy, Kind, Member, Model, Output, Prediction
from ljwx_pipeline.scoring.signing import is_signed, public_key_of, sign

FORMAT = 3
#: The format before, whose manifests tell no universe; read as well.
WITHOUT_UNIVERSE = 2
MANIFEST = "manifest.json"
CARD = "card.md"
#: Documents a bundle may hold beside the card, each written and read by the package that it is named by.
INTERVALS, MONITORING = DOCUMENTS = ("intervals.json", "monitoring.json")
SIGNATURE = "signature.json"
#: Files a manifest may list, and what they may hold together; a fuller bundle is refused before a file is read.
MAX_FILES = 1024
MAX_BUNDLE_BYTES = 192 * 1024 * 1024
#: Of ``manifest.json`` and ``signature.json``, which no manifest lists.
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: Names beside a bundle's files: a delivery's, and MLflow's in the registry.
_TAKEN_NAMES = {name.lower() for name in (MANIFEST, SIGNATURE, "delivery.json", "MLmodel", "requirements.txt")}
_RESTORE = "take the bundle again from the registry or train a new one"
#: What reading a foreign JSON text as something it is not raises; nesting without end is a RecursionError.
MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
_TEXT_KEYS = (
    "model_name",
    "profile",
    "factor_hash",
    "label_hash",
    "data_hash",
    "config_hash",
    "git_revision",
    "group_measure",
)


@dataclass(frozen=True)
class ListedFile:
    """What a manifest says of a file beside it."""

    size_bytes: int
    sha256: str


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
        Boosting rounds of all members together.
    group_measure
        What the groups of ``group_by`` were made by in training (``dataset.groups.group_measure``); empty without
        groups. Rows grouped by another are not scored.
    universe
        ``[universe]`` of the training, key by key; None where that is not told, as in format 2.
    members, group_by
        Of the model; filled in by ``write_bundle``.
    files
        The card and the members' texts by name; filled in by ``write_bundle``.
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
    group_measure: str = ""
    universe: Mapping[str, Any] | None = None
    members: tuple[Member, ...] = ()
    group_by: GroupBy = "none"
    files: Mapping[str, ListedFile] = field(default_factory=dict)

    @property
    def file_names(self) -> tuple[str, ...]:
        """Every file of the bundle, the manifest and its signature too."""
        return (MANIFEST, *sorted(self.files), SIGNATURE)

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
        if version == 1:
            raise BundleError(
                "the bundle is of format 1, which held no model card and is no longer read",
                "train a new model with `ljwx run`, or run the release that wrote it",
            )
        if version not in (FORMAT, WITHOUT_UNIVERSE):
            raise BundleError(
                f"bundle format {version!r} is unknown to this release, which reads formats {WITHOUT_UNIVERSE} and "
                f"{FORMAT}",
                "install the release that wrote it or train again",
            )
        try:
            if ("universe" in tree) != (version == FORMAT):
                raise KeyError("universe")
            manifest = _manifest_of(tree)
        except MALFORMED as error:
            raise BundleError(f"{MANIFEST} lacks or misspells a key ({error!r})", _RESTORE) from None
        manifest._refuse_other_files()
        return manifest

    def _refuse_other_files(self) -> None:
        """Refuse a list of files that is too long, too large, or not the card and the members'."""
        if len(self.files) > MAX_FILES:
            raise BundleError(f"the manifest lists {len(self.files)} files, limit {MAX_FILES}", _RESTORE)
        for name in (*self.files, *(member.file for member in self.members)):
            if not _PLAIN_NAME.fullmatch(name) or name.lower() in _TAKEN_NAMES:
                raise BundleError(f"the manifest lists {name!r}, which is not a plain file name", _RESTORE)
        total = sum(file.size_bytes for file in self.files.values())
        if total > MAX_BUNDLE_BYTES:
            raise BundleError(f"the manifest lists {total:,} bytes of files, limit {MAX_BUNDLE_BYTES:,}", _RESTORE)
        needed = {CARD, *(member.file for member in self.members)}
        if absent := sorted(needed - self.files.keys()):
            raise BundleError(f"the manifest lists no {absent[0]}, which the bundle needs", _RESTORE)
        if unknown := sorted(self.files.keys() - needed - set(DOCUMENTS)):
            raise BundleError(
                f"the manifest lists {unknown[0]}, which is neither the card, a document nor a member", _RESTORE
            )


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
    card
        The model card, Markdown.
    model
        The members it predicts with.
    documents
        Texts of those of ``DOCUMENTS`` that it holds, by name.
    """

    path: Path
    bundle_hash: str
    manifest: Manifest
    card: str = field(repr=False)
    model: Model = field(repr=False, compare=False)
    documents: Mapping[str, str] = field(repr=False, default_factory=dict)

    def predict(self, features: NDArray[np.float32], groups: NDArray[np.integer] | None = None) -> Prediction:
        """Return a score a row, higher for a better expected rank within the session, and the band's ends if any.

        Parameters
        ----------
        features
            float32 of shape ``(n, len(manifest.factor_names))``, columns in that order. NaN is a missing value
            and allowed (LightGBM learned a direction for it); a row of nothing but NaN is scored NaN, because
            a constant would rank it among the others.
        groups
            Group code of each row (``dataset.groups``); needed where ``manifest.group_by`` is not ``none``.

        Raises
        ------
        ModelError
            For another dtype, another width, an infinite value, or a model of groups without them.
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
        said = self.model.predict(features, groups)
        unknown = np.isnan(features).all(axis=1)
        for values in (said.score, said.lower, said.upper):
            if values is not None:
                values[unknown] = np.nan
        return said


def write_bundle(
    root: Path,
    manifest: Manifest,
    *,
    model: Model,
    card: str,
    key: Ed25519PrivateKey,
    documents: Mapping[str, str] | None = None,
) -> Path:
    """Write and sign a bundle as ``root/<bundle_hash>`` and return that directory.

    The directory appears whole or not at all. Writing the same bundle again leaves the existing one as it is, unless
    its bytes were damaged: then it is written anew.

    Parameters
    ----------
    manifest
        Without members and files: they are those of ``model`` and ``card``.
    card
        The model card, Markdown.
    documents
        Texts by name, each of ``DOCUMENTS``.

    Raises
    ------
    BundleError
        When the model's width is not that of the manifest's factors, or its files are too many, too large or of
        names that no bundle may hold.
    """
    if model.width != len(manifest.factor_names):
        raise BundleError(
            f"the model takes {model.width} features, the manifest names {len(manifest.factor_names)}",
            "train on the catalogue whose names go into the manifest",
        )
    beside = {CARD: card, **(documents or {})}
    if taken := sorted(beside.keys() & model.texts.keys()):
        raise BundleError(
            f"a member of the model is named {taken[0]}, as a file beside it", "name the member otherwise"
        )
    texts = {name: text.encode() for name, text in {**beside, **model.texts}.items()}
    listed = {name: ListedFile(len(content), _sha256(content)) for name, content in texts.items()}
    whole = replace(manifest, members=model.members, group_by=model.group_by, files=listed)
    whole._refuse_other_files()
    content = whole.to_json()
    bundle_hash = _sha256(content)
    signed = _signature_json(bundle_hash, public_key_of(key), sign(_message(bundle_hash), key))
    final = root / bundle_hash
    if final.is_dir():
        try:
            verify_files(final, public_key=public_key_of(key), bundle_hash=bundle_hash)
        except BundleError:
            shutil.rmtree(final)
        else:
            return final
    return place_directory(final, {MANIFEST: content, **texts, SIGNATURE: signed})


def load_bundle(path: Path, *, factor_hash: str, public_key: str, bundle_hash: str | None = None) -> ModelBundle:
    """Return the bundle in directory ``path`` after verifying signature, hashes and factor hash.

    What is loaded are the bytes that were verified. Files that the manifest does not list are never read.

    Parameters
    ----------
    factor_hash
        Version hash of the running code's factor catalogue.
    public_key
        The one key trusted, hexadecimal (``signing.public_key``).
    bundle_hash
        The bundle it must be: another one is refused, however well it is signed. None takes any.

    Raises
    ------
    BundleError
        For a missing file, a changed byte, a missing or foreign signature, an unknown format, another bundle than
        asked for, another factor hash, or members that are no model.
    """
    manifest, found, contents = _verified(path, public_key, bundle_hash)
    if manifest.factor_hash != factor_hash:
        raise BundleError(
            f"bundle {found[:12]} was trained on factors {manifest.factor_hash[:12]}, "
            f"this code computes factors {factor_hash[:12]}",
            f"train a new model with this code, or run the code the bundle names (git {manifest.git_revision[:12]})",
        )
    card = _text(path / CARD, contents[CARD])
    documents = {name: _text(path / name, contents[name]) for name in DOCUMENTS if name in contents}
    return ModelBundle(path, found, manifest, card, _model(path, manifest, contents), documents)


def open_unsigned(path: Path) -> Model:
    """Return the model of the bundle in directory ``path`` whose hashes hold, whoever signed it.

    Raises
    ------
    BundleError
        For a missing file, a changed byte of what the manifest lists, an unknown format, or members that are no model.
    """
    manifest = Manifest.from_json(_read(path, MANIFEST, MAX_MANIFEST_BYTES))
    return _model(path, manifest, _intact(path, manifest))


def verify_files(path: Path, *, public_key: str, bundle_hash: str | None = None) -> tuple[Manifest, str]:
    """Return manifest and hash of an intact bundle signed by ``public_key``; of no other than ``bundle_hash`` if given.

    Raises
    ------
    BundleError
        For a missing file, a changed byte, a missing or foreign signature, an unknown format, or another bundle.
    """
    manifest, found, _ = _verified(path, public_key, bundle_hash)
    return manifest, found


def read_files(path: Path) -> dict[str, bytes]:
    """Return every file of the bundle in directory ``path`` as it lies there, unverified but within bounds.

    Raises
    ------
    BundleError
        When the manifest is none, or a file is missing or of another size than listed.
    """
    content = _read(path, MANIFEST, MAX_MANIFEST_BYTES)
    listed = Manifest.from_json(content).files
    return {
        MANIFEST: content,
        **{name: _read_listed(path, name, file) for name, file in listed.items()},
        SIGNATURE: _read(path, SIGNATURE, MAX_MANIFEST_BYTES),
    }


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


def _verified(path: Path, public_key: str, bundle_hash: str | None) -> tuple[Manifest, str, dict[str, bytes]]:
    """Return manifest, bundle hash and the listed files' content, every byte of it as signed."""
    content = _read(path, MANIFEST, MAX_MANIFEST_BYTES)
    found = _sha256(content)
    _verify_signature(path, found, public_key)
    if bundle_hash is not None and found != bundle_hash:
        raise BundleError(f"{path} holds bundle {found[:12]}, not bundle {bundle_hash[:12]}", _RESTORE)
    manifest = Manifest.from_json(content)
    return manifest, found, _intact(path, manifest)


def _intact(path: Path, manifest: Manifest) -> dict[str, bytes]:
    """Return the content of every listed file, whose hashes hold."""
    contents = {}
    for name, listed in manifest.files.items():
        contents[name] = _read_listed(path, name, listed)
        found = _sha256(contents[name])
        if found != listed.sha256:
            raise BundleError(
                f"{path / name} is damaged: its SHA-256 is {found[:12]}, the manifest says {listed.sha256[:12]}",
                _RESTORE,
            )
    return contents


def _model(path: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> Model:
    texts = {name: _text(path / name, contents[name]) for name in dict.fromkeys(m.file for m in manifest.members)}
    try:
        return Model(manifest.members, texts, manifest.group_by)
    except ModelError as error:
        raise BundleError(error.fact, _RESTORE) from None


def _verify_signature(path: Path, bundle_hash: str, public_key: str) -> None:
    if not (path / SIGNATURE).is_file():
        raise BundleError(f"bundle {path} is unsigned: it holds no {SIGNATURE}", _RESTORE)
    try:
        content = _read(path, SIGNATURE, MAX_MANIFEST_BYTES)
        tree = json.loads(content)
        signer, signature = str(tree["public_key"]), str(tree["signature"])
        bytes.fromhex(signer)
    except MALFORMED as error:
        raise BundleError(f"{path / SIGNATURE} is not a signature ({error!r})", _RESTORE) from None
    if signer != public_key:
        raise BundleError(
            f"bundle {path} is signed by key {signer[:12]}, the trusted key is {public_key[:12]}",
            "take the bundle from the pipeline whose keys/signing.pub stands here, or replace that file",
        )
    if not is_signed(_message(bundle_hash), signature, public_key):
        raise BundleError(f"{path / MANIFEST} or its signature was changed after signing", _RESTORE)
    if content != _signature_json(bundle_hash, public_key, signature.lower()):
        raise BundleError(f"{path / SIGNATURE} was changed after signing: it does not read as it was written", _RESTORE)


def _signature_json(bundle_hash: str, public_key: str, signature: str) -> bytes:
    """Return the one spelling of ``signature.json``."""
    tree = {"algorithm": "ed25519", "bundle_hash": bundle_hash, "public_key": public_key, "signature": signature}
    return (json.dumps(tree, sort_keys=True, indent=2) + "\n").encode()


def _manifest_of(tree: dict[str, Any]) -> Manifest:
    """Return the manifest that a parsed ``manifest.json`` spells; raise one of ``MALFORMED`` for another type."""
    manifest = Manifest(
        **{
            **tree,
            "factor_names": tuple(tree["factor_names"]),
            "first_session": date.fromisoformat(tree["first_session"]),
            "last_session": date.fromisoformat(tree["last_session"]),
            "members": tuple(Member(**member) for member in tree["members"]),
            "files": {name: ListedFile(**listed) for name, listed in tree["files"].items()},
        }
    )
    texts = [getattr(manifest, name) for name in _TEXT_KEYS]
    texts += [*manifest.factor_names, *(member.file for member in manifest.members)]
    fits = {
        "a text": all(isinstance(text, str) for text in texts),
        "simulated": isinstance(manifest.simulated, bool),
        "params": isinstance(manifest.params, dict),
        "universe": manifest.universe is None or isinstance(manifest.universe, dict),
        "rounds": type(manifest.rounds) is int,
        "group_by": manifest.group_by in get_args(GroupBy),
        "members": all(_is_member(member) for member in manifest.members),
        "files": all(type(f.size_bytes) is int and f.size_bytes >= 0 for f in manifest.files.values()),
        "a file's sha256": all(isinstance(f.sha256, str) for f in manifest.files.values()),
    }
    wrong = [name for name, right in fits.items() if not right]
    if wrong:
        raise TypeError(f"{', '.join(wrong)}: another type than expected")
    for text in (*texts, *manifest.files):
        text.encode()  # JSON can spell half of a surrogate pair
    return manifest


def _is_member(member: Member) -> bool:
    return (
        member.kind in get_args(Kind)
        and member.output in get_args(Output)
        and type(member.weight) in (int, float)
        and math.isfinite(member.weight)
        and (member.group is None or (type(member.group) is int and 0 <= member.group <= np.iinfo(np.int32).max))
    )


def _read_listed(path: Path, name: str, listed: ListedFile) -> bytes:
    content = _read(path, name, listed.size_bytes)
    if len(content) != listed.size_bytes:
        raise BundleError(
            f"{path / name} is damaged: it holds {len(content):,} bytes, the manifest says {listed.size_bytes:,}",
            _RESTORE,
        )
    return content


def _read(path: Path, name: str, most_bytes: int) -> bytes:
    """Return a file's bytes without ever holding more than ``most_bytes`` and one."""
    try:
        with (path / name).open("rb") as file:
            content = file.read(most_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: the name holds a NUL
        raise BundleError(f"{str(path / name)!r} cannot be read ({error})", _RESTORE) from None
    if len(content) > most_bytes:
        raise BundleError(f"{path / name} is damaged: it holds more than {most_bytes:,} bytes", _RESTORE)
    return content


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} is not UTF-8 text ({error})", _RESTORE) from None


def _message(bundle_hash: str) -> bytes:
    return f"ljwx bundle 2\n{bundle_hash}\n".encode()  # of every format: the signed manifest says which


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
