"""The session pack: the folder of Arrow files through which the pipeline hands the runner its market.

::

    feed/
      manifest.json               SHA-256 of every file, adjustment, simulated flag, last research session
      history.arrow               canonical bars up to the last research session, enough to warm every factor up
      feed.arrow                  canonical bars of the held-out sessions, in order of session
      securities.arrow  st_spells.arrow  index_members.arrow  corporate_actions.arrow
      beside-TABLE.arrow          the tables that only some factors read (`tables.BESIDE_TABLES`), if these do
      features-YYYY-MM-DD.arrow   the online feature store's answer for the last research session

On disk a file's name carries its hash too (``history-0123456789abcdef.arrow``), so that a new pack's files stand beside
the old one's until one rename puts its manifest in place: killed at any instant, a writer leaves the old pack or the
new one. Packs of format 2 have plain names and are read as well.

Written by the pipeline (which may import Feast), read by the runner and the paper exchange (which may not). Not here:
what they do with it (``live/feed.py``, ``exchange/market.py``).
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.lake.atomic_parquet import draft_bytes, publish, write_bytes
from ljwx_pipeline.market.tables import BESIDE_TABLES
from ljwx_pipeline.trading.exchange_wire import Bar
from ljwx_pipeline.trading.market_arrays import MarketArrays, market_arrays
from ljwx_pipeline.trading.strict_json import to_json
from ljwx_pipeline.units import E4, FEN_PER_CNY

FORMAT = 3
#: The format whose files have plain names.
PLAIN_NAMES = 2
MANIFEST = "manifest.json"
TABLES = ("history", "feed", "securities", "st_spells", "index_members", "corporate_actions")
_BESIDE = "beside-"
_AGAIN = "run the pipeline's deployment again to write the pack anew"


@dataclass(frozen=True)
class PackManifest:
    """What a pack is: hashes by file name, and how its prices are to be read."""

    files: Mapping[str, str]
    adjustment: str
    simulated: bool
    last_research_session: str
    format: int = FORMAT

    @property
    def features_name(self) -> str:
        """Name of the file with the online features."""
        return _features_name(self.last_research_session)


@dataclass(frozen=True)
class SessionPack:
    """A verified pack in memory: canonical tables, and the online features by symbol."""

    manifest: PackManifest
    history: pd.DataFrame
    feed: pd.DataFrame
    securities: pd.DataFrame
    st_spells: pd.DataFrame
    index_members: pd.DataFrame
    corporate_actions: pd.DataFrame
    online_features: pd.DataFrame
    beside: Mapping[str, pd.DataFrame]

    @property
    def last_research_session(self) -> date:
        """The session whose online features the pack carries."""
        return date.fromisoformat(self.manifest.last_research_session)


def write_session_pack(
    folder: Path,
    *,
    history: pd.DataFrame,
    feed: pd.DataFrame,
    securities: pd.DataFrame,
    st_spells: pd.DataFrame,
    index_members: pd.DataFrame,
    corporate_actions: pd.DataFrame,
    online_features: pd.DataFrame,
    adjustment: str,
    simulated: bool,
    beside: Mapping[str, pd.DataFrame] | None = None,
) -> PackManifest:
    """Write the pack to ``folder`` and return its manifest; the same content gives the same bytes.

    The pack before is whole until the new one is: whatever kills the writer, a reader finds one of them. What neither
    needs, left by a writer that was killed too, is removed in the end.

    Parameters
    ----------
    history, feed
        Canonical bars before and from the held-out start on; the last session of ``history`` is the last research
        session.
    online_features
        Columns ``symbol`` and the factors (float32), as the online store answers for that session.
    beside
        Tables by name that factors read beside bars, securities, spells and members.

    Raises
    ------
    LiveError
        When ``history`` is empty or does not lie before ``feed``.
    LakeError
        When the disk is full or the folder cannot be written; the pack before is untouched.
    """
    if history.empty or (not feed.empty and history["session_date"].max() >= feed["session_date"].min()):
        raise LiveError("the history of the session pack is empty or overlaps its feed", "cut the bars at one session")
    last = f"{history['session_date'].max():%Y-%m-%d}"
    frames = {
        "history.arrow": history.sort_values(["session_date", "symbol"]),
        "feed.arrow": feed.sort_values(["session_date", "symbol"]),
        "securities.arrow": securities,
        "st_spells.arrow": st_spells,
        "index_members.arrow": index_members,
        "corporate_actions.arrow": corporate_actions,
        _features_name(last): online_features.sort_values("symbol"),
        **{f"{_BESIDE}{name}.arrow": table for name, table in (beside or {}).items()},
    }
    content = {name: _arrow_bytes(frame) for name, frame in frames.items()}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    manifest = PackManifest(hashes, adjustment, simulated, last)
    with _sole_writer(folder):
        publish([draft_bytes(folder / _file_name(name, hashes[name]), data) for name, data in content.items()])
        write_bytes(folder / MANIFEST, (json.dumps(asdict(manifest), sort_keys=True, indent=2) + "\n").encode())
        kept = {MANIFEST, *(_file_name(name, digest) for name, digest in hashes.items())}
        for path in folder.iterdir():
            if path.name not in kept and path.suffix in (".arrow", ".part"):
                path.unlink(missing_ok=True)
    return manifest


def read_session_pack(folder: Path) -> SessionPack:
    """Return the pack in ``folder`` after checking every file against the manifest.

    Raises
    ------
    LiveError
        For a missing pack, a missing file, a changed byte or another format.
    """
    while True:
        said = _manifest_bytes(folder)
        try:
            return _read_files(folder, said)
        except LiveError:
            if _manifest_bytes(folder) == said:
                raise
            # a writer has put a new pack in place meanwhile and removed the old one's files


def told_indices(folder: Path) -> tuple[str, ...] | None:
    """Return the indices whose members the pack in ``folder`` tells, by code; None where no pack lies there.

    Raises
    ------
    LiveError
        As `read_session_pack`.
    """
    if not (folder / MANIFEST).is_file():
        return None
    return tuple(sorted(read_session_pack(folder).index_members["index_code"].unique()))


def pack_sessions(bars: pd.DataFrame) -> pd.DatetimeIndex:
    """Return the sessions of ``bars``, ascending."""
    return pd.DatetimeIndex(bars["session_date"].unique(), name="session_date").sort_values()


def pack_market(pack: SessionPack, *, columns: Collection[str] = ()) -> MarketArrays:
    """Return the trading view of history and feed over every security of the pack, by symbol.

    The history goes along: listing ages and what is derived from the close before need it. ``columns`` and errors as
    ``market_arrays``.
    """
    return market_arrays(
        pd.concat([pack.history, pack.feed], ignore_index=True),
        pack.securities,
        pack.st_spells,
        pack.corporate_actions,
        symbols=tuple(sorted(pack.securities["symbol"])),
        sessions=pd.DatetimeIndex(pack_sessions(pack.history).append(pack_sessions(pack.feed))),
        adjustment=pack.manifest.adjustment,
        columns=columns,
    )


def official_bars(bars: pd.DataFrame) -> tuple[Bar, ...]:
    """Return one session's bars as an exchange states them, by symbol; what is not known is 0."""

    def integers(column: str, unit: int) -> list[int]:
        values = bars[column].to_numpy(dtype=np.float64)
        whole: list[int] = np.rint(np.where(np.isfinite(values), values, 0.0) * unit).astype(np.int64).tolist()
        return whole

    prices = [integers(f"{name}_cny", E4) for name in ("open", "high", "low", "close", "pre_close")]
    columns = zip(
        bars["symbol"],
        *prices,
        integers("volume_shares", 1),
        integers("amount_cny", FEN_PER_CNY),
        bars["adj_factor"].to_numpy(dtype=np.float64).tolist(),
        strict=True,
    )
    return tuple(Bar(str(symbol), *rest) for symbol, *rest in columns)


