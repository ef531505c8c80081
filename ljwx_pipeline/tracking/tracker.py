"""Tracked runs: written down beside the market first, sent to MLflow next, sent again by whoever comes later if not.

MLflow that is away, read-only or full stops no step: it is said once, and ``flush`` (the next step, the next run,
``ljwx tracking flush``) sends what is left. Sending twice changes nothing: a run is found again by the tag
``ljwx.event``, and MLflow keeps one of equal values. Not here: the files (``journal.py``), MLflow itself
(``registry.py``).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from ljwx_pipeline.clock import Clock, SystemClock
from ljwx_pipeline.config import Settings, ljwx_home, market_home, tracking_uri
from ljwx_pipeline.errors import LakeError, LjwxError, RegistryError
from ljwx_pipeline.lake.locking import exclusive
from ljwx_pipeline.observability.log import get_logger
from ljwx_pipeline.registry import PARENT_TAG, Point, Registry, RunStatus, open_registry
from ljwx_pipeline.tracking.journal import Entry, Journals, Story, metrics_entry
from ljwx_pipeline.tracking.kinds import Kind

EVENT_TAG = "ljwx.event"
#: The process that a run goes on in: it is abandoned when that no longer lives.
PID_TAG = "ljwx.pid"
#: Below a market's home.
FOLDER = "tracking"
#: In it: the database that the runs were sent to, as ``Registry.database_id`` tells it.
DATABASE_FILE = "mlflow_database.txt"
#: After MLflow failed to answer, so long nothing but an explicit flush tries it again.
PATIENCE_S = 30.0
#: So long a sender waits for another process that is sending.
SENDING_TIMEOUT_S = 60.0
_REMEDY = "run `ljwx tracking flush` when it is back, or just go on: the next step sends what is left"

_warn = get_logger("tracking").warning


@dataclass(frozen=True)
class Flushed:
    """What a flush came to: events sent, events that MLflow still lacks something of, and the first reason why."""

    sent: int
    left: int
    reason: str


class JournaledRun:
    """One tracked run, to add to; obtained from a ``Tracker``."""

    def __init__(self, tracker: Tracker, event: str, *, eager: bool) -> None:
        self._tracker = tracker
        self.event = event
        self._eager = eager

    @property
    def run_id(self) -> str:
        """MLflow's id of the run.

        Raises
        ------
        RegistryError
            When the run was never sent and MLflow cannot be reached.
        """
        return self._tracker.run_id_of(self.event)

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters.

        Raises
        ------
        RegistryError
            For another value of a name already there, which MLflow would refuse.
        """
        known = self._tracker.journals.read(self.event).params
        texts = {name: str(value) for name, value in values.items()}
        for name, value in texts.items():
            if known.get(name, value) != value:
                raise RegistryError(
                    f"parameter {name} of run {self.event[:8]} is {known[name]!r} and cannot become {value!r}",
                    "record it under another name, or begin another run",
                )
        self._add([{"do": "log", "params": texts}])

    def metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        """Record numbers at ``step``; NaN is kept as NaN."""
        self._add([metrics_entry(values, step=step, at_ms=self._tracker.now_ms())])

    def series(self, rows: Sequence[Mapping[str, float]], *, first_step: int = 0) -> None:
        """Record one set of numbers a step, from ``first_step`` on, in one addition."""
        at_ms = self._tracker.now_ms()
        self._add([metrics_entry(row, step=first_step + i, at_ms=at_ms) for i, row in enumerate(rows)])

    def tags(self, values: Mapping[str, Any]) -> None:
        """Record or overwrite tags."""
        self._add([{"do": "log", "tags": {name: str(value) for name, value in values.items()}}])

    def inputs(self, datasets: Sequence[Mapping[str, str]]) -> None:
        """Record what the run read (``inputs.dataset_input``)."""
        self._add([{"do": "inputs", "datasets": [dict(one) for one in datasets]}])

    def artifacts(self, source: Path, folder: str | None = None) -> None:
        """Copy a file, or the content of a directory, below ``folder`` of the run's artifacts."""
        if not source.exists():
            raise RegistryError(f"artifact {source} does not exist", "write it before recording it")
        copy = self._tracker.journals.keep_copy(self.event, source)
        self._add([{"do": "files", "copy": copy.name, "folder": folder}])

    def child(
        self,
        name: str,
        tags: Mapping[str, Any] | None = None,
        *,
        kind: Kind | None = None,
        event: str | None = None,
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
    ) -> contextlib.AbstractContextManager[JournaledRun]:
        """Open a run nested in this one, a fold or a trial; arguments as ``Tracker.run``."""
        return self._tracker.run(
            name, kind=kind, tags=tags, parent=self.event, event=event, started_at=started_at, ended_at=ended_at
        )

    def end(self, status: RunStatus, *, ended_at: datetime | None = None) -> None:
        """Close the run, as of now unless the work ended before."""
        at_ms = self._tracker.now_ms() if ended_at is None else _milliseconds(ended_at)
        self._add([{"do": "end", "status": status, "at_ms": at_ms}], now=True)

    def resume(self, pid: str | None = None) -> None:
        """Let a run that had ended, or whose process was killed, go on in this process or the one of ``pid``."""
        self._add([{"do": "resume", "at_ms": self._tracker.now_ms(), "tags": _process(pid)}])

    def _add(self, entries: list[Entry], *, now: bool = False) -> None:
        self._tracker.journals.append(self.event, entries)
        if self._eager or now:
            self._tracker.try_send(self.event)


