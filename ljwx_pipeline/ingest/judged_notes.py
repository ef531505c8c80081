"""The note of each judged block: its verdict, kept under the hash of all it was judged by, until something changes.

Notes are derived: one that is lost or damaged costs judging its block again, and a damaged one is told of. Not here:
what the hash is made of (``judged.py``).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ljwx_pipeline.ingest.judged_block import JudgedBlock
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.observability.log import event, get_logger
from ljwx_pipeline.quality.results import CheckResult

#: The result that tells of a damaged note.
NOTES_WHOLE = "bars.verdicts_kept_whole"
LOGGER = get_logger(__name__)


class Notes:
    """The notes beside the tables of one checked lake, named by the first month of their block.

    Parameters
    ----------
    checked
        The lake of what passed.
    """

    def __init__(self, checked: Lake) -> None:
        self._folder = checked.root / "judged"
        self._damaged: dict[str, str] = {}

    def read(self, month: str) -> tuple[str, JudgedBlock] | None:
        """Return the key and the outcome noted of the block that begins with ``month``.

        None where there is no note or it cannot be understood; then it is logged and ``verdict`` tells of it.
        """
        path = self._path(month)
        try:
            kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return kept["key"], JudgedBlock(
                tuple(kept["months"]),
                tuple(CheckResult(**result) for result in kept["results"]),
                kept["rows"],
                kept["quarantined_rows"],
                tuple(kept["open_jumps"]),
                tuple(kept["stored"]),
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            if month not in self._damaged:
                self._damaged[month] = f"{path} is damaged ({error}): its block was judged again"
                event(LOGGER, self._damaged[month], level=logging.WARNING, month=month)
            return None

    def write(self, month: str, key: str, outcome: JudgedBlock) -> None:
        """Note, durably, ``outcome`` of what hashes to ``key``."""
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
        write_bytes(self._path(month), json.dumps(body).encode())

    def forget(self, months: Sequence[str]) -> None:
        """Remove the notes of blocks that begin with ``months``: what they said is now said of a longer block."""
        for month in months:
            self._path(month).unlink(missing_ok=True)

    def told(self, outcome: JudgedBlock) -> JudgedBlock:
        """Return ``outcome`` with the result on whether its note could be read, which is never noted itself."""
        damaged = self._damaged.get(outcome.months[0])
        found = CheckResult(
            NOTES_WHOLE,
            damaged is None,
            "warn",
            {"judged": 1, "bad": int(damaged is not None)},
            damaged or "every kept verdict could be read",
            "nothing is lost; look for a full disk or a program that writes into the folder",
        )
        return replace(outcome, results=(*outcome.results, found))

    def _path(self, month: str) -> Path:
        return self._folder / f"{month}.json"


def _plain(value: float | int | str) -> float | int | str:
    return value if isinstance(value, str) else int(value) if float(value).is_integer() else float(value)
