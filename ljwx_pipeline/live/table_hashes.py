"""What a database holds, as one hash a table: two that agree in every hash hold the same rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Inspector, column, inspect, select, table

#: Told after every so many rows: the table and how many of its rows are done.
Told = Callable[[str, int], None]
_ROWS_AT_ONCE = 5_000


@dataclass(frozen=True)
class TableHash:
    """Number of rows of one table, and the SHA-256 of all of them in order of their keys."""

    rows: int
    sha256: str


def table_hashes(connection: Connection, told: Told = lambda *_: None) -> dict[str, TableHash]:
    """Return the hash of every table, whatever release made them; of one state of the database.

    Parameters
    ----------
    connection
        Of `Store.reading`: everything is read in one transaction.
    """
    inspector = inspect(connection)
    return {name: _hash(connection, inspector, name, told) for name in sorted(inspector.get_table_names())}


def _hash(connection: Connection, inspector: Inspector, name: str, told: Told) -> TableHash:
    columns = [one["name"] for one in inspector.get_columns(name)]
    key = inspector.get_pk_constraint(name)["constrained_columns"] or columns
    rows: Any = select(*map(column, columns)).select_from(table(name)).order_by(*map(column, key))
    digest, count = hashlib.sha256(repr(columns).encode()), 0
    result = connection.execution_options(stream_results=True, yield_per=_ROWS_AT_ONCE).execute(rows)
    for page in result.partitions():
        digest.update("\n".join(map(repr, map(tuple, page))).encode())
        digest.update(b"\n")
        count += len(page)
        told(name, count)
    return TableHash(count, digest.hexdigest())
