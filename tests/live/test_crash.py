"""kill -9 in recovery and at random moments: journal and exchange end as if nothing had happened.

Not here: kill -9 at every named point, before and after (``test_lives.py``).
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from tests.fakes.exchange_world import opened
from tests.fakes.live_market import live_tables, write_pack
from tests.fakes.replay_process import TICK_SECONDS, replay, seeded_settings, serve_exchange
from tests.fakes.runner_books import Books, assert_agree, runner_books
from tests.fakes.served_runner import exchange_of

FEED_SESSIONS = 4
Context = multiprocessing.context.ForkServerContext


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A market's home that nobody has traded in yet."""
    folder = tmp_path_factory.mktemp("home")
    tables = live_tables(symbols=16, sessions=80, feed_sessions=FEED_SESSIONS)
    online = pd.DataFrame({"symbol": ["x"]})
    write_pack(folder / "live" / "feed", tables, feed_sessions=FEED_SESSIONS, online_features=online)
    return folder


@pytest.fixture(scope="module")
def context() -> Context:
    """Processes forked from one that has imported everything: each is real, and up at once."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.fakes.replay_warmed"])
    return server


@contextmanager
def exchange_beside(context: Context, home: Path) -> Iterator[str]:
    """An exchange that outlives the runner; yields its address."""
    told, tells = context.Pipe(duplex=False)
    running = context.Process(target=serve_exchange, args=(home / "live" / "feed", home / "exchange", tells))
    running.start()
    try:
        assert told.poll(30), "the exchange did not start"
        yield str(told.recv())
    finally:
        running.terminate()
        running.join(30)


def new_home(home: Path, folder: Path) -> Path:
    return Path(shutil.copytree(home, folder))


def contents(home: Path, state: Path) -> Books:
    """Everything in the journal, which is held against the exchange that keeps its account in ``state``."""
    books = runner_books(home / "live" / "account" / "journal.sqlite")
    settings = seeded_settings()
    capital = round(settings.strategy.capital_cny * 100)
    with opened(
        home / "live" / "feed", state, costs=settings.costs, capital_fen=capital, tick_seconds=TICK_SECONDS
    ) as exchange:
        assert_agree(books, exchange)
    return books


@pytest.fixture(scope="module")
def undisturbed(context: Context, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Books:
    folder = new_home(home, tmp_path_factory.mktemp("undisturbed") / "home")
    with exchange_beside(context, folder) as address:
        assert run(context, folder, address) == 0
    found = contents(folder, folder / "exchange")
    assert len(found["fills"]) > 15
    return found


def run(context: Context, home: Path, address: str = "", **how: object) -> int:
    process = context.Process(target=replay, args=(home, address), kwargs=how)
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


def test_killed_again_and_again_while_it_recovers(
    context: Context, home: Path, tmp_path: Path, undisturbed: Books
) -> None:
    folder = new_home(home, tmp_path / "home")
    with exchange_beside(context, folder) as address:
        for start in range(200):
            if run(context, folder, address, die_at=12 + start % 5, after=start % 3 == 0) == 0:
                break
        else:
            pytest.fail("no start made progress")
    assert start > FEED_SESSIONS
    assert contents(folder, folder / "exchange") == undisturbed


def test_killed_at_random_moments_with_the_exchange_that_it_started(
    context: Context, home: Path, tmp_path: Path, undisturbed: Books
) -> None:
    rng = random.Random(5)
    folder = new_home(home, tmp_path / "home")
    kills = 0
    while kills < 2:
        process = context.Process(target=replay, args=(folder,), kwargs={"seconds_per_session": 0.1})
        process.start()
        wait_for_traffic(folder, process)
        time.sleep(rng.uniform(0.0, 0.3))
        process.kill()
        process.join(60)
        if process.exitcode == 0:
            break
        kills += 1
    assert run(context, folder) == 0
    assert kills > 0
    assert contents(folder, folder / "live" / "account" / "exchange") == undisturbed


def wait_for_traffic(home: Path, process: multiprocessing.process.BaseProcess) -> None:
    """Wait until the exchange that this life has started listens: moments before are those of the test above."""
    deadline = time.monotonic() + 30
    while process.is_alive() and time.monotonic() < deadline:
        found = exchange_of(home / "live")
        if found is not None and found.parent == process.pid:
            return
        time.sleep(0.01)
