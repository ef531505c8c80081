"""How soon a runner that was killed knows again what it held, with a million events behind it.

A process of its own writes the journal: sessions with their orders, fills, statements and scores, and last a thousand
intents committed one by one at ``synchronous=FULL`` (those are the commits measured); then it dies by SIGKILL, its
write-ahead log as it was. Fresh processes (``fresh_journal.py``) then open the journal and read what is held and open;
what they read is compared with what was written. Then a verified backup of it, and the way back.

Last the whole runner (``fresh_runner.py``): an account that has traded, behind as many events of earlier days, denied
orders and notes. Each start is timed from the process' start to the moment its books agree with its own exchange's,
which it starts too, and is then killed by SIGKILL; that exchange ends with it, and the next one goes on from there.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.clocked import clocked, median
from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.live.account_files import ACCOUNT_DIR
from ljwx_pipeline.live.backups import BACKUPS_DIR
from ljwx_pipeline.live.events import (
    BundleStaged,
    Event,
    FillReported,
    HeldPosition,
    Noted,
    OrderDecided,
    OrderReported,
    OrderSent,
    SessionClosed,
    SignalsScored,
    Stage,
    StreamRead,
)
from ljwx_pipeline.live.journal import JOURNAL_NAME, Journal
from ljwx_pipeline.live.orders import Leg, OrderState
from ljwx_pipeline.live.restore import Restore, Until
from ljwx_pipeline.trading.exchange_wire import Execution, Side
from tests.fakes.live_home import live_home

EVENTS, QUICK_EVENTS = 1_000_000, 20_000
ORDERS_A_SESSION, SYMBOLS, COMMITS, STARTS = 200, 300, 1_000, 5
#: So many events are applied anew, as a restore from the log alone does with all of them.
APPLIED = 10_000
LIMIT_S = 5.0
GOAL = f"a killed runner can trade again within {LIMIT_S:.0f} s of its process' start, with 1,000,000 events"
#: Of the events before the account of the whole runner: so many in one transaction, a denied order each and a note.
PADDED = 2_000
BUNDLE = "b" * 64
FIRST = date(2015, 1, 5)


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` writes a fiftieth of the events."""
    events = QUICK_EVENTS if quick else EVENTS
    with tempfile.TemporaryDirectory(prefix="ljwx-live-restart-") as folder:
        path = Path(folder) / "journal.sqlite"
        written = _written(path, events)
        starts = [_started(path) for _ in range(STARTS)]
        kept = _kept(path)
        size_mib = path.stat().st_size / 2**20
    ready = _ready(events)
    for one in starts:
        held = {key: one[key] for key in ("seq", "open_orders", "positions", "cash_fen")}
        assert held == {key: written[key] for key in held}, (held, written)
    return {
        "id": "live_restart",
        "what": f"a journal of {written['seq']:,} events, {size_mib:.0f} MiB, opened and read after SIGKILL",
        "ours": {
            "events": written["seq"],
            "seconds": round(statistics.median(ready), 3),
            "worst_seconds": round(max(ready), 3),
            "wall_s": round(median(starts, "wall_s"), 3),
            "cpu_s": round(median(starts, "cpu_s"), 3),
            "peak_mib": round(median(starts, "peak_mib"), 1),
            "worst_wall_s": round(max(one["wall_s"] for one in starts), 3),
            "open_and_load_s": round(median(starts, "open_s"), 4),
            "open_orders": written["open_orders"],
            "commit_p50_ms": written["commit_p50_ms"],
            "commit_p99_ms": written["commit_p99_ms"],
            "written_events_per_s": written["events_per_s"],
            **kept,
        },
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": GOAL,
        "holds": max(ready) < LIMIT_S and not quick,
        "command": "python -m benchmarks.live_restart",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write_and_die(path: Path, events: int) -> None:
    """Write the journal, print what it holds, and be killed."""
    journal, started = Journal(path, SystemClock()), time.perf_counter()
    journal.log.append([_bundle()], 0)
    session, seq = 0, 1
    while seq < events - COMMITS:
        seq = journal.log.append(_session(session), 0)
        session += 1
    rate = seq / (time.perf_counter() - started)
    intents = [_decided(session, number) for number in range(COMMITS)]
    took_ms = []
    for intent in intents:
        since = time.perf_counter()
        seq = journal.log.append([intent], 0)
        took_ms.append(1_000 * (time.perf_counter() - since))
    cuts = statistics.quantiles(took_ms, n=100)
    told = {
        "seq": seq,
        "open_orders": COMMITS,
        "positions": SYMBOLS,
        "cash_fen": _closed(session - 1).cash_fen,
        "commit_p50_ms": round(cuts[49], 3),
        "commit_p99_ms": round(cuts[98], 3),
        "events_per_s": round(rate),
    }
    print(json.dumps(told), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def _written(path: Path, events: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.live_restart", "--write", str(path), str(events)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
    assert done.returncode == -signal.SIGKILL
    return dict(json.loads(done.stdout))


def _started(path: Path) -> dict[str, Any]:
    since, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "benchmarks.fresh_journal", str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    wall, after = time.perf_counter() - since, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": wall, "cpu_s": cpu, **json.loads(done.stdout)}


def _ready(events: int) -> list[float]:
    """Return the seconds from each start of the whole runner to its books' agreement."""
    with tempfile.TemporaryDirectory(prefix="ljwx-live-ready-") as folder:
        home = live_home(Path(folder), symbols=SYMBOLS, feed_sessions=2)
        home.spool(home.bundle(), "1")
        path = home.live / ACCOUNT_DIR / JOURNAL_NAME
        path.parent.mkdir(parents=True)
        _pad(path, events)
        command = [sys.executable, "-m", "benchmarks.fresh_runner", str(home.home), str(home.keys)]
        traded = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        assert traded.stdout.endswith("done\n"), traded.stdout
        return [_until_ready(command) for _ in range(STARTS)]


def _pad(path: Path, events: int) -> None:
    """Write so many events of days before the account's, of which nothing is open or held."""
    journal = Journal(path, SystemClock())
    for batch in range(0, events, 2 * PADDED):
        day = batch // (2 * PADDED)
        denied = [replace(_decided(day, number), bundle_hash=None, denial="CASH") for number in range(PADDED)]
        notes = [Noted(topic="past", message=f"{day} {number}", session=None) for number in range(PADDED)]
        journal.log.append([*denied, *notes], 0)
    journal.close()


def _until_ready(command: list[str]) -> float:
    since = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        took = time.perf_counter() - since
        process.kill()
    assert said == "ready\n", said
    return took


def _kept(path: Path) -> dict[str, float]:
    """Return what a verified backup takes, restoring it, and applying an event anew."""
    clock, journal = SystemClock(), Journal(path, SystemClock())
    backup, _ = clocked(lambda: journal.backups.make("measured"))
    journal.close()
    restore = Restore(path, path.parent / BACKUPS_DIR, clock)
    with restore.planned(Until()) as (plan, log):
        assert plan.events == 0
        restored, _ = clocked(lambda: restore.carry_out(plan, log, path.with_name("restored.sqlite")))
    with restore.planned(Until(seq=APPLIED), from_log=True) as (plan, log):
        applied, _ = clocked(lambda: restore.carry_out(plan, log, path.with_name("applied.sqlite")))
    return {
        "backup_s": round(backup["wall_s"], 2),
        "backup_cpu_s": round(backup["cpu_s"], 2),
        "restore_s": round(restored["wall_s"], 2),
        "restore_cpu_s": round(restored["cpu_s"], 2),
        "applied_events_per_cpu_s": round(APPLIED / applied["cpu_s"]),
    }


def _day(session: int) -> date:
    return FIRST + timedelta(days=session)


def _bundle() -> BundleStaged:
    return BundleStaged(
        strategy="s",
        stage=Stage.CHAMPION,
        bundle_hash=BUNDLE,
        model_version="1",
        last_train_session=FIRST,
        capital_share_bps=10_000,
    )


def _session(session: int) -> list[Event]:
    orders = [event for number in range(ORDERS_A_SESSION) for event in _order(session, number)]
    scores = {f"S{row:05d}.SIM": row / 7 + session for row in range(SYMBOLS)}
    scored = SignalsScored(session=_day(session), strategy="s", bundle_hash=BUNDLE, scores=scores)
    read = StreamRead(broker="paper", exchange_seq=(session + 1) * 3 * ORDERS_A_SESSION)
    return [*orders, read, _closed(session), scored]


def _closed(session: int) -> SessionClosed:
    positions = tuple(
        HeldPosition(
            symbol=f"S{row:05d}.SIM",
            shares=100 + row,
            sellable_shares=row,
            held_sessions=3,
            entry_price_e4=100_000,
            peak_price_e4=120_000,
            last_price_e4=110_000 + session,
        )
        for row in range(SYMBOLS)
    )
    return SessionClosed(
        session=_day(session),
        bars_hash="h" * 64,
        cash_fen=1_000_000_00 + session,
        equity_fen=9_000_000_00 + session,
        fees_fen=session,
        dividends_fen=0,
        written_off_fen=0,
        positions=positions,
    )


def _order(session: int, number: int) -> list[Event]:
    decided = _decided(session, number)
    identity, shares = decided.client_order_id, decided.shares
    exchange_id = f"X{session}-{number}"
    sent = OrderSent(client_order_id=identity, fencing_epoch=0, sent_at_ns=2)
    reports = [
        OrderReported(
            client_order_id=identity,
            exchange_order_id=exchange_id,
            state=state,
            reason="",
            filled_shares=filled,
            session_over=False,
            reported_at_ns=3,
        )
        for state, filled in ((OrderState.ACCEPTED, 0), (OrderState.FILLED, shares))
    ]
    fill = FillReported(
        exec_id=f"E{session}-{number}",
        client_order_id=identity,
        exchange_order_id=exchange_id,
        session=_day(session),
        symbol=decided.symbol,
        side=decided.side,
        shares=shares,
        price_e4=100_000 + number,
        value_fen=shares * 1_000,
        commission_fen=500,
        stamp_duty_fen=0,
        transfer_fee_fen=1,
        slippage_fen=3,
        impact_fen=0,
        filled_at_ns=4,
    )
    return [decided, sent, *reports, fill]


def _decided(session: int, number: int) -> OrderDecided:
    symbol, side = f"S{number % SYMBOLS:05d}.SIM", Side.BUY if number % 2 else Side.SELL
    return OrderDecided(
        client_order_id=f"s|1|{symbol}|{_day(session)}|{side}|decide|{number}",
        strategy="s",
        leg=Leg.DECIDE,
        session=_day(session),
        valid_session=_day(session + 1),
        bundle_hash=BUNDLE,
        symbol=symbol,
        side=side,
        shares=200,
        rank=number,
        execution=Execution.SESSION,
        limit_price_e4=0,
        reference_price_e4=100_000,
        denial="",
        decided_at_ns=1,
    )


if __name__ == "__main__":
    if "--write" in sys.argv:
        write_and_die(Path(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps(run("--quick" in sys.argv), indent=2))
