"""The bodies of ``ljwx live backup|backups|restore|models|rollback|analyse``: copies, models, what trading cost.

Not here: the runner itself (``live/main.py``), how a backup is made (``live/backups.py``), what a model's stage means
(``live/stages.py``), what is measured (``live/analysis/``), the strategies' commands (``live/strategy_commands.py``),
what a trader asks of a runner (``live_control_commands.py``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.command_output import cell, day_of, grid, show_result, size_text
from ljwx_pipeline.config import Settings, ljwx_home, market_home
from ljwx_pipeline.dataset_commands import instant_of
from ljwx_pipeline.errors import ConfigError, LakeError, LiveError, TradingError
from ljwx_pipeline.live_control_commands import add_live_control_commands

if TYPE_CHECKING:  # the runner costs SQLAlchemy: loaded when a command runs, not when the parser is built
    from sqlalchemy import Connection

    from ljwx_pipeline.live.analysis.against_backtest import Comparison
    from ljwx_pipeline.live.analysis.prices import Bars
    from ljwx_pipeline.live.backup_shelf import Backup
    from ljwx_pipeline.live.journal import DeployedBundle
    from ljwx_pipeline.live.restore import Until

Body = Callable[[Settings, argparse.Namespace], int]
#: Below the market's home: the session pack that the runner trades.
PACK_DIR = Path("live") / "feed"


def add_live_commands(
    live: argparse.ArgumentParser,
    *,
    add_settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: Callable[[argparse.Namespace], Settings],
) -> None:
    """Add the commands below ``live``, which runs the runner when it is given none.

    Parameters
    ----------
    live
        The parser of ``ljwx live``.
    add_settings_options, settings_of
        How the command line names a profile and reads it; a market has one journal.
    """
    commands = live.add_subparsers(metavar="LIVE_COMMAND")

    def add(name: str, body: Body, text: str) -> argparse.ArgumentParser:
        # what was given to `ljwx live` itself must not be taken back by an option left out here
        parser: argparse.ArgumentParser = commands.add_parser(
            name, help=text, description=text, argument_default=argparse.SUPPRESS
        )
        add_settings_options(parser)
        parser.add_argument("--json", action="store_true", default=False, help="print the machine-readable form")
        parser.set_defaults(handler=lambda arguments: body(settings_of(arguments), arguments))
        return parser

    backup = add("backup", _backup, "make a verified backup of the journal while the runner works")
    backup.add_argument("--reason", default="asked for", metavar="TEXT", help="kept with it")
    backup.add_argument("--dry-run", action="store_true", default=False, help="say what would be written, and stop")
    backups = add("backups", _backups, "the backups there are; --retain thins them out")
    backups.add_argument("--check", action="store_true", default=False, help="compare every file with its manifest")
    backups.add_argument(
        "--retain", action="store_true", default=False, help="say which live.backup_keep_* no longer keep"
    )
    backups.add_argument("--yes", action="store_true", default=False, help="with --retain: remove them")
    restore = add("restore", _restore, "a new journal as of an instant; the one there is stays as it is")
    until = restore.add_mutually_exclusive_group()
    until.add_argument(
        "--at",
        default=None,
        metavar="INSTANT",
        help="up to it (ISO; Shanghai time, UTC with a Z; a date means its end)",
    )
    until.add_argument("--seq", type=int, default=None, metavar="N", help="up to that event of the log")
    restore.add_argument(
        "--from-log", action="store_true", default=False, help="apply every event anew, starting from no backup"
    )
    restore.add_argument(
        "--into", default=None, metavar="PLACE", help="new file, or URL of a new database; default: beside the journal"
    )
    restore.add_argument("--dry-run", action="store_true", default=False, help="say what would be restored, and stop")
    add("models", _models, "which model holds which stage, how it scores beside the champion, and the verdict so far")
    rollback = add("rollback", _rollback, "make the former champion champion again, at once")
    rollback.add_argument("--strategy", default=None, metavar="NAME", help="whose; needed where they differ")
    rollback.add_argument("--dry-run", action="store_true", default=False, help="say what would be done, and stop")
    analyse = add(
        "analyse", _analyse, "what trading cost, how orders were filled, how fast, and the backtest beside it"
    )
    analyse.add_argument("--from", dest="first", default=None, metavar="D", help="first session (default: the first)")
    analyse.add_argument("--to", dest="last", default=None, metavar="D", help="last session (default: the last)")
    analyse.add_argument("--html", default=None, metavar="FILE", help="write a page with pictures, too")
    add_live_control_commands(add)
    add("strategies", _strategies, "who trades the account: state, share, worth and the newest session's result")
    add("reload", _reload, "let the runner read [live.strategies] again; in effect from the next close on")


def _backup(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.live.backup_shelf import Retention, surplus
    from ljwx_pipeline.live.backups import Backups
    from ljwx_pipeline.live.event_log import EventLog
    from ljwx_pipeline.live.events import BackupMade
    from ljwx_pipeline.live.migrate import HEAD, revision_of
    from ljwx_pipeline.live.places import journal_place, require_journal
    from ljwx_pipeline.live.store import Store

    place, folder = journal_place(settings, market_home(settings))
    require_journal(place)
    clock, store = SystemClock(), Store(place)
    try:
        kept = Backups(store, folder, clock)
        with store.reading() as connection:
            revision = revision_of(connection, store.name)
        if arguments.dry_run:
            planned = {"journal": store.name, "revision": revision, "into": str(folder), "dry_run": True}
            return show_result(arguments, planned, f"would back up {store.name} into {folder} and verify it")
        with _progress("hashing rows") as told:
            made = kept.make(arguments.reason, lambda table, rows: told(f"{table}: {rows:,}"))
        if revision == HEAD:
            event = BackupMade(name=made.name, reason=made.reason, upto_seq=made.upto_seq, size_bytes=made.size_bytes)
            EventLog(store, clock).append([event], None)
    finally:
        store.close()
    old = surplus(
        kept.shelf.listed(), Retention(settings.live.backup_keep_days, settings.live.backup_keep_months), clock.now()
    )
    kept.shelf.remove(old)
    body = {**_described(made), "folder": str(folder), "removed": [one.name for one in old]}
    rows = sum(one.rows for one in made.tables.values())
    text = (
        f"{folder / made.name}: {size_text(made.size_bytes)}, {rows:,} rows up to event {made.upto_seq}, restored once "
        "and found equal"
    )
    return show_result(arguments, body, text + (f"; {len(old)} older ones removed" if old else ""))


def _backups(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.live.backup_shelf import Retention, Shelf, surplus
    from ljwx_pipeline.live.places import journal_place

    if arguments.yes and not arguments.retain:
        raise ConfigError("--yes removes nothing by itself", "add --retain")
    shelf = Shelf(journal_place(settings, market_home(settings))[1])
    found = shelf.listed()
    retention = Retention(settings.live.backup_keep_days, settings.live.backup_keep_months)
    old = surplus(found, retention, SystemClock().now()) if arguments.retain else ()
    damaged: dict[str, str] = {}
    if arguments.check:
        with _progress("reading") as told:
            for one in found:
                told(one.name)
                try:
                    shelf.require_whole(one)
                except LiveError as error:
                    damaged[one.name] = str(error)
    if arguments.yes:
        shelf.remove(old)
    gone = {one.name for one in old}
    lines = [
        [one.name, one.at[:19], one.reason, cell(one.upto_seq), size_text(one.size_bytes), _state(one, gone, damaged)]
        for one in found
    ]
    body = {
        "folder": str(shelf.folder),
        "backups": [{**_described(one), "kept": one.name not in gone} for one in found],
        "removed": arguments.yes,
        "damaged": damaged,
    }
    text = [grid(["backup", "made at (UTC)", "reason", "up to event", "size", ""], lines)] if lines else []
    text += [] if lines else [f"{shelf.folder} holds no backup: `ljwx live backup` makes one"]
    if arguments.retain:
        verb = "removed" if arguments.yes else "would remove"
        text.append(f"{verb} {len(old)} of {len(found)}" + ("" if arguments.yes or not old else ": repeat with --yes"))
    text += list(damaged.values())
    show_result(arguments, body, "\n".join(text))
    return LiveError.exit_code if damaged else 0


def _strategies(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.live.strategy_commands import show_strategies

    return show_strategies(settings, arguments)


def _reload(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.live.strategy_commands import reload_strategies

    return reload_strategies(settings, arguments)


def _state(backup: Backup, gone: set[str], damaged: dict[str, str]) -> str:
    return "DAMAGED" if backup.name in damaged else "surplus" if backup.name in gone else ""


def _restore(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.live.places import journal_place, restored_place
    from ljwx_pipeline.live.restore import Restore

    place, folder = journal_place(settings, market_home(settings))
    clock = SystemClock()
    restore = Restore(place, folder, clock)
    into = restored_place(place, arguments.into, clock.now())
    with restore.planned(_until(arguments), from_log=arguments.from_log) as (plan, log):
        body: dict[str, Any] = {
            "log": plan.log,
            "base": None if plan.base is None else plan.base.name,
            "events": plan.events,
            "upto_seq": plan.upto_seq,
            "upto_at": plan.upto_at,
            "journal_fault": plan.fault,
            "into": str(into),
            "dry_run": arguments.dry_run,
        }
        if arguments.dry_run:
            return show_result(arguments, body, f"would make {into} of {plan.sentence()}")
        with _progress("applying event") as told:
            restore.carry_out(plan, log, into, lambda seq: told(f"{seq:,} of {plan.upto_seq:,}"))
    text = (
        f"{into}: {plan.sentence()}\n"
        "The old one is untouched. To trade on from the new one, end the runner, move the old one aside (its -wal and "
        "-shm, too) and put the new one in its place; the runner reconciles it with the broker before it sends anything"
    )
    return show_result(arguments, body, text)


def _models(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.live.model_report import model_report

    with _journal(settings) as connection:
        body = model_report(connection, settings.live.stages, settings.label)
    headers = ["model", "stage", "version", "bundle", "capital", "sessions", "rank corr.", "latency", "verdict"]
    lines = [
        [
            one["strategy"] or "(the market's)",
            one["stage"],
            one["model_version"],
            one["bundle_hash"][:12],
            f"{one['capital_share_bps'] / 100:g} %",
            _sessions_text(one),
            "-" if one["rank_correlation"] is None else f"{one['rank_correlation']:.3f}",
            "-" if one["latency_s"] is None else f"{one['latency_s'] * 1e3:.1f} ms",
            _verdict_text(one),
        ]
        for one in body["models"]
    ]
    text = [grid(headers, lines)] if lines else ["no model holds a stage"]
    text += [f"version {version} was withdrawn" for version in body["withdrawn"].values()]
    former = [(strategy, versions) for strategy, versions in body["former"].items() if versions]
    text += [f"former champion{f' of {of}' if of else ''}: version {versions[0]}" for of, versions in former]
    return show_result(arguments, body, "\n".join(text))


def _sessions_text(row: dict[str, Any]) -> str:
    wanted = row["wanted_sessions"]
    return "-" if wanted is None else f"{row['scored_sessions']} of {wanted}" if wanted else str(row["scored_sessions"])


def _verdict_text(row: dict[str, Any]) -> str:
    said = row["verdict"]
    if said is None:
        return "-"
    words = {"challenger": "better", "champion": "worse", "undecided": "undecided", "early": "too early"}[said]
    if row["rank_ic_difference"] is None:
        return f"{words}, {row['judged_sessions']} sessions matured"
    return (
        f"{words}: rank IC {row['rank_ic_difference']:+.4f} ({row['lower']:+.4f} to {row['upper']:+.4f}) over "
        f"{row['judged_sessions']} sessions"
    )


def _rollback(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.live.inbox import BUNDLES_DIR
    from ljwx_pipeline.live.places import LIVE_DIR
    from ljwx_pipeline.promotion.deploy import deploy
    from ljwx_pipeline.scoring.signing import signing_key

    with _journal(settings) as connection:
        back, now = _former(connection, arguments.strategy)
    live_dir = market_home(settings) / LIVE_DIR
    body = {
        "champion_before": None if now is None else now.model_version,
        "champion": back.model_version,
        "bundle_hash": back.bundle_hash,
    }
    note = "the registry's champion is unchanged: `ljwx rollback-model` moves both"
    if arguments.dry_run:
        text = f"version {back.model_version} would be champion again; {note}"
        return show_result(arguments, {**body, "dry_run": True}, text)
    done = deploy(
        live_dir / BUNDLES_DIR / back.bundle_hash,
        version=back.model_version,
        key=signing_key(ljwx_home() / "keys"),
        address=settings.ui.address(settings.ui.runner_port),
        live_dir=live_dir,
    )
    how = {
        "accepted": f"the runner took it at {done.how}",
        "already": "the runner had it",
        "spooled": f"no runner of this market answers: it lies in {done.how}, read before the next session trades",
    }[done.status]
    text = f"version {back.model_version} is champion again: {how}; {note}"
    return show_result(arguments, {**body, "status": done.status, "how": done.how}, text)


def _former(connection: Connection, strategy: str | None) -> tuple[DeployedBundle, DeployedBundle | None]:
    """Return the champion that a rollback brings back, and the one that it ends."""
    from ljwx_pipeline.live.stage_log import read_line, strategies_known

    known = strategies_known(connection)
    if strategy is not None and strategy not in known:
        named = ", ".join(one for one in known if one)
        raise LiveError(
            f"no bundle was ever staged for {strategy!r}",
            f"name one of: {named}" if named else "leave --strategy out: no model but the market's has any",
        )
    lines = [read_line(connection, one) for one in ([strategy] if strategy is not None else known)]
    found = {line.former[-1].bundle_hash: line for line in lines if line.former}
    if not found:
        raise LiveError("there is no former champion to go back to", "deploy one: `ljwx promote VERSION`")
    if len(found) > 1:
        names = ", ".join(line.strategy for line in found.values())
        raise LiveError(f"strategies have different former champions: {names}", "say which with --strategy NAME")
    (line,) = found.values()
    now = line.withdrawn if line.champion is None else line.champion.bundle
    return line.former[-1], now


@contextmanager
def _journal(settings: Settings) -> Iterator[Connection]:
    """One state of the market's journal, read beside the runner that writes it."""
    from ljwx_pipeline.live.migrate import HEAD, revision_of
    from ljwx_pipeline.live.places import journal_place, require_journal
    from ljwx_pipeline.live.store import Store

    place, _ = journal_place(settings, market_home(settings))
    require_journal(place)
    store = Store(place)
    try:
        with store.reading() as connection:
            revision = revision_of(connection, store.name)
            if revision != HEAD:
                raise LiveError(
                    f"the journal {store.name} is at schema {revision}, this program reads {HEAD}",
                    "start the runner once: `ljwx live` migrates it",
                )
            yield connection
    finally:
        store.close()


