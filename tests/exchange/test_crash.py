"""kill -9 anywhere, start again: the exchange ends as if nothing had happened."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from pathlib import Path

import pytest

from ljwx_pipeline.exchange.database import connect
from ljwx_pipeline.exchange.journal import JOURNAL_NAME
from tests.fakes.exchange_crash import play_and_die
from tests.fakes.exchange_world import write_market

TABLES = ("messages", "orders", "holdings", "standing", "sessions")
Contents = dict[str, list[tuple[object, ...]]]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_market(tmp_path_factory.mktemp("pack") / "feed", symbols=8, feed_sessions=2)


@pytest.fixture(scope="module")
def context() -> multiprocessing.context.ForkServerContext:
    """Processes forked from one that has imported everything: each is real, and up at once."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.fakes.exchange_warmed"])
    return server


@pytest.fixture(scope="module")
def undisturbed(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    state = tmp_path_factory.mktemp("undisturbed")
    play_and_die(pack, state)
    found = contents(state)
    said = "".join(str(row) for row in found["messages"])
    for word in ('"message":"fill"', '"cancelled"', '"rejected"', '"lapsed"', '"partly_filled"', '"closed"'):
        assert word in said, word
    return found


def contents(state: Path) -> Contents:
    db = connect(state / JOURNAL_NAME)
    found = {table: [tuple(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY 1")] for table in TABLES}
    db.close()
    return found


def run_and_die(context: multiprocessing.context.ForkServerContext, pack: Path, state: Path, **how: object) -> int:
    process = context.Process(target=play_and_die, args=(pack, state), kwargs=how)
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


@pytest.mark.slow
def test_killed_at_each_commit_before_and_after(
    context: multiprocessing.context.ForkServerContext, pack: Path, tmp_path: Path, undisturbed: Contents
) -> None:
    kills = 0
    for after in (False, True):
        for commit in range(500):
            state = tmp_path / f"{after}{commit}"
            died = run_and_die(context, pack, state, die_at=commit, after=after)
            if died == 0:
                break
            assert died == -signal.SIGKILL
            kills += 1
            play_and_die(pack, state)
            assert contents(state) == undisturbed, f"commit {commit}, after={after}"
        else:
            pytest.fail("the play makes more commits than were tried")
    assert kills > 60


def test_killed_again_and_again_while_it_recovers(
    context: multiprocessing.context.ForkServerContext, pack: Path, tmp_path: Path, undisturbed: Contents
) -> None:
    for start in range(300):
        if run_and_die(context, pack, tmp_path, die_at=3 + start % 3, after=start % 2 == 0) == 0:
            break
    else:
        pytest.fail("no start made progress")
    assert start > 5
    assert contents(tmp_path) == undisturbed


def test_killed_at_random_moments(
    context: multiprocessing.context.ForkServerContext, pack: Path, tmp_path: Path, undisturbed: Contents
) -> None:
    rng = random.Random(5)
    lasts_s = 0.0
    for life in ("first", "second"):  # the first one may have to import everything
        began = time.monotonic()
        whole = context.Process(target=play_and_die, args=(pack, tmp_path / life))
        whole.start()
        whole.join(60)
        lasts_s = time.monotonic() - began
    kills = 0
    while kills < 8:
        process = context.Process(target=play_and_die, args=(pack, tmp_path))
        process.start()
        time.sleep(rng.uniform(0.1, 0.5) * lasts_s)
        process.kill()
        process.join(60)
        if process.exitcode == 0:
            break
        kills += 1
    play_and_die(pack, tmp_path)
    assert kills > 0
    assert contents(tmp_path) == undisturbed
