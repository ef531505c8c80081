"""Which strategies were ever tried on a market: one row a trial, never changed, never removed, each counted once.

A result is worth less the more was tried to find it, and only a book that nobody can thin out says how much. SQLite
with a write-ahead log and full synchronisation: a row is on disk when it is recorded, several sweeps may write at once,
a unique key counts a trial once, and triggers refuse a change; a file of lines could do none of the last three without
a lock of its own. Not here: what the count does to a promotion (``promotion/trial_count.py``).
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from ljwx_pipeline.backtest.sweep_store import VariantResult
from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.config import Settings, UniverseSettings
from ljwx_pipeline.errors import LakeError

TrialKind = Literal["sweep", "tune", "manual"]
#: The ledger's file below a market's home.
LEDGER_FILE = "trials.sqlite"
#: The document beside out-of-sample scores that says under which settings they were made.
SCORED_UNDER = "scored_under"
_BUSY_TIMEOUT_S = 15.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS trials (
    number INTEGER PRIMARY KEY,
    family TEXT NOT NULL,
    variant_hash TEXT NOT NULL,
    evidence TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('sweep', 'tune', 'manual')),
    recorded_at TEXT NOT NULL,
    session_sharpe REAL NOT NULL,
    settings TEXT NOT NULL,
    returns_file TEXT NOT NULL,
    UNIQUE (family, variant_hash, evidence)
) STRICT;
CREATE TRIGGER IF NOT EXISTS trials_never_change BEFORE UPDATE ON trials
    BEGIN SELECT RAISE(ABORT, 'a trial is never changed'); END;
CREATE TRIGGER IF NOT EXISTS trials_never_go BEFORE DELETE ON trials
    BEGIN SELECT RAISE(ABORT, 'a trial is never removed'); END;
"""


@dataclass(frozen=True)
class TrialRecord:
    """One strategy that was tried.

    Parameters
    ----------
    family
        ``strategy_family``.
    variant_hash, settings_json
        Which strategy under which costs.
    evidence
        Hash of the market, the scores, the benchmark and the sessions it was tried on: another look at other data or
        other scores is another trial, the same look by other code is not.
    kind
        Who tried it first.
    recorded_at
        When, UTC.
    session_sharpe
        In-sample Sharpe ratio per session of net returns over the benchmark; 0 when they never vary.
    returns_file
        Where its returns are kept below the sweep's store, empty when nowhere.
    """

    family: str
    variant_hash: str
    evidence: str
    kind: TrialKind
    recorded_at: datetime
    session_sharpe: float
    settings_json: str
    returns_file: str


def strategy_family(*, factor_hash: str, label_hash: str, universe: UniverseSettings) -> str:
    """Return the name of the strategies that share factors, label and universe: their trials count together."""
    stated = json.dumps(universe.model_dump(mode="json"), sort_keys=True)
    universe_hash = hashlib.sha256(stated.encode()).hexdigest()
    return f"{factor_hash[:12]}-{label_hash[:12]}-{universe_hash[:12]}"


def scored_under(settings: Settings) -> dict[str, Any]:
    """Return the settings that scores are made under and a family of trials is named by, beside the held-out end.

    A sweep under others would book its trials where no candidate of these scores is asked for them.
    """
    stated = {"label": settings.label, "universe": settings.universe, "research": settings.research}
    return {name: section.model_dump(mode="json") for name, section in stated.items()}


class TrialLedger:
    """The ledger in one file; nothing is opened before the first call."""

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        self.path = path
        self._clock = clock or SystemClock()

    def record(self, family: str, kind: TrialKind, results: Sequence[VariantResult], *, evidence: str) -> int:
        """Count each of ``results`` that the family has not counted on this evidence, and return how many those were.

        All of them are on disk when this returns, or none.

        Raises
        ------
        LakeError
            For a Sharpe ratio that is no number, a full disk, or a file that is damaged or cannot be written.
        """
        for result in results:
            if not math.isfinite(result.measures["session_sharpe"]):
                raise LakeError(
                    f"variant {result.variant_hash[:12]} has the Sharpe ratio {result.measures['session_sharpe']}",
                    "check the benchmark and the bars of its sessions",
                )
        at = self._clock.now().isoformat(timespec="microseconds")
        rows = [
            (
                family,
                result.variant_hash,
                evidence,
                kind,
                at,
                result.measures["session_sharpe"],
                result.settings_json,
                result.file,
            )
            for result in results
        ]
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            before = connection.total_changes
            connection.executemany(
                "INSERT INTO trials (family, variant_hash, evidence, kind, recorded_at, session_sharpe, settings, "
                "returns_file) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (family, variant_hash, evidence) DO NOTHING",
                rows,
            )
            added = connection.total_changes - before
            connection.execute("COMMIT")
        return added

    def trials_of(self, family: str) -> tuple[TrialRecord, ...]:
        """Return every trial of ``family`` in the order counted; none where nothing was ever tried."""
        if not self.path.exists():
            return ()
        with self._open() as connection:
            rows = connection.execute(
                "SELECT family, variant_hash, evidence, kind, recorded_at, session_sharpe, settings, returns_file "
                "FROM trials WHERE family = ? ORDER BY number",
                (family,),
            ).fetchall()
        return tuple(
            TrialRecord(
                family=row[0],
                variant_hash=row[1],
                evidence=row[2],
                kind=row[3],
                recorded_at=datetime.fromisoformat(row[4]),
                session_sharpe=row[5],
                settings_json=row[6],
                returns_file=row[7],
            )
            for row in rows
        )

    def of(self, family: str, kind: TrialKind) -> FamilyTrials:
        """Return the ledger as a sweep takes it: of one family, tried by one kind of search."""
        return FamilyTrials(self, family, kind)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, isolation_level=None, timeout=_BUSY_TIMEOUT_S)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.executescript(_SCHEMA)
                yield connection  # closing rolls an open transaction back
        except (OSError, sqlite3.Error) as error:
            raise LakeError(
                f"the trial ledger {self.path} refused ({error})",
                "free disk space, make its folder writable, or restore a damaged file from a backup; "
                "no result counts that it does not hold",
            ) from error


@dataclass(frozen=True)
class FamilyTrials:
    """A ledger with the family and the kind that its next trials are of."""

    ledger: TrialLedger
    family: str
    kind: TrialKind

    def record(self, results: Sequence[VariantResult], *, evidence: str) -> None:
        """Count ``results``; errors as ``TrialLedger.record``."""
        self.ledger.record(self.family, self.kind, results, evidence=evidence)
