"""The gate's decision in few words, for a terminal: whoever promoted needs no wall of checks that passed.

Not here: the decision (``gate.py``), the card that lists every check (``model_card.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ljwx_pipeline.tracking.champion import PROMOTED, ChampionLine

ALL_PASSED = "every check asked has passed"
#: Between the gate's reasons in a run's tag.
REASONS_APART = " | "


def reasons_told(decision: str, tagged: str) -> Sequence[str]:
    """Return the reasons of a run's tag ``reasons``: those that speak against it, or that nothing does; none: empty."""
    if decision == PROMOTED and tagged:
        return [ALL_PASSED]
    return tagged.split(REASONS_APART) if tagged else []


def decision_told(line: ChampionLine) -> str:
    """Return a decision in words as ``ChampionLine.said``, without the checks that passed where the gate promoted."""
    short = line.by_gate and line.decision == PROMOTED and line.reasons
    return (replace(line, reasons=(ALL_PASSED,)) if short else line).said()
