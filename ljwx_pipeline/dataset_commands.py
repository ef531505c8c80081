"""The bodies of ``ljwx data list | show | create | tag | unreference | delete | diff``: pins, and what changed since.

Not here: the other commands of the lake (``data_commands.py``), pinning and comparing themselves (``lake/``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, get_args

from ljwx_pipeline.clock import SHANGHAI, utc_now
from ljwx_pipeline.command_output import cell, grid, show_result
from ljwx_pipeline.errors import LakeError

if TYPE_CHECKING:  # the lake costs pandas and pyarrow: loaded when a command runs, not when the parser is built
    from ljwx_pipeline.lake import Catalogue, Dataset, Lake, TableVersion
    from ljwx_pipeline.lake.diff import TableDiff

LakeBody = Callable[["Lake", argparse.Namespace], int]
SAMPLE_LINES = 10
#: More tables than this are counted where datasets are listed.
NAMED_TABLES = 3
EMPTY = "the lake holds no table yet"


def add_dataset_commands(command: Callable[[str, LakeBody, str], argparse.ArgumentParser]) -> None:
    """Add the commands.

    Parameters
    ----------
    command
        Makes the parser of one command on a lake, with the options that name it and ``--json``.
    """
    command("list", _list, "every dataset")
    show = command("show", _show, "one dataset: what it pins and what was made from it")
    show.add_argument("name", metavar="NAME")
    create = command("create", _create, "pin what tables say at an instant under a name")
    create.add_argument("name", metavar="NAME")
    create.add_argument("--tables", nargs="+", metavar="TABLE", help="default: every table")
    create.add_argument("--as-of", metavar="INSTANT", help="default: now; a date means its end in Asia/Shanghai")
    create.add_argument("--description", default="", metavar="TEXT")
    compare = command("diff", _diff, "what changed between two datasets or instants, and who read the old rows")
    compare.add_argument("before", metavar="A", help="a dataset, an instant, a date or 'now'")
    compare.add_argument("after", metavar="B")
    compare.add_argument("--table", metavar="TABLE", help="default: every table")
    tag = command("tag", _tag, "add a tag to a dataset")
    tag.add_argument("name", metavar="NAME")
    tag.add_argument("tag", metavar="TAG")
    off = command("unreference", _unreference, "forget that a model, run or report was made from a dataset: it is gone")
    off.add_argument("name", metavar="NAME")
    gone = off.add_mutually_exclusive_group(required=True)
    for kind, metavar in (("model", "MODEL/VERSION"), ("run", "RUN"), ("report", "REPORT")):
        gone.add_argument(f"--{kind}", metavar=metavar, help=f"the {kind} as `ljwx data show` names it")
    delete = command("delete", _delete, "remove a dataset that no run or model was made from")
    delete.add_argument("name", metavar="NAME")


def instant_of(text: str) -> datetime:
    """Return the instant ``text`` names: ``now``, an ISO instant, or a date, which means its end.

    Without a zone it is Asia/Shanghai.

    Raises
    ------
    LakeError
        When it is none of these.
    """
    if text == "now":
        return utc_now()
    try:
        found = datetime.fromisoformat(text)
        if _is_date(text):
            found = datetime.combine(found.date() + timedelta(days=1), time(), SHANGHAI) - timedelta(microseconds=1)
        found = found if found.tzinfo is not None else found.replace(tzinfo=SHANGHAI)
        found.astimezone(UTC)  # an instant at the end of time has none
    except (ValueError, OverflowError):
        raise LakeError(f"{text!r} is no dataset and no instant", "see `ljwx data list`, or write 2024-01-31") from None
    return found


def _is_date(text: str) -> bool:
    """Return whether ``text`` names a day, in whatever of ISO's forms, and no time of it."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class _Side:
    """One side of a comparison: its name, its tables, and the versions of one of them."""

    label: str
    tables: tuple[str, ...]
    versions: Callable[[str], Sequence[TableVersion]]


def _catalogue(lake: Lake) -> Catalogue:
    from ljwx_pipeline.lake import Catalogue

    return Catalogue(lake)


def require_tables(lake: Lake, names: Sequence[str]) -> None:
    """Raise for a table that is not in the lake, naming those that are."""
    held = lake.tables()
    for name in names:
        if name not in held:
            remedy = (
                f"choose one of: {', '.join(held)}" if held else "it holds none yet: run `ljwx run` or `ljwx backfill`"
            )
            raise LakeError(f"table {name} is not in the lake {lake.root}", remedy)


def _list(lake: Lake, arguments: argparse.Namespace) -> int:
    found = _catalogue(lake).list()
    lines = [
        [
            item.name,
            item.created_at.isoformat(timespec="seconds"),
            cell(sum(pin.rows for pins in item.tables.values() for pin in pins.values())),
            _tables(tuple(item.tables)),
            ", ".join(item.tags),
            cell(len(item.references)),
            item.description,
        ]
        for item in found
    ]
    headers = ["dataset", "created at (UTC)", "rows", "tables", "tags", "references", "description"]
    text = grid(headers, lines) if found else "no dataset yet: make one with `ljwx data create NAME`"
    return show_result(arguments, {"datasets": [item.as_dict() for item in found]}, text)


def _tables(names: Sequence[str]) -> str:
    """Return a few tables by name, many by number: a line of twelve names is wider than any terminal."""
    return ", ".join(names) if len(names) <= NAMED_TABLES else f"{len(names)} (see `ljwx data show`)"


