"""One writer at a time, across threads and processes; a writer that dies lets go by itself."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.folders import make_folder, sync_folder

RETRY_S = 0.01
#: Where Linux lists the locks that processes hold.
LOCKS = Path("/proc/locks")


@contextmanager
def exclusive(lock_file: Path, *, timeout_s: float) -> Iterator[None]:
    """Hold ``lock_file`` alone for the ``with`` block.

    Raises
    ------
    LakeError
        When another writer still holds it after ``timeout_s`` seconds, or the folder cannot be written.
    """
    clock = SystemClock()
    try:
        for folder in make_folder(lock_file.parent):
            sync_folder(folder)
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise LakeError(
            f"{lock_file} cannot be opened ({error.strerror})", "make the folder writable or set LJWX_HOME"
        ) from error
    try:
        give_up_s = clock.monotonic_s() + timeout_s
        while not _try_lock(descriptor):
            if clock.monotonic_s() > give_up_s:
                raise LakeError(
                    f"another process{_holder(descriptor)} holds {lock_file.parent}, and still did after "
                    f"{timeout_s:g} s of waiting",
                    "wait until it has ended or stop it, then run again",
                )
            time.sleep(RETRY_S)
        yield
    finally:
        os.close(descriptor)  # closing releases the lock


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> str:
    """Return the id of the process that holds the lock, as words; empty where the system does not say."""
    inode = os.fstat(descriptor).st_ino
    try:
        locks = LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux, or not shown in this container
        return ""
    for line in locks:  # 3: FLOCK  ADVISORY  WRITE 4711 fe:01:1835 0 EOF; one that waits has "->" in the second place
        words = line.split()
        if words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode) and int(words[4]) > 0:
            return f" (pid {words[4]})"
    return ""
