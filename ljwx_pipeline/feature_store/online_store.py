"""The online store that ``feature_store.yaml`` names: Feast's SQLite store, which also keeps each row in one piece.

``feast apply``, ``feast materialize`` and Feast's Python API work as on Feast's own store, and what they write
is in both tables or in neither. Not here: reading the packed rows (``packed.py``). Imports Feast: only Feast and
``client.py`` import this module.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig, _quote_id, _table_id
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from numpy.typing import NDArray

from ljwx_pipeline.feature_store import packed

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class PackedSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    """Options of the store: those of Feast's SQLite store."""

    type: Literal["ljwx_pipeline.feature_store.online_store.PackedSqliteOnlineStore"] = (
        "ljwx_pipeline.feature_store.online_store.PackedSqliteOnlineStore"  # type: ignore[assignment]
    )


class PackedSqliteOnlineStore(SqliteOnlineStore):
    """Feast's SQLite store with a packed row beside, for views whose features are all Float32."""

    def __init__(self) -> None:
        super().__init__()
        self._writing = threading.RLock()

    def online_write_batch(
        self,
        config: Any,
        table: Any,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write Feast's records and the packed rows in one transaction; called by Feast."""
        with self._transaction(config) as connection:
            super().online_write_batch(config, table, data, progress)
            if is_packed(table):
                names, version = [field.name for field in table.features], version_of(table)
                rows = (
                    packed.PackedRow(
                        symbol=key.entity_values[0].string_val,
                        event_us=_since_epoch_us(event),
                        version=version,
                        features=packed.pack([_float(values.get(name)) for name in names]),
                    )
                    for key, values, event, _ in data
                )
                packed.write(connection, table.name, rows)

    def update(
        self,
        config: Any,
        tables_to_delete: Sequence[Any],
        tables_to_keep: Sequence[Any],
        entities_to_delete: Sequence[Any],
        entities_to_keep: Sequence[Any],
        partial: bool,
    ) -> None:
        """Create and drop Feast's tables and drop the packed rows of views that are no more; called by Feast."""
        super().update(config, tables_to_delete, tables_to_keep, entities_to_delete, entities_to_keep, partial)
        with self._transaction(config) as connection:
            for table in tables_to_delete:
                packed.forget(connection, table.name, None)

    def replace_rows(
        self,
        config: Any,
        view: Any,
        *,
        symbols: Sequence[str],
        events: Sequence[datetime],
        values: NDArray[np.float32],
        obsolete: Sequence[str],
    ) -> None:
        """Write the rows of ``symbols`` and remove those of ``obsolete``, all or nothing.

        Parameters
        ----------
        config, view
            As Feast hands them to ``online_write_batch``.
        symbols, events
            One row each; ``events`` are the instants from which the rows are valid.
        values
            float32, shape ``(len(symbols), n_features)`` in the view's order; NaN becomes Feast's missing value.
        obsolete
            Symbols to serve no more.
        """
        names = [field.name for field in view.features]
        with self._transaction(config) as connection:
            data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]] = [
                (self._key(view, symbol), dict(zip(names, map(_value, row), strict=True)), event, None)
                for symbol, event, row in zip(symbols, events, values.tolist(), strict=True)
            ]
            self.online_write_batch(config, view, data, None)
            feasts = _quote_id(_table_id(config.project, view, config.registry.enable_online_feature_view_versioning))
            version = config.entity_key_serialization_version
            keys = [(serialize_entity_key(self._key(view, symbol), version),) for symbol in obsolete]
            connection.executemany(f"DELETE FROM {feasts} WHERE entity_key = ?", keys)  # noqa: S608 - a quoted name
            packed.forget(connection, view.name, obsolete)

    def release(self) -> None:
        """Let the file go."""
        if self._conn:
            self._conn.close()
            self._conn = None

    @staticmethod
    def _key(view: Any, symbol: str) -> EntityKey:
        return EntityKey(join_keys=view.join_keys, entity_values=[Value(string_val=symbol)])

    @contextmanager
    def _transaction(self, config: Any) -> Iterator[sqlite3.Connection]:
        """Run a block in one transaction, also where Feast's own code in it would commit earlier; may be nested."""
        with self._writing:
            connection = self._get_conn(config)
            if isinstance(connection, _WithinTransaction):
                yield connection.connection
                return
            try:
                with connection:
                    self._conn = _WithinTransaction(connection)  # type: ignore[assignment]
                    yield connection
            finally:
                self._conn = connection


class _WithinTransaction:
    """A connection whose ``with`` block neither commits nor rolls back: the transaction around it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def __enter__(self) -> _WithinTransaction:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


def is_packed(view: Any) -> bool:
    """Return whether every feature of the view is Float32, which a packed row can hold."""
    return all(str(field.dtype) == "Float32" for field in view.features)


def version_of(view: Any) -> str:
    """Return the version of the view's packed rows."""
    return packed.version_of(str(view.tags.get("catalogue_hash", "")), [field.name for field in view.features])


def _float(value: Value | None) -> float:
    return float(value.float_val) if value is not None and value.HasField("float_val") else float("nan")


def _value(number: float) -> Value:
    return Value() if number != number else Value(float_val=number)  # only NaN differs from itself


def _since_epoch_us(instant: datetime) -> int:
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)  # Feast hands over UTC without a zone
    return (aware - _EPOCH) // _MICROSECOND
