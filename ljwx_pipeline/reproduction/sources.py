"""Which rows of the lake differ between what a model version pinned and what a replay sees.

Not here: pinning (``lake/catalogue.py``), comparing rows (``lake/diff.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake import Catalogue, Lake
from ljwx_pipeline.lake.catalogue import Dataset, was_known
from ljwx_pipeline.lake.diff import RowChange, TableDiff, diff_versions, plain_values
from ljwx_pipeline.lake.keys import SORT_KEYS
from ljwx_pipeline.lake.partition import Partition
from ljwx_pipeline.reproduction.target import Original

#: Rows of a partition, and sentences in all, that are spelled out.
SHOWN_ROWS, SHOWN = 3, 12
#: Tables without which no step begins.
NEEDED = ("calendar", "raw_bars")


def require_held(original: Original, as_of: str) -> None:
    """Raise ``LakeError`` unless the lake still holds all that was known at ``as_of``.

    Raises
    ------
    LakeError
        When the lake is gone, held nothing or not all of ``NEEDED`` yet, or retention removed a version that was the
        newest then.
    """
    instant, lake = datetime.fromisoformat(as_of), Lake(original.home / "lake")
    if not lake.root.is_dir():
        raise LakeError(f"{lake.root} is gone: the data of {original.name} with it", "restore the market's lake")
    known = [table for table in lake.tables() if was_known(lake, table, instant)]
    late = [table for table in NEEDED if lake.holds(table) and table not in known]
    if late or not known:
        versions = {table: [v for one in lake.partitions(table) for v in one.versions] for table in lake.tables()}
        first = [min(version.known_at for version in held) for held in versions.values() if held]
        lacking = " and ".join(f"no {table}" for table in late) or "nothing"
        raise LakeError(
            f"the lake of {original.market} held {lacking} at {as_of}",
            f"name an instant from {max(first).isoformat()} on" if first else "fill it: `ljwx run`",
        )
    for table in known:
        lake.current(table, as_of=instant)


def source_differences(original: Original, as_of: str) -> tuple[str, ...]:
    """Return a sentence for each row, or partition, in which the lake at ``as_of`` is not what the run pinned."""
    lake = Lake(original.home / "lake")
    pinned = _pinned(lake, original.run.run_id)
    if pinned is None:
        return ("the hash of the data is another, and no pinned dataset says which rows the run saw",)
    said = [sentence for table in pinned.tables for sentence in _of_table(lake, pinned, table, as_of)]
    if not said:
        return (
            "every pinned table of the lake is the same: what passed the checks is not (settings of quality, rows let "
            "out of quarantine, or the code of the checks)",
        )
    return tuple(said[:SHOWN])


def _pinned(lake: Lake, run_id: str) -> Dataset | None:
    for dataset in Catalogue(lake).list():
        if any(item.kind == "run" and item.id == run_id for item in dataset.references):
            return dataset
    return None


def _of_table(lake: Lake, pinned: Dataset, table: str, as_of: str) -> Iterator[str]:
    instant = datetime.fromisoformat(as_of)
    seen = (
        {item.partition: item for item in lake.current(table, as_of=instant)} if was_known(lake, table, instant) else {}
    )
    pins = pinned.tables[table]
    for partition in sorted({*pins, *seen}):
        pin, now = pins.get(partition), seen.get(partition)
        if pin is not None and now is not None and pin.content_hash == now.content_hash:
            continue
        where = table if partition == "all" else f"{table} {partition[:7]}"
        if pin is None or now is None:
            yield f"{where}: {'new since' if pin is None else 'not known'} at {as_of}"
            continue
        held = [
            item
            for item in Partition(lake.partition_folder(table, partition)).versions
            if item.content_hash == pin.content_hash
        ]
        if not held or table not in SORT_KEYS:
            yield f"{where}: version {pin.version} was pinned, version {now.version} is seen"
            continue
        yield from _rows(where, diff_versions(lake, held[-1:], [now], sample_rows=SHOWN_ROWS))


def _rows(where: str, found: TableDiff) -> Iterator[str]:
    counts = f"{where}: {found.changed} rows changed, {found.added} new, {found.removed} gone"
    for change in found.changed_sample:
        yield f"{counts}; {_key(change)} {_columns(change)}"
    for row, what in [(row, "new") for row in found.added_sample] + [(row, "gone") for row in found.removed_sample]:
        yield f"{counts}; {what}: {plain_values(row)}"


def _key(change: RowChange) -> str:
    return " ".join(str(value) for value in plain_values(change.key).values())


def _columns(change: RowChange) -> str:
    return ", ".join(f"{name} {before} then, {after} now" for name, (before, after) in change.columns.items())