class Tracker:
    """The tracked runs of one market: their journals, and the MLflow experiment that they are sent to.

    Nothing is contacted and no folder made before the first run.
    """

    def __init__(self, folder: Path, registry: Registry, *, clock: Clock | None = None) -> None:
        self.journals = Journals(folder)
        self.registry = registry
        self._clock = clock or SystemClock()
        self._quiet_until_s = float("-inf")
        self._said = self._said_lost = False
        self._checked = False
        self._damaged: set[str] = set()

    @contextlib.contextmanager
    def run(
        self,
        name: str,
        *,
        kind: Kind | None = None,
        tags: Mapping[str, Any] | None = None,
        parent: str | None = None,
        event: str | None = None,
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
    ) -> Iterator[JournaledRun]:
        """Open a run; it ends FINISHED, or FAILED when the block raises, and is sent when it ends.

        Parameters
        ----------
        name
            What MLflow's table shows.
        kind
            Written as the tag ``kind``.
        parent
            The event it is shown below.
        event
            A stable id (``journal.stable_id``): an event that was recorded before is the same run. None: a new one.
        started_at
            When the work began; now if not given.
        ended_at
            When it ended, of work told afterwards; when the block ends if not given, and when the block raises.
        """
        opened = self.begin(name, kind=kind, tags=tags, parent=parent, event=event, started_at=started_at, eager=False)
        status: RunStatus = "FAILED"
        try:
            yield opened
            status = "FINISHED"
        finally:
            opened.end(status, ended_at=ended_at if status == "FINISHED" else None)

    def begin(
        self,
        name: str,
        *,
        kind: Kind | None = None,
        tags: Mapping[str, Any] | None = None,
        parent: str | None = None,
        event: str | None = None,
        started_at: datetime | None = None,
        eager: bool = True,
    ) -> JournaledRun:
        """Open a run beyond a ``with`` block; with ``eager`` MLflow hears of each addition at once."""
        event = event or uuid4().hex
        if self.journals.exists(event):
            known = self.find(event, eager=eager)
            known.resume()
            return known
        started_ms = self.now_ms() if started_at is None else _milliseconds(started_at)
        texts = {key: str(value) for key, value in {**_process(), **(tags or {})}.items()}
        if kind is not None:
            texts["kind"] = kind
        self.journals.append(
            event, [{"do": "open", "name": name, "parent": parent, "tags": texts, "at_ms": started_ms}]
        )
        if eager:
            self.try_send(event)
        return JournaledRun(self, event, eager=eager)

    def find(self, event: str, *, eager: bool = True) -> JournaledRun:
        """Return the run of an event that was recorded before, to add to."""
        return JournaledRun(self, event, eager=eager)

    def recorded(self, event: str) -> bool:
        """Return whether ``event`` was recorded and has ended as finished: nothing of it is left to tell.

        Nothing can be told of an event whose journal is damaged: it is left alone, and said once.
        """
        if not self.journals.exists(event):
            return False
        story = self.story(event)
        return story is None or story.status == "FINISHED"

    def story(self, event: str) -> Story | None:
        """Return what was recorded of ``event``; None when that is damaged, which is said once."""
        try:
            return self.journals.read(event)
        except LakeError as error:
            if event not in self._damaged:
                self._damaged.add(event)
                _warn(f"{error.fact}; it is left out: {error.remedy}")
            return None

    def abandoned(self, event: str, *, own: bool = False) -> bool:
        """Return whether a process of this machine that is dead, or with ``own`` this one, left ``event`` open."""
        story = self.story(event)
        return story is not None and story.status == "RUNNING" and (_is_dead(story) or (own and _is_own(story)))

    def is_deleted(self, event: str) -> bool:
        """Return whether somebody deleted the run of ``event`` in MLflow; False while MLflow cannot tell."""
        story = self.story(event)
        if story is None or story.run_id is None:
            return False
        try:
            return self.registry.is_deleted(story.run_id)
        except RegistryError:
            return False

    def run_id_of(self, event: str) -> str:
        """Return MLflow's id of an event; it is sent first if it never was, and again if MLflow has lost it.

        Raises
        ------
        RegistryError
            When that fails.
        """
        known = self.journals.read(event).run_id
        if known is not None and not self._is_lost(known):
            return known
        with self._sending():
            if known is not None:
                self._forget(event)
            return self._send(event)

    def try_send(self, event: str) -> None:
        """Send what MLflow lacks of ``event``; when that fails it is said once, and kept."""
        if self._clock.monotonic_s() < self._quiet_until_s:
            return
        try:
            with self._sending():
                self._send(event)
        except (RegistryError, LakeError) as error:
            self._fell_silent(error)

    def flush(self) -> Flushed:
        """Send everything that MLflow lacks and return what that came to; nothing is raised for what fails.

        What was sent to a database that is lost is sent again, but for the files that were copied to it.
        """
        events = self.journals.open_events()
        sent, left, reason, away = set[str](), 0, "", False
        unchecked = not self._checked and bool(self.journals.events())
        try:
            with self._sending() if events or unchecked else contextlib.nullcontext():
                if unchecked:
                    self._forget_what_was_lost()
                    events = self.journals.open_events()
                for event in events:
                    try:
                        if not self._lacks(event):
                            continue
                        if away:
                            left += 1
                            continue
                        self._send(event, sent)
                    except LjwxError as error:
                        left, reason = left + 1, reason or str(error)
                        away = isinstance(error, RegistryError) and not self.registry.answers()
        except LakeError as error:  # another process is sending
            left, reason = len(events), str(error)
        if not left:
            self._quiet_until_s, self._said = float("-inf"), False
        return Flushed(len(sent), left, reason)

    def end_abandoned(self) -> list[str]:
        """End as failed every run that was left open by a process of this machine that no longer lives; return them.

        A damaged journal holds none of the others up: it is left out, and said once.
        """
        ended = [event for event in self.journals.open_events() if self.abandoned(event)]
        for event in ended:
            self.find(event).end("FAILED")
        return ended

    def now_ms(self) -> int:
        """Return milliseconds since 1970."""
        return _milliseconds(self._clock.now())

    def _lacks(self, event: str) -> bool:
        story = self.journals.read(event)
        if story.sent == len(story.entries):
            self.journals.settle(event, story.sent)  # a crash came between the two
            return False
        return True

    def _sending(self) -> contextlib.AbstractContextManager[None]:
        """Hold what one process does at a time: two that look for a run and find none would make two."""
        return exclusive(self.journals.folder / ".sending.lock", timeout_s=SENDING_TIMEOUT_S)

    def _send(self, event: str, told: set[str] | None = None) -> str:
        """Send what MLflow lacks of an event, its parent first where that has no run yet; add both to ``told``."""
        told = set() if told is None else told
        story = self.journals.read(event)
        if story.run_id is None:
            self._find_or_make(event, story, told)
            story = self.journals.read(event)
        run_id, count = str(story.run_id), len(story.entries)
        if story.sent == count:
            return run_id
        rest = story.entries[story.sent :]
        try:
            self._send_entries(run_id, event, rest)
        except RegistryError:
            if self._is_lost(run_id):
                self._forget(event)
                return self._send(event, told)
            if not self.registry.answers() or not self.registry.is_deleted(run_id):
                raise  # who deleted a run wants no more of it
        self._mark(event, count, run_id)
        told.add(event)
        for entry in rest:
            if entry["do"] == "files":
                shutil.rmtree(self.journals.files(event) / entry["copy"], ignore_errors=True)
        self.journals.settle(event, count)
        return run_id

    def _is_lost(self, run_id: str) -> bool:
        """Return whether MLflow answers and has no such run: its database was lost, or the run deleted for good."""
        try:
            return not self.registry.knows(run_id)
        except RegistryError:
            return False

    def _forget(self, event: str) -> None:
        """Take back that MLflow has anything of ``event``: all of it is sent again but for copies that are gone."""
        if not self._said_lost:
            self._said_lost = True
            _warn(
                "MLflow no longer has runs that it was sent: they are recorded there again, without the files that "
                "were copied to it"
            )
        self._mark(event, 0, None)

    def _forget_what_was_lost(self) -> None:
        """Where MLflow's database is another than the last time, take back every run that it does not have."""
        noted = self.journals.folder / DATABASE_FILE
        try:
            database = self.registry.database_id()
            if not noted.exists() or noted.read_bytes() != database.encode():
                for event in self.journals.events():
                    story = self.story(event)
                    if story is not None and story.run_id is not None and not self.registry.knows(story.run_id):
                        self._forget(event)
                noted.write_text(database, encoding="utf-8")
        except RegistryError:
            return  # MLflow is away, which whatever is to be sent tells; the next flush looks again
        except OSError as error:
            raise LakeError(
                f"{noted} cannot be read or written ({error.strerror})", "free some space or make it writable"
            ) from error
        self._checked = True

    def _mark(self, event: str, count: int, run_id: str | None) -> None:
        # not forced to disk: what is sent twice changes nothing
        self.journals.append(event, [{"do": "sent", "count": count, "run_id": run_id}], durable=False)

    def _find_or_make(self, event: str, story: Story, told: set[str]) -> None:
        found = self.registry.find(EVENT_TAG, event)
        if found is not None:
            self._mark(event, len(story.entries) if found.deleted else 1, found.run_id)
            return
        opening = story.opening
        tags = {**opening["tags"], EVENT_TAG: event}
        if opening["parent"] is not None:
            tags[PARENT_TAG] = self._parent_run_id(opening["parent"], told)
        self._mark(event, 1, self.registry.begin(opening["name"], tags=tags, started_ms=opening["at_ms"]))

    def _parent_run_id(self, event: str, told: set[str]) -> str:
        known = self.journals.read(event).run_id
        if known is not None and not self._is_lost(known):
            return known
        if known is not None:
            self._forget(event)
        return self._send(event, told)

    def _send_entries(self, run_id: str, event: str, entries: Sequence[Entry]) -> None:
        """Send lines in their order, those between two that are no values as one."""
        points: list[Point] = []
        params: dict[str, str] = {}
        tags: dict[str, str] = {}

        def values() -> None:
            if points or params or tags:
                self.registry.log_points(run_id, points, params=params, tags=tags)
                points.clear()
                params.clear()
                tags.clear()

        for entry in entries:
            points += [(name, value, at_ms, step) for name, value, at_ms, step in entry.get("metrics", ())]
            params |= entry.get("params", {})
            tags |= entry.get("tags", {}) if entry["do"] != "open" else {}
            if entry["do"] in ("open", "log"):
                continue
            values()
            self._send_other(run_id, event, entry)
        values()

    def _send_other(self, run_id: str, event: str, entry: Entry) -> None:
        if entry["do"] == "files":
            copy = self.journals.files(event) / entry["copy"]
            if not copy.exists():
                return  # it was sent to a run that MLflow has lost
            self.registry.log_artifacts(run_id, copy, entry["folder"])
        elif entry["do"] == "inputs":
            self.registry.log_inputs(run_id, entry["datasets"])
        elif entry["do"] == "end":
            self.registry.end(run_id, entry["status"], ended_ms=entry["at_ms"])
        elif entry["do"] == "resume":
            self.registry.reopen(run_id)

    def _fell_silent(self, error: LjwxError) -> None:
        self._quiet_until_s = self._clock.monotonic_s() + PATIENCE_S
        if not self._said:
            self._said = True
            _warn(f"{error.fact}; what happened is kept in {self.journals.folder} and not lost: {_REMEDY}")


