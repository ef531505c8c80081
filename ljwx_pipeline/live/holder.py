"""Which process this is, so that another one can tell for certain that it is gone.

A process id alone is used again, and means another process in another container: boot, namespace and start time stand
beside it. Where the system does not say them, nobody is ever known to be gone, and a lease has to run out.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from uuid import uuid4

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
#: Fields of /proc/PID/stat behind the command's name: state is the first, start time the twentieth.
_STATE, _STARTED = 0, 19
_ENDED = ("Z", "X")


def this_process() -> str:
    """Return the name of this process, unlike that of any other now, before or after."""
    found = _stat(os.getpid())
    if found is None:
        return f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex}"
    return f"{_machine()}/{os.getpid()}/{found[_STARTED]}"


def is_gone(holder: str) -> bool:
    """Return whether ``holder`` certainly runs no more; False where that cannot be told from here."""
    machine, _, process = holder.partition("/")
    number, _, started = process.partition("/")
    if machine != _machine() or not number.isdigit() or not started.isdigit():
        return False
    found = _stat(int(number))
    return found is None or found[_STARTED] != started or found[_STATE] in _ENDED


def _machine() -> str:
    """Return what process numbers have a meaning in: one boot of one machine, seen from one namespace."""
    try:
        return f"{_BOOT.read_text(encoding='ascii').strip()}:{_NAMESPACE.readlink()}"
    except OSError:
        return ""


def _stat(process: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
