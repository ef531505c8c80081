"""A SQLite file as a test looks into it: rows by name, each statement its own transaction."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection to the file that must be there."""
    db = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=15)
    db.row_factory = sqlite3.Row
    return db