def _until(arguments: argparse.Namespace) -> Until:
    from ljwx_pipeline.live.restore import Until

    if arguments.at is None:
        return Until(seq=arguments.seq)
    try:
        return Until(instant=instant_of(arguments.at))
    except LakeError:
        raise ConfigError(
            f"--at {arguments.at!r} is no instant", "write 2024-01-31, 2024-01-31T14:30 or 2024-01-31T06:30Z"
        ) from None


def _analyse(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.lake.atomic_parquet import write_bytes
    from ljwx_pipeline.live.analysis.against_backtest import Asked, compared
    from ljwx_pipeline.live.analysis.analysis import analysed
    from ljwx_pipeline.live.analysis.ledger import read_ledger
    from ljwx_pipeline.live.analysis.page import analysis_page
    from ljwx_pipeline.live.analysis.prices import bars_of
    from ljwx_pipeline.live.analysis.text import analysis_text
    from ljwx_pipeline.session_pack import pack_market, read_session_pack
    from ljwx_pipeline.trading.market_arrays import optional_columns

    home = market_home(settings)
    asked = Asked(
        None if arguments.first is None else day_of(arguments.first, "--from"),
        None if arguments.last is None else day_of(arguments.last, "--to"),
    )
    if asked.first is not None and asked.last is not None and asked.first > asked.last:
        raise ConfigError(f"--from {asked.first} lies after --to {asked.last}", "exchange them")
    with _journal(settings) as connection:
        ledger = read_ledger(connection)
    bars: Bars = {}
    comparison: Comparison | None = None
    simulated, not_compared = ledger.simulated, ""
    try:
        pack = read_session_pack(home / PACK_DIR)
    except LiveError as error:
        not_compared = error.fact
    else:
        simulated = simulated or pack.manifest.simulated
        bars = bars_of(pack, ledger.between(asked.first, asked.last))
        if settings.uncertainty.abstains:
            not_compared = "[uncertainty] keeps names from being bought, by intervals that the journal does not hold"
        else:
            try:
                comparison = compared(
                    ledger,
                    pack_market(pack, columns=optional_columns(settings.costs)),
                    strategy=settings.strategy,
                    costs=settings.costs,
                    asked=asked,
                )
            except TradingError as error:
                not_compared = error.fact
    found = analysed(ledger, bars, asked=asked, comparison=comparison, not_compared=not_compared, simulated=simulated)
    body, text = found.as_dict(), analysis_text(found)
    if arguments.html is not None:
        page = Path(arguments.html).absolute()
        write_bytes(page, analysis_page(found, account=f"account of {home.name}").encode())
        body, text = {**body, "page": str(page)}, f"{text}\n\n{page}"
    return show_result(arguments, body, text)


def _described(backup: Backup) -> dict[str, Any]:
    return asdict(backup)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[str], None]]:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_interactive) as progress:
        running = progress.add_task(what)
        yield lambda text: progress.update(running, description=f"{what} {text}")