def bars_hash(bars: Iterable[Bar]) -> str:
    """Return the hash of what a session's official bars say, whoever says it."""
    said = [to_json(bar) for bar in bars]
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _manifest_bytes(folder: Path) -> bytes:
    try:
        return (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        raise LiveError(
            f"there is no session pack in {folder}", "run the pipeline first: its deployment writes one"
        ) from None
    except OSError as error:
        raise LiveError(f"{folder / MANIFEST} is not a session pack's manifest ({error})", _AGAIN) from None


def _read_files(folder: Path, said: bytes) -> SessionPack:
    try:
        manifest = PackManifest(**json.loads(said))
        if not isinstance(manifest.files, dict):
            raise TypeError(f"files is {manifest.files!r}, not an object")
        date.fromisoformat(manifest.last_research_session)
    except (ValueError, TypeError, RecursionError) as error:
        raise LiveError(f"{folder / MANIFEST} is not a session pack's manifest ({error})", _AGAIN) from None
    wanted = {f"{table}.arrow" for table in TABLES} | {manifest.features_name}
    beside = {f"{_BESIDE}{table}.arrow": table for table in BESIDE_TABLES}
    if manifest.format not in (FORMAT, PLAIN_NAMES) or set(manifest.files) - beside.keys() != wanted:
        raise LiveError(
            f"the session pack in {folder} has format {manifest.format} and files {sorted(manifest.files)}, "
            f"expected format {FORMAT} and {sorted(wanted)}",
            _AGAIN,
        )
    plain = manifest.format == PLAIN_NAMES
    frames = {
        name: _checked_frame(folder / (name if plain else _file_name(name, expected)), expected)
        for name, expected in manifest.files.items()
    }
    return SessionPack(
        manifest,
        **{table: frames[f"{table}.arrow"] for table in TABLES},
        online_features=frames[manifest.features_name],
        beside={beside[name]: frame for name, frame in frames.items() if name in beside},
    )


def _features_name(session: str) -> str:
    return f"features-{session}.arrow"


def _file_name(name: str, digest: str) -> str:
    path = Path(name)
    return f"{path.stem}-{digest[:16]}{path.suffix}"


def _arrow_bytes(frame: pd.DataFrame) -> bytes:
    # pandas' own metadata names library versions; leaving it out keeps the bytes the same across installations
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _checked_frame(path: Path, expected: str) -> pd.DataFrame:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LiveError(f"{path} cannot be read ({error.strerror})", _AGAIN) from None
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise LiveError(f"{path} is damaged: SHA-256 {found[:12]}, the manifest says {expected[:12]}", _AGAIN)
    try:
        frame: pd.DataFrame = pa.ipc.open_file(data).read_all().to_pandas()
    except pa.ArrowException as error:
        raise LiveError(f"{path} is no Arrow file ({error})", _AGAIN) from None
    return frame


@contextmanager
def _sole_writer(folder: Path) -> Iterator[None]:
    """Make the folder and hold it against other writers, who wait: each removes what its own pack does not name."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
