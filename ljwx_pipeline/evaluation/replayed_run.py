"""Whether a replay made what the run it replays had made: two summaries compared by the hashes of their artefacts.

Not here: making a summary, and replaying (``sources/replay.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

#: Parts of a lineage that explain artefacts that differ.
EXPLAINS = {"data_hash": "data", "git_revision": "code", "config_hash": "settings", "factor_hash": "factors"}


@dataclass(frozen=True)
class ReplayVerdict:
    """What comparing a replay with the run it replays found.

    Parameters
    ----------
    run
        Folder of the run's report below ``reports``.
    equal
        Whether every artefact of either is in both, byte for byte.
    artifacts
        How many were compared.
    differ
        Names of those that are not the same.
    made_from_other
        What the two were not made from alike: data, code, settings, factors.
    """

    run: str
    equal: bool
    artifacts: int
    differ: tuple[str, ...]
    made_from_other: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as plain values."""
        return asdict(self)

    def sentence(self) -> str:
        """Return the verdict as one line for a person."""
        if self.equal:
            return f"equal: all {self.artifacts} artefacts are those of run {self.run}, byte for byte"
        why = f" (made from other {' and '.join(self.made_from_other)})" if self.made_from_other else ""
        return f"DIFFERS from run {self.run}{why}: {', '.join(self.differ)}"


def differing_artifacts(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of artefacts whose hashes two summaries do not share, sorted; () when they are equal."""
    left, right = one.get("artifacts", {}), other.get("artifacts", {})
    return tuple(sorted(name for name in {*left, *right} if left.get(name) != right.get(name)))


def compare_with_replayed(
    summary: Mapping[str, Any], reports: Path, *, market: str, instant: datetime
) -> ReplayVerdict | None:
    """Return how ``summary`` compares with the run it replays; None when no summary of that run is found.

    Parameters
    ----------
    summary
        Of the replay.
    reports
        Folder of all runs' reports.
    market
        Name of the market that is replayed.
    instant
        What was known then is replayed: the run is the newest that knew no more, one under the same settings first.
    """
    if not summary.get("artifacts"):
        return None
    asked = summary["lineage"]["config_hash"]
    known = [
        (found["lineage"]["config_hash"] == asked, known_at, path.stat().st_mtime, path.parent.name, found)
        for path, found, known_at in _runs(reports, market)
        if known_at <= instant
    ]
    if not known:
        return None
    *_, name, replayed = max(known, key=lambda candidate: candidate[:3])
    differ = differing_artifacts(summary, replayed)
    one, other = summary["lineage"], replayed["lineage"]
    return ReplayVerdict(
        run=name,
        equal=not differ,
        artifacts=len(summary["artifacts"]),
        differ=differ,
        made_from_other=tuple(what for key, what in EXPLAINS.items() if one.get(key) != other.get(key)),
    )


def _runs(reports: Path, market: str) -> Iterator[tuple[Path, dict[str, Any], datetime]]:
    """Give every summary of ``market`` that names its artefacts and the instant of its data."""
    for path in sorted(reports.glob(f"{market}-*/summary.json")):
        if path.parent.name.startswith(f"{market}-as-of-"):
            continue
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            known_at = datetime.fromisoformat(found["lineage"]["known_at"])
            if found["artifacts"] and known_at.tzinfo is not None:
                yield path, found, known_at
        except (OSError, ValueError, KeyError, TypeError):
            continue  # of an earlier release, or damaged: no run to compare with
