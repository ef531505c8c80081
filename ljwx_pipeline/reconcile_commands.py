"""The body of ``ljwx data reconcile``: two markets' raw bars of the same sessions, side by side.

Not here: comparing them (``quality/reconcile.py``), the other commands on quality (``quality_commands.py``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.command_output import day_of, grid, plain_rows, show_result
from ljwx_pipeline.config import Settings, ljwx_home, market_home
from ljwx_pipeline.errors import ConfigError, DataQualityError, LakeError

if TYPE_CHECKING:  # the lake costs pandas and pyarrow: loaded when the command runs, not when the parser is built
    from ljwx_pipeline.lake import Lake
    from ljwx_pipeline.quality.reconcile import Reconciliation

#: Disagreements shown unless ``--limit`` says otherwise.
SHOWN_ROWS = 50
#: Options of ``reconcile`` that stand for a field of ``quality.reconcile.Tolerances``.
TOLERANCES = {
    "price_cny": "prices, absolute (default 0.005: half a tick)",
    "volume_frac": "volumes, relative (default 0.005)",
    "amount_frac": "amounts, relative (default 0.005)",
    "factor_frac": "adjustment factors, relative to the symbol's usual quotient (default 0.001)",
    "block_beyond_frac": "share of rows that may disagree before the command fails (default 0.05)",
}


def add_reconcile_command(
    add: Callable[[str, Callable[[Settings, argparse.Namespace], int], str], argparse.ArgumentParser],
    *,
    other_settings_of: Callable[[argparse.Namespace, str], Settings],
) -> None:
    """Add the command.

    Parameters
    ----------
    add
        Makes the parser of one command with the options that name a market and ``--json``.
    other_settings_of
        Reads a second profile under the same options.
    """
    compare = add(
        "reconcile",
        lambda settings, arguments: _reconcile(settings, arguments, other_settings_of),
        "compare this market's raw bars with another's; exit code 5 when too many disagree",
    )
    compare.add_argument("other", metavar="OTHER", help="a profile (read with the same options), or a market's folder")
    compare.add_argument("--first", metavar="D", help="first session compared; default: the first both hold")
    compare.add_argument("--last", metavar="D", help="last session compared; default: the last both hold")
    compare.add_argument("--limit", type=int, default=SHOWN_ROWS, metavar="N", help="disagreements shown (0: all)")
    within = compare.add_argument_group("tolerances")
    for name, text in TOLERANCES.items():
        within.add_argument(f"--{name.replace('_', '-')}", type=float, metavar="X", help=text)


def _reconcile(
    settings: Settings, arguments: argparse.Namespace, other_settings_of: Callable[[argparse.Namespace, str], Settings]
) -> int:
    from ljwx_pipeline.lake import Lake
    from ljwx_pipeline.quality.reconcile import Tolerances, reconcile

    homes = (market_home(settings), _home_of(arguments, other_settings_of))
    names = (homes[0].name, homes[1].name)
    if homes[0] == homes[1]:
        raise ConfigError(f"{names[0]} would be compared with itself", "name another profile or market")
    lakes = tuple(Lake(home / "lake") for home in homes)
    _require_comparable(names, lakes)
    first, last = _overlap(names, lakes, arguments)
    one, other = (lake.read("raw_bars", first=first, last=last) for lake in lakes)
    both = set(one["symbol"]) & set(other["symbol"])
    only = {name: sorted(set(bars["symbol"]) - both) for name, bars in zip(names, (one, other), strict=True)}
    given = {name: value for name in TOLERANCES if (value := getattr(arguments, name)) is not None}
    found = reconcile(
        one[one["symbol"].isin(both)],
        other[other["symbol"].isin(both)],
        names=names,
        tolerances=Tolerances(**given),
    )
    table = found.disagreements
    shown = table.head(arguments.limit) if arguments.limit > 0 else table
    body = {
        "one": names[0],
        "other": names[1],
        "first": str(first),
        "last": str(last),
        "symbols": len(both),
        "only_in": only,
        "matched_rows": found.matched,
        "agrees": found.result.passed,
        "blocks": found.result.blocks,
        "message": found.result.message,
        "counts": dict(found.counts),
        "disagreements": plain_rows(shown),
    }
    show_result(arguments, body, _reconcile_text(body, found))
    return DataQualityError.exit_code if found.result.blocks else 0


def _reconcile_text(body: dict[str, Any], found: Reconciliation) -> str:
    parts = [
        f"{body['first']} to {body['last']}, {body['symbols']:,} symbols and {found.matched:,} rows in both",
        *(f"only in {name}: {len(some):,} symbols, not compared" for name, some in body["only_in"].items() if some),
        "",
    ]
    rows = body["disagreements"]
    if rows:
        headers = ["symbol", "session", "kind", "column", body["one"], body["other"], "difference"]
        columns = ("symbol", "session_date", "kind", "column", "one", "other", "difference")
        parts += [grid(headers, [[_figure(row[name]) for name in columns] for row in rows]), ""]
        if len(rows) < len(found.disagreements):
            parts.append(f"{len(found.disagreements) - len(rows):,} more are not shown: --limit 0 shows all")
    verdict = "agree" if found.result.passed else "BLOCKS" if found.result.blocks else "differ, within what is allowed"
    return "\n".join([*parts, f"{verdict}: {found.result.message}"])


def _home_of(arguments: argparse.Namespace, other_settings_of: Callable[[argparse.Namespace, str], Settings]) -> Path:
    name: str = arguments.other
    market = ljwx_home() / "markets" / name
    # a name with a slash or none at all would lead elsewhere; no profile has digits of a market behind it
    if Path(name).name == name and (market / "lake").is_dir():
        return market
    return market_home(other_settings_of(arguments, name))


def _require_comparable(names: tuple[str, str], lakes: tuple[Lake, ...]) -> None:
    from ljwx_pipeline.sources.replay import DESCRIPTION, description_from

    for name, lake in zip(names, lakes, strict=True):
        if not lake.holds("raw_bars"):
            raise LakeError(f"market {name} holds no bars", "run `ljwx backfill` with the options that name it")
    said = [description_from(lake.read(DESCRIPTION)).adjustment for lake in lakes if lake.holds(DESCRIPTION)]
    if len(set(said)) > 1:
        raise ConfigError(
            f"prices of {names[0]} are {said[0]}, those of {names[1]} {said[1]}: every ex-date would disagree",
            "load both with the same adjustment",
        )


def _overlap(names: tuple[str, str], lakes: tuple[Lake, ...], arguments: argparse.Namespace) -> tuple[date, date]:
    firsts, lasts = [], []
    for lake in lakes:
        spans = [version.sessions for version in lake.current("raw_bars") if version.sessions is not None]
        firsts.append(min(first for first, _ in spans))
        lasts.append(max(last for _, last in spans))
    first = max([*firsts, *([day_of(arguments.first, "--first")] if arguments.first else [])])
    last = min([*lasts, *([day_of(arguments.last, "--last")] if arguments.last else [])])
    if first > last:
        held = "; ".join(f"{name} {start} to {stop}" for name, start, stop in zip(names, firsts, lasts, strict=True))
        raise LakeError(f"no session is in both ({held})", "load the missing one, or ask for other dates")
    return first, last


def _figure(value: Any) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
