"""The runner's files as a whole: one process at a time holds them, and an account that no longer fits is kept aside.

Not here: what is in them (``journal.py``, ``paper_broker.py``).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import EnvironmentFault
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.journal import Journal

#: Journal and paper account, moved together or not at all.
ACCOUNT_DIR = "account"
LOCK_NAME = "runner.lock"
ARCHIVE_DIR = "archive"


@contextmanager
def sole_runner(live_dir: Path) -> Iterator[bool]:
    """Yield whether this process is now the only one that runs this account; the kernel frees it when we die.

    Raises
    ------
    EnvironmentFault
        When the folder cannot be made or written.
    """
    try:
        live_dir.mkdir(parents=True, exist_ok=True)
        lock = (live_dir / LOCK_NAME).open("a+", encoding="ascii")
    except OSError as error:
        raise EnvironmentFault(
            f"{live_dir} cannot be written ({error.strerror})", "make the folder writable or set LJWX_HOME"
        ) from None
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield True


def account_misfit(journal: Journal, feed: ReplayFeed, *, capital_fen: int) -> str:
    """Return why the account in ``journal`` cannot go on over ``feed``; empty when it can.

    It can when it opened with the same capital, the sessions it has traded have the same bars in the feed, and the
    feed goes on where it stands.
    """
    done = journal.sessions()
    if not done:
        return ""
    state = journal.runner_state()
    if state is not None and state.opening_capital_fen != capital_fen:
        was, now = state.opening_capital_fen / 100, capital_fen / 100
        return f"the paper account opened with {was:,.2f} CNY, strategy.capital_cny is now {now:,.2f}"
    last = max(done)
    if last not in feed.sessions:
        return f"the paper account stands at {last}, the session pack replays {feed.sessions[0]} to {feed.sessions[-1]}"
    for session in feed.sessions:
        if min(done) <= session <= last and done.get(session) != feed.bars_hash(session):
            return f"the bars of {session} are not those that the paper account traded on"
    return ""


def set_account_aside(live_dir: Path, clock: Clock) -> Path:
    """Move the account's folder to ``archive/<instant>`` in one step and return it. No one may write to it."""
    target = live_dir / ARCHIVE_DIR / clock.now().strftime("%Y%m%dT%H%M%S.%fZ")
    target.parent.mkdir(parents=True, exist_ok=True)
    (live_dir / ACCOUNT_DIR).rename(target)
    return target
