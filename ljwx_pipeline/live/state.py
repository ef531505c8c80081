"""What a runner has to know to go on, read from the journal at once: the same after a crash as after a clean stop.

Its cost depends on what is open and held, not on how much ever happened. Not here: what the runner makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Table, select

from ljwx_pipeline.live.events import HeldPosition, Stage, StrategyState
from ljwx_pipeline.live.orders import Leg, OrderState
from ljwx_pipeline.live.projections import standing
from ljwx_pipeline.live.stages import Sleeve
from ljwx_pipeline.live.store import Store
from ljwx_pipeline.live.tables import (
    account_now,
    breaker_states,
    breakers,
    lease,
    modes,
    orders,
    positions_now,
    reconciliations,
    stages,
    stops_queued,
    strategies,
    streams,
)
from ljwx_pipeline.trading.exchange_wire import Execution, Side
from ljwx_pipeline.trading.modes import TradingMode


@dataclass(frozen=True)
class OpenOrder:
    """An order that may still trade. One that is ``intended`` may have been sent by a process that died: ask first."""

    client_order_id: str
    exchange_order_id: str
    strategy: str
    leg: Leg
    session: date
    valid_session: date | None
    bundle_hash: str | None
    symbol: str
    side: Side
    shares: int
    filled_shares: int
    rank: int
    execution: Execution
    limit_price_e4: int
    reference_price_e4: int
    state: OrderState
    sent_times: int
    decided_at_ns: int
    sent_at_ns: int | None


@dataclass(frozen=True)
class StoredStrategy:
    """A strategy as it was last set; ``settings`` is JSON text."""

    strategy: str
    state: StrategyState
    settings: str
    capital_share_bps: int


@dataclass(frozen=True)
class TrippedBreaker:
    """A breaker that holds until it is reset."""

    breaker: str
    scope: str
    session: date | None
    value: str
    limit: str
    reason: str


@dataclass(frozen=True)
class WaitingStop:
    """A stop that waits for the opening of a session."""

    strategy: str
    symbol: str
    leg: Leg
    shares: int
    valid_session: date
    reason: str


@dataclass(frozen=True)
class LiveState:
    """The journal's state after event ``seq``.

    Parameters
    ----------
    epoch
        Of the lease: who appends must hold it.
    cash_fen
        None before the first statement or fill.
    breaker_states
        What each breaker counts, JSON text by breaker and scope.
    modes
        By scope, the runner's own under the empty one; what is not in it was never changed.
    streams
        Last message read, by broker.
    unreconciled
        Why no order may leave, by broker; brokers that were never compared are not in it.
    """

    seq: int
    epoch: int
    cash_fen: int | None
    positions: Mapping[str, HeldPosition]
    open_orders: tuple[OpenOrder, ...]
    stops: tuple[WaitingStop, ...]
    breakers: tuple[TrippedBreaker, ...]
    breaker_states: Mapping[tuple[str, str], str]
    modes: Mapping[str, TradingMode]
    strategies: tuple[StoredStrategy, ...]
    stages: tuple[Sleeve, ...]
    streams: Mapping[str, int]
    unreconciled: Mapping[str, str]


def load_state(store: Store) -> LiveState:
    """Return what the journal holds now, of one state of it.

    Raises
    ------
    LiveError
        When it cannot be read.
    """
    with store.reading() as connection:
        return LiveState(
            seq=standing(connection)[1],
            epoch=int(connection.execute(select(lease.c.epoch)).scalar_one()),
            cash_fen=connection.execute(select(account_now.c.cash_fen)).scalar(),
            positions={row["symbol"]: HeldPosition(**row) for row in _rows(connection, positions_now)},
            open_orders=tuple(_open_order(row) for row in _rows(connection, orders, orders.c.is_open == 1)),
            stops=tuple(
                WaitingStop(
                    strategy=row["strategy"],
                    symbol=row["symbol"],
                    leg=Leg(row["leg"]),
                    shares=row["shares"],
                    valid_session=date.fromisoformat(row["valid_session"]),
                    reason=row["reason"],
                )
                for row in _rows(connection, stops_queued)
            ),
            breakers=tuple(
                TrippedBreaker(
                    breaker=row["breaker"],
                    scope=row["scope"],
                    session=_day(row["session"]),
                    value=row["value"],
                    limit=row["limit"],
                    reason=row["reason"],
                )
                for row in _rows(connection, breakers, breakers.c.tripped == 1)
            ),
            breaker_states={(row["breaker"], row["scope"]): row["state"] for row in _rows(connection, breaker_states)},
            modes={row["scope"]: TradingMode(row["mode"]) for row in _rows(connection, modes)},
            strategies=tuple(
                StoredStrategy(row["strategy"], StrategyState(row["state"]), row["settings"], row["capital_share_bps"])
                for row in _rows(connection, strategies)
            ),
            stages=tuple(
                Sleeve(row["strategy"], Stage(row["stage"]), row["bundle_hash"], row["capital_share_bps"])
                for row in _rows(connection, stages)
            ),
            streams={row["broker"]: row["exchange_seq"] for row in _rows(connection, streams)},
            unreconciled={
                row["broker"]: row["differences"]
                for row in _rows(connection, reconciliations, reconciliations.c.holds == 0)
            },
        )


def _rows(connection: Connection, table: Table, *where: Any) -> list[dict[str, Any]]:
    found = connection.execute(select(table).where(*where).order_by(*table.primary_key))
    return [dict(row) for row in found.mappings()]


def _open_order(row: Mapping[str, Any]) -> OpenOrder:
    return OpenOrder(
        client_order_id=row["client_order_id"],
        exchange_order_id=row["exchange_order_id"],
        strategy=row["strategy"],
        leg=Leg(row["leg"]),
        session=date.fromisoformat(row["session"]),
        valid_session=_day(row["valid_session"]),
        bundle_hash=row["bundle_hash"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        shares=row["shares"],
        filled_shares=row["filled_shares"],
        rank=row["rank"],
        execution=Execution(row["execution"]),
        limit_price_e4=row["limit_price_e4"],
        reference_price_e4=row["reference_price_e4"],
        state=OrderState(row["state"]),
        sent_times=row["sent_times"],
        decided_at_ns=row["decided_at_ns"],
        sent_at_ns=row["sent_at_ns"],
    )


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
