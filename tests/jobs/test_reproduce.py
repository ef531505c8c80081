"""`ljwx reproduce` on a finished line: order, run and version made again, and what differs named first."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.reproduction.replay_home import REPLAYS, replay_home
from tests.fakes.line_runs import ROOT
from tests.jobs.conftest import SmallLine

pytestmark = pytest.mark.slow


def held(home: Path) -> dict[str, str]:
    """Return the hash of every file of a home; what SQLite keeps beside a file while it is open says nothing."""
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "-wal")) and REPLAYS not in path.relative_to(home).parts
    }


def an_order(line: SmallLine) -> str:
    """Return a purchase of the middle of the account's life: others were filled before it."""
    with sqlite3.connect(line.market / "live" / "account" / "journal.sqlite") as journal:
        bought = journal.execute(
            "SELECT client_order_id FROM orders WHERE side = 'buy' ORDER BY session, rank"
        ).fetchall()
    return str(bought[len(bought) // 2][0])


def stages(body: dict[str, Any]) -> dict[str, str]:
    return {stage["name"]: stage["verdict"] for stage in body["stages"]}


def test_an_order_is_made_again_to_the_bit_and_nothing_of_the_market_changes(small_line: SmallLine) -> None:
    before = held(small_line.home)
    run = small_line("reproduce", an_order(small_line), "--json")
    assert run.code == 0, run.out + run.err
    body = json.loads(run.out)
    assert body["equal"] is True
    assert body["run_id"] == small_line.summary["mlflow"]["run_id"]
    assert set(stages(body).values()) == {"equal"}
    names = list(stages(body))
    assert names[:9] == [
        "settings", "data", "factors", "label", "dataset", "tuned hyperparameters", "out-of-sample predictions",
        "backtest", "trained model",
    ]  # fmt: skip
    assert names[-1] == "decision"
    assert held(small_line.home) == before
    assert not list((small_line.home / REPLAYS).iterdir())


def test_a_plan_says_what_would_be_made_again_and_makes_nothing(small_line: SmallLine) -> None:
    run_id = small_line.summary["mlflow"]["run_id"]
    for target in (run_id, run_id[:8], "champion", "1", f"{small_line.summary['model']['name']}/1"):
        plan = small_line("reproduce", target, "--dry-run", "--json")
        assert plan.code == 0, plan.err
        assert json.loads(plan.out)["run_id"] == run_id
        assert json.loads(plan.out)["model"]["version"] == "1"


def test_the_newest_orders_are_listed_by_the_ids_that_can_be_named(small_line: SmallLine) -> None:
    listed = json.loads(small_line("reproduce", "--orders", "--json").out)["orders"]
    with sqlite3.connect(small_line.market / "live" / "account" / "journal.sqlite") as journal:
        ids = {row[0] for row in journal.execute("SELECT client_order_id FROM orders")}
        (newest,) = journal.execute("SELECT max(session) FROM orders").fetchone()
    assert {one["order_id"] for one in listed} <= ids
    assert listed[0]["session"] == newest
    plan = small_line("reproduce", listed[0]["order_id"], "--dry-run", "--json")
    assert json.loads(plan.out)["order"] == listed[0]["order_id"], plan.err


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("0" * 32, "holds no run"),
        ("nonsense", "names nothing that could be made again"),
        ("17", "has no version 17"),
        ("topk-dropout|1|S00001.SIM|1999-01-04|buy", "there is no order"),
    ],
)
def test_what_was_never_made_is_told_with_exit_code_2(small_line: SmallLine, target: str, said: str) -> None:
    run = small_line("reproduce", target)
    assert run.code == 2
    assert said in run.err
    assert "Traceback" not in run.err


def test_a_run_is_equal_but_for_the_byte_that_was_changed_in_a_stored_table(small_line: SmallLine) -> None:
    path = small_line.market / "tables" / "dataset_features.npy"
    whole = path.read_bytes()
    matrix = np.load(path, mmap_mode="r+")
    matrix[7, 3] = np.float32(0.123)
    matrix.flush()
    del matrix
    try:
        run = small_line("reproduce", small_line.summary["mlflow"]["run_id"], "--json")
    finally:
        path.write_bytes(whole)
    body = json.loads(run.out)
    assert run.code == 1
    assert body["first_difference"] == "dataset"
    assert [name for name, verdict in stages(body).items() if verdict != "equal"] == ["dataset"]
    (stage,) = (stage for stage in body["stages"] if stage["name"] == "dataset")
    meta = json.loads((small_line.market / "tables" / "dataset_meta.json").read_text())
    assert "was changed since on disk: 1 cell differs" in stage["sentence"]
    assert f"{meta['factor_names'][3]}: 0.123" in stage["sentence"]


def test_another_seed_is_named_as_the_first_difference_of_a_version(small_line: SmallLine) -> None:
    run = small_line("reproduce", "1", "--json", settings={"model.seed": 8})
    body = json.loads(run.out)
    assert run.code == 1
    assert body["first_difference"] == "settings"
    assert body["first_differing_result"] == next(
        name for name, verdict in stages(body).items() if verdict == "differs" and name != "settings"
    )
    assert "model.seed was 7, is 8" in body["stages"][0]["differences"]
    found = stages(body)
    assert [found[name] for name in ("data", "factors", "label", "dataset")] == ["equal"] * 4
    assert found["out-of-sample predictions"] == found["trained model"] == found["bundle hash"] == "differs"


def test_a_replay_that_is_killed_leaves_nothing_that_matters(small_line: SmallLine) -> None:
    before, replays = held(small_line.home), small_line.home / REPLAYS
    child = subprocess.Popen(
        small_line.command("reproduce", "champion"),
        cwd=ROOT,
        env=dict(os.environ, LJWX_HOME=str(small_line.home)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not list(replays.glob("replay-*/markets/*-as-of-*/lake")):
        assert child.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.2)
    (making,) = (int(pid) for pid in _children(child.pid))
    child.kill()
    child.wait()
    os.killpg(making, signal.SIGKILL)
    assert held(small_line.home) == before
    assert list(replays.iterdir())
    with replay_home(small_line.home, keep=None) as fresh:
        assert list(replays.iterdir()) == [fresh]


def test_a_restated_bar_is_named_when_today_is_asked_for(small_line: SmallLine) -> None:
    """The last test: it adds to the lake. What was known then is untouched by it; what is known now is not."""
    lake = Lake(small_line.market / "lake")
    month = "2023-05-01"
    (version,) = [item for item in lake.current("raw_bars") if item.partition == month]
    rows = lake.read("raw_bars", first=None, last=None)
    rows = rows[rows["session_date"].dt.strftime("%Y-%m-01") == version.partition].reset_index(drop=True)
    rows.loc[5, ["volume_shares", "amount_cny"]] *= 3
    lake.write("raw_bars", rows, partition=month, known_at=utc_now())
    symbol, day = rows.loc[5, "symbol"], f"{rows.loc[5, 'session_date']:%Y-%m-%d}"
    run = small_line("reproduce", "champion", "--as-of", "now", "--json")
    body = json.loads(run.out)
    assert run.code == 1, run.err
    assert body["first_difference"] == "data"
    said = next(stage for stage in body["stages"] if stage["name"] == "data")["sentence"]
    assert said.startswith("raw_bars 2023-05: 1 rows changed, 0 new, 0 gone")
    assert symbol in said
    assert day in said
    assert "volume_shares" in said


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
