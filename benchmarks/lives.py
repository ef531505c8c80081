"""Lives of one runner, each ended by SIGKILL or disturbed by a fault at a named point: for live_crash and live_faults.

A point is one side of something that changes the world: a commit of the journal, named by what it writes, a request to
the exchange, or the acknowledgement of a frame. The runner is the product's own, in a process forked from one that has
imported everything; its exchange is a process that lives on. When a life finds its books in agreement, before it
goes on, it compares the journal with what the exchange says by itself, in code that shares nothing with the runner's
own reconciliation. Not here: how many lives, and the figures (``live_crash.py``, ``live_faults.py``).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from ljwx_pipeline.trading.exchange_wire import FaultKind
from tests.fakes.exchange_process import ExchangeProcess
from tests.fakes.live_home import Home, live_home

SYMBOLS, FEED_SESSIONS = 24, 8
EXCHANGE_OPTIONS = ("--port", "0", "--speed", "0", "--tick-seconds", "600", "--allow-faults")
#: A request that a fault leaves without an answer is given up after this.
ANSWER_S = 0.4
LIFE_S = 120.0
#: How a commit is named: by the first of these events that it writes.
_BY_EVENT = (
    ("OrderSent", "intent"),
    ("FillReported", "fill"),
    ("SessionClosed", "close"),
    ("OrderUnknown", "unknown"),
    ("Reconciled", "reconciled"),
    ("OrderReported", "report"),
    ("StreamRead", "message"),
    ("BundleStaged", "bundle"),
    ("RunnerStated", "state"),
)
Point = tuple[str, str]


@dataclass(frozen=True)
class Plan:
    """What happens in a life: at the ``nth`` pass of ``point``, SIGKILL or ``fault`` (asked of the exchange).

    A fault comes again at ``every`` further passes; 0: never.
    """

    point: Point | None = None
    nth: int = 1
    every: int = 0
    fault: FaultKind | None = None
    seconds: float = 0.0


@dataclass
class World:
    """One account's life: its home, its exchange, and what its lives have said."""

    home: Home
    exchange: ExchangeProcess
    said: Path
    lives: int = 0
    checks: int = 0
    kills: Counter[Point] = field(default_factory=Counter)


@contextmanager
def world(seed: int) -> Iterator[World]:
    """Yield a fresh account over the seed's market, with a bundle in its inbox."""
    with tempfile.TemporaryDirectory(prefix="ljwx-lives-") as made:
        folder = Path(made)
        home = live_home(folder, symbols=SYMBOLS, feed_sessions=FEED_SESSIONS, seed=seed)
        home.spool(home.bundle(), "1")
        exchange = ExchangeProcess(home.live / "feed", folder / "exchange", *EXCHANGE_OPTIONS)
        try:
            yield World(home, exchange, folder / "said.jsonl")
        finally:
            exchange.kill()


def forking() -> Any:
    """Return a context whose processes are forked from one that has traded once: each is real, and up at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.lives_warmed"])
    return context


def live(context: Any, world: World, plan: Plan) -> int:
    """Let the runner live once in ``world`` and return its exit code: 0 at the pack's end, -9 when it was killed."""
    process = context.Process(target=one_life, args=(world.home, world.exchange.said["url"], world.said, plan))
    process.start()
    process.join(LIFE_S)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"a life under {plan} did not end within {LIFE_S:.0f} s")
    world.lives += 1
    said = [json.loads(line) for line in world.said.read_text().splitlines()] if world.said.exists() else []
    wrong = [one for one in said if one.get("wrong")]
    assert not wrong, wrong[0]
    world.checks = sum("agrees" in one for one in said)
    return int(process.exitcode)


def points_passed(world: World) -> Counter[Point]:
    """Return every point that the world's lives have passed, by how often."""
    said = [json.loads(line) for line in world.said.read_text().splitlines()]
    return Counter(tuple(one["point"]) for one in said if "point" in one)


def one_life(home: Home, address: str, said: Path, plan: Plan) -> None:
    """Run the product's process to the pack's end, or to the point of the plan. Runs in a process of its own."""
    import asyncio

    from ljwx_pipeline.clock import SystemClock
    from ljwx_pipeline.config import load_settings
    from ljwx_pipeline.live.brokers import opening
    from ljwx_pipeline.live.brokers.paper_exchange import PaperExchange
    from ljwx_pipeline.live.main import RunnerProcess
    from tests.fakes.live_home import CONFIG, live_settings

    settings = live_settings(load_settings(config_file=CONFIG, profile="simulated", environ={}))
    chosen = settings.live.model_copy(
        update={"exchange_url": address, "answer_seconds": ANSWER_S if plan.fault else 10.0}
    )
    settings = settings.model_copy(update={"live": chosen})
    at = _at(plan, address, said)
    _name_commits(at)
    vars(opening)["PaperExchange"] = _pointed(PaperExchange, at)
    journal = home.live / "account" / "journal.sqlite"
    runner = RunnerProcess(
        home.home,
        settings,
        keys_dir=home.keys,
        clock=SystemClock(),
        ready=lambda: _tell(said, compared(journal, address)),
    )
    led = asyncio.run(runner.loop.run(once=True, standby=True))
    assert led


