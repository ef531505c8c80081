"""kill -9 anywhere, start again: the journal ends as if nothing had happened."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
from ljwx_pipeline.live.database import connect

from tests.fakes.live_market import live_tables, write_pack
from tests.fakes.replay_process import replay

FEED_SESSIONS = 4
#: Columns that hold the time of day, or count starts.
NOT_COMPARED = {"created_at", "id", "at", "decided_at_ns", "filled_at_ns"}
TABLES = ("sessions", "signals", "orders", "fills", "positions", "account", "bundles", "events")
BROKER_TABLES = ("orders", "fills", "book", "holdings")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack") / "feed"
    tables = live_tables(symbols=16, sessions=80, feed_sessions=FEED_SESSIONS)
    write_pack(folder, tables, feed_sessions=FEED_SESSIONS, online_features=pd.DataFrame({"symbol": ["x"]}))
    return folder


@pytest.fixture(scope="module")
def context() -> multiprocessing.context.ForkServerContext:
    """Processes forked from one that has imported everything: each is real, and up at once."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.fakes.replay_warmed"])
    return server


@pytest.fixture(scope="module")
def undisturbed(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[object, ...]]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    replay(folder, pack)
    found = contents(folder)
    assert len(found["journal.fills"]) > 15
    return found


def contents(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of both files, without times of day."""
    found = {}
    for name, tables in (("journal", TABLES), ("broker", BROKER_TABLES)):
        db = connect(folder / f"{name}.sqlite")
        for table in tables:
            columns = [row["name"] for row in db.execute(f"PRAGMA table_info({table})")]
            kept = ", ".join(column for column in columns if column not in NOT_COMPARED)
            found[f"{name}.{table}"] = [tuple(row) for row in db.execute(f"SELECT {kept} FROM {table} ORDER BY 1, 2")]
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    return found


def run_and_die(context: multiprocessing.context.ForkServerContext, folder: Path, pack: Path, **how: object) -> int:
    process = context.Process(target=replay, args=(folder, pack), kwargs=how)
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


@pytest.mark.slow
def test_killed_at_each_commit_before_and_after(
    context: multiprocessing.context.ForkServerContext,
    pack: Path,
    tmp_path: Path,
    undisturbed: dict[str, list[tuple[object, ...]]],
) -> None:
    kills, commit = 0, 0
    for after in (False, True):
        for commit in range(100):
            folder = tmp_path / f"{after}{commit}"
            died = run_and_die(context, folder, pack, die_at=commit, after=after)
            if died == 0:
                break
            assert died == -signal.SIGKILL
            kills += 1
            replay(folder, pack)
            assert contents(folder) == undisturbed, f"commit {commit}, after={after}"
        else:
            pytest.fail("the replay makes more commits than were tried")
    # migrations of both files, the bundle, then four a session but for those with nothing to send
    assert kills >= 2 * (3 + 3 * FEED_SESSIONS)


def test_killed_again_and_again_while_it_recovers(
    context: multiprocessing.context.ForkServerContext,
    pack: Path,
    tmp_path: Path,
    undisturbed: dict[str, list[tuple[object, ...]]],
) -> None:
    for start in range(200):
        if run_and_die(context, tmp_path, pack, die_at=1 + start % 2, after=start % 3 == 0) == 0:
            break
    else:
        pytest.fail("no start made progress")
    assert start > FEED_SESSIONS
    assert contents(tmp_path) == undisturbed


def test_killed_at_random_moments(
    context: multiprocessing.context.ForkServerContext,
    pack: Path,
    tmp_path: Path,
    undisturbed: dict[str, list[tuple[object, ...]]],
) -> None:
    rng = random.Random(5)
    kills = 0
    while kills < 8:
        process = context.Process(target=replay, args=(tmp_path, pack), kwargs={"pace_s": 0.02})
        process.start()
        time.sleep(rng.uniform(0.01, 0.12))
        process.kill()
        process.join(60)
        if process.exitcode == 0:
            break
        kills += 1
    replay(tmp_path, pack)
    assert kills > 0
    assert contents(tmp_path) == undisturbed
