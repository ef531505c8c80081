"""Datasets: named, immutable pins of table versions, with what was made from them.

A dataset says which version of every partition of some tables belongs together, by number and content hash, so that
a model can be trained, explained and trained again on the same rows. Retention keeps what a dataset pins. Tags and
references may change; the pin never does. Not here: rows (``scan.py``), differences (``diff.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Literal, get_args

import pandas as pd

from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.lake.content_hash import combined_hash
from ljwx_pipeline.lake.documents import read_sealed, sealed
from ljwx_pipeline.lake.folders import sync_folder
from ljwx_pipeline.lake.locking import exclusive
from ljwx_pipeline.lake.manifest import TableVersion
from ljwx_pipeline.lake.store import Lake, checked_name, in_utc, read_versions

FOLDER = ".catalogue"
FORMAT = 1
LOCK_TIMEOUT_S = 60.0

ReferenceKind = Literal["run", "model", "report"]
#: Who must be able to read a dataset again; a report is a finished document.
BINDING: tuple[ReferenceKind, ...] = ("run", "model")


@dataclass(frozen=True)
class Pin:
    """One version of one partition, by number and content."""

    version: int
    rows: int
    content_hash: str


@dataclass(frozen=True)
class Reference:
    """Something that was made from a dataset."""

    kind: ReferenceKind
    id: str
    at: datetime


@dataclass(frozen=True)
class Dataset:
    """A named pin of tables.

    Parameters
    ----------
    name, description
        What people call it and why it was made.
    created_at
        Instant (UTC).
    as_of
        The instant whose knowledge it pins.
    tables
        Table -> partition -> pin.
    tags
        Words, in order.
    references
        What was made from it.
    """

    name: str
    description: str
    created_at: datetime
    as_of: datetime
    tables: Mapping[str, Mapping[str, Pin]]
    tags: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()

    def table_hash(self, table: str) -> str:
        """Return the content hash of one table: what ``Lake.content_hash`` said when it was pinned."""
        return combined_hash({name: pin.content_hash for name, pin in self.tables[table].items()})

    @property
    def content_hash(self) -> str:
        """One hash of all that is pinned; two datasets of one hash hold the same rows."""
        return combined_hash({table: self.table_hash(table) for table in self.tables})

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "name": self.name,
            "description": self.description,
            "created_at": self.created_at.isoformat(),
            "as_of": self.as_of.isoformat(),
            "content_hash": self.content_hash,
            "tags": list(self.tags),
            "references": [{"kind": item.kind, "id": item.id, "at": item.at.isoformat()} for item in self.references],
            "tables": {
                table: {
                    name: {"version": pin.version, "rows": pin.rows, "content_hash": pin.content_hash}
                    for name, pin in pins.items()
                }
                for table, pins in self.tables.items()
            },
        }


@dataclass(frozen=True)
class TableComparison:
    """Which partitions of a table two datasets pin alike; a partition's name stands in one of the four."""

    same: tuple[str, ...]
    changed: tuple[str, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


class Catalogue:
    """The datasets of one lake, a checksummed file each.

    Parameters
    ----------
    lake
        The lake whose versions are pinned.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._folder = lake.root / FOLDER

    def lock(self) -> AbstractContextManager[None]:
        """Keep other writers of the catalogue, and retention, off for a ``with`` block."""
        return exclusive(self._folder / ".lock", timeout_s=LOCK_TIMEOUT_S)

    def create(
        self,
        name: str,
        tables: Sequence[str] | None = None,
        as_of: datetime | None = None,
        *,
        description: str = "",
        tags: Sequence[str] = (),
    ) -> Dataset:
        """Pin what ``tables`` say at ``as_of`` under ``name`` and return the dataset.

        Parameters
        ----------
        name
            Letters, digits, ``.``, ``_`` and ``-``; never used before.
        tables
            When None, every table of the lake of which anything was known by then.
        as_of
            Now, when None.
        description, tags
            For people.

        Raises
        ------
        LakeError
            When the name is taken or bad, ``as_of`` is in the future, a table does not exist or was not known by then.
        """
        path = self._folder / f"{checked_name('dataset', name)}.json"
        now = utc_now()
        instant = now if as_of is None else in_utc("as_of", as_of)
        if instant > now:
            raise LakeError(
                f"as_of {instant.isoformat(timespec='seconds')} is in the future, it is "
                f"{now.isoformat(timespec='seconds')} now: what will be known then is not known yet",
                "name an instant up to now, or none to pin what is known now",
            )
        with self.lock():
            if path.exists():
                raise LakeError(f"dataset {name} exists already", "choose another name: a dataset never changes")
            if tables is not None:
                chosen = list(dict.fromkeys(tables))
            else:
                chosen = [table for table in self._lake.tables() if was_known(self._lake, table, instant)]
            if not chosen:
                raise LakeError(
                    f"dataset {name} would hold no table", "name some, load the lake first, or ask for a later instant"
                )
            made = Dataset(
                name=name,
                description=description,
                created_at=utc_now(),
                as_of=instant,
                tables={table: _pins(self._lake.current(table, as_of=instant)) for table in chosen},
                tags=tuple(dict.fromkeys(tags)),
            )
            self._store(made)
        return made

    def list(self) -> Sequence[Dataset]:
        """Return every dataset, by name."""
        return [self.show(path.stem) for path in sorted(self._folder.glob("*.json"))]

    def show(self, name: str) -> Dataset:
        """Return the dataset called ``name``.

        Raises
        ------
        LakeError
            When there is none, or its file is damaged.
        """
        path = self._folder / f"{checked_name('dataset', name)}.json"
        try:
            body = read_sealed(path, what="dataset", formats=(FORMAT,))
        except FileNotFoundError:
            known = ", ".join(sorted(other.stem for other in self._folder.glob("*.json"))) or "none yet"
            raise LakeError(f"there is no dataset {name}", f"choose one of: {known}") from None
        return Dataset(
            name=body["name"],
            description=body["description"],
            created_at=datetime.fromisoformat(body["created_at"]),
            as_of=datetime.fromisoformat(body["as_of"]),
            tables={
                table: {partition: Pin(**pin) for partition, pin in pins.items()}
                for table, pins in body["tables"].items()
            },
            tags=tuple(body["tags"]),
            references=tuple(
                Reference(item["kind"], item["id"], datetime.fromisoformat(item["at"])) for item in body["references"]
            ),
        )

    def diff(self, first: str, second: str) -> dict[str, TableComparison]:
        """Return, by table, which partitions two datasets pin alike; rows are compared by ``diff.diff_versions``."""
        before, after = self.show(first).tables, self.show(second).tables
        return {table: _compared(before.get(table, {}), after.get(table, {})) for table in sorted({*before, *after})}

    def tag(self, name: str, tag: str) -> Dataset:
        """Add ``tag`` to a dataset and return it."""
        if not tag.strip():
            raise LakeError(f"tag {tag!r} is empty", "give a word")
        return self._changed(name, lambda found: replace(found, tags=tuple(dict.fromkeys([*found.tags, tag]))))

    def add_reference(self, name: str, kind: ReferenceKind, id: str) -> Dataset:  # noqa: A002 (what it is)
        """Record that a run, model or report was made from a dataset, and return the dataset."""
        if kind not in get_args(ReferenceKind):
            raise LakeError(f"reference kind {kind!r} is unknown", f"use one of {', '.join(get_args(ReferenceKind))}")
        added = Reference(kind, id, utc_now())

        def with_reference(found: Dataset) -> Dataset:
            if any((item.kind, item.id) == (kind, id) for item in found.references):
                return found
            return replace(found, references=(*found.references, added))

        return self._changed(name, with_reference)

    def remove_reference(self, name: str, kind: ReferenceKind, id: str) -> Dataset:  # noqa: A002
        """Forget that a run, model or report was made from a dataset, and return the dataset."""

        def without_reference(found: Dataset) -> Dataset:
            kept = tuple(item for item in found.references if (item.kind, item.id) != (kind, id))
            if len(kept) == len(found.references):
                there = ", ".join(f"{item.kind} {item.id}" for item in found.references) or "it has none"
                raise LakeError(f"dataset {name} has no reference {kind} {id}", f"choose one of: {there}")
            return replace(found, references=kept)

        return self._changed(name, without_reference)

    def delete(self, name: str) -> Dataset:
        """Remove a dataset and return what it was; its rows stay until retention finds them past their time.

        Raises
        ------
        LakeError
            While a model or a run refers to it.
        """
        with self.lock():
            found = self.show(name)
            binding = [f"{item.kind} {item.id}" for item in found.references if item.kind in BINDING]
            if binding:
                raise LakeError(
                    f"dataset {name} is what {', '.join(binding)} was made from",
                    "keep it; once they are gone for good, take each off with `ljwx data unreference`",
                )
            (self._folder / f"{name}.json").unlink()
            sync_folder(self._folder)
        return found

    def read(
        self,
        name: str,
        table: str,
        *,
        columns: Sequence[str] | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> pd.DataFrame:
        """Return a table as the dataset pins it; ``columns``, ``first`` and ``last`` as in ``Lake.read``."""
        return read_versions(self.versions(name, table), columns=columns, first=first, last=last)

    def versions(self, name: str, table: str) -> Sequence[TableVersion]:
        """Return the versions a dataset pins of ``table``, by partition.

        Raises
        ------
        LakeError
            When it does not hold the table, or the lake no longer has a pinned version with the pinned content.
        """
        found = self.show(name)
        if table not in found.tables:
            raise LakeError(f"dataset {name} has no table {table}", f"choose one of: {', '.join(found.tables)}")
        there = {(item.partition, item.version): item for item in self._lake.versions(table)}
        versions = []
        for partition, pin in sorted(found.tables[table].items()):
            version = there.get((partition, pin.version))
            if version is None or version.content_hash != pin.content_hash:
                raise LakeError(
                    f"dataset {name} pins version {pin.version} of {table}/{partition} with content "
                    f"{pin.content_hash[:12]}, which the lake does not hold",
                    "restore the partition's folder from a backup",
                )
            versions.append(version)
        return versions

    def pins(self) -> set[tuple[str, str, int]]:
        """Return every (table, partition, version) that a dataset keeps."""
        return {
            (table, partition, pin.version)
            for dataset in self.list()
            for table, pins in dataset.tables.items()
            for partition, pin in pins.items()
        }

    def _changed(self, name: str, change: Callable[[Dataset], Dataset]) -> Dataset:
        with self.lock():
            found = self.show(name)
            changed = change(found)
            if changed != found:
                self._store(changed)
        return changed

    def _store(self, dataset: Dataset) -> None:
        write_bytes(self._folder / f"{dataset.name}.json", sealed({"format": FORMAT, **dataset.as_dict()}))


def was_known(lake: Lake, table: str, instant: datetime) -> bool:
    """Return whether anything of ``table`` was known at ``instant``, be it that retention removed it since."""
    return lake.holds(table) and any(partition.known_by(instant) is not None for partition in lake.partitions(table))


def _pins(versions: Sequence[TableVersion]) -> dict[str, Pin]:
    return {item.partition: Pin(item.version, item.rows, item.content_hash) for item in versions}


def _compared(first: Mapping[str, Pin], second: Mapping[str, Pin]) -> TableComparison:
    both = sorted(first.keys() & second.keys())
    return TableComparison(
        same=tuple(name for name in both if first[name].content_hash == second[name].content_hash),
        changed=tuple(name for name in both if first[name].content_hash != second[name].content_hash),
        only_first=tuple(sorted(first.keys() - second.keys())),
        only_second=tuple(sorted(second.keys() - first.keys())),
    )
