"""Which strategies were ever tried on a market: one row a trial, never changed, never removed, each counted once.

A result is worth less the more was tried to find it, and only a book that nobody can thin out says how much. SQLite
with a write-ahead log and full synchronisation: a row is on disk when it is recorded, several sweeps may write at once,
a unique key counts a trial once, and triggers refuse a change; a file of lines could do none of the last three without
a lock of its own. A chain of hashes notices what was done to the file behind its back (``trial_chain.py``). Not here:
what the count does to a promotion (``promotion/trial_count.py``).
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
from ljwx_pipeline.backtest.trial_chain import (
    START,
    VALUES,
    Head,
    broken,
    gone,
    read_head,
    require_one_commit,
    require_whole,
    row_hash,
    write_head,
)
from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.config import Settings, UniverseSettings
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.locking import exclusive

TrialKind = Literal["sweep", "tune", "manual", "compare", "study"]
#: The ledger's file below a market's home.
LEDGER_FILE = "trials.sqlite"
#: Link in the home of a reproduction to the market whose trials it counts: their returns lie there.
COUNTED = "counted"
#: The document beside out-of-sample scores that says under which settings they were made.
SCORED_UNDER = "scored_under"
_BUSY_TIMEOUT_S = 15.0
_WRITERS_WAIT_S = 60.0
#: What the file says of itself in ``user_version``: 0 is the layout before rows were chained.
_LAYOUT = 2
#: SQLite's whole numbers end there.
_MOST_SESSIONS = 2**63 - 1
_COLUMNS = ", ".join((*VALUES, "row_hash"))
_FIRST_LAYOUT = ", ".join(VALUES[:-2])
_TABLE = """
CREATE TABLE trials (
    number INTEGER PRIMARY KEY,
    family TEXT NOT NULL,
    variant_hash TEXT NOT NULL,
    evidence TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('sweep', 'tune', 'manual', 'compare', 'study')),
    recorded_at TEXT NOT NULL,
    session_sharpe REAL NOT NULL,
    settings TEXT NOT NULL,
    returns_file TEXT NOT NULL,
    returns_column TEXT NOT NULL,
    sessions INTEGER NOT NULL CHECK (sessions >= 0),
    row_hash TEXT NOT NULL,
    UNIQUE (family, variant_hash, evidence)
) STRICT
"""
_TRIGGERS = (
    """CREATE TRIGGER trials_never_change BEFORE UPDATE ON trials
    BEGIN SELECT RAISE(ABORT, 'a trial is never changed'); END""",
    """CREATE TRIGGER trials_never_go BEFORE DELETE ON trials
    BEGIN SELECT RAISE(ABORT, 'a trial is never removed'); END""",
)


@dataclass(frozen=True)
class NewTrial:
    """What is counted of a trial; the fields are ``TrialRecord``'s."""

    variant_hash: str
    session_sharpe: float
    sessions: int
    settings_json: str
    returns_file: str = ""
    returns_column: str = ""


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
        Who tried it first: ``study`` a study of hyperparameters, ``compare`` a comparison or paths, ``sweep`` and
        ``tune`` a sweep's grid or proposals, ``manual`` a run of the line.
    recorded_at
        When, UTC.
    session_sharpe
        In-sample Sharpe ratio per session of net returns over the benchmark; 0 when they never vary.
    sessions
        How many returns that rests on; 0 where it is not known, as of trials counted before it was kept.
    returns_file, returns_column
        Where its returns are kept, empty when nowhere: a study's below the market's home, ``trial_N``; any other's
        below the sweep's store (``sweep_store.RESULTS``), in the row of ``variant_hash``.
    """

    family: str
    variant_hash: str
    evidence: str
    kind: TrialKind
    recorded_at: datetime
    session_sharpe: float
    settings_json: str
    returns_file: str
    returns_column: str
    sessions: int


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
        """Count backtests; as ``count``."""
        return self.count(family, kind, [_of_variant(result) for result in results], evidence=evidence)

    def count(self, family: str, kind: TrialKind, trials: Sequence[NewTrial], *, evidence: str) -> int:
        """Count each of ``trials`` that the family has not counted on this evidence, and return how many those were.

        All of them are on disk when this returns, or none.

        Raises
        ------
        LakeError
            For a Sharpe ratio that is no number, a number of sessions or a text that cannot be kept, a full disk, a
            file that is damaged or cannot be written, or a ledger that lacks what was counted: rows added to it would
            hide that.
        """
        for trial in trials:
            _require_countable(trial, family, evidence)
        with self._writing() as connection:
            connection.execute("BEGIN IMMEDIATE")
            noted = self._end(connection)
            at = self._clock.now().isoformat(timespec="microseconds")
            end = noted
            for trial in trials:
                key = (family, trial.variant_hash, evidence)
                if connection.execute(_KNOWN, key).fetchone() is None:
                    sharpe = float(trial.session_sharpe) + 0.0  # SQLite keeps no sign of a zero
                    told = (trial.settings_json, trial.returns_file, trial.returns_column, int(trial.sessions))
                    end = _insert(connection, end, (*key, kind, at, sharpe, *told))
            connection.execute("COMMIT")
            if end != noted:
                write_head(self.path, end)
        return end.rows - noted.rows

    def trials_of(self, family: str) -> tuple[TrialRecord, ...]:
        """Return every trial of ``family`` in the order counted; none where nothing was ever tried.

        Raises
        ------
        LakeError
            As ``trials``.
        """
        return tuple(trial for trial in self.trials() if trial.family == family)

    def trials(self) -> tuple[TrialRecord, ...]:
        """Return every trial of the market in the order counted.

        Raises
        ------
        LakeError
            When the file is damaged or cannot be read, or rows were edited, moved or removed, or the file itself was.
        """
        if not self.path.exists():
            self._require_never_written()
            return ()
        with self._connected() as connection:
            if not _is_laid_out(connection, self.path):
                with self._writing():
                    pass
            head = read_head(self.path)  # before the rows, or a writer's commit between the two would look like a loss
            rows = connection.execute(f"SELECT {_COLUMNS} FROM trials ORDER BY number").fetchall()  # noqa: S608
        require_whole(self.path, rows, head)
        now = read_head(self.path)
        if now is not None and len(rows) > now.rows:
            require_one_commit(self.path, rows[now.rows :], now)
            self._note(Head(len(rows), rows[-1][-1]))
        return tuple(_record(row) for row in rows)

    def look(self) -> tuple[tuple[TrialRecord, ...], str]:
        """Return every trial as it stands, and what is wrong with them: why ``trials`` refuses, or nothing.

        Raises
        ------
        LakeError
            When not even a row can be read.
        """
        try:
            return self.trials(), ""
        except LakeError as error:
            if not self.path.exists():
                return (), str(error)
            with self._connected() as connection:
                rows = connection.execute(f"SELECT {_COLUMNS} FROM trials ORDER BY number").fetchall()  # noqa: S608
            return tuple(_record(row) for row in rows), str(error)

    def of(self, family: str, kind: TrialKind) -> FamilyTrials:
        """Return the ledger as a sweep takes it: of one family, tried by one kind of search."""
        return FamilyTrials(self, family, kind)

    def _note(self, end: Head) -> None:
        """Note how far the ledger reaches where a crash kept that from being noted."""
        with self._locked():
            noted = read_head(self.path)
            if noted is not None and noted.rows < end.rows:
                write_head(self.path, end)

    def _end(self, connection: sqlite3.Connection) -> Head:
        """Return how far the ledger reaches, and note it; refused where that is not as far as was noted."""
        head = read_head(self.path)
        last = connection.execute("SELECT number, row_hash FROM trials ORDER BY number DESC LIMIT 1").fetchone()
        end = Head(*last) if last else Head(0, START)
        (held,) = connection.execute("SELECT count(*) FROM trials").fetchone()
        noted = connection.execute(
            "SELECT row_hash FROM trials WHERE number = ?", (head.rows if head else 0,)
        ).fetchone()
        as_noted = head is not None and (noted[0] if noted else START) == head.hash
        if head is None or not as_noted or held != end.rows:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM trials ORDER BY number").fetchall()  # noqa: S608
            require_whole(self.path, rows, head)
            raise broken(self.path, f"{self.path} holds {held:,} trials, the last is number {end.rows}")
        if held > head.rows:  # noted before a second commit goes beyond it
            beyond = f"SELECT {', '.join(VALUES)} FROM trials WHERE number > ? ORDER BY number"  # noqa: S608
            require_one_commit(self.path, connection.execute(beyond, (head.rows,)).fetchall(), head)
            write_head(self.path, end)
        return end

    def _require_never_written(self) -> None:
        head = read_head(self.path)
        if head is not None and head.rows:
            raise gone(self.path, 0, head)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the ledger alone, made or brought to today's layout, so that rows and their note are written as one."""
        with self._locked():
            if not self.path.exists():
                self._require_never_written()
            with self._connected() as connection:
                if not _is_laid_out(connection, self.path):
                    if read_head(self.path) is None:  # from now on a ledger without a note has lost it
                        write_head(self.path, Head(0, START))
                    _lay_out(connection)
                yield connection

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(self.path.with_name(f".{self.path.name}.lock"), timeout_s=_WRITERS_WAIT_S):
            yield

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with (
            self._told(),
            closing(sqlite3.connect(self.path, isolation_level=None, timeout=_BUSY_TIMEOUT_S)) as connection,
        ):
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            yield connection  # closing rolls an open transaction back

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise LakeError(
                f"the trial ledger {self.path} refused ({error})",
                "free disk space, make its folder writable, or restore a damaged file from a backup; "
                "no result counts that it does not hold",
            ) from error


