"""Whether a trial ledger is whole: each row's hash covers the row and the hash before it, and the end is noted outside.

The note (``trials.head.json`` beside ``trials.sqlite``: number of rows, last hash) is written after each commit, so a
crash leaves it behind the ledger, never ahead. A row that was edited, moved or taken out breaks the chain; rows taken
from the end, and a ledger that is gone or another one, disagree with the note. Not here: the ledger
(``trial_ledger.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.atomic_parquet import write_bytes

#: What stands before the first row.
START = ""
#: What of a row is hashed, in this order.
VALUES = (
    "number",
    "family",
    "variant_hash",
    "evidence",
    "kind",
    "recorded_at",
    "session_sharpe",
    "settings",
    "returns_file",
    "returns_column",
    "sessions",
)
_REMEDY = (
    "restore both files, {ledger} and {note}, from one backup: unknown trials are not zero trials, so nothing is "
    "counted or promoted on a thinned ledger"
)


@dataclass(frozen=True)
class Head:
    """How far a ledger reached: ``rows`` of them, the last with ``hash``."""

    rows: int
    hash: str


def head_file(ledger: Path) -> Path:
    """Return where the head of the ledger in the file ``ledger`` is noted."""
    return ledger.with_suffix(".head.json")


def read_head(ledger: Path) -> Head | None:
    """Return what is noted of ``ledger``; None where nothing ever was.

    Raises
    ------
    LakeError
        When the note is damaged or cannot be read.
    """
    path = head_file(ledger)
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        rows, last = stated["rows"], stated["hash"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise broken(ledger, f"{path} does not say how far the trial ledger reached ({error})") from None
    if type(rows) is not int or rows < 0 or type(last) is not str or (rows == 0) != (last == START):
        raise broken(ledger, f"{path} does not say how far the trial ledger reached ({rows!r} rows, hash {last!r})")
    return Head(rows, last)


def write_head(ledger: Path, head: Head) -> None:
    """Note ``head``, on disk when this returns.

    Raises
    ------
    LakeError
        When it cannot be written; what was noted before stays.
    """
    write_bytes(head_file(ledger), json.dumps(asdict(head)).encode())


def row_hash(before: str, row: Sequence[Any]) -> str:
    """Return the SHA-256 of a row's values and of the hash before it."""
    stated = json.dumps([before, *row], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(stated.encode()).hexdigest()


def require_whole(ledger: Path, rows: Sequence[tuple[Any, ...]], head: Head | None) -> None:
    """Raise ``LakeError`` unless ``rows`` are all that were ever counted.

    Parameters
    ----------
    rows
        All of them by number: the values that are hashed (``VALUES``), the number first, then the hash.
    head
        What was noted before the rows were read.
    """
    if head is None:
        raise broken(ledger, f"{head_file(ledger)} is missing, and {ledger} holds {len(rows):,} trials")
    before = START
    for at, (*values, digest) in enumerate(rows, start=1):
        if values[0] != at:
            raise broken(ledger, f"{ledger} lacks trial number {at} (number {values[0]} stands in its place)")
        if row_hash(before, values) != digest:
            raise broken(ledger, f"trial number {at} of {ledger} is not what was counted, or one before it is gone")
        before = digest
    if len(rows) < head.rows:
        raise gone(ledger, len(rows), head)
    if head.rows and rows[head.rows - 1][-1] != head.hash:
        raise broken(ledger, f"{ledger} is not the ledger that {head_file(ledger)} was written for")


def require_one_commit(ledger: Path, beyond: Sequence[Sequence[Any]], head: Head) -> None:
    """Raise ``LakeError`` unless the rows ``beyond`` the note are those of the one commit a crash can leave unnoted.

    ``head`` was read after the rows: writers go on meanwhile, and note each commit before the next. One commit's rows
    were counted at one instant; those of a ledger from before the chain, which one commit brings to today's layout, say
    no column of returns and no number of sessions.
    """
    instants = {row[VALUES.index("recorded_at")] for row in beyond}
    brought = not head.rows and all(
        not row[VALUES.index("returns_column")] and not row[VALUES.index("sessions")] for row in beyond
    )
    if len(instants) > 1 and not brought:
        note = head_file(ledger)
        raise broken(ledger, f"{note} tells of {head.rows:,} trials, and {ledger} holds {len(beyond):,} later ones")


def gone(ledger: Path, rows: int, head: Head) -> LakeError:
    """Return the refusal of a ledger that holds ``rows`` where more were counted."""
    held = f"{ledger} holds {rows:,} trials" if ledger.exists() else f"{ledger} is missing"
    return broken(ledger, f"{held}, but {head.rows:,} were counted: rows are gone")


def broken(ledger: Path, fact: str) -> LakeError:
    """Return the refusal of a ledger that is not whole."""
    return LakeError(fact, _REMEDY.format(ledger=ledger.name, note=head_file(ledger).name))
