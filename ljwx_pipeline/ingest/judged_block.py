"""What came of judging a block of months, and of several blocks together.

Not here: judging (``judged.py``), keeping a verdict until something changes (``judged_notes.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ljwx_pipeline.quality.results import CheckResult, Severity

#: Figures of a result that add up over blocks.
COUNTS = ("judged", "bad", "rows", "failures", "quarantined")
WORST: tuple[Severity, ...] = ("error", "quarantine", "warn", "not_applicable")


@dataclass(frozen=True)
class JudgedBlock:
    """A block's outcome.

    Parameters
    ----------
    months
        The block.
    results
        Of the schema, ``BAR_CHECKS``, the share of each session that is in quarantine, and the block's note.
    rows, quarantined_rows
        Bars judged, and those of them taken out.
    stored
        Content hashes of what is stored since of each month and said of the block, empty where nothing is.
    open_jumps
        Symbols left on an adjustment factor that an unexplained jump made wrong: so are their rows in the next block.
    """

    months: tuple[str, ...]
    results: tuple[CheckResult, ...]
    rows: int
    quarantined_rows: int
    open_jumps: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()


def merged(blocks: Sequence[JudgedBlock]) -> list[CheckResult]:
    """Return one result a check: counts added up, the worst severity, and the message of the first block at it."""
    by_name: dict[str, list[CheckResult]] = {}
    for block in blocks:
        for result in block.results:
            by_name.setdefault(result.name, []).append(result)
    return [_merged(name, found) for name, found in by_name.items()]


def _merged(name: str, found: Sequence[CheckResult]) -> CheckResult:
    failed = [result for result in found if not result.passed]
    judged = [result for result in found if result.severity != "not_applicable"]
    one = min(failed, key=lambda result: WORST.index(result.severity)) if failed else (judged or found)[0]
    counts = {
        what: sum(int(result.measured.get(what, 0)) for result in found) for what in one.measured if what in COUNTS
    }
    others = f" (and in {len(failed) - 1} more blocks of months)" if len(failed) > 1 else ""
    return CheckResult(name, not failed, one.severity, {**one.measured, **counts}, one.message + others, one.repair)
