"""Alarms about a model that trades and trainings asked for, each a line of a file that only grows, beside the market.

::

    <market home>/tracking/
      alarms.jsonl      raised, cleared, raised again on the same session
      retraining.jsonl  requested, ended

An alarm is written at its onset: while it lasts nothing more is. One of a state (drift, broken input, miscalibration)
is cleared when it has passed; lost skill is not, a model does not find it again. An alarm is about a bundle: a version
number means another model once the registry's database was made anew.

Not here: what raises them (``monitoring/``), what is asked for (``monitoring/retrain.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any, Literal

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.monitoring.retrain import SUCCEEDED, AlarmKind
from ljwx_pipeline.tracking.journal import append_line, read_lines

ALARMS_FILE, RETRAINING_FILE = "alarms.jsonl", "retraining.jsonl"


@dataclass(frozen=True)
class AlarmLine:
    """One line about an alarm.

    Parameters
    ----------
    at
        When it was written: ISO, UTC.
    what
        ``raised``; ``cleared``; ``resumed``: true again on the session it was raised on, the same alarm.
    key
        Of the alarm, unique; of ``cleared`` the alarm's that has passed.
    kind, model, version, bundle_hash
        Of what, and about whom.
    session
        On which it was raised or cleared: ISO date.
    sentence
        Fact and value.
    """

    at: str
    what: Literal["raised", "cleared", "resumed"]
    key: str
    kind: AlarmKind
    model: str
    version: str
    bundle_hash: str
    session: str
    sentence: str = ""


@dataclass(frozen=True)
class RequestLine:
    """One line about a training asked for.

    Parameters
    ----------
    at
        When it was written: ISO, UTC.
    what
        ``requested`` or ``ended``; ended anew, where a run that failed was run again by a person.
    key
        Of the request: the run key that Dagster is given.
    session, alarms
        The last finished session then, and the alarms it answers; empty where it ended.
    run_id, status
        The run that ended and how; empty where it was requested.
    """

    at: str
    what: Literal["requested", "ended"]
    key: str
    session: str = ""
    alarms: tuple[str, ...] = ()
    run_id: str = ""
    status: str = ""


def subject(version: str, bundle_hash: str) -> str:
    """Return how an alarm names the model it is about."""
    return f"{version}/{bundle_hash[:12]}"


class AlarmJournal:
    """The alarms of one market; nothing is made before the first."""

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        self.path = folder / ALARMS_FILE
        self._clock = clock or SystemClock()

    def lines(self) -> list[AlarmLine]:
        """Return every line, oldest first.

        Raises
        ------
        LakeError
            When the file is damaged.
        """
        return [_read(AlarmLine, one, self.path) for one in read_lines(self.path)]

    def about(self, bundle_hash: str, kind: AlarmKind | None = None) -> list[AlarmLine]:
        """Return the lines about a bundle, of one kind or of all."""
        return [one for one in self.lines() if one.bundle_hash == bundle_hash and kind in (None, one.kind)]

    def in_force(self, bundle_hash: str) -> list[AlarmLine]:
        """Return the alarms about a bundle that have not been cleared, the newest of each kind."""
        last = {one.kind: one for one in self.about(bundle_hash)}
        return [one for one in last.values() if one.what != "cleared"]

    def skill_lost_since(self, bundle_hash: str) -> date | None:
        """Return the session since which an alarm of lost skill about a bundle stands, None where none does.

        Raises
        ------
        LakeError
            When the file is damaged.
        """
        last = {one.key: one for one in self.about(bundle_hash, "skill_lost")}
        standing = [date.fromisoformat(one.session) for one in last.values() if one.what != "cleared"]
        return min(standing, default=None)

    def raised(
        self, kind: AlarmKind, model: str, version: str, bundle_hash: str, *, session: date, sentence: str
    ) -> AlarmLine | None:
        """Write an alarm down; return its line, None where this session's was written before and still stands."""
        key = f"{kind}/{model}/{subject(version, bundle_hash)}/{session}"
        of_key = [one for one in self.about(bundle_hash, kind) if one.key == key]
        if of_key and of_key[-1].what != "cleared":
            return None
        what: Literal["raised", "resumed"] = "resumed" if of_key else "raised"
        line = AlarmLine(self._now(), what, key, kind, model, version, bundle_hash, session.isoformat(), sentence)
        append_line(self.path, asdict(line))
        return line

    def settle(
        self,
        kind: AlarmKind,
        model: str,
        version: str,
        bundle_hash: str,
        *,
        now: bool,
        session: date,
        sentence: str = "",
    ) -> AlarmLine | None:
        """Write down that a state has begun or passed; return the alarm where it begins, None where nothing changes."""
        stands = next((one for one in self.in_force(bundle_hash) if one.kind == kind), None)
        if now and stands is None:
            return self.raised(kind, model, version, bundle_hash, session=session, sentence=sentence)
        if not now and stands is not None:
            cleared = AlarmLine(
                self._now(), "cleared", stands.key, kind, model, version, bundle_hash, session.isoformat()
            )
            append_line(self.path, asdict(cleared))
        return None

    def records(self) -> list[dict[str, Any]]:
        """Return every alarm ever raised as ``retraining_due`` reads it."""
        lines = self.lines()
        last = {one.key: one.what for one in lines}
        return [
            {
                "key": one.key,
                "kind": one.kind,
                "version": subject(one.version, one.bundle_hash),
                "session": one.session,
                "in_force": last[one.key] != "cleared",
            }
            for one in lines
            if one.what == "raised"
        ]

    def _now(self) -> str:
        return self._clock.now().isoformat(timespec="seconds")


