"""The online features of a session as one hashed Arrow file: the pipeline writes it, the runner reads it without Feast.

::

    features/
      2025-03-03.json                       manifest: SHA-256 of the file, hash and names of the factors, when written
      2025-03-03-0123456789abcdef.arrow     ``symbol`` and a float32 column a factor
      set-aside/                            what was damaged or foreign, beside a text that says why

The manifest is put in place last, by one rename: whatever kills the writer, a reader finds the file before or the new
one. What cannot be read is set aside and the session before it is read instead, and that is said. Not here: what the
features are compared with (``online/cross_check.py``), where they come from (``feature_store/``).
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ljwx_pipeline.config import BreakerSettings
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.lake.atomic_parquet import draft_bytes, publish, write_bytes
from ljwx_pipeline.trading.breaker_machines import Fault, features_fault

FORMAT = 1
FEATURES_DIR = "features"
SET_ASIDE = "set-aside"
#: Sessions whose file is kept: the newest, and those to fall back to.
KEPT_SESSIONS = 5
#: A manifest names each factor; a larger file is none.
MAX_MANIFEST_BYTES = 1024 * 1024
#: 5,400 symbols x 158 factors take 3.4 million.
MAX_FILE_BYTES = 512 * 1024 * 1024
_AGAIN = "run the pipeline's scoring again: it writes the session's file anew"


@dataclass(frozen=True)
class FeatureManifest:
    """What a file is.

    Parameters
    ----------
    session, written_at
        ISO date of the session whose close the features are of; ISO instant in UTC.
    file, sha256
        Name and hash of the Arrow file beside it.
    factor_hash, factors
        Version hash and names of the catalogue, in order.
    """

    session: str
    file: str
    sha256: str
    factor_hash: str
    factors: tuple[str, ...]
    rows: int
    written_at: str
    format: int = FORMAT


@dataclass(frozen=True, eq=False)
class SessionFeatures:
    """A verified file: features of ``session``, float32 of shape ``(len(symbols), n_factors)``; NaN where undefined."""

    session: date
    symbols: tuple[str, ...]
    values: NDArray[np.float32]
    written_at: datetime


@dataclass(frozen=True, eq=False)
class FeatureReading:
    """What the runner found.

    Parameters
    ----------
    features
        Of the newest session that could be read; None without any.
    age_sessions
        Sessions from theirs to the one that was asked for; None without any.
    fault
        What trips ``STALE_FEATURES``; None while they are fresh enough.
    notes
        A sentence for each newer file that could not be used, and why.
    """

    features: SessionFeatures | None
    age_sessions: int | None
    fault: Fault | None
    notes: tuple[str, ...]


def write_features(
    folder: Path, features: pd.DataFrame, *, session: date, factor_hash: str, written_at: datetime
) -> FeatureManifest:
    """Write the features of ``session`` to ``folder`` and return their manifest; old sessions' files are removed.

    Parameters
    ----------
    features
        Columns ``symbol`` and the factors (float32) in the catalogue's order, in any order of rows.
    written_at
        The pipeline's clock, with a time zone.

    Raises
    ------
    LiveError
        For a symbol twice, no row, or a factor that is not float32.
    LakeError
        When the disk is full or the folder cannot be written; what was there is untouched.
    """
    names = [name for name in features.columns if name != "symbol"]
    wrong = [name for name in names if features[name].dtype != np.float32]
    if features.empty or features["symbol"].duplicated().any() or not names or wrong:
        raise LiveError(
            f"the online features of {session} have {len(features)} rows of {features['symbol'].nunique()} symbols and "
            f"{len(names)} factors, {len(wrong)} of them not float32",
            "materialise the online store again: one row a symbol, float32",
        )
    table = pa.Table.from_pandas(features[["symbol", *names]].sort_values("symbol"), preserve_index=False)
    data = _arrow_bytes(table.replace_schema_metadata(None))
    digest = hashlib.sha256(data).hexdigest()
    manifest = FeatureManifest(
        session=session.isoformat(),
        file=f"{session}-{digest[:16]}.arrow",
        sha256=digest,
        factor_hash=factor_hash,
        factors=tuple(names),
        rows=len(features),
        written_at=written_at.isoformat(),
    )
    with _sole_user(folder):
        publish([draft_bytes(folder / manifest.file, data)])
        write_bytes(folder / f"{session}.json", (json.dumps(asdict(manifest), indent=2) + "\n").encode())
        _remove_old(folder)
    return manifest


def read_features(
    folder: Path,
    *,
    decided: date,
    sessions: Sequence[date],
    factor_hash: str,
    factors: Sequence[str],
    settings: BreakerSettings,
) -> FeatureReading:
    """Return the newest features that are whole, of these factors and not of a session after ``decided``.

    Damaged and foreign files are set aside; files of other factors are passed over and stay, as another release may
    read them.

    Parameters
    ----------
    decided
        The session that is decided on; features of it are of age 0.
    sessions
        Trading sessions, of which those up to ``decided`` count the age.
    factor_hash, factors
        Of the running code's catalogue.

    Raises
    ------
    LiveError
        When the folder cannot be read, or what is damaged cannot be set aside.
    """
    notes: list[str] = []
    for manifest_path in _manifests(folder, decided):
        found = _read(manifest_path, factor_hash, factors)
        if isinstance(found, SessionFeatures):
            age = sum(found.session < day <= decided for day in sessions)
            fault = features_fault(age, settings)
            if notes:
                notes.append(f"the features of {found.session} are used instead, {age} sessions old")
            return FeatureReading(found, age, fault, tuple(notes))
        notes.append(found)
    limit = f"{settings.max_features_age_sessions} sessions"
    fault = Fault(f"no features up to {decided}", limit, "nothing is bought until the session's features are here")
    return FeatureReading(None, None, fault, tuple(notes))


class _Unusable(Exception):
    """A manifest or its file cannot be used: a sentence why, and whether they are to be set aside."""

    def __init__(self, why: str, *, foreign: bool = False) -> None:
        self.why = why
        self.foreign = foreign
        super().__init__(why)


def _manifests(folder: Path, decided: date) -> list[Path]:
    """Return the manifests of sessions up to ``decided``, the newest first; a name that is no session's is left."""
    try:
        named = sorted((path for path in folder.iterdir() if path.suffix == ".json"), reverse=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LiveError(f"{folder} cannot be read ({error.strerror})", "correct its permissions") from error
    return [path for path in named if (day := _session_of(path)) is not None and day <= decided]


def _session_of(path: Path) -> date | None:
    try:
        return date.fromisoformat(path.stem) if len(path.stem) == len("2025-03-03") else None
    except ValueError:
        return None


def _read(path: Path, factor_hash: str, factors: Sequence[str]) -> SessionFeatures | str:
    """Return the features that a manifest names, or why they cannot be used."""
    while True:
        said = _bytes_of(path, MAX_MANIFEST_BYTES)
        if said is None and not path.exists():
            return f"{path.name} was removed meanwhile"
        try:
            if said is None:
                raise _Unusable(f"{path.name} cannot be read")
            manifest = _manifest_of(path, said)
            if manifest.factor_hash != factor_hash:
                raise _Unusable(
                    f"{path.name} is of factors {manifest.factor_hash[:12]}, the runner's are {factor_hash[:12]}",
                    foreign=True,
                )
            if manifest.factors != tuple(factors):
                raise _Unusable(f"{path.name} has the hash of the runner's factors and other names")
            return _features_of(path.parent, manifest)
        except _Unusable as fault:
            if fault.foreign:
                return f"{fault.why}: passed over, run the same release on both sides"
            if _set_aside(path, said, fault.why):
                return f"{fault.why}: set aside in {SET_ASIDE}/, {_AGAIN}"
            # a writer has put a new file in place meanwhile


def _manifest_of(path: Path, said: bytes) -> FeatureManifest:
    try:
        tree: dict[str, Any] = json.loads(said)
        if type(number := tree["format"]) is int and number != FORMAT:
            raise _Unusable(f"{path.name} is of format {number}, this runner reads {FORMAT}", foreign=True)
        if not isinstance(tree["factors"], list):
            raise TypeError("factors is no list")
        manifest = FeatureManifest(**{**tree, "factors": tuple(tree["factors"])})
        texts = [tree[name] for name in ("session", "file", "sha256", "factor_hash", "written_at")]
        if not all(type(text) is str for text in [*texts, *manifest.factors]) or type(tree["rows"]) is not int:
            raise TypeError("a value is of another type")
        written_at = datetime.fromisoformat(manifest.written_at)
        if written_at.utcoffset() is None:
            raise ValueError("written_at has no time zone")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _Unusable(f"{path.name} is no manifest of features ({error})") from None
    if manifest.session != path.stem or manifest.file != f"{path.stem}-{manifest.sha256[:16]}.arrow":
        raise _Unusable(f"{path.name} names session {manifest.session!r} and file {manifest.file!r}")
    return manifest


def _features_of(folder: Path, manifest: FeatureManifest) -> SessionFeatures:
    data = _bytes_of(folder / manifest.file, MAX_FILE_BYTES)
    if data is None:
        raise _Unusable(f"{manifest.file} is missing, cannot be read or is larger than {MAX_FILE_BYTES:,} bytes")
    found = hashlib.sha256(data).hexdigest()
    if found != manifest.sha256:
        raise _Unusable(
            f"{manifest.file} is damaged: {len(data):,} bytes of SHA-256 {found[:12]}, "
            f"the manifest says {manifest.sha256[:12]}"
        )
    try:
        table: pa.Table = pa.ipc.open_file(pa.py_buffer(data)).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise _Unusable(f"{manifest.file} is no Arrow file ({error})") from None
    wanted = pa.schema([("symbol", pa.string()), *((name, pa.float32()) for name in manifest.factors)])
    held = table.schema.remove_metadata()
    if table.num_rows != manifest.rows or held.names != wanted.names or held.types[1:] != wanted.types[1:]:
        raise _Unusable(f"{manifest.file} does not hold the {manifest.rows} rows and columns that its manifest says")
    symbols = tuple(table.column(0).to_pylist())
    if len(set(symbols)) != len(symbols) or not all(isinstance(symbol, str) for symbol in symbols):
        raise _Unusable(f"{manifest.file} names a symbol twice, or one that is no text")
    values = np.column_stack([table.column(name).to_numpy().astype(np.float32) for name in manifest.factors])
    session, written_at = date.fromisoformat(manifest.session), datetime.fromisoformat(manifest.written_at)
    return SessionFeatures(session, symbols, np.ascontiguousarray(values), written_at)


def _set_aside(path: Path, said: bytes | None, why: str) -> bool:
    """Move a manifest and its session's files away unless a writer has replaced it; return whether it was."""
    try:
        with _sole_user(path.parent):
            if _bytes_of(path, MAX_MANIFEST_BYTES) != said:
                return False
            aside = path.parent / SET_ASIDE
            aside.mkdir(exist_ok=True)
            for file in [path, *path.parent.glob(f"{path.stem}-*.arrow")]:
                file.replace(aside / file.name)
            (aside / f"{path.stem}.txt").write_text(f"{why}\n", encoding="utf-8")
    except OSError as error:
        raise LiveError(
            f"{path} cannot be used ({why}) and not be moved away ({error.strerror})",
            "correct the folder's permissions, or remove the file",
        ) from error
    return True


def _bytes_of(path: Path, most: int) -> bytes | None:
    """Return what ``path`` holds; None where it cannot be read or is larger than a file of ours."""
    try:
        return path.read_bytes() if path.stat().st_size <= most else None
    except OSError:
        return None


def _remove_old(folder: Path) -> None:
    """Remove the files of all but the newest sessions, and what a writer that was killed has left."""
    manifests = sorted((path for path in folder.glob("*.json") if _session_of(path)), reverse=True)
    for path in manifests[KEPT_SESSIONS:]:
        path.unlink(missing_ok=True)
    kept = {name for path in manifests[:KEPT_SESSIONS] if (name := _file_named(path)) is not None}
    for path in folder.iterdir():
        if path.suffix in (".arrow", ".part") and path.name not in kept:
            path.unlink(missing_ok=True)


def _file_named(path: Path) -> str | None:
    """Return the file that a manifest names; None of a damaged one, which a reader sets aside."""
    try:
        return _manifest_of(path, path.read_bytes()).file
    except _Unusable:
        return None


def _arrow_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@contextmanager
def _sole_user(folder: Path) -> Iterator[None]:
    """Make the folder and hold it against other processes that change it, who wait."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
