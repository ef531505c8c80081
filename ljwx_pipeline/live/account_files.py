"""The runner's files as a whole: one process at a time takes them over, and an account that no longer fits is kept.

Not here: what is in them (``journal.py``, ``exchange/journal.py``), who trades (``lease.py``).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import EnvironmentFault
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.units import FEN_PER_CNY

#: Journal and the account of the runner's own exchange, moved together or not at all.
ACCOUNT_DIR = "account"
EXCHANGE_DIR = "exchange"
LOCK_NAME = "runner.lock"
#: What an exchange holds while it is at work, with its process id and port (``exchange/main.py``).
EXCHANGE_LOCK_NAME = "exchange.lock"
_ENDING_TRIES, _ENDING_LOOK_S = 100, 0.1
ARCHIVE_DIR = "archive"


@contextmanager
def sole_runner(live_dir: Path) -> Iterator[bool]:
    """Yield whether this process alone looks after the folder for now; the kernel frees it when we die.

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
        try:
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"{os.getpid()}\n".encode())
        except OSError as error:
            raise EnvironmentFault(
                f"{live_dir / LOCK_NAME} cannot be written ({error.strerror})", "free disk space: it is tried again"
            ) from None
        yield True


def exchange_held(live_dir: Path) -> bool:
    """Return whether an exchange process still holds the account's folder, after some patience with one that ends."""
    lock = live_dir / ACCOUNT_DIR / EXCHANGE_DIR / EXCHANGE_LOCK_NAME
    if not lock.is_file():
        return False
    with lock.open("a+", encoding="ascii") as file:
        for _ in range(_ENDING_TRIES):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_ENDING_LOOK_S)
            else:
                return False
    return True


def account_misfit(journal: Journal, feed: ReplayFeed, *, capital_fen: int) -> str:
    """Return why the account in ``journal`` cannot go on over ``feed``; empty when it can.

    It can when it opened with the same capital, the sessions it has traded have the same bars in the feed, the feed
    goes on where it stands, and it knows every symbol that is held.
    """
    done = journal.sessions()
    if not done:
        return ""
    state = journal.runner_state()
    if state is not None and state.opening_capital_fen != capital_fen:
        was, now = state.opening_capital_fen / FEN_PER_CNY, capital_fen / FEN_PER_CNY
        return f"the paper account opened with {was:,.2f} CNY, strategy.capital_cny is now {now:,.2f}"
    last = max(done)
    if last not in feed.sessions:
        return f"the paper account stands at {last}, the session pack replays {feed.sessions[0]} to {feed.sessions[-1]}"
    for session in feed.sessions:
        if min(done) <= session <= last and done.get(session) != feed.bars_hash(session):
            return f"the bars of {session} are not those that the paper account traded on"
    strangers = sorted(set(journal.positions(last)) - set(feed.symbols))
    if strangers:
        return f"the paper account holds {', '.join(strangers)}, which the session pack does not have"
    return ""


def set_account_aside(live_dir: Path, clock: Clock) -> Path:
    """Move the account's folder to ``archive/<instant>`` in one step and return it. No one may write to it."""
    target = live_dir / ARCHIVE_DIR / clock.now().strftime("%Y%m%dT%H%M%S.%fZ")
    target.parent.mkdir(parents=True, exist_ok=True)
    (live_dir / ACCOUNT_DIR).rename(target)
    return target