def compared(journal: Path, address: str) -> dict[str, Any]:
    """Return whether the journal holds the exchange's orders and fills, asked of both directly; else what differs."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=10)) as db:
        ours = {
            row[0]: (row[1], row[2])
            for row in db.execute("SELECT client_order_id, state, filled_shares FROM orders WHERE state <> 'denied'")
        }
        fills = sorted(db.execute("SELECT exec_id, client_order_id, shares, value_fen FROM fills"))
        cash = db.execute("SELECT cash_fen FROM account_now").fetchone()
        held = dict(db.execute("SELECT symbol, shares FROM positions_now WHERE shares <> 0"))
    theirs, their_fills = {}, []
    with httpx.Client(base_url=address, timeout=20, trust_env=False) as http:
        for one in http.get("/orders").json():
            if one["client_order_id"] in theirs:
                return {"wrong": f"{one['client_order_id']} is two orders at the exchange"}
            theirs[one["client_order_id"]] = (one["state"], one["filled_shares"])
        after = 0
        while page := http.get("/events", params={"after": after}).json():
            their_fills += [one for one in page if one["message"] == "fill"]
            after = page[-1]["seq"]
        statement = http.get("/account").json()
    told = sorted((one["exec_id"], one["client_order_id"], one["shares"], one["value_fen"]) for one in their_fills)
    positions = {one["symbol"]: one["shares"] for one in statement["positions"]}
    for what, mine, other in (
        ("orders", ours, theirs),
        ("fills", fills, told),
        ("cash", cash and cash[0], statement["cash_fen"]),
        ("positions", held, positions),
    ):
        if mine != other:
            return {"wrong": what, "journal": str(mine)[:2000], "exchange": str(other)[:2000]}
    return {"agrees": len(ours)}


def books(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """Return orders, fills and account as the journal holds them, without what differs from run to run."""
    path = world.home.live / "account" / "journal.sqlite"
    wanted = {
        "orders": "client_order_id, session, valid_session, symbol, side, shares, rank, state, reason, filled_shares",
        "fills": "client_order_id, session, shares, price_e4, value_fen, commission_fen, stamp_duty_fen",
        "account": "*",
        "positions": "*",
        "signals": "session, symbol, score",
    }
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return {table: sorted(db.execute(f"SELECT {columns} FROM {table}")) for table, columns in wanted.items()}


At = Callable[[str, str], None]


def _at(plan: Plan, address: str, said: Path) -> At:
    """Return what is called at every point: it counts, and does what the plan says when its turn has come."""
    passed: Counter[Point] = Counter()

    def at(name: str, side: str) -> None:
        passed[name, side] += 1
        if plan.point is None:
            _tell(said, {"point": [name, side]})
        if (name, side) != plan.point or not _is_due(plan, passed[name, side]):
            return
        if plan.fault is None:
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError("a killed process went on")
        asked = {"kind": plan.fault.value, "count": 1, "seconds": plan.seconds}
        httpx.post(f"{address}/faults", json=asked, timeout=20, trust_env=False).raise_for_status()
        _tell(said, {"fault": plan.fault.value, "point": [name, side]})

    return at


def _is_due(plan: Plan, passed: int) -> bool:
    later = passed - plan.nth
    return later == 0 or (plan.every > 0 < later and later % plan.every == 0)


def _name_commits(at: At) -> None:
    from ljwx_pipeline.live import store
    from ljwx_pipeline.live.event_log import EventLog

    written: list[str] = []
    append, commit = EventLog.append_within, store.commit

    def noting(self: EventLog, connection: Any, events: Any, epoch: int | None) -> int:
        written.extend(type(one).__name__ for one in events)
        return append(self, connection, events, epoch)

    def deadly(connection: Any) -> None:
        name = next((name for event, name in _BY_EVENT if event in written), "other" if written else "lease")
        written.clear()
        at(f"commit {name}", "before")
        commit(connection)
        at(f"commit {name}", "after")

    EventLog.append_within = noting  # type: ignore[method-assign]
    store.commit = deadly


def _pointed(kind: Any, at: At) -> Any:
    """Return the broker with a point before and after each of its requests, and around each acknowledgement."""

    class Pointed(kind):  # type: ignore[misc]
        async def stream(self, after: int) -> AsyncIterator[Any]:
            async for frame in kind.stream(self, after):
                at("frame", "after")
                yield frame
                at("acknowledge", "before")

    def request(name: str) -> Any:
        original = getattr(kind, name)

        async def pointed(self: Any, *arguments: Any, **options: Any) -> Any:
            at(name, "before")
            answer = await original(self, *arguments, **options)
            at(name, "after")
            return answer

        return pointed

    for name in ("submit", "cancel", "order", "orders", "events", "account", "clock", "bars"):
        setattr(Pointed, name, request(name))
    return Pointed


def _tell(said: Path, what: dict[str, Any]) -> None:
    with said.open("a") as file:
        file.write(json.dumps(what) + "\n")
