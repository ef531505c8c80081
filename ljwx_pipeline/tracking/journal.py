"""The durable side of tracking: a file of lines for each tracked run, on disk before MLflow hears of it.

::

    <market home>/tracking/
      open/<event>.jsonl   what happened, line by line, and how much of it MLflow has; what is left to send is here
      open/<event>.files/  copies of the artifacts that are not sent yet
      sent/<event>.jsonl   the same file once the run has ended and MLflow has all of it
      mlflow_database.txt  which database that is: what was sent to one that is lost is sent again

An event is a run by its stable id: the same trial, fold or evaluation is the same event in every process and on every
day. Not here: sending (``tracker.py``).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.folders import make_folder, sync_folder

OPEN, SENT = "open", "sent"
_SUFFIX = ".jsonl"

Entry = dict[str, Any]


def stable_id(kind: str, *parts: object) -> str:
    """Return 32 hexadecimal digits that name one event: the same kind and parts give the same ones anywhere."""
    stated = json.dumps([kind, *parts], sort_keys=True, default=str)
    return hashlib.sha256(stated.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Story:
    """What a journal holds: every line that tells of the run, and how much of it MLflow has.

    Parameters
    ----------
    entries
        In the order they happened, without the marks of sending.
    sent
        How many of ``entries`` MLflow has.
    run_id
        MLflow's run; None before the first sending.
    """

    entries: tuple[Entry, ...]
    sent: int
    run_id: str | None

    @property
    def opening(self) -> Entry:
        """The line that opened the run: name, kind, parent, tags and the moment."""
        return self.entries[0]

    @property
    def status(self) -> str:
        """RUNNING, or how the run ended last."""
        last = next((entry for entry in reversed(self.entries) if entry["do"] in ("end", "resume", "open")), None)
        return str(last["status"]) if last is not None and last["do"] == "end" else "RUNNING"

    @property
    def params(self) -> dict[str, str]:
        """Every parameter recorded so far."""
        return {name: value for entry in self.entries for name, value in entry.get("params", {}).items()}


class Journals:
    """All journals of one market."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def exists(self, event: str) -> bool:
        """Return whether anything was ever recorded of ``event``."""
        return any(self._path(place, event).exists() for place in (OPEN, SENT))

    def open_events(self) -> list[str]:
        """Return the events that MLflow lacks something of or that have not ended, oldest first."""
        return [path.stem for path in self._files(OPEN)]

    def events(self) -> list[str]:
        """Return every event, those that were sent first."""
        return [path.stem for place in (SENT, OPEN) for path in self._files(place)]

    def read(self, event: str) -> Story:
        """Return what was recorded of ``event``; a last line that a crash tore is left out.

        Raises
        ------
        LakeError
            When nothing was, the file cannot be read, or a line inside it is damaged.
        """
        for place in (OPEN, SENT, OPEN):  # a sender may move it in between
            path = self._path(place, event)
            try:
                return _story(path, path.read_bytes())
            except FileNotFoundError:
                continue
            except OSError as error:
                raise cannot_read(path, error) from error
        raise LakeError(f"no tracked run {event} lies below {self.folder}", "run the step again that records it")

    def append(self, event: str, entries: Sequence[Entry], *, durable: bool = True) -> None:
        """Add ``entries``; they are on disk when this returns (``durable``), all of them or none.

        Raises
        ------
        LakeError
            When the disk is full, the folder cannot be written or a text is no UTF-8; the journal is then as it was.
        """
        path = self._path(OPEN, event)
        lines = b"".join(_line(path, entry) for entry in entries)
        try:
            new = not path.exists()
            above = make_folder(path.parent) if new else []
            with self._held(event) as descriptor:
                kept = _whole_bytes(descriptor)
                try:
                    _write(descriptor, lines, kept)
                    if durable:
                        os.fsync(descriptor)
                except OSError:
                    os.ftruncate(descriptor, kept)
                    if kept == 0:
                        path.unlink()
                    raise
            if new and durable:
                for folder in (*above, path.parent):
                    sync_folder(folder)
        except OSError as error:
            raise _cannot_write(path, error) from error

    def settle(self, event: str, marked: int) -> None:
        """Put the journal among those that were sent, unless it has grown beyond ``marked`` lines or has not ended."""
        path = self._path(OPEN, event)
        if not path.exists():
            return
        with self._held(event):
            story = _story(path, path.read_bytes())
            if story.status == "RUNNING" or len(story.entries) != marked or story.sent != marked:
                return
            make_folder(self.folder / SENT)
            path.rename(self._path(SENT, event))
            shutil.rmtree(self.files(event), ignore_errors=True)

    def files(self, event: str) -> Path:
        """Return the folder of the copies of artifacts that are not sent yet."""
        return self.folder / OPEN / f"{event}.files"

    def keep_copy(self, event: str, source: Path) -> Path:
        """Copy a file or folder beside the journal, force it to disk, and return the copy.

        Raises
        ------
        LakeError
            When the disk is full or the folder cannot be written; no part of the copy stays.
        """
        place = self.files(event) / secrets.token_hex(4)
        try:
            make_folder(place)
            if source.is_dir():
                shutil.copytree(source, place, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, place / source.name)
            for path in place.rglob("*"):
                _sync(path)
            sync_folder(place)
        except OSError as error:
            shutil.rmtree(place, ignore_errors=True)
            raise _cannot_write(place, error) from error
        return place

    def _path(self, place: str, event: str) -> Path:
        return self.folder / place / f"{event}{_SUFFIX}"

    def _files(self, place: str) -> list[Path]:
        found = [(path.stat().st_mtime_ns, path) for path in (self.folder / place).glob(f"*{_SUFFIX}")]
        return [path for _, path in sorted(found)]

    @contextmanager
    def _held(self, event: str) -> Iterator[int]:
        """Hold the open journal alone; one that was sent is opened again, as more is to be told."""
        path, sent = self._path(OPEN, event), self._path(SENT, event)
        while True:
            with suppress(FileNotFoundError):
                sent.rename(path)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(path, descriptor):
                break
            os.close(descriptor)  # whoever held it before has moved it
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def append_line(path: Path, entry: Mapping[str, Any]) -> None:
    """Add one line to a file that only grows; it is on disk when this returns, or the file is as it was.

    Raises
    ------
    LakeError
        When the disk is full, the folder cannot be written or a text is no UTF-8.
    """
    line = _line(path, entry)
    try:
        above = make_folder(path.parent)
        new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            kept = _whole_bytes(descriptor)
            try:
                _write(descriptor, line, kept)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, kept)
                raise
        finally:
            os.close(descriptor)
        for folder in (*above, path.parent) if new else ():
            sync_folder(folder)
    except OSError as error:
        raise _cannot_write(path, error) from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file that only grows, none where there is no file; a torn last line is left out.

    Raises
    ------
    LakeError
        When the file cannot be read, or a line is damaged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise cannot_read(path, error) from error
    read = []
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            told = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise damaged_line(path, number, error) from None
        if not isinstance(told, dict):
            raise damaged_line(path, number, TypeError(f"{type(told).__name__}, not an object"))
        read.append(told)
    return read


