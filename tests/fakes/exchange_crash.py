"""The exchange played in a process of its own that can be made to die by SIGKILL at any commit, before or after it."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

from ljwx_pipeline.exchange import database
from tests.fakes.exchange_world import opened, play


def play_and_die(pack: Path, state: Path, *, die_at: int | None = None, after: bool = False) -> None:
    """Play ``pack`` to its end; with ``die_at``, be killed at that commit, counted from 0."""
    if die_at is not None:
        _arm(die_at, after=after)
    with opened(pack, state) as exchange:
        play(exchange, order_each_ticks=12)


def _arm(die_at: int, *, after: bool) -> None:
    count = -1
    commit = database.commit

    def deadly(connection: sqlite3.Connection) -> None:
        nonlocal count
        count += 1
        if count == die_at and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        commit(connection)
        if count == die_at and after:
            os.kill(os.getpid(), signal.SIGKILL)

    database.commit = deadly
