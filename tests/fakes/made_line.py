"""A finished small line, made once for all workers of a test session and copied for each file of tests that asks.

Making one takes a processor a minute, copying one a second or two. A home names its own folder in its databases, keys
and Feast's registry, so a copy has these names changed, and the original is moved away from the folder it names: what
still named it would find nothing. Not here: the run itself (``line_runs.py``).
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from ljwx_pipeline.lake.locking import exclusive
from tests.fakes.line_runs import Run, ljwx

#: How long a worker waits for the one that makes the line.
MAKING_S = 900.0
#: As long as the names of the copies' folders, so that one can stand for another in a file that holds lengths.
MADE_IN = "home-template"


def copied_line(shared: Path) -> tuple[Path, Run]:
    """Return a home of the caller's own in which the small line has run once, and that run.

    Parameters
    ----------
    shared
        A folder that every worker of the session knows, and nobody else writes to.
    """
    made = shared / MADE_IN
    kept, told = shared / "kept", shared / "run.json"
    with exclusive(shared / "making.lock", timeout_s=MAKING_S):
        if not told.exists():
            run = ljwx(made, "--json")
            assert run.code == 0, run.err
            made.rename(kept)
            told.write_text(json.dumps(asdict(run)), encoding="utf-8")
    home = Path(tempfile.mkdtemp(prefix="home-", dir=shared))
    shutil.copytree(kept, home, symlinks=True, dirs_exist_ok=True)
    _rename(home, str(made), str(home))
    return home, Run(**json.loads(told.read_text(encoding="utf-8").replace(str(made), str(home))))


def _rename(home: Path, before: str, after: str) -> None:
    """Put ``after`` in place of ``before``, of one length, in every file of ``home``."""
    assert len(before) == len(after)
    databases = [path for path in _files(home) if path.read_bytes().startswith(b"SQLite format 3\0")]
    for path in databases:
        _rename_in_database(path, before, after)
    for path in _files(home):
        content = path.read_bytes()
        if before.encode() in content:
            assert path not in databases, f"{path} still names {before}"
            path.write_bytes(content.replace(before.encode(), after.encode()))


def _rename_in_database(path: Path, before: str, after: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for column in [row[1] for row in database.execute(f"PRAGMA table_info('{table}')")]:
                database.execute(
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) WHERE instr("{column}", ?)',
                    (before, after, before),
                )
        database.commit()
        database.execute("VACUUM")  # what was written before leaves its free pages
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _files(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file() and not path.is_symlink()]
