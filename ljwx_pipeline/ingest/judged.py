"""Raw bars judged by blocks of months into checked bars, so that ten years of the whole market fit in memory.

A block is judged within the sessions before it; its good rows are stored as table ``bars`` by month, the others as
``quarantine``, its sessions' figures as ``quality_scores`` and ``breaches``. A block whose rows, neighbours, tables
and rules are what they were is not judged again. Not here: the rules (``quality/``), fetching (``bars.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.ingest.arrivals import arrivals
from ljwx_pipeline.ingest.open_jumps import left_open, with_later_rows, with_open_jumps
from ljwx_pipeline.ingest.plan import RAW_BARS, months_of
from ljwx_pipeline.ingest.store import newest_version
from ljwx_pipeline.lake import Lake, TableVersion, split_by_month
from ljwx_pipeline.lake.adoption import adopt
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.lake.content_hash import combined_hash, content_hash
from ljwx_pipeline.lake.store import read_versions
from ljwx_pipeline.market.tables import DATE_COLUMNS, SourceDescription
from ljwx_pipeline.quality.anomalies import ANOMALIES
from ljwx_pipeline.quality.checks import CHECKS
from ljwx_pipeline.quality.quarantine import split
from ljwx_pipeline.quality.results import CheckResult, Severity
from ljwx_pipeline.quality.rule import Check
from ljwx_pipeline.quality.run import run_checks
from ljwx_pipeline.quality.score import breach_counts, scores

#: The rule that a block without any row breaks.
EVERY_SESSION = "bars.every_session_present"
CHECKED_BARS, QUARANTINE, SCORES, BREACHES = "bars", "quarantine", "quality_scores", "breaches"
#: Rows judged at a time, and the lengths a block may have.
BLOCK_ROWS, SPANS_MONTHS = 600_000, (1, 2, 3, 6, 12, 24, 60, 120, 240)
#: Figures of a result that add up over blocks.
COUNTS = ("judged", "bad", "rows", "failures", "quarantined")
#: Earlier sessions that the statistics of a month's first rows look at.
CONTEXT_SESSIONS = 60
#: Tables that a bar is judged beside: small ones whole, dated ones of the block.
BESIDE = ("securities", "st_spells")
BESIDE_BY_DATE = ("price_limits", "suspensions", "corporate_actions")
#: Rules and statistics of bars, alone or beside other tables.
BAR_CHECKS = tuple(check for check in (*CHECKS, *ANOMALIES) if check.name.startswith("bars."))
WORST: tuple[Severity, ...] = ("error", "quarantine", "warn", "not_applicable")


@dataclass(frozen=True)
class Judgement:
    """What to judge by.

    Parameters
    ----------
    description
        What the source says of itself.
    sessions
        Every session asked for, ascending.
    releases
        Rows that somebody let pass (``quality.quarantine.RELEASES``).
    max_session_frac
        Share of a session's rows in quarantine beyond which the session blocks.
    rules_hash
        Hash of the code that judges: another one judges every month again.
    checks
        The rules and statistics of bars to judge by.
    """

    description: SourceDescription
    sessions: pd.DatetimeIndex
    releases: pd.DataFrame
    max_session_frac: float
    rules_hash: str
    checks: tuple[Check, ...] = BAR_CHECKS


@dataclass(frozen=True)
class JudgedBlock:
    """A block's outcome.

    Parameters
    ----------
    months
        The block.
    results
        Of the schema, ``BAR_CHECKS`` and the share of each session that is in quarantine.
    rows, quarantined_rows
        Bars judged, and those of them taken out.
    stored
        Content hash of what is stored of each month since, empty where nothing is.
    open_jumps
        Symbols left on an adjustment factor that an unexplained jump made wrong: so are their rows in the next block.
    """

    months: tuple[str, ...]
    results: tuple[CheckResult, ...]
    rows: int
    quarantined_rows: int
    open_jumps: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()


def judge_bars(
    raw: Lake, checked: Lake, judgement: Judgement, *, as_of: datetime | None, known_at: datetime
) -> list[JudgedBlock]:
    """Judge every block of ``judgement.sessions`` that changed, store what passed in ``checked``, return all outcomes.

    Parameters
    ----------
    raw
        Holds ``raw_bars`` and the tables beside them, ``BESIDE`` and ``BESIDE_BY_DATE``, read as known at ``as_of``
        (now, when None); one it does not hold makes its checks not applicable.
    checked
        Receives the tables of this module; a block that breaks a blocking rule keeps what it held before.
    known_at
        Instant of this judgement.
    """
    first, last = judgement.sessions[0], judgement.sessions[-1]
    versions = {
        version.partition: version
        for version in raw.current(RAW_BARS, as_of=as_of)
        if f"{first:%Y-%m-01}" <= version.partition <= f"{last:%Y-%m-01}"
    }
    beside = _Beside(raw, as_of)
    held = [month for month in months_of(judgement.sessions) if min(versions) <= month <= max(versions)]
    judged: list[JudgedBlock] = []
    for months in _blocks(held, max(version.rows for version in versions.values())):
        asked = _asked(judgement, months, versions, beside, judged[-1].open_jumps if judged else ())
        note = _note(checked, months[0])
        outcome = _read_note(note, asked.key)
        if outcome is None or _stored(checked, months) != outcome.stored:
            outcome = _judge(raw, checked, judgement, asked, beside, as_of=as_of, known_at=known_at)
            outcome = replace(outcome, stored=_stored(checked, months))
            _write_note(note, asked.key, outcome)
        judged.append(outcome)
    return judged


def merged(blocks: Sequence[JudgedBlock]) -> list[CheckResult]:
    """Return one result a check: counts added up, the worst severity, and the message of the first block at it."""
    by_name: dict[str, list[CheckResult]] = {}
    for block in blocks:
        for result in block.results:
            by_name.setdefault(result.name, []).append(result)
    return [_merged(name, found) for name, found in by_name.items()]


class _Beside:
    """The tables that bars are judged beside, of the same lake and instant; read when a block needs them."""

    def __init__(self, lake: Lake, as_of: datetime | None) -> None:
        self._versions = {name: _current(lake, name, as_of) for name in (*BESIDE, *BESIDE_BY_DATE)}

    def hashes(self, months: tuple[str, ...]) -> dict[str, str]:
        """Return what the tables say of a block of months, as one hash a table: no row is read for it."""
        within = {name: self._within(name, months) for name in self._versions}
        return {name: combined_hash({item.partition: item.content_hash for item in within[name]}) for name in within}

    def tables(self, months: tuple[str, ...], sessions: pd.DatetimeIndex) -> dict[str, pd.DataFrame]:
        """Return the whole tables, and of the dated ones the rows of ``sessions``."""
        found = dict(self._whole)
        for name in BESIDE_BY_DATE:
            if versions := self._within(name, months):
                first, last = (None, None) if name in DATE_COLUMNS else (sessions[0].date(), sessions[-1].date())
                found[name] = read_versions(versions, first=first, last=last)
        return found

    @cached_property
    def _whole(self) -> dict[str, pd.DataFrame]:
        return {name: read_versions(self._versions[name]) for name in BESIDE if self._versions[name]}

    def _within(self, name: str, months: tuple[str, ...]) -> list[TableVersion]:
        versions = self._versions[name]
        if name in BESIDE:
            return versions
        return [item for item in versions if months[0] <= item.partition <= months[-1]]


@dataclass(frozen=True)
class _Asked:
    """One block's question: its months, their sessions and those before, its raw versions, and the hash of it all."""

    months: tuple[str, ...]
    sessions: pd.DatetimeIndex
    context: pd.DatetimeIndex
    versions: Mapping[str, TableVersion]
    open_jumps: tuple[str, ...]
    key: str


