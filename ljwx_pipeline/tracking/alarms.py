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

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.monitoring.retrain import SUCCEEDED, AlarmKind
from ljwx_pipeline.tracking.journal import append_line, read_lines

ALARMS_FILE, RETRAINING_FILE = "alarms.jsonl", "retraining.jsonl"
What = Literal["raised", "cleared", "resumed"]
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_HASH = re.compile(r"[0-9a-f]{64}")


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
    what: What
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

    def lines(self, *, newest: date | None = None) -> list[AlarmLine]:
        """Return every line, oldest first.

        Parameters
        ----------
        newest
            The newest session of the market: no alarm is of a later one. None: the caller asks no session.

        Raises
        ------
        LakeError
            When a line is damaged, which is named.
        """
        found: list[AlarmLine] = []
        begun: dict[str, AlarmLine] = {}
        for number, one in enumerate(read_lines(self.path), start=1):
            line: AlarmLine = _read(AlarmLine, one, self.path, number)
            if fault := _alarm_fault(line, begun, newest):
                raise _damaged(self.path, number, fault)
            begun.setdefault(line.key, line)
            found.append(line)
        return found

    def about(self, bundle_hash: str, kind: AlarmKind | None = None) -> list[AlarmLine]:
        """Return the lines about a bundle, of one kind or of all."""
        return [one for one in self.lines() if one.bundle_hash == bundle_hash and kind in (None, one.kind)]

    def in_force(self, bundle_hash: str) -> list[AlarmLine]:
        """Return the alarms about a bundle that have not been cleared, the newest of each kind."""
        last = {one.kind: one for one in self.about(bundle_hash)}
        return [one for one in last.values() if one.what != "cleared"]

    def skill_lost_since(self, bundle_hash: str, *, newest: date) -> date | None:
        """Return the session since which an alarm of lost skill about a bundle stands, None where none does.

        Raises
        ------
        LakeError
            When the file is damaged, or tells of a session after the ``newest`` of the market.
        """
        lines = self.lines(newest=newest)
        last = {one.key: one for one in lines if (one.bundle_hash, one.kind) == (bundle_hash, "skill_lost")}
        standing = [date.fromisoformat(one.session) for one in last.values() if one.what != "cleared"]
        return min(standing, default=None)

    def raised(
        self, kind: AlarmKind, model: str, version: str, bundle_hash: str, *, session: date, sentence: str
    ) -> AlarmLine | None:
        """Write an alarm down; return its line, None where this session's was written before and still stands."""
        key = _key(kind, model, version, bundle_hash, session=session.isoformat())
        of_key = [one for one in self.about(bundle_hash, kind) if one.key == key]
        if of_key and of_key[-1].what != "cleared":
            return None
        what: What = "resumed" if of_key else "raised"
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

    def records(self, *, newest: date | None = None) -> list[dict[str, Any]]:
        """Return every alarm ever raised as ``retraining_due`` reads it; ``newest`` as ``lines`` takes it."""
        lines = self.lines(newest=newest)
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
            When a line is damaged, which is named.
        """
        found: list[RequestLine] = []
        for number, one in enumerate(read_lines(self.path), start=1):
            line: RequestLine = _read(RequestLine, one, self.path, number)
            if fault := _request_fault(line, found):
                raise _damaged(self.path, number, fault)
            found.append(RequestLine(**{**asdict(line), "alarms": tuple(line.alarms)}))
        return found

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


def _key(kind: AlarmKind, model: str, version: str, bundle_hash: str, *, session: str) -> str:
    return f"{kind}/{model}/{subject(version, bundle_hash)}/{session}"


def _read(kind: type[Any], line: dict[str, Any], path: Path, number: int) -> Any:
    """Return a line as its class; one of other fields, or with anything but texts, is damage, never passed over."""
    wanted = {one.name for one in fields(kind)}
    if set(line) != wanted:
        raise _damaged(path, number, f"it lacks or has besides {', '.join(sorted(wanted ^ set(line)))}")
    for name, value in line.items():
        told = value if name == "alarms" and isinstance(value, list) else [value]
        if not all(isinstance(one, str) for one in told) or (name == "alarms" and told is not value):
            raise _damaged(path, number, f"{name} is {value!r}")
    return kind(**line)


def _alarm_fault(line: AlarmLine, begun: dict[str, AlarmLine], newest: date | None) -> str:
    """Return what is wrong with a line, by itself or after those before it; empty where nothing is."""
    if not _is_instant(line.at):
        return f"at is {line.at!r}"
    if line.what not in get_args(What):
        return f"what is {line.what!r}"
    if line.kind not in get_args(AlarmKind):
        return f"kind is {line.kind!r}"
    if not line.model or not line.version or not _HASH.fullmatch(line.bundle_hash):
        return f"it is about {line.model!r}, version {line.version!r}, bundle {line.bundle_hash!r}"
    if not _is_date(line.session):
        return f"session is {line.session!r}"
    if newest is not None and line.session > newest.isoformat():
        return f"session is {line.session}, after {newest}, the newest of the market"
    before = begun.get(line.key)
    since = line if before is None else before
    if line.key != _key(line.kind, line.model, line.version, line.bundle_hash, session=since.session):
        return f"key is {line.key!r}"
    if (line.what == "raised") is not (before is None):
        return f"{line.key} is {line.what} {'without having been raised' if before is None else 'twice'}"
    return ""


def _request_fault(line: RequestLine, before: Sequence[RequestLine]) -> str:
    """Return what is wrong with a line, by itself or after those before it; empty where nothing is."""
    if not _is_instant(line.at):
        return f"at is {line.at!r}"
    asked = line.key in {one.key for one in before if one.what == "requested"}
    if line.what == "requested":
        if not line.key or asked:
            return f"{line.key!r} is requested {'twice' if asked else 'without a key'}"
        if not _is_date(line.session):
            return f"session is {line.session!r}"
        return "" if line.alarms and all(line.alarms) else f"alarms are {list(line.alarms)!r}"
    if line.what != "ended":
        return f"what is {line.what!r}"
    if not asked:
        return f"{line.key!r} ended without having been requested"
    return "" if line.status else "it ended, and how is not told"


def _is_date(told: str) -> bool:
    try:
        return _ISO_DATE.fullmatch(told) is not None and date.fromisoformat(told) is not None
    except ValueError:
        return False


def _is_instant(told: str) -> bool:
    try:
        return datetime.fromisoformat(told).tzinfo is not None
    except ValueError:
        return False


def _damaged(path: Path, number: int, fault: str) -> LakeError:
    return LakeError(f"{path} is damaged (line {number}: {fault})", "restore it from a backup")