def open_tracker(settings: Settings) -> Tracker:
    """Return the tracker of the market that ``settings`` name."""
    return Tracker(market_home(settings) / FOLDER, open_registry(settings.mlflow, home=ljwx_home()))


def unsent_events(settings: Settings) -> list[str]:
    """Return the events of the market that MLflow lacks something of, damaged ones too; MLflow is not asked.

    All of them where its database is a file that is gone.
    """
    journals = Journals(market_home(settings) / FOLDER)
    address = tracking_uri(settings.mlflow, ljwx_home())
    if address.startswith("sqlite:///") and not Path(address.removeprefix("sqlite:///")).exists():
        return journals.events()
    return [event for event in journals.open_events() if _lacking(journals, event)]


def _lacking(journals: Journals, event: str) -> bool:
    try:
        story = journals.read(event)
    except LakeError:
        return True  # `ljwx tracking flush` and the doctor name it: nothing of it can be sent
    return story.sent < len(story.entries)


def damage(settings: Settings) -> list[LakeError]:
    """Return what is wrong with each damaged journal of the market, with its remedy."""
    journals, found = Journals(market_home(settings) / FOLDER), []
    for event in journals.open_events():
        try:
            journals.read(event)
        except LakeError as error:
            found.append(error)
    return found


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _process(pid: str | None = None) -> dict[str, str]:
    return {"ljwx.host": socket.gethostname(), PID_TAG: pid or str(os.getpid())}


def _owner(story: Story) -> dict[str, str]:
    """Return the tags of the process that opened the run or let it go on last."""
    return next(entry["tags"] for entry in reversed(story.entries) if PID_TAG in entry.get("tags", {}))


def _is_own(story: Story) -> bool:
    owner = _owner(story)
    return (owner["ljwx.host"], owner[PID_TAG]) == (socket.gethostname(), str(os.getpid()))


def _is_dead(story: Story) -> bool:
    owner = _owner(story)
    if owner["ljwx.host"] != socket.gethostname():
        return False
    try:
        os.kill(int(owner[PID_TAG]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # somebody else's, but alive
    return False