def cannot_read(path: Path, error: OSError) -> LakeError:
    """Return what to say of a file that is there and cannot be read."""
    return LakeError(
        f"{path} cannot be read ({error.strerror or error})",
        "mend its permissions, or move away what lies in its place",
    )


def damaged_line(path: Path, number: int, error: Exception) -> LakeError:
    """Return what to say of line ``number``, from 1, of a file that only grows."""
    return LakeError(f"{path} is damaged: line {number} ({error!r})", "restore it from a backup")


def _line(path: Path, entry: Mapping[str, Any]) -> bytes:
    try:
        return (json.dumps(entry, ensure_ascii=False, default=str) + "\n").encode()
    except UnicodeError as error:
        raise LakeError(
            f"what happened cannot be recorded in {path} ({error})", "give names and reasons as UTF-8 text"
        ) from None


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def metrics_entry(values: Mapping[str, float], *, step: int, at_ms: int) -> Entry:
    """Return the line that records ``values`` at ``step``."""
    return {"do": "log", "metrics": [[name, float(value), at_ms, step] for name, value in values.items()]}


def _story(path: Path, content: bytes) -> Story:
    entries: list[Entry] = []
    sent, run_id = 0, None
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines()):
        try:
            entry = json.loads(line)
            if entry["do"] == "sent":
                sent, run_id = int(entry["count"]), entry["run_id"]
            else:
                entries.append(entry)
        except (ValueError, KeyError, TypeError) as error:
            raise LakeError(
                f"line {number + 1} of {path} is damaged ({error!r})", "move the file away: its run is recorded anew"
            ) from None
    if not entries or entries[0]["do"] != "open":
        raise LakeError(f"{path} does not begin with its run", "move the file away: its run is recorded anew")
    return Story(tuple(entries), sent, run_id)


def _whole_bytes(descriptor: int) -> int:
    """Return the length of the journal's whole lines, after cutting off a line that a crash tore."""
    size = os.fstat(descriptor).st_size
    content = os.pread(descriptor, min(size, 1 << 16), max(0, size - (1 << 16)))
    if size and not content.endswith(b"\n"):
        content = os.pread(descriptor, size, 0)
        size = content.rfind(b"\n") + 1
        os.ftruncate(descriptor, size)
    return size


def _write(descriptor: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest.nbytes:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> LakeError:
    return LakeError(
        f"what happened cannot be recorded in {path} ({error.strerror or error})",
        "free some space or correct the folder's permissions and run again; what was recorded before is unchanged",
    )
