"""tick_to_intent: from a frame of ticks to the order of the stop it triggers, its intent durable before it leaves.

A frame of 300 snapshots, one of which falls through a stop, goes the runner's way: judged, built into bars, queued, the
stop judged, guard and limits asked, the intent written to SQLite at ``synchronous=FULL``, the order handed to the
connection. The clock stops there: what the broker does with it is the broker's. The journal lies in the folder that
``TMPDIR`` names; on a disk of memory the number says nothing about a disk.
"""

# ruff: noqa: D102, ARG002 - its broker answers a protocol whose methods are documented there

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.live_ticks import HOURS, NAMES, PRE_CLOSE_E4, SESSION
from benchmarks.w1_alpha158 import peak_mib
from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.config import load_settings
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.event_log import EventLog
from ljwx_pipeline.live.events import HeldPosition, Reconciled, SessionOpened, StreamRead
from ljwx_pipeline.live.guard import Guard, GuardSettings
from ljwx_pipeline.live.guard_ticks import SymbolDay, TickDesk
from ljwx_pipeline.live.lease import Lease
from ljwx_pipeline.live.market_time import MarketTime
from ljwx_pipeline.live.migrate import migrate
from ljwx_pipeline.live.order_desk import OrderDesk
from ljwx_pipeline.live.stop_desk import StopDesk
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.ticks.validation import SymbolFacts
from ljwx_pipeline.live.watch import Watch, WatchSettings
from ljwx_pipeline.market.hours import MarketPhase
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.exchange_wire import (
    AccountReport,
    ClockReport,
    Durable,
    Frame,
    NewOrder,
    OrderReport,
    OrderStatus,
    PhaseName,
    SessionBars,
    Tick,
)
from ljwx_pipeline.trading.exits import ExitParams
from ljwx_pipeline.units import NS_PER_S

STRATEGY, SHARES = "topk-dropout", 500
BEGINS = HOURS.starts_of(MarketPhase.CONTINUOUS)[0]
STOP_LOSS = ExitParams(stop_loss_bps=100, take_profit_bps=0, trailing_stop_bps=0, max_hold_sessions=0)
MOST_MS = 50.0


