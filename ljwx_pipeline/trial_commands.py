"""The body of ``ljwx trials``: what was ever tried on a market, and whether the ledger of it is whole.

Not here: counting (``backtest/trial_ledger.py``), what the count does to a promotion (``promotion/trial_count.py``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.command_output import cell, grid, show_result
from ljwx_pipeline.config import Settings, market_home, replayed
from ljwx_pipeline.errors import LakeError

if TYPE_CHECKING:  # numpy and pyarrow: loaded when the command runs
    from ljwx_pipeline.backtest.trial_ledger import TrialRecord

_SHOWN = 40


def add_trials_command(
    subparsers: Any,
    *,
    add_settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: Callable[[argparse.Namespace], Settings],
) -> None:
    """Add ``trials`` to the command line.

    Parameters
    ----------
    subparsers
        What ``ArgumentParser.add_subparsers`` returned.
    add_settings_options, settings_of
        How the command line names a profile and reads it; a profile is a market, and a market has its trials.
    """
    text = "every strategy ever tried on this market, as the promotion gate counts them, and whether none is missing"
    parser = subparsers.add_parser("trials", help=text, description=text)
    add_settings_options(parser)
    parser.add_argument("--json", action="store_true", help="print the machine-readable form")
    parser.set_defaults(handler=lambda arguments: _trials(settings_of(arguments), arguments))


def _trials(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.backtest.trial_ledger import LEDGER_FILE, TrialLedger

    home = market_home(replayed(settings))
    found, fault = TrialLedger(home / LEDGER_FILE).look()
    rows = _rows(found)
    told = [{**row, "first_at": row["first_at"].isoformat(), "last_at": row["last_at"].isoformat()} for row in rows]
    body = {"market": home.name, "rows": told, "trials": len(found), "whole": not fault, "fault": fault or None}
    headers = ["family", "kind", "tried on", "trials", "first (UTC)", "last (UTC)"]
    table = grid(headers, [[_shown(value) for value in row.values()] for row in rows])
    whole = f"THE LEDGER IS NOT WHOLE: {fault}" if fault else f"{len(found):,} trials; the ledger is whole"
    show_result(arguments, body, f"{table}\n\n{whole}" if rows or fault else f"nothing was ever tried on {home.name}")
    return LakeError.exit_code if fault else 0


def _rows(found: tuple[TrialRecord, ...]) -> list[dict[str, Any]]:
    """Return one row for what was tried in one way on one piece of evidence, in the order first counted."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for trial in found:
        at = trial.recorded_at.astimezone(UTC)
        key = {"family": trial.family, "kind": trial.kind, "evidence": trial.evidence}
        row = rows.setdefault(
            (trial.family, trial.kind, trial.evidence), {**key, "trials": 0, "first_at": at, "last_at": at}
        )
        row["trials"] += 1
        row["last_at"] = at
    return list(rows.values())


def _shown(value: Any) -> str:
    """Return a value as the table has room for it; an instant in UTC, as the head of its column says."""
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else cell(value)[:_SHOWN]
