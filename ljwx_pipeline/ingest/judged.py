"""Raw bars judged by blocks of months into checked bars, so that ten years of the whole market fit in memory.

A block is judged within the sessions before it; its good rows are stored as table ``bars`` by month, the others as
``quarantine``, its sessions' figures as ``quality_scores`` and ``breaches``. A block whose rows, neighbours, tables
and rules are what they were is not judged again. While one block is judged the next is read and the one before stored.
Not here: the rules (``quality/``), fetching (``bars.py``), what is stored (``judged_store.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TypeAlias

import pandas as pd

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.ingest.arrivals import arrivals
from ljwx_pipeline.ingest.beside import Beside
from ljwx_pipeline.ingest.judged_block import JudgedBlock
from ljwx_pipeline.ingest.judged_notes import Notes
from ljwx_pipeline.ingest.judged_store import (
    BREACHES,
    QUARANTINE,
    SCORES,
    PassedBars,
    passed_bars,
    store_block,
    stored_hashes,
)
from ljwx_pipeline.ingest.open_jumps import left_open, with_later_rows, with_open_jumps
from ljwx_pipeline.ingest.plan import RAW_BARS, months_of
from ljwx_pipeline.lake import Lake, TableVersion
from ljwx_pipeline.lake.content_hash import combined_hash, content_hash
from ljwx_pipeline.lake.store import read_versions
from ljwx_pipeline.market.tables import SourceDescription
from ljwx_pipeline.quality.anomalies import ANOMALIES
from ljwx_pipeline.quality.checks import CHECKS
from ljwx_pipeline.quality.quarantine import after_releases, split
from ljwx_pipeline.quality.results import CheckResult
from ljwx_pipeline.quality.rule import Check
from ljwx_pipeline.quality.run import run_checks
from ljwx_pipeline.quality.score import breach_counts, scores

#: The rule that a block without any row breaks.
EVERY_SESSION = "bars.every_session_present"
#: Rows judged at a time, and the lengths a block may have.
BLOCK_ROWS, SPANS_MONTHS = 600_000, (1, 2, 3, 6, 12, 24, 60, 120, 240)
#: Earlier sessions that the statistics of a month's first rows look at.
CONTEXT_SESSIONS = 60
#: Rules and statistics of bars, alone or beside other tables.
BAR_CHECKS = tuple(check for check in (*CHECKS, *ANOMALIES) if check.name.startswith("bars."))


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


def judge_bars(
    raw: Lake, checked: Lake, judgement: Judgement, *, as_of: datetime | None, known_at: datetime
) -> list[JudgedBlock]:
    """Judge every block of ``judgement.sessions`` that changed, store what passed in ``checked``, return all outcomes.

    Parameters
    ----------
    raw
        Holds ``raw_bars`` and the tables of ``beside.py``, read as known at ``as_of`` (now, when None); a table that
        was not known then makes its checks not applicable.
    checked
        Receives the tables of ``judged_store.py``; a block that breaks a blocking rule keeps what it held before.
    known_at
        Instant of this judgement.
    """
    notes, beside = Notes(checked), Beside(raw, as_of)
    questions = _questions(raw, judgement, beside, as_of)
    outcomes: list[JudgedBlock | Future[JudgedBlock]] = []
    reading: Future[_Given | None] | None = None
    storing: Future[JudgedBlock] | None = None
    open_jumps: tuple[str, ...] = ()
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        for question, following in zip(questions, [*questions[1:], None], strict=True):
            key = question.key(open_jumps)
            if (kept := _kept(notes, checked, question, key)) is not None:
                outcome, reading = kept, None
                outcomes.append(kept)
            else:
                given = (reading or reader.submit(_read, question, beside)).result()
                ahead = following is not None and _kept(notes, checked, following, following.key(open_jumps)) is None
                reading = reader.submit(_read, following, beside) if following is not None and ahead else None
                outcome, said, passed = _judged(raw, judgement, question, given, open_jumps, known_at)
                if storing is not None:
                    storing.result()  # no more than one block waits to be stored
                storing = writer.submit(_store, notes, checked, key, outcome, said, passed, known_at)
                outcomes.append(storing)
            open_jumps = outcome.open_jumps
        done = [outcome.result() if isinstance(outcome, Future) else outcome for outcome in outcomes]
    return [notes.told(outcome) for outcome in done]


@dataclass(frozen=True)
class _Question:
    """One block: its months, their sessions and those before, its raw versions, all that are read, and hashes of it.

    Its rows are those of ``days``, first and last: a row beside the sessions is judged too, to be told of.
    """

    months: tuple[str, ...]
    days: tuple[pd.Timestamp, pd.Timestamp]
    sessions: pd.DatetimeIndex
    context: pd.DatetimeIndex
    versions: Mapping[str, TableVersion]
    near: tuple[TableVersion, ...]
    hashes: Mapping[str, str]

    def key(self, open_jumps: tuple[str, ...]) -> str:
        """Return the hash of all that the block is judged by, after blocks that left ``open_jumps``."""
        return combined_hash({**self.hashes, "open_jumps": " ".join(open_jumps)})


@dataclass(frozen=True)
class _Given:
    """What was read for a block: its bars, rows counted from 0, those before, and the tables beside them."""

    before: pd.DataFrame
    rows: pd.DataFrame
    beside: Mapping[str, pd.DataFrame]


#: Tables on a block by name.
_Said: TypeAlias = dict[str, pd.DataFrame]


def _questions(raw: Lake, judgement: Judgement, beside: Beside, as_of: datetime | None) -> list[_Question]:
    sessions = judgement.sessions
    versions = {
        version.partition: version
        for version in raw.current(RAW_BARS, as_of=as_of)
        if f"{sessions[0]:%Y-%m-01}" <= version.partition <= f"{sessions[-1]:%Y-%m-01}"
    }
    held = [month for month in months_of(sessions) if min(versions) <= month <= max(versions)]
    common = {
        "releases": content_hash(judgement.releases),
        "max_session_frac": str(judgement.max_session_frac),
        "rules": judgement.rules_hash,
        "checks": " ".join(check.name for check in judgement.checks),
        "source": f"{judgement.description.name} {judgement.description.adjustment}",
    }
    found = []
    for months in _blocks(held, max(version.rows for version in versions.values())):
        begins, ends = pd.Timestamp(months[0]), pd.Timestamp(months[-1]) + pd.offsets.MonthEnd()
        start, stop = int(sessions.searchsorted(begins)), int(sessions.searchsorted(ends, side="right"))
        inside, context = sessions[start:stop], sessions[max(start - CONTEXT_SESSIONS, 0) : start]
        begin = f"{(context if len(context) else inside)[0]:%Y-%m-01}"
        near = {month: version for month, version in versions.items() if begin <= month <= months[-1]}
        hashes = {
            "rows": combined_hash({month: version.content_hash for month, version in near.items()}),
            "sessions": content_hash(pd.DataFrame({"session_date": context.append(inside)})),
            **beside.hashes(months),
            **common,
        }
        own = {month: versions[month] for month in months if month in versions}
        days = max(begins, sessions[0]), min(ends, sessions[-1])
        found.append(_Question(months, days, inside, context, own, tuple(near.values()), hashes))
    return found


def _blocks(months: Sequence[str], most_rows: int) -> list[tuple[str, ...]]:
    """Return ``months`` in blocks of one length, aligned to the calendar: a new month begins no old block anew."""
    span = max([length for length in SPANS_MONTHS if length * most_rows <= BLOCK_ROWS], default=1)
    found: dict[int, list[str]] = {}
    for month in months:
        number = int(month[:4]) * 12 + int(month[5:7]) - 1
        found.setdefault(number // span, []).append(month)
    return [tuple(block) for block in found.values()]


def _kept(notes: Notes, checked: Lake, question: _Question, key: str) -> JudgedBlock | None:
    """Return what was noted of the block under this key, if what it stored is still there."""
    noted = notes.read(question.months[0])
    if noted is None or noted[0] != key or stored_hashes(checked, question.months) != noted[1].stored:
        return None
    return noted[1]


def _read(question: _Question, beside: Beside) -> _Given | None:
    if not question.versions:
        return None
    begins, ends = question.days
    first = question.context[0] if len(question.context) else begins
    read = read_versions(question.near, first=first.date(), last=ends.date())
    start = int(read["session_date"].searchsorted(begins))
    rows = read.iloc[start:]
    rows.index = pd.RangeIndex(len(rows))  # a view: resetting the index would copy the block
    return _Given(read.iloc[:start], rows, beside.tables(question.months, question.sessions))


def _judged(
    raw: Lake,
    judgement: Judgement,
    question: _Question,
    given: _Given | None,
    open_jumps: tuple[str, ...],
    known_at: datetime,
) -> tuple[JudgedBlock, _Said, PassedBars | None]:
    """Return the block's outcome, what is said of it and which of its bars passed; None leaves the stored ones."""
    if given is None:
        return _missing(question, open_jumps), {}, None
    rows = given.rows
    found = run_checks(
        {"bars": rows},
        judgement.description,
        question.sessions,
        beside=given.beside,
        before={"bars": given.before},
        as_of=_known_on(question.versions),
        checks=judgement.checks,
    )
    found = [with_open_jumps(result, rows, open_jumps) for result in found]
    releases = with_later_rows(judgement.releases, rows, found, open_jumps)
    parted = split(
        "bars",
        rows,
        found,
        at=known_at,
        releases=releases,
        max_session_frac=judgement.max_session_frac,
        beside=given.beside,
    )
    outcome = JudgedBlock(
        question.months,
        (*found, parted.session_share),
        len(rows),
        len(rows) - len(parted.kept),
        left_open(rows, parted.quarantined, open_jumps),
    )
    came = arrivals(raw, judgement.description, question.sessions)
    left, released = after_releases("bars", rows, found, releases)
    score = scores(
        judgement.description.name,
        rows,
        left,
        question.sessions,
        before=given.before,
        known_at=came,
        released=released,
        suspensions=given.beside.get("suspensions"),
    )
    said = {SCORES: score, BREACHES: breach_counts(rows, left)}
    if any(result.blocks for result in outcome.results):
        return outcome, said, None
    return outcome, said | {QUARANTINE: parted.quarantined}, passed_bars(parted.kept, question.versions)