def _show(lake: Lake, arguments: argparse.Namespace) -> int:
    return _show_dataset(arguments, _catalogue(lake).show(arguments.name))


def _create(lake: Lake, arguments: argparse.Namespace) -> int:
    as_of = None if arguments.as_of is None else instant_of(arguments.as_of)
    require_tables(lake, arguments.tables or ())
    made = _catalogue(lake).create(arguments.name, arguments.tables, as_of, description=arguments.description)
    return _show_dataset(arguments, made)


def _tag(lake: Lake, arguments: argparse.Namespace) -> int:
    return _show_dataset(arguments, _catalogue(lake).tag(arguments.name, arguments.tag))


def _unreference(lake: Lake, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.lake.catalogue import ReferenceKind

    kinds: tuple[ReferenceKind, ...] = get_args(ReferenceKind)
    ((kind, name),) = [(kind, getattr(arguments, kind)) for kind in kinds if getattr(arguments, kind) is not None]
    return _show_dataset(arguments, _catalogue(lake).remove_reference(arguments.name, kind, name))


def _delete(lake: Lake, arguments: argparse.Namespace) -> int:
    gone = _catalogue(lake).delete(arguments.name)
    return show_result(arguments, {"deleted": gone.name}, f"dataset {gone.name} is gone; its rows stay until retention")


def _show_dataset(arguments: argparse.Namespace, dataset: Dataset) -> int:
    heading = [
        f"dataset     {dataset.name}",
        f"description {dataset.description or '-'}",
        f"created at  {dataset.created_at.isoformat(timespec='seconds')}",
        f"as of       {dataset.as_of.isoformat(timespec='seconds')}",
        f"content     {dataset.content_hash[:16]}",
        f"tags        {', '.join(dataset.tags) or '-'}",
        f"used by     {', '.join(f'{item.kind} {item.id}' for item in dataset.references) or 'nothing yet'}",
    ]
    lines = [
        [table, cell(len(pins)), cell(sum(pin.rows for pin in pins.values())), dataset.table_hash(table)[:16]]
        for table, pins in dataset.tables.items()
    ]
    text = "\n".join([*heading, "", grid(["table", "partitions", "rows", "content"], lines)])
    return show_result(arguments, dataset.as_dict(), text)


def _diff(lake: Lake, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.lake.diff import diff_versions

    before, after = _side(lake, arguments.before), _side(lake, arguments.after)
    tables = [arguments.table] if arguments.table else sorted({*before.tables, *after.tables})
    found: list[TableDiff] = []
    only: dict[str, str] = {}
    for table in tables:
        holders = [side for side in (before, after) if table in side.tables]
        if not holders:
            known = ", ".join(sorted({*before.tables, *after.tables})) or "none was known then"
            raise LakeError(f"neither {before.label} nor {after.label} has a table {table}", f"choose one of: {known}")
        if len(holders) == 1:
            only[table] = holders[0].label
        else:
            found.append(diff_versions(lake, before.versions(table), after.versions(table)))
    body = {
        "before": before.label,
        "after": after.label,
        "tables": [item.as_dict() for item in found],
        "only_in": only,
    }
    parts = [_diff_text(item) for item in found]
    parts += [f"{table}: only in {label}" for table, label in only.items()]
    return show_result(arguments, body, "\n\n".join([f"{before.label} -> {after.label}", *(parts or [EMPTY])]))


def _side(lake: Lake, text: str) -> _Side:
    from ljwx_pipeline.lake.catalogue import was_known

    catalogue = _catalogue(lake)
    if text in {dataset.name for dataset in catalogue.list()}:
        return _Side(text, tuple(catalogue.show(text).tables), lambda table: catalogue.versions(text, table))
    instant = instant_of(text)
    known = tuple(table for table in lake.tables() if was_known(lake, table, instant))
    return _Side(text, known, lambda table: lake.current(table, as_of=instant))


def _diff_text(found: TableDiff) -> str:
    if found.is_empty:
        return f"{found.table}: the same {found.rows_after:,} rows"
    body = found.as_dict()
    lines = [
        f"{found.table}: {found.rows_before:,} -> {found.rows_after:,} rows; {found.added:,} added, "
        f"{found.removed:,} removed, {found.changed:,} changed; partitions: {', '.join(found.partitions)}"
    ]
    if body["changed_by_column"]:
        counts = [f"{name} {count:,}" for name, count in body["changed_by_column"].items()]
        lines.append(f"  rows changed by column: {', '.join(counts)}")
    sides = ("columns_added", "columns_removed")
    lines += [f"  {name.replace('_', ' ')}: {', '.join(body[name])}" for name in sides if body[name]]
    for row in body["changed_sample"][:SAMPLE_LINES]:
        moves = [f"{name} {cell['before']} -> {cell['after']}" for name, cell in row["columns"].items()]
        lines.append(f"  ~ {pairs(row['key'])}: {'; '.join(moves)}")
    lines += [f"  + {pairs(row)}" for row in body["added_sample"][:SAMPLE_LINES]]
    lines += [f"  - {pairs(row)}" for row in body["removed_sample"][:SAMPLE_LINES]]
    readers = [f"{item['reader']} (run {item['run_id']}, {item['at'][:19]})" for item in body["readers"]]
    lines.append(f"  the old rows were read by: {', '.join(readers) or 'nobody on record'}")
    return "\n".join(lines)


def pairs(row: Mapping[str, Any]) -> str:
    """Return a row's values by name, for a line of text."""
    return ", ".join(f"{name} {value}" for name, value in row.items())