def copy_ledger(source: Path, target: Path, *, until: datetime | None) -> None:
    """Copy a ledger as it stands, though others write to it; of rows counted after ``until`` the copy knows nothing.

    The copy is chained anew: it is what was known then, and no ledger anybody counts by.

    Raises
    ------
    LakeError
        When ``source`` is not whole, or either cannot be read or written.
    """
    known = [trial for trial in TrialLedger(source).trials() if until is None or trial.recorded_at <= until]
    if not known:
        return
    copied = TrialLedger(target)
    with copied._writing() as connection:
        connection.execute("BEGIN IMMEDIATE")
        end = Head(0, START)
        for trial in known:
            end = _insert(connection, end, _values(trial))
        connection.execute("COMMIT")
        write_head(target, end)


_KNOWN = "SELECT 1 FROM trials WHERE family = ? AND variant_hash = ? AND evidence = ?"


def _insert(connection: sqlite3.Connection, end: Head, values: tuple[Any, ...]) -> Head:
    """Add the row of ``values`` (all that is hashed but the number) after ``end``; return the new end."""
    row = (end.rows + 1, *values)
    digest = row_hash(end.hash, row)
    marks = ", ".join("?" * (len(row) + 1))
    connection.execute(f"INSERT INTO trials ({_COLUMNS}) VALUES ({marks})", (*row, digest))  # noqa: S608
    return Head(end.rows + 1, digest)


