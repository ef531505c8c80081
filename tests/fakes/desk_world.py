"""An order desk over a real exchange process: journal, lease, and a trader whose orders hang on the session alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from sqlalchemy import select

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.paper_exchange import PaperExchange
from ljwx_pipeline.live.brokers.port import BrokerSilent
from ljwx_pipeline.live.events import OrderDecided
from ljwx_pipeline.live.lease import Lease
from ljwx_pipeline.live.order_desk import OrderDesk
from ljwx_pipeline.live.orders import Leg
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.tables import fills, orders
from ljwx_pipeline.trading.exchange_wire import Execution, Phase, PhaseName, Side
from tests.fakes.journals import empty_store, log_of

STRATEGY = "topk-dropout"


@dataclass
class Desk:
    """A desk with all it stands on."""

    store: Store
    journal: AsyncJournal
    broker: PaperExchange
    lease: Lease
    orders: OrderDesk


@asynccontextmanager
async def desk_at(
    address: str, folder: Path, *, holder: str = "first", timeout_s: float = 5.0, term_s: float = 3600.0
) -> AsyncIterator[Desk]:
    """A desk whose journal lies in ``folder``, as it was left there."""
    store = Store(folder / "journal.sqlite") if (folder / "journal.sqlite").exists() else empty_store(folder)
    clock = SystemClock()
    journal = AsyncJournal(store, log_of(store, clock))
    broker = PaperExchange(address, timeout_s=timeout_s)
    lease = Lease(store, clock, holder=holder, term_s=term_s)
    try:
        assert lease.acquire()
        desk = OrderDesk(journal=journal, broker=broker, fence=lease, clock=clock, max_order_age_s=60)
        yield Desk(store, journal, broker, lease, desk)
    finally:
        lease.release()
        await broker.close()
        journal.close()
        store.close()


def decided(session: date, valid: date, symbol: str, signed_shares: int, *, rank: int = 0) -> OrderDecided:
    """An order decided at the close of ``session`` for ``valid``."""
    side = Side.BUY if signed_shares > 0 else Side.SELL
    return OrderDecided(
        client_order_id=f"{STRATEGY}|1|{symbol}|{session}|{side}|decide",
        strategy=STRATEGY,
        leg=Leg.DECIDE,
        session=session,
        valid_session=valid,
        bundle_hash=None,
        symbol=symbol,
        side=side,
        shares=abs(signed_shares),
        rank=rank,
        execution=Execution.SESSION,
        limit_price_e4=0,
        reference_price_e4=100_000,
        denial="",
        decided_at_ns=1,
    )


async def seeded_orders(desk: Desk, session: date, valid: date, symbols: list[str]) -> list[OrderDecided]:
    """What the trader wants for ``valid``: by what is held and the session, whatever happened on the way."""
    rng = np.random.default_rng(session.toordinal())
    held = {one.symbol: one.shares for one in (await desk.broker.account()).positions}
    wanted = []
    for symbol in symbols:
        draw, shares = rng.uniform(), int(rng.integers(1, 40)) * 100
        if draw < 0.6:
            wanted.append((symbol, -held[symbol] if symbol in held else shares))
    wanted.sort(key=lambda one: one[1] > 0)
    return [decided(session, valid, symbol, shares, rank=rank) for rank, (symbol, shares) in enumerate(wanted)]


async def trade(desk: Desk, symbols: list[str], *, sessions: int) -> None:
    """Follow the market from wherever the journal stands, trade each close, and be done after ``sessions`` closes."""
    while True:
        try:
            await desk.orders.recover()
            if await _follow(desk, symbols, sessions):
                return
        except BrokerSilent:
            continue


async def _follow(desk: Desk, symbols: list[str], sessions: int) -> bool:
    from ljwx_pipeline.live.from_broker import MessageIntake

    intake = MessageIntake(desk.journal.log, desk.broker.name)
    after = await desk.journal.read(intake.position)
    await _decide(desk, symbols)
    async for frame in desk.broker.stream(after):
        taken = await desk.orders.take_in(frame.durable)
        assert not taken.differences
        if any(isinstance(one, Phase) and one.phase is PhaseName.CLOSED for one in frame.durable):
            await _decide(desk, symbols)
            if await _closed(desk) >= sessions:
                await desk.orders.recover()
                return True
    return False


async def _closed(desk: Desk) -> int:
    from ljwx_pipeline.live.tables import account

    return len(await desk.journal.read(lambda c: c.execute(select(account.c.session)).all()))


async def _decide(desk: Desk, symbols: list[str]) -> None:
    """Place what the last close asks for; deciding it again changes nothing."""
    clock = await desk.broker.clock()
    if clock.session is None or clock.phase is not PhaseName.CLOSED or clock.next_session is None:
        return
    known = await desk.journal.read(
        lambda c: c.execute(select(orders.c.client_order_id).where(orders.c.session == clock.session.isoformat())).all()
    )
    if not known:
        await desk.orders.place(await seeded_orders(desk, clock.session, clock.next_session, symbols))
    while await desk.journal.read(lambda c: c.execute(select(orders.c.state).where(orders.c.state == "unknown")).all()):
        await desk.orders.settle()


def books(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Orders and fills of a journal, without times and the exchange's own ids."""
    with store.reading() as connection:
        return {
            "orders": [
                tuple(row)
                for row in connection.execute(
                    select(orders.c.client_order_id, orders.c.state, orders.c.reason, orders.c.filled_shares).order_by(
                        orders.c.client_order_id
                    )
                )
            ],
            "fills": [
                tuple(row)
                for row in connection.execute(
                    select(
                        fills.c.client_order_id, fills.c.shares, fills.c.price_e4, fills.c.value_fen, fills.c.session
                    ).order_by(fills.c.client_order_id, fills.c.shares)
                )
            ],
        }
