"""The newest row of every symbol in one piece: a table of our own in the file of Feast's SQLite online store.

Feast keeps a record a value (47,400 for 300 stocks x 158 features) and decodes each; here a symbol is one record of
float32. Written with Feast's own records in one transaction (``online_store.py``), so that neither is ahead of the
other after a crash. Not here: Feast.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_CREATE = """
CREATE TABLE IF NOT EXISTS ljwx_packed_rows (
    view TEXT NOT NULL, symbol TEXT NOT NULL, event_us INTEGER NOT NULL, version TEXT NOT NULL, features BLOB NOT NULL,
    PRIMARY KEY (view, symbol)
) WITHOUT ROWID
"""
_SELECT = "SELECT symbol, event_us, version, features FROM ljwx_packed_rows WHERE view = ?"
_AMONG = " AND symbol IN (SELECT value FROM json_each(?))"
#: Little-endian, whatever the machine.
_FLOAT32 = np.dtype("<f4")


class PackedRow(NamedTuple):
    """The online row of one symbol; a tuple, because an online read makes hundreds within a millisecond.

    Parameters
    ----------
    symbol
        The stock.
    event_us
        The instant from which the row is valid, microseconds since 1970 in UTC.
    version
        What ``version_of`` said of the view that wrote it.
    features
        float32, in the view's order; a missing value is NaN.
    """

    symbol: str
    event_us: int
    version: str
    features: bytes


def version_of(catalogue_hash: str, names: Sequence[str]) -> str:
    """Return a digest of what decides the meaning of a row's bytes: the catalogue's version, names and their order."""
    return hashlib.sha256(json.dumps([catalogue_hash, *names]).encode()).hexdigest()[:32]


def pack(values: Sequence[float] | NDArray[np.float32]) -> bytes:
    """Return one row's features as bytes."""
    return np.asarray(values, dtype=_FLOAT32).tobytes()


def unpack(rows: Iterable[PackedRow], features: int) -> NDArray[np.float32]:
    """Return the features of rows of one version, shape ``(n_rows, features)``."""
    joined = bytearray().join(row.features for row in rows)
    return np.frombuffer(joined, dtype=_FLOAT32).reshape(-1, features).astype(np.float32, copy=False)


def write(connection: sqlite3.Connection, view: str, rows: Iterable[PackedRow]) -> None:
    """Replace the rows of their symbols, within the caller's transaction."""
    connection.execute(_CREATE)
    connection.executemany(
        "INSERT OR REPLACE INTO ljwx_packed_rows VALUES (?, ?, ?, ?, ?)",
        [(view, row.symbol, row.event_us, row.version, row.features) for row in rows],
    )


def forget(connection: sqlite3.Connection, view: str, symbols: Iterable[str] | None) -> None:
    """Remove the rows of some symbols, of all if None, within the caller's transaction."""
    connection.execute(_CREATE)
    if symbols is None:
        connection.execute("DELETE FROM ljwx_packed_rows WHERE view = ?", (view,))
    else:
        delete = "DELETE FROM ljwx_packed_rows WHERE view = ? AND symbol = ?"
        connection.executemany(delete, [(view, symbol) for symbol in symbols])


def read(path: Path, view: str, symbols: Sequence[str] | None = None) -> dict[str, PackedRow]:
    """Return the rows held of ``symbols``, of all if None; a symbol without a row is absent.

    Raises
    ------
    sqlite3.DatabaseError
        When the file is no database, or locked for longer than five seconds.
    """
    if not path.is_file():
        return {}
    asked: tuple[str, ...] = (view,)
    query = _SELECT
    if symbols is not None:
        query, asked = _SELECT + _AMONG, (view, json.dumps(list(symbols)))
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            found = connection.execute(query, asked).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return {}
    return {row[0]: PackedRow._make(row) for row in found}