def _current(lake: Lake, table: str, as_of: datetime | None) -> list[TableVersion]:
    """Return the versions of ``table`` known at ``as_of``, none where it was not known or never written."""
    return lake.current(table, as_of=as_of) if lake.holds(table) else []


def _blocks(months: Sequence[str], most_rows: int) -> list[tuple[str, ...]]:
    """Return ``months`` in blocks of one length, aligned to the calendar: a new month begins no old block anew."""
    span = max([length for length in SPANS_MONTHS if length * most_rows <= BLOCK_ROWS], default=1)
    found: dict[int, list[str]] = {}
    for month in months:
        number = int(month[:4]) * 12 + int(month[5:7]) - 1
        found.setdefault(number // span, []).append(month)
    return [tuple(block) for block in found.values()]


def _asked(
    judgement: Judgement,
    months: tuple[str, ...],
    versions: Mapping[str, TableVersion],
    beside: _Beside,
    open_jumps: tuple[str, ...],
) -> _Asked:
    sessions = _within(judgement.sessions, months)
    at = int(judgement.sessions.searchsorted(sessions[0]))
    context = judgement.sessions[max(at - CONTEXT_SESSIONS, 0) : at]
    begin = f"{(context if len(context) else sessions)[0]:%Y-%m-01}"
    near = {month: version.content_hash for month, version in versions.items() if begin <= month <= months[-1]}
    key = combined_hash(
        {
            "rows": combined_hash(near),
            "open_jumps": " ".join(open_jumps),
            "sessions": content_hash(pd.DataFrame({"session_date": context.append(sessions)})),
            "releases": content_hash(judgement.releases),
            "max_session_frac": str(judgement.max_session_frac),
            "rules": judgement.rules_hash,
            "checks": " ".join(check.name for check in judgement.checks),
            "source": f"{judgement.description.name} {judgement.description.adjustment}",
            **beside.hashes(months),
        }
    )
    held = {month: versions[month] for month in months if month in versions}
    return _Asked(months, sessions, context, held, open_jumps, key)


def _known_on(versions: Mapping[str, TableVersion]) -> date:
    return max(version.known_at for version in versions.values()).astimezone(SHANGHAI).date()


def _stored(checked: Lake, months: tuple[str, ...]) -> tuple[str, ...]:
    """Return what the checked lake holds of each month: a file that is gone is as good as never judged."""
    versions = [newest_version(checked, CHECKED_BARS, month) for month in months]
    return tuple(
        version.content_hash if version is not None and all(path.exists() for path in version.paths) else ""
        for version in versions
    )


def _missing(asked: _Asked) -> JudgedBlock:
    """Return the outcome of a block between others of which the lake holds nothing."""
    first, count = asked.sessions[0], len(asked.sessions)
    message = f"a whole session is missing; first at {first:%Y-%m-%d}, {count} of {count} sessions"
    repair = f"load {asked.months[0][:7]} to {asked.months[-1][:7]}: bars before and after them are held"
    result = CheckResult(EVERY_SESSION, False, "error", {"judged": count, "bad": count}, message, repair)
    return JudgedBlock(asked.months, (result,), 0, 0, asked.open_jumps)


def _judge(
    raw: Lake,
    checked: Lake,
    judgement: Judgement,
    asked: _Asked,
    beside: _Beside,
    *,
    as_of: datetime | None,
    known_at: datetime,
) -> JudgedBlock:
    if not asked.versions:
        return _missing(asked)
    whole = asked.context.append(asked.sessions)
    read = raw.read(RAW_BARS, as_of=as_of, first=whole[0].date(), last=whole[-1].date())
    start = int(read["session_date"].searchsorted(asked.sessions[0]))
    before, rows = read.iloc[:start], read.iloc[start:].reset_index(drop=True)
    found = run_checks(
        {"bars": rows},
        judgement.description,
        asked.sessions,
        beside=beside.tables(asked.months, asked.sessions),
        before={"bars": before},
        as_of=_known_on(asked.versions),
        checks=judgement.checks,
    )
    found = [with_open_jumps(result, rows, asked.open_jumps) for result in found]
    releases = with_later_rows(judgement.releases, rows, found, asked.open_jumps)
    parted = split(
        "bars",
        rows,
        found,
        at=known_at,
        releases=releases,
        max_session_frac=judgement.max_session_frac,
    )
    outcome = JudgedBlock(
        asked.months,
        (*found, parted.session_share),
        len(rows),
        len(rows) - len(parted.kept),
        left_open(rows, parted.quarantined, asked.open_jumps),
    )
    for month in asked.months[1:]:  # what was said of a month alone is now said of the block
        _note(checked, month).unlink(missing_ok=True)
    came = arrivals(raw, judgement.description, asked.sessions)
    given = scores(judgement.description.name, rows, found, asked.sessions, before=before, known_at=came)
    _write_block(checked, SCORES, asked.months, given, known_at)
    _write_block(checked, BREACHES, asked.months, breach_counts(rows, found), known_at)
    if not any(result.blocks for result in outcome.results):
        _write_block(checked, QUARANTINE, asked.months, parted.quarantined, known_at)
        _store(checked, parted.kept, asked.versions, known_at)
    return outcome


def _store(checked: Lake, kept: pd.DataFrame, versions: Mapping[str, TableVersion], known_at: datetime) -> None:
    """Store what passed by month; a month of which every row passed is the raw month's own file."""
    month_of_row = kept["session_date"].to_numpy().astype("datetime64[M]")
    found, counts = np.unique(month_of_row, return_counts=True)
    rows = {f"{month}-01": int(count) for month, count in zip(found, counts, strict=True)}
    whole = [version for month, version in versions.items() if rows.get(month) == version.rows]
    adopt(checked, CHECKED_BARS, whole, known_at=known_at)
    emptied = [month for month in versions if month not in rows and newest_version(checked, CHECKED_BARS, month)]
    checked.write_partitions(CHECKED_BARS, dict.fromkeys(emptied, kept.iloc[:0]), known_at=known_at)
    if len(whole) < len(rows):
        done = np.array([version.partition[:7] for version in whole], dtype="datetime64[M]")
        others = kept[~np.isin(month_of_row, done)]
        checked.write_partitions(CHECKED_BARS, split_by_month(others), known_at=known_at)


def _write_block(checked: Lake, table: str, months: tuple[str, ...], rows: pd.DataFrame, known_at: datetime) -> None:
    """Store what is said of a block under its first month; the others, once blocks of their own, say nothing more."""
    own = [month for month in months[1:] if newest_version(checked, table, month) is not None]
    checked.write_partitions(table, {months[0]: rows} | dict.fromkeys(own, rows.iloc[:0]), known_at=known_at)


def _merged(name: str, found: Sequence[CheckResult]) -> CheckResult:
    failed = [result for result in found if not result.passed]
    judged = [result for result in found if result.severity != "not_applicable"]
    one = min(failed, key=lambda result: WORST.index(result.severity)) if failed else (judged or found)[0]
    counts = {
        what: sum(int(result.measured.get(what, 0)) for result in found) for what in one.measured if what in COUNTS
    }
    others = f" (and in {len(failed) - 1} more blocks of months)" if len(failed) > 1 else ""
    return CheckResult(name, not failed, one.severity, {**one.measured, **counts}, one.message + others, one.repair)


def _within(sessions: pd.DatetimeIndex, months: tuple[str, ...]) -> pd.DatetimeIndex:
    return sessions[sessions.strftime("%Y-%m-01").isin(months)]


def _note(checked: Lake, month: str) -> Path:
    return checked.root / "judged" / f"{month}.json"


def _read_note(path: Path, key: str) -> JudgedBlock | None:
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if kept["key"] != key:
            return None
        results = tuple(CheckResult(**result) for result in kept["results"])
        return JudgedBlock(
            tuple(kept["months"]),
            results,
            kept["rows"],
            kept["quarantined_rows"],
            tuple(kept["open_jumps"]),
            tuple(kept["stored"]),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(f"{path} is damaged ({error})", "delete it: its month is then judged again") from None


def _write_note(path: Path, key: str, outcome: JudgedBlock) -> None:
    results = [
        {name: value for name, value in asdict(result).items() if name not in {"rows", "faults"}}
        | {"measured": {name: _plain(value) for name, value in result.measured.items()}}
        for result in outcome.results
    ]
    body = {
        "key": key,
        "months": outcome.months,
        "results": results,
        "rows": outcome.rows,
        "quarantined_rows": outcome.quarantined_rows,
        "open_jumps": outcome.open_jumps,
        "stored": outcome.stored,
    }
    write_bytes(path, json.dumps(body).encode())


def _plain(value: float | int | str) -> float | int | str:
    return value if isinstance(value, str) else float(value) if float(value) != int(value) else int(value)