def _is_laid_out(connection: sqlite3.Connection, path: Path) -> bool:
    # the columns first: a process that lays the file out meanwhile is then found done, never half-way
    columns = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info('trials')")}
    (layout,) = connection.execute("PRAGMA user_version").fetchone()
    if layout > _LAYOUT:
        raise LakeError(
            f"the trial ledger {path} has layout {layout}, this release writes {_LAYOUT}",
            "use the release that wrote it, or a newer one",
        )
    if layout == _LAYOUT:
        return True
    if "row_hash" in columns:
        raise broken(path, f"{path} says it is from before trials were chained, and its rows are")
    return False


def _require_countable(trial: NewTrial, family: str, evidence: str) -> None:
    """Raise ``LakeError`` for a trial that no row can hold."""
    named = ascii(trial.variant_hash[:12])
    if not math.isfinite(trial.session_sharpe):
        raise LakeError(
            f"variant {named} has the Sharpe ratio {trial.session_sharpe}",
            "check the benchmark and the bars of its sessions",
        )
    if not 0 <= trial.sessions <= _MOST_SESSIONS:
        raise LakeError(f"variant {named} rests on {trial.sessions} sessions", "pass how many returns it has")
    texts = (family, evidence, trial.variant_hash, trial.settings_json, trial.returns_file, trial.returns_column)
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise LakeError(
                f"variant {named} is told in a text that is no Unicode ({text[:60]!a}: {error.reason})",
                "name studies and files in UTF-8",
            ) from None


def _lay_out(connection: sqlite3.Connection) -> None:
    """Make the table, or bring one of the first layout to today's without losing a row; all of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    found = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'trials'"
    rows: list[tuple[Any, ...]] = []
    if connection.execute(found).fetchone() is not None:
        rows = connection.execute(f"SELECT {_FIRST_LAYOUT} FROM trials ORDER BY number").fetchall()  # noqa: S608
        connection.execute("DROP TABLE trials")  # takes its triggers with it
    connection.execute(_TABLE)
    end = Head(0, START)
    for _, *values in rows:
        end = _insert(connection, end, (*values, "", 0))
    for trigger in _TRIGGERS:
        connection.execute(trigger)
    connection.execute(f"PRAGMA user_version = {_LAYOUT}")
    connection.execute("COMMIT")


def _of_variant(result: VariantResult) -> NewTrial:
    return NewTrial(
        variant_hash=result.variant_hash,
        session_sharpe=result.measures["session_sharpe"],
        sessions=len(result.net_returns),
        settings_json=result.settings_json,
        returns_file=result.file,
        returns_column="net_return" if result.file else "",
    )


def _record(row: Sequence[Any]) -> TrialRecord:
    return TrialRecord(
        family=row[1],
        variant_hash=row[2],
        evidence=row[3],
        kind=row[4],
        recorded_at=datetime.fromisoformat(row[5]),
        session_sharpe=row[6],
        settings_json=row[7],
        returns_file=row[8],
        returns_column=row[9],
        sessions=row[10],
    )


def _values(trial: TrialRecord) -> tuple[Any, ...]:
    """Return what is hashed of a trial, but its number."""
    at = trial.recorded_at.isoformat(timespec="microseconds")
    key = (trial.family, trial.variant_hash, trial.evidence, trial.kind)
    told = (trial.settings_json, trial.returns_file, trial.returns_column, trial.sessions)
    return (*key, at, trial.session_sharpe, *told)


@dataclass(frozen=True)
class FamilyTrials:
    """A ledger with the family and the kind that its next trials are of."""

    ledger: TrialLedger
    family: str
    kind: TrialKind

    def record(self, results: Sequence[VariantResult], *, evidence: str) -> None:
        """Count ``results``; errors as ``TrialLedger.record``."""
        self.ledger.record(self.family, self.kind, results, evidence=evidence)
