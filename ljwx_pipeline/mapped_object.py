"""An object with large arrays, handed once to other processes as a file that they map into memory.

What is mapped from a file already is not written again, only named. Not here: what is handed over (``backtest/``,
``models/``).
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import itertools
import json
import mmap
import os
import pickle
import shutil
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ljwx_pipeline.errors import EnvironmentFault

_PREFIX, _LOCK = "ljwx-sweep-", ".lock"
_ARRAYS, _SIZES, _OBJECT = "arrays.bin", "sizes.json", "object.pickle"
#: Bytes to which arrays are aligned.
_LINE = 64


@contextlib.contextmanager
def handed_over(value: Any, *, below: Path | None, what: str) -> Iterator[Path]:
    """Write ``value`` into a folder for the ``with`` block, for ``taken_over`` in other processes.

    Folders that killed processes left beside it are removed: nobody holds their lock any more.

    Parameters
    ----------
    value
        Anything that can be pickled.
    below
        Where the folder is made; None: where temporary files go. Processes on other machines must see it too.
    what
        What is handed over, for a message.

    Raises
    ------
    EnvironmentFault
        When the disk is full or the place cannot be written.
    """
    place = below or Path(tempfile.gettempdir())
    try:
        place.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(place)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    except OSError as error:
        raise _cannot_share(what, place, error) from error
    lock = os.open(folder / f"{_LOCK}.new", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / f"{_LOCK}.new").replace(folder / _LOCK)  # held before anyone can find it
        try:
            _write(value, folder)
        except OSError as error:
            raise _cannot_share(what, folder, error) from error
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@lru_cache(maxsize=1)
def taken_over(folder: str, what: str) -> Any:
    """Return what ``handed_over`` wrote into a folder, mapped into memory once a process.

    It is mapped privately: what a kernel compiled for is a writable array, and a write would stay in the process.

    Raises
    ------
    EnvironmentFault
        When the folder cannot be read here, or a file that it names is no longer the one that was mapped.
    """
    place = Path(folder)
    try:
        sizes = json.loads((place / _SIZES).read_text(encoding="utf-8"))
        with (place / _ARRAYS).open("rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        ends = list(itertools.accumulate(_aligned(size) for size in sizes))
        buffers = [mapped[end - _aligned(size) :][:size] for size, end in zip(sizes, ends, strict=True)]
        return _Unpickler(io.BytesIO((place / _OBJECT).read_bytes()), buffers=buffers).load()
    except (OSError, ValueError) as error:
        raise EnvironmentFault(
            f"a worker cannot read {what} in {place} ({error})",
            "give workers on other machines a folder that both see",
        ) from None


class _Pickler(pickle.Pickler):
    """Names an array that is the whole of a mapped file, in place of its bytes."""

    def persistent_id(self, obj: Any) -> tuple[Any, ...] | None:
        if not isinstance(obj, np.memmap) or not isinstance(obj.base, mmap.mmap) or not obj.flags.c_contiguous:
            return None
        if obj.filename is None or obj.mode != "r":
            return None  # what may be written to is handed over as it is now
        path = os.fspath(obj.filename)
        return str(path), obj.dtype.str, obj.shape, obj.offset, _stamp(str(path))


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        path, dtype, shape, offset, stamp = pid
        if _stamp(path) != stamp:
            raise ValueError(f"{path} has been replaced")
        return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape)


def _stamp(path: str) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_size, found.st_mtime_ns


def _write(value: Any, folder: Path) -> None:
    buffers: list[pickle.PickleBuffer] = []
    stated = io.BytesIO()
    _Pickler(stated, protocol=5, buffer_callback=buffers.append).dump(value)
    raw = [buffer.raw() for buffer in buffers]
    with (folder / _ARRAYS).open("wb") as file:
        for buffer in raw:
            file.write(buffer)
            file.write(bytes(_aligned(buffer.nbytes) - buffer.nbytes))
        if not raw:
            file.write(bytes(_LINE))  # nothing cannot be mapped
    (folder / _SIZES).write_text(json.dumps([buffer.nbytes for buffer in raw]), encoding="utf-8")
    (folder / _OBJECT).write_bytes(stated.getvalue())


def _aligned(size: int) -> int:
    """Return ``size`` with what is left of its last cache line, and a byte at least: no buffer shares its place."""
    return -(-max(size, 1) // _LINE) * _LINE


def _remove_abandoned(place: Path) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR)
        except OSError:
            continue  # being made, being removed, or somebody else's
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue  # its maker lives
        finally:
            os.close(lock)


def _cannot_share(what: str, place: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        f"{what} cannot be written to {place} ({error.strerror or error})",
        "free some space or make the folder writable",
    )