class AnswersAtOnce:
    """A broker that takes every order at once and remembers when it was handed over. Satisfies `port.Broker`."""

    name = "bench"

    def __init__(self) -> None:
        self.handed_ns: dict[str, int] = {}

    async def submit(self, order: NewOrder, *, epoch: int) -> OrderReport:
        self.handed_ns[order.symbol] = time.perf_counter_ns()
        return OrderReport(
            0, order.client_order_id, f"X{len(self.handed_ns)}", order.symbol, order.side, order.shares,
            order.execution, order.session, OrderStatus.ACCEPTED, "", 0, BEGINS,
        )  # fmt: skip

    async def cancel(self, order_id: str, *, epoch: int) -> OrderReport | None:
        return None

    async def order(self, order_id: str) -> OrderReport | None:
        return None

    async def orders(self, session: date) -> Sequence[OrderReport]:
        return []

    async def events(self, after: int) -> Sequence[Durable]:
        return []

    async def account(self) -> AccountReport:
        return AccountReport(1, SESSION, 0, (), BEGINS)

    async def clock(self) -> ClockReport:
        return ClockReport(SESSION, PhaseName.CONTINUOUS, BEGINS, SESSION + timedelta(days=1), 0.0, 1, exhausted=False)

    async def bars(self, session: date) -> SessionBars:
        return SessionBars(session, BEGINS, ())

    async def stream(self, after: int) -> AsyncIterator[Frame]:
        for _ in ():
            yield Frame(0)

    async def close(self) -> None:
        return None


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` triggers a tenth of the stops."""
    wall, cpu = time.perf_counter(), time.process_time()
    took_ms = asyncio.run(measured(30 if quick else len(NAMES)))
    spent = {"wall_s": round(time.perf_counter() - wall, 3), "cpu_s": round(time.process_time() - cpu, 3)}
    p50, p99, worst = (round(float(one), 2) for one in np.quantile(took_ms, [0.5, 0.99, 1.0]))
    return {
        "id": "tick_to_intent",
        "what": f"a frame of {len(NAMES)} ticks to the durable intent of the stop it triggers, handed over",
        "ours": {
            **spent,
            "peak_mib": round(peak_mib(), 1),
            "stops": len(took_ms),
            "sent_p50_ms": p50,
            "sent_p99_ms": p99,
            "sent_worst_ms": worst,
        },
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": f"p99 at most {MOST_MS:g} ms at synchronous=FULL, every stop sent once",
        "holds": p99 <= MOST_MS,
        "command": "make bench ONLY=tick_to_intent",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


async def measured(stops: int) -> np.ndarray:
    """Return the milliseconds from frame to hand-over of each of so many stops."""
    settings = load_settings(
        profile="simulated", environ={}, overrides={"stops.on_ticks": True, "risk.max_orders_per_session": 10_000,
                                                    "risk.max_orders_per_minute": 10_000}
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="ljwx-bench-") as folder:
        clock, store = SystemClock(), Store(Path(folder) / "journal.sqlite")
        migrate(store, lambda _: None)  # an empty journal has nothing to keep
        journal, lease = AsyncJournal(store, EventLog(store, clock)), Lease(store, clock, term_s=3600.0)
        if not lease.acquire():
            raise SystemExit("the lease of a new journal is not free")
        broker = AnswersAtOnce()
        desk = OrderDesk(journal=journal, broker=broker, fence=lease, clock=clock, max_order_age_s=60)
        await journal.append(books(), lease.epoch)
        guard = await Guard.open(
            journal=journal,
            fence=lease,
            clock=clock,
            settings=GuardSettings(settings.breakers, 400, 100_000_000),
            strategies=(STRATEGY,),
        )
        facts = [SymbolFacts(name, PRE_CLOSE_E4, 110_000, 90_000, HOURS) for name in NAMES]
        days = {one.symbol: SymbolDay(one, Board.MAIN, 100, 100) for one in facts}
        ticks = TickDesk(lambda _: days, settings.breakers, raw_prices=True)
        stop_desk = StopDesk(
            journal=journal, fence=lease, desk=desk, guard=guard, ticks=ticks, exits={STRATEGY: STOP_LOSS},
            settings=settings.stops, risk=settings.risk,
        )  # fmt: skip
        watch = Watch(
            guard=guard, ticks=ticks, stops=stop_desk, market=MarketTime(clock, simulated=True), journal=journal,
            fence=lease, broker=broker, settings=WatchSettings(settings.breakers, settings.costs),
        )  # fmt: skip
        await watch.on_connected()
        spent = []
        frame = [first(name) for name in NAMES]
        watch.on_ticks(frame)
        await watch.trade_queued()
        for n in range(stops):
            frame = [later(one) for one in frame]
            frame[n] = fallen(frame[n])
            began = time.perf_counter_ns()
            watch.on_ticks(frame)
            await watch.trade_queued()
            spent.append((broker.handed_ns[NAMES[n]] - began) / 1e6)
        if len(broker.handed_ns) != stops:
            raise SystemExit(f"{stops} stops were triggered and {len(broker.handed_ns)} were sent")
        journal.close()
        store.close()
    return np.array(spent)


def books() -> list[Any]:
    """Return the events of an account that holds every name since yesterday."""
    held = tuple(HeldPosition(
        symbol=name, shares=SHARES, sellable_shares=SHARES, held_sessions=1, entry_price_e4=PRE_CLOSE_E4,
        peak_price_e4=PRE_CLOSE_E4, last_price_e4=PRE_CLOSE_E4,
    ) for name in NAMES)  # fmt: skip
    return [
        SessionOpened(session=SESSION - timedelta(days=3)),
        StreamRead(broker="bench", exchange_seq=1),
        Reconciled(
            broker="bench", exchange_seq=1, session=SESSION, orders=0, fills=0, cash_fen=10_000_000, positions=held,
            explained=(),
        ),
        SessionOpened(session=SESSION),
    ]  # fmt: skip


def first(name: str) -> Tick:
    """Return the first snapshot of a name, at its previous close."""
    return Tick(
        name, BEGINS, SESSION, PRE_CLOSE_E4, 100, PRE_CLOSE_E4, PRE_CLOSE_E4 - 100, PRE_CLOSE_E4 + 100, 500, 500,
        PRE_CLOSE_E4, PRE_CLOSE_E4, PRE_CLOSE_E4, PRE_CLOSE_E4,
    )  # fmt: skip


def later(one: Tick) -> Tick:
    """Return the next snapshot, three seconds on, a hundred shares more at the last price."""
    return replace(
        one, at_ns=one.at_ns + 3 * NS_PER_S, volume_shares=one.volume_shares + 100,
        amount_fen=one.amount_fen + one.last_e4,
    )  # fmt: skip


def fallen(one: Tick) -> Tick:
    """Return the snapshot with its price two per cent lower."""
    price = PRE_CLOSE_E4 * 98 // 100
    return replace(one, last_e4=price, low_e4=price, bid_e4=price - 100, ask_e4=price + 100)


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
