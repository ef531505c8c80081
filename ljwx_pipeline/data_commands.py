"""The bodies of ``ljwx data ...``: what the lake holds, datasets, differences, upkeep and the story of one row.

Each command gathers one plain structure and prints it as JSON or as a table. Not here: whether the rows are good
(``quality_commands.py``, added below the same word), the rest of the command line (``cli.py``), fetching.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.clock import SHANGHAI, utc_now
from ljwx_pipeline.command_output import cell, day_of, grid, show_result, size_text
from ljwx_pipeline.config import Settings, load_settings, market_home
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.quality_commands import add_quality_commands

if TYPE_CHECKING:  # the lake costs pandas and pyarrow: loaded when a command runs, not when the parser is built
    from ljwx_pipeline.lake import Catalogue, Dataset, Lake, TableVersion
    from ljwx_pipeline.lake.diff import TableDiff

SAMPLE_LINES = 10
EMPTY = "the lake holds no table yet"


def _add_profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", metavar="NAME", help="profiles/NAME.toml over ljwx.toml (default: simulated)")


def _load(arguments: argparse.Namespace) -> Settings:
    return load_settings(profile=arguments.profile)


def _load_other(_arguments: argparse.Namespace, profile: str) -> Settings:
    return load_settings(profile=profile)


def add_data_commands(
    subparsers: Any,
    *,
    add_settings_options: Callable[[argparse.ArgumentParser], None] = _add_profile,
    settings_of: Callable[[argparse.Namespace], Settings] = _load,
    other_settings_of: Callable[[argparse.Namespace, str], Settings] = _load_other,
) -> None:
    """Add ``data`` and its commands to the command line.

    Parameters
    ----------
    subparsers
        What ``ArgumentParser.add_subparsers`` returned.
    add_settings_options, settings_of
        How the command line names a profile and reads it; a profile is a market, and a market has one lake.
    other_settings_of
        How it reads a second profile, to compare with, under the same options.
    """
    data = subparsers.add_parser("data", help="what the lake holds, how good it is, what changed, upkeep")
    commands = data.add_subparsers(required=True, metavar="DATA_COMMAND")

    def add(name: str, body: Callable[[Settings, argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
        add_settings_options(parser)
        parser.add_argument("--json", action="store_true", help="print the machine-readable form")
        parser.set_defaults(handler=lambda arguments: body(settings_of(arguments), arguments))
        return parser

    def command(name: str, body: Callable[[Lake, argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        parser = add(
            name, lambda settings, arguments: body(_lake_of(settings, checked=arguments.checked), arguments), text
        )
        parser.add_argument(
            "--checked", action="store_true", help="of the lake of judged rows: bars, quarantine, scores, breaches"
        )
        return parser

    add_quality_commands(add, other_settings_of=other_settings_of)

    command("tables", _tables, "tables with partitions, versions, rows, sessions and size")
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
    delete = command("delete", _delete, "remove a dataset that no run or model was made from")
    delete.add_argument("name", metavar="NAME")
    compact = command("compact", _compact, "make one file of the many that daily appends left; no reader notices")
    compact.add_argument("--table", metavar="TABLE", help="default: every table")
    retain = command("retain", _retain, "remove versions superseded long ago; without --yes only say which")
    retain.add_argument("--keep-days", type=float, required=True, metavar="N", help="days a superseded version stays")
    choice = retain.add_mutually_exclusive_group()
    choice.add_argument("--dry-run", action="store_true", help="only say what would be removed (the default)")
    choice.add_argument("--yes", action="store_true", help="remove it: reads as of earlier instants will be refused")
    history = command("history", _history, "every version of one row, with the instant it became known")
    history.add_argument("table", metavar="TABLE")
    history.add_argument("--symbol", required=True, metavar="S")
    history.add_argument("--session", required=True, metavar="D", help="YYYY-MM-DD")


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


def _lake_of(settings: Settings, *, checked: bool) -> Lake:
    from ljwx_pipeline.lake import Lake

    return Lake(market_home(settings) / ("checked" if checked else "lake"))


def _catalogue(lake: Lake) -> Catalogue:
    from ljwx_pipeline.lake import Catalogue

    return Catalogue(lake)


def _require_tables(lake: Lake, names: Sequence[str]) -> None:
    """Raise for a table that is not in the lake, naming those that are."""
    held = lake.tables()
    for name in names:
        if name not in held:
            remedy = (
                f"choose one of: {', '.join(held)}" if held else "it holds none yet: run `ljwx run` or `ljwx backfill`"
            )
            raise LakeError(f"table {name} is not in the lake {lake.root}", remedy)


def _tables(lake: Lake, arguments: argparse.Namespace) -> int:
    found = [_described(lake, table) for table in lake.tables()]
    columns = ("table", "partitions", "versions", "files", "rows", "first_session", "last_session", "last_known_at")
    lines = [[*(cell(entry[name]) for name in columns), size_text(entry["size_bytes"])] for entry in found]
    headers = ["table", "partitions", "versions", "files", "rows", "first", "last", "last known at (UTC)", "size"]
    return show_result(arguments, {"tables": found}, grid(headers, lines) if found else EMPTY)


def _described(lake: Lake, table: str) -> dict[str, Any]:
    versions = lake.versions(table)
    current = lake.current(table)
    spans = [version.sessions for version in current if version.sessions is not None]
    paths = {path for version in versions for path in version.paths}
    return {
        "table": table,
        "partitions": len(current),
        "versions": len(versions),
        "files": sum(len(version.files) for version in current),
        "rows": sum(version.rows for version in current),
        "first_session": min(first for first, _ in spans).isoformat() if spans else None,
        "last_session": max(last for _, last in spans).isoformat() if spans else None,
        "last_known_at": max(version.known_at for version in versions).isoformat(timespec="seconds"),
        "size_bytes": sum(path.stat().st_size for path in paths if path.exists()),
    }


def _list(lake: Lake, arguments: argparse.Namespace) -> int:
    found = _catalogue(lake).list()
    lines = [
        [
            item.name,
            item.created_at.isoformat(timespec="seconds"),
            cell(sum(pin.rows for pins in item.tables.values() for pin in pins.values())),
            ", ".join(item.tables),
            ", ".join(item.tags),
            cell(len(item.references)),
            item.description,
        ]
        for item in found
    ]
    headers = ["dataset", "created at (UTC)", "rows", "tables", "tags", "references", "description"]
    text = grid(headers, lines) if found else "no dataset yet: make one with `ljwx data create NAME`"
    return show_result(arguments, {"datasets": [item.as_dict() for item in found]}, text)


def _show(lake: Lake, arguments: argparse.Namespace) -> int:
    return _show_dataset(arguments, _catalogue(lake).show(arguments.name))


def _create(lake: Lake, arguments: argparse.Namespace) -> int:
    as_of = None if arguments.as_of is None else instant_of(arguments.as_of)
    if as_of is not None and as_of > utc_now():
        raise LakeError(f"{arguments.as_of} is in the future", "nobody knows yet what will be known then")
    _require_tables(lake, arguments.tables or ())
    made = _catalogue(lake).create(arguments.name, arguments.tables, as_of, description=arguments.description)
    return _show_dataset(arguments, made)


def _tag(lake: Lake, arguments: argparse.Namespace) -> int:
    return _show_dataset(arguments, _catalogue(lake).tag(arguments.name, arguments.tag))


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
        f"made from it: {', '.join(f'{item.kind} {item.id}' for item in dataset.references) or 'nothing yet'}",
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
        lines.append(f"  ~ {_pairs(row['key'])}: {'; '.join(moves)}")
    lines += [f"  + {_pairs(row)}" for row in body["added_sample"][:SAMPLE_LINES]]
    lines += [f"  - {_pairs(row)}" for row in body["removed_sample"][:SAMPLE_LINES]]
    readers = [f"{item['reader']} (run {item['run_id']}, {item['at'][:19]})" for item in body["readers"]]
    lines.append(f"  the old rows were read by: {', '.join(readers) or 'nobody on record'}")
    return "\n".join(lines)


def _compact(lake: Lake, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.lake.compaction import compact

    done, tables = [], [arguments.table] if arguments.table else lake.tables()
    _require_tables(lake, tables)
    for table in tables:
        for version in lake.current(table):
            if len(version.files) > 1:
                compact(lake, table, version.partition)
                done.append({"table": table, "partition": version.partition, "files_before": len(version.files)})
    lines = [[str(item["table"]), str(item["partition"]), f"{item['files_before']} -> 1"] for item in done]
    nothing = "every partition is one file already" if tables else EMPTY
    text = grid(["table", "partition", "files"], lines) if done else nothing
    return show_result(arguments, {"compacted": done}, text)


def _retain(lake: Lake, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.lake.retention import retain

    removal = retain(lake, keep_days=arguments.keep_days, dry_run=not arguments.yes)
    lines = [
        [table, partition, cell(number), known_at.isoformat(timespec="seconds")]
        for table, partition, number, known_at in removal.versions
    ]
    verb = "would remove" if removal.dry_run else "removed"
    text = [
        *([grid(["table", "partition", "version", "known at (UTC)"], lines), ""] if lines else []),
        f"{verb} {len(removal.versions)} versions and {len(removal.files)} files, {size_text(removal.size_bytes)}; "
        f"{removal.kept_for_datasets} kept because datasets pin them",
    ]
    if removal.dry_run and removal.files:
        text.append("nothing was touched: repeat with --yes to remove it")
    return show_result(arguments, removal.as_dict(), "\n".join(text))


def _history(lake: Lake, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.lake.diff import plain_values
    from ljwx_pipeline.lake.row_history import row_history

    session = day_of(arguments.session, "--session")
    _require_tables(lake, [arguments.table])
    story = row_history(lake, arguments.table, symbol=arguments.symbol, session=session)
    told: list[dict[str, Any]] = [
        {
            "known_at": item.known_at.isoformat(),
            "partition": item.partition,
            "version": item.version,
            "rows": [plain_values(row) for row in item.rows],
        }
        for item in story
    ]
    lines = [f"{arguments.table}, {arguments.symbol} on {session}:"]
    said: Mapping[str, Any] = {}
    for entry in told:
        lines.append(f"  known at {entry['known_at'][:19]} UTC, version {entry['version']} of {entry['partition']}:")
        rows = entry["rows"]
        lines += [f"    {_restated(said, row)}" for row in rows] or ["    the row was taken out"]
        said = rows[0] if len(rows) == 1 else {}
    body = {"table": arguments.table, "symbol": arguments.symbol, "session": session.isoformat(), "versions": told}
    return show_result(arguments, body, "\n".join(lines))


def _restated(said: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    if not said:
        return _pairs(row)
    moves = [f"{name} {said.get(name)} -> {value}" for name, value in row.items() if said.get(name) != value]
    return "; ".join(moves)


def _pairs(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items())
