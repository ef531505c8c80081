"""The bodies of ``ljwx data quarantine | release | releases | quality``: whether the stored rows are good.

Each command gathers one plain structure and prints it as JSON or as a table. Not here: the rules (``quality/``),
judging (``ingest/judged.py``), two providers side by side (``reconcile_commands.py``), the other commands of the lake
(``data_commands.py``).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.command_output import cell, day_of, grid, plain_rows, show_result
from ljwx_pipeline.config import Settings, market_home
from ljwx_pipeline.errors import ConfigError, DataQualityError, LakeError

if TYPE_CHECKING:  # the lake costs pandas and pyarrow: loaded when a command runs, not when the parser is built
    from ljwx_pipeline.lake import Lake

Body = Callable[[Settings, argparse.Namespace], int]
#: Rows shown unless ``--limit`` says otherwise, and sessions unless ``--sessions`` does.
SHOWN_ROWS, SHOWN_SESSIONS = 50, 20
#: Checks named beside a bad session.
NAMED_CHECKS = 3
RUN_FIRST = "run `ljwx backfill` first"


def add_quality_commands(add: Callable[[str, Body, str], argparse.ArgumentParser]) -> None:
    """Add the commands.

    Parameters
    ----------
    add
        Makes the parser of one command with the options that name a market and ``--json``.
    """
    quarantine = add("quarantine", _quarantine, "bars taken out by a check: counts, then the rows, newest first")
    quarantine.add_argument("--check", metavar="NAME", help="only this check's, such as bars.jumps_are_explained")
    quarantine.add_argument("--limit", type=int, default=SHOWN_ROWS, metavar="N", help="rows shown (0: all)")
    release = add("release", _release, "let a bar in quarantine pass from the next run on; answered for by name")
    release.add_argument("--symbol", required=True, metavar="S")
    release.add_argument("--session", required=True, metavar="D", help="YYYY-MM-DD")
    release.add_argument("--check", metavar="NAME", help="default: every check the bar broke")
    release.add_argument("--reason", required=True, metavar="TEXT", help="why the row is true")
    release.add_argument("--by", required=True, metavar="NAME", help="who says so")
    release.add_argument("--dry-run", action="store_true", help="only say what would be released")
    add("releases", _releases, "every release: row, check, reason, who and when")
    quality = add("quality", _quality, "the quality score of the newest sessions, the worst of them, and the trend")
    quality.add_argument("--sessions", type=int, default=SHOWN_SESSIONS, metavar="N", help="default: 20")


def _lake(home: Path, name: str) -> Lake:
    from ljwx_pipeline.lake import Lake

    return Lake(home / name)


def _checked(settings: Settings) -> Lake:
    from ljwx_pipeline.ingest.judged_store import BREACHES, CHECKED_BARS, QUARANTINE, SCORES

    checked = _lake(market_home(settings), "checked")
    held = {name for name in (CHECKED_BARS, QUARANTINE, SCORES, BREACHES) if checked.holds(name)}
    if not held:
        raise LakeError(f"no bar of {market_home(settings).name} was ever judged", RUN_FIRST)
    refused = held == {SCORES, BREACHES}  # all that is stored of bars of which none passed
    lost = [name for name in (QUARANTINE, SCORES, BREACHES) if name not in held and not refused]
    if lost:
        remedy = "run `ljwx backfill`: the months they were of are then judged again"
        raise LakeError(f"{checked.root} has lost {', '.join(lost)}", remedy)
    return checked


def _in_quarantine(settings: Settings) -> Lake:
    """Return the checked lake that holds rows in quarantine, or held some.

    Raises
    ------
    LakeError
        When none was ever judged, or all that were judged were refused as a whole: then no single row is at fault.
    """
    from ljwx_pipeline.ingest.judged_store import QUARANTINE

    checked = _checked(settings)
    if not checked.holds(QUARANTINE):
        raise LakeError(
            f"every bar of {market_home(settings).name} was refused, none was taken out alone",
            "see `ljwx data quality` for the checks they broke, correct the source and run `ljwx backfill` again",
        )
    return checked


def _quarantine(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.ingest.judged_store import QUARANTINE
    from ljwx_pipeline.ingest.released import KEYS

    rows = _in_quarantine(settings).read(QUARANTINE).drop_duplicates(KEYS, keep="last")
    counts = {str(name): int(n) for name, n in rows["check"].value_counts().items()}
    if arguments.check is not None:
        if arguments.check not in counts:
            remedy = f"choose one of: {', '.join(counts)}" if counts else "nothing is in quarantine for any check"
            raise DataQualityError(f"no row is in quarantine for {arguments.check}", remedy)
        rows = rows[rows["check"] == arguments.check]
    newest = rows.sort_values(["session_date", "symbol", "check"], ascending=[False, True, True], kind="stable")
    shown = newest.head(arguments.limit) if arguments.limit > 0 else newest
    body: dict[str, Any] = {"bars": len(rows.drop_duplicates(KEYS[:2])), "by_check": counts, "rows": plain_rows(shown)}
    if rows.empty:
        return show_result(arguments, body, "nothing is in quarantine")
    parts = [grid(["check", "rows"], [[name, cell(n)] for name, n in counts.items()]), ""]
    for row in body["rows"]:
        parts.append(f"{row['symbol']}  {row['session_date']}  {row['check']}")
        parts += [f"    why:    {row['reason']}", f"    repair: {row['repair']}"]
    if len(shown) < len(newest):
        parts += ["", f"{len(newest) - len(shown):,} older rows are not shown: --limit 0 shows all"]
    return show_result(arguments, body, "\n".join(parts))


def _release(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.ingest.released import release_rows, rows_in_quarantine
    from ljwx_pipeline.quality.quarantine import release

    checked, at = _in_quarantine(settings), utc_now()
    session = day_of(arguments.session, "--session")
    mine = rows_in_quarantine(checked, symbol=arguments.symbol, session=session, check=arguments.check)
    made = release(mine, reason=arguments.reason, released_by=arguments.by, at=at)
    if not arguments.dry_run:
        release_rows(
            _lake(market_home(settings), "lake"),
            checked,
            symbol=arguments.symbol,
            session=session,
            check=arguments.check,
            reason=arguments.reason,
            released_by=arguments.by,
            at=at,
        )
    verb = "would release" if arguments.dry_run else "released"
    text = [f"{verb} {arguments.symbol} on {session} for {check}" for check in made["check"]]
    text.append("nothing was written" if arguments.dry_run else "it passes from the next run on: `ljwx backfill`")
    return show_result(arguments, {"dry_run": arguments.dry_run, "releases": plain_rows(made)}, "\n".join(text))


def _releases(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.ingest.released import read_releases

    made = read_releases(_lake(market_home(settings), "lake")).sort_values("released_at", ascending=False)
    columns = ["symbol", "session_date", "check", "released_by", "released_at", "reason"]
    found = plain_rows(made[columns])
    lines = [[str(row[name])[:19] if name == "released_at" else str(row[name]) for name in columns] for row in found]
    headers = ["symbol", "session", "check", "released by", "released at (UTC)", "reason"]
    return show_result(arguments, {"releases": found}, grid(headers, lines) if found else "nothing was ever released")


def _quality(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.ingest.judged_store import BREACHES, SCORES

    if arguments.sessions < 1:
        raise ConfigError(f"--sessions {arguments.sessions} shows nothing", "ask for 1 or more")
    checked = _checked(settings)
    scores = checked.read(SCORES).drop_duplicates("session_date", keep="last").sort_values("session_date")
    if "released_rows" not in scores:
        scores["released_rows"] = 0  # judged before releases were counted
    shown, before = scores.tail(arguments.sessions), scores.iloc[: -arguments.sessions].tail(arguments.sessions)
    worst = shown.loc[shown["score"].idxmin()]
    breaches = checked.read(BREACHES)
    found = breaches[breaches["session_date"] == worst["session_date"]].drop_duplicates("check", keep="last")
    mean, earlier = float(shown["score"].mean()), float(before["score"].mean()) if len(before) else None
    body: dict[str, Any] = {
        "market": market_home(settings).name,
        "mean_score": round(mean, 2),
        "mean_score_before": None if earlier is None else round(earlier, 2),
        "trend": None if earlier is None else round(mean - earlier, 2),
        "worst": {
            "session_date": f"{worst['session_date']:%Y-%m-%d}",
            "score": float(worst["score"]),
            "coverage_frac": float(worst["coverage_frac"]),
            "lag_hours": _hours(worst.to_dict().get("lag_hours")),
            "breaches": {str(check): int(n) for check, n in zip(found["check"], found["rows"], strict=True)},
        },
        "sessions": plain_rows(shown.drop(columns=["source"])),
    }
    return show_result(arguments, body, _quality_text(body))


def _hours(lag: float | None) -> float | None:
    return None if lag is None or math.isnan(lag) else float(lag)


def _quality_text(body: dict[str, Any]) -> str:
    from ljwx_pipeline.quality.score import ON_TIME_HOURS

    headers = ["session", "score", "rows", "in error", "in quarantine", "released", "warned", "coverage", "lag"]
    columns = ("rows", "error_rows", "quarantine_rows", "released_rows", "warn_rows")
    lines = [
        [
            row["session_date"],
            f"{row['score']:.2f}",
            *(cell(row[name]) for name in columns),
            f"{row['coverage_frac']:.3f}",
            "-" if row.get("lag_hours") is None else f"{row['lag_hours']:.1f} h",
        ]
        for row in body["sessions"]
    ]
    worst, n = body["worst"], len(lines)
    named = sorted(worst["breaches"].items(), key=lambda item: -item[1])[:NAMED_CHECKS]
    causes = [f"{check} {rows:,}" for check, rows in named]
    if worst["lag_hours"] is not None and worst["lag_hours"] > ON_TIME_HOURS:
        causes.append(f"{worst['lag_hours']:.0f} h late")
    said = ", ".join(causes) or "no rule of single rows broken"
    trend = "no earlier session to compare with"
    if body["trend"] is not None:
        trend = f"{body['mean_score_before']:.2f} over the {n} before ({body['trend']:+.2f})"
    return "\n".join(
        [
            grid(headers, lines),
            "",
            f"mean   {body['mean_score']:.2f} over {n} sessions; {trend}",
            f"worst  {worst['session_date']} with {worst['score']:.2f}: {said}; coverage {worst['coverage_frac']:.3f}",
        ]
    )