class RetrainingJournal:
    """The trainings asked for in one market; nothing is made before the first."""

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        self.path = folder / RETRAINING_FILE
        self._clock = clock or SystemClock()

    def lines(self) -> list[RequestLine]:
        """Return every line, oldest first.

        Raises
        ------
        LakeError
            When the file is damaged.
        """
        read = [_read(RequestLine, one, self.path) for one in read_lines(self.path)]
        return [RequestLine(**{**asdict(one), "alarms": tuple(one.alarms)}) for one in read]

    def requested(self, session: date, alarms: Sequence[str]) -> RequestLine:
        """Write down that a training is asked for, before it is."""
        count = sum(one.what == "requested" for one in self.lines()) + 1
        line = RequestLine(
            self._now(), "requested", f"retraining/{session}/{count}", session.isoformat(), tuple(alarms)
        )
        append_line(self.path, asdict(line))
        return line

    def ended(self, key: str, *, run_id: str, status: str) -> None:
        """Write down that the run of a request has ended, however it did."""
        append_line(self.path, asdict(RequestLine(self._now(), "ended", key, run_id=run_id, status=status)))

    def open_requests(self) -> list[RequestLine]:
        """Return the requests that have not ended."""
        lines = self.lines()
        ended = _ends(lines)
        return [one for one in lines if one.what == "requested" and one.key not in ended]

    def failed_last(self) -> tuple[RequestLine, RequestLine] | None:
        """Return the newest request and its end where it ended without success; None otherwise."""
        lines = self.lines()
        made, ended = [one for one in lines if one.what == "requested"], _ends(lines)
        end = ended.get(made[-1].key) if made else None
        return None if end is None or end.status == SUCCEEDED else (made[-1], end)

    def records(self) -> list[dict[str, Any]]:
        """Return every request ever made as ``retraining_due`` reads it."""
        lines = self.lines()
        ended = _ends(lines)
        return [
            {
                "session": one.session,
                "alarms": list(one.alarms),
                "status": ended[one.key].status if one.key in ended else "",
            }
            for one in lines
            if one.what == "requested"
        ]

    def _now(self) -> str:
        return self._clock.now().isoformat(timespec="seconds")


def _ends(lines: Sequence[RequestLine]) -> dict[str, RequestLine]:
    """Return how each request that has ended did, by key: the last word of it."""
    return {one.key: one for one in lines if one.what == "ended"}


def _read(kind: type[Any], line: dict[str, Any], path: Path) -> Any:
    """Return a line as its class; one of other fields is damage, never passed over."""
    wanted = {one.name for one in fields(kind)}
    if set(line) != wanted:
        raise LakeError(
            f"{path} is damaged (a line lacks or has besides {', '.join(sorted(wanted ^ set(line)))})",
            "restore it from a backup",
        )
    return kind(**line)
