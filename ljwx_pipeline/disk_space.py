"""What to say when a disk is full: which one, how much room it has, what may go; and whether it was the disk at all.

Not here: noticing it while writing (``lake/atomic_parquet.py``), how much room a run wants (``doctor.py``).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ljwx_pipeline.command_options import command_line
from ljwx_pipeline.command_output import size_text
from ljwx_pipeline.errors import EnvironmentFault

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
#: What a disk, or the limit of a process on its files, says when it takes no more.
TAKES_NO_MORE = (*NO_ROOM, errno.EFBIG)
#: SQLite calls a full disk by its name, or, when its log has no room, an I/O error.
SQLITE_FULL, SQLITE_MAYBE_FULL = "database or disk is full", "disk I/O error"
#: A disk that has this much room is not what failed a database.
ROOM_BYTES = 2**20
#: Days of superseded versions that the advice keeps.
KEEP_DAYS = 30


def full_disk(
    error: BaseException, home: Path, *, profile: str, overrides: Mapping[str, Any]
) -> EnvironmentFault | None:
    """Return the advice when ``error``, or what it came from, is a disk without room; None when it is another fault.

    Parameters
    ----------
    home
        ``LJWX_HOME``.
    profile, overrides
        What the commands in the advice are given, so that they reach the same market.
    """
    place = _place_without_room(error, home)
    if place is None:
        return None
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    usage = shutil.disk_usage(there)
    fact = f"the disk of {place} is full: {size_text(usage.free)} free of {size_text(usage.total)}"
    above = next(folder for folder in (home, *home.parents) if folder.exists())
    if there.stat().st_dev != above.stat().st_dev:
        return EnvironmentFault(fact, "free some space there and run again; nothing is half-written")
    retain = command_line("data retain", profile, overrides)
    pages = home / "reports" / "data-docs" / "*" / "great_expectations"
    return EnvironmentFault(
        fact,
        f"`{retain} --keep-days {KEEP_DAYS}` says what superseded versions hold and with --yes removes them, with "
        f"--checked those of judged rows (reads as of before are refused then); it needs a little room itself: the "
        f"folders {pages} may go first, the next run makes them again. Then run again: nothing is half-written and "
        "what was stored stays",
    )


def write_refused(error: BaseException) -> str | None:
    """Return what the system said where ``error`` is a disk that takes no more; None when it is another fault.

    Whatever it came from counts, and so does a cause that only quotes the system, as MLflow does.
    """
    for cause in _chain(error):
        for number in TAKES_NO_MORE:
            if (isinstance(cause, OSError) and cause.errno == number) or f"[Errno {number}]" in str(cause):
                return os.strerror(number)
        if SQLITE_FULL in str(cause):
            return SQLITE_FULL
    return None


def _place_without_room(error: BaseException, home: Path) -> Path | None:
    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.errno in NO_ROOM:
            return Path(cause.filename).absolute().parent if isinstance(cause.filename, str) else home
        if SQLITE_FULL in str(cause) or any(f"[Errno {number}]" in str(cause) for number in NO_ROOM):
            return home
        if SQLITE_MAYBE_FULL in str(cause) and home.exists() and shutil.disk_usage(home).free < ROOM_BYTES:
            return home
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
