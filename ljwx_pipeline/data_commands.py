"""The bodies of ``ljwx data ...``: what the lake holds, upkeep and the story of one row.

Each command gathers one plain structure and prints it as JSON or as a table. Added below the same word: datasets and
differences (``dataset_commands.py``), whether the rows are good (``quality_commands.py``), two providers side by side
(``reconcile_commands.py``). Not here: the rest of the command line (``cli.py``), fetching.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.command_output import cell, day_of, grid, show_result, size_text
from ljwx_pipeline.config import Settings, load_settings, market_home
from ljwx_pipeline.dataset_commands import add_dataset_commands, pairs, require_tables
from ljwx_pipeline.quality_commands import add_quality_commands
from ljwx_pipeline.reconcile_commands import add_reconcile_command

if TYPE_CHECKING:  # the lake costs pandas and pyarrow: loaded when a command runs, not when the parser is built
    from ljwx_pipeline.lake import Lake


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

    add_quality_commands(add)
    add_reconcile_command(add, other_settings_of=other_settings_of)

    command("tables", _tables, "tables with partitions, versions, rows, sessions and size")
    add_dataset_commands(command)
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


def _lake_of(settings: Settings, *, checked: bool) -> Lake:
    from ljwx_pipeline.lake import Lake

    return Lake(market_home(settings) / ("checked" if checked else "lake"))


def _tables(lake: Lake, arguments: argparse.Namespace) -> int:
    found = [_described(lake, table) for table in lake.tables()]
    columns = ("table", "partitions", "versions", "files", "rows", "first_session", "last_session", "last_known_at")
    lines = [[*(cell(entry[name]) for name in columns), size_text(entry["size_bytes"])] for entry in found]
    headers = ["table", "partitions", "versions", "files", "rows", "first", "last", "last known at (UTC)", "size"]
    return show_result(arguments, {"tables": found}, grid(headers, lines) if found else _nothing(lake))


def _nothing(lake: Lake) -> str:
    from ljwx_pipeline.known_markets import nothing_held

    return nothing_held(lake.root.parent)


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


def _compact(lake: Lake, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.lake.compaction import compact

    done, tables = [], [arguments.table] if arguments.table else lake.tables()
    require_tables(lake, tables)
    for table in tables:
        for version in lake.current(table):
            if len(version.files) > 1:
                compact(lake, table, version.partition)
                done.append({"table": table, "partition": version.partition, "files_before": len(version.files)})
    lines = [[str(item["table"]), str(item["partition"]), f"{item['files_before']} -> 1"] for item in done]
    nothing = "every partition is one file already" if tables else _nothing(lake)
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
    require_tables(lake, [arguments.table])
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
        return pairs(row)
    moves = [f"{name} {said.get(name)} -> {value}" for name, value in row.items() if said.get(name) != value]
    return "; ".join(moves)