def _missing(question: _Question, open_jumps: tuple[str, ...]) -> JudgedBlock:
    """Return the outcome of a block between others of which the lake holds nothing."""
    first, count = question.sessions[0], len(question.sessions)
    message = f"a whole session is missing; first at {first:%Y-%m-%d}, {count} of {count} sessions"
    repair = f"load {question.months[0][:7]} to {question.months[-1][:7]}: bars before and after them are held"
    result = CheckResult(EVERY_SESSION, False, "error", {"judged": count, "bad": count}, message, repair)
    return JudgedBlock(question.months, (result,), 0, 0, open_jumps)


def _store(
    notes: Notes,
    checked: Lake,
    key: str,
    outcome: JudgedBlock,
    said: _Said,
    passed: PassedBars | None,
    known_at: datetime,
) -> JudgedBlock:
    """Store a block and then its note: killed in between, the block is judged again."""
    if said:
        notes.forget(outcome.months)  # what was said of a month alone is now said of the block
    outcome = replace(outcome, stored=store_block(checked, outcome.months, said, passed, known_at))
    notes.write(outcome.months[0], key, outcome)
    return outcome


def _known_on(versions: Mapping[str, TableVersion]) -> date:
    return max(version.known_at for version in versions.values()).astimezone(SHANGHAI).date()
