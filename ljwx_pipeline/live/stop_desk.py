"""Stops on ticks, in force: each position's stop is judged on believed ticks, and its order goes out through the desk.

A stop that has triggered is kept in the journal with everything it decided, in one transaction with its order; what is
in memory is read from there again after every change, so it is never ahead. A position's stop knows its orders by their
identities alone: what another order did to the position is told by the account. Not here: when a stop triggers and what
it sends (``trading/stops.py``), how orders travel (``order_desk.py``), when it is asked (``watch.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, select

from ljwx_pipeline.config import RiskSettings, StopSettings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.port import Fence
from ljwx_pipeline.live.events import AlertRaised, BreakerMoved, Event, OrderDecided, StopQueued, Tier
from ljwx_pipeline.live.guard import DECIDED_BEFORE_DAYS, Guard
from ljwx_pipeline.live.guard_ticks import SymbolDay, TickDesk
from ljwx_pipeline.live.guard_trades import StrategyTrades
from ljwx_pipeline.live.order_desk import OrderDesk
from ljwx_pipeline.live.orders import Execution, Leg, OrderIntent, Side
from ljwx_pipeline.live.risk_gate import FEN_PER_CNY, Quote, RiskView, gate_orders
from ljwx_pipeline.live.tables import breaker_states, bundles, orders, outbox, positions_now, sessions, stops_queued
from ljwx_pipeline.market.hours import MarketPhase
from ljwx_pipeline.trading.exchange_wire import Execution as WireExecution
from ljwx_pipeline.trading.exchange_wire import NewOrder, OrderReport, OrderStatus, Tick
from ljwx_pipeline.trading.exchange_wire import Side as WireSide
from ljwx_pipeline.trading.exits import ExitParams
from ljwx_pipeline.trading.matching import floor_to_lot
from ljwx_pipeline.trading.modes import Action
from ljwx_pipeline.trading.stops import (
    LEGS,
    HeldByStrategy,
    SellingSide,
    Stop,
    StopState,
    Wait,
    is_left_behind,
    judged,
    next_order,
    position_changed,
    reported,
    watch,
)
from ljwx_pipeline.trading.strict_json import from_json, to_json

#: What the journal keeps of a stop that has triggered, by position.
STOP = "STOP"
#: Model version of a position that no model opened.
BY_HAND = "hand"
_E4_PER_FEN = 100
_FINAL = (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.LAPSED, OrderStatus.REJECTED)
#: What is in the way for minutes: nobody need be told each time.
_PASSING = (Wait.NOT_TRADING, Wait.RESERVED, Wait.RETRY, Wait.MARKET_CLOSED)
_AUCTIONS = (MarketPhase.OPENING_AUCTION, MarketPhase.CLOSING_AUCTION)

Identity = tuple[str, str, date]


@dataclass(frozen=True)
class OpenSale:
    """An open order that sells a symbol, and what it may still sell in the session."""

    client_order_id: str
    strategy: str
    left_shares: int


@dataclass(frozen=True)
class Holding:
    """One symbol of the account, and the open sales in it."""

    shares: int
    sellable_shares: int
    sales: tuple[OpenSale, ...]


class StopDesk:
    """The stops of one account's strategies.

    Parameters
    ----------
    journal, fence, desk, guard, ticks
        Where stops are kept, under which lease, how their orders leave, whether they may, and what the market says.
    exits
        The rules, by strategy: what is not in it has no stops.
    settings, risk
        How such an order is sent, and the limits it must keep to.
    """

    def __init__(
        self,
        *,
        journal: AsyncJournal,
        fence: Fence,
        desk: OrderDesk,
        guard: Guard,
        ticks: TickDesk,
        exits: Mapping[str, ExitParams],
        settings: StopSettings,
        risk: RiskSettings,
    ) -> None:
        self._journal = journal
        self._fence = fence
        self._desk = desk
        self._guard = guard
        self._ticks = ticks
        self._exits = {name: one for name, one in exits.items() if one.active} if settings.on_ticks else {}
        self._settings = settings
        self._risk = risk
        self._next_session: date | None = None
        self._holdings: Mapping[str, Holding] = {}
        self._queued: Mapping[tuple[str, str, str], str] = {}
        self.stops: Mapping[Identity, Stop] = {}

    async def refresh(self, next_session: date | None) -> None:
        """Read positions, orders and triggered stops from the journal again: at the start, and after whatever changed.

        Parameters
        ----------
        next_session
            The one after the session under way; None where nobody knows it.

        Raises
        ------
        LiveError
            When the journal cannot be read.
        """
        self._next_session = next_session
        if not self._exits:
            return
        books = self._guard.book.trades
        alone = len(books) == 1
        found = await self._journal.read(_found)
        stops: dict[Identity, Stop] = {}
        alerts: list[Event] = []
        for name in self._exits:
            lots = books.get(name, StrategyTrades()).book
            for row in found.positions:
                symbol = row["symbol"]
                shares = row["shares"] if alone else min(row["shares"], lots.shares_of(symbol))
                if shares <= 0:
                    continue
                held = HeldByStrategy(
                    strategy=name,
                    model_version=found.versions.get((name, symbol), BY_HAND),
                    symbol=symbol,
                    opened=_opened(found.sessions, row["held_sessions"]),
                    shares=shares,
                    held_sessions=row["held_sessions"],
                    entry_price_e4=row["entry_price_e4"],
                    peak_price_e4=row["peak_price_e4"] or (0 if row["held_sessions"] else row["entry_price_e4"]),
                )
                try:
                    stops[held.identity] = self._restored(held, found)
                except TradingError as error:
                    alerts.append(AlertRaised(tier=Tier.CRITICAL, code="STOP_NOT_WATCHED", message=str(error)))
        untold = [one for one in alerts if isinstance(one, AlertRaised) and one.message not in found.alerts]
        if untold:
            await self._journal.append(untold, None)
        self._holdings, self._queued = found.holdings, dict(found.queued)
        self.stops = stops

    async def on_tick(self, tick: Tick, now_ns: int) -> None:
        """Judge a believed tick: trigger, send, and renew what the market has fallen through.

        Raises
        ------
        Deposed, LiveError
            As `OrderDesk.place`.
        """
        day = self._ticks.days.get(tick.symbol)
        if day is None:
            return
        phase = day.facts.hours.phase_at(tick.at_ns)
        for stop in [one for one in self.stops.values() if one.position.symbol == tick.symbol]:
            after = judged(stop, tick, phase, self._exits[stop.position.strategy])
            if is_left_behind(after, tick.bid_e4) and self._allowed(after, Action.CANCEL) == "":
                await self._desk.cancel(after.order_id)
                await self.refresh(self._next_session)
                after = self.stops.get(after.position.identity, after)
            if after.state is StopState.WAITING:
                await self._work(after, day, now_ns, known=stop)

    async def work(self, now_ns: int) -> None:
        """Let every stop that waits try again: each second, and when a session begins; raises as `on_tick`."""
        for stop in [one for one in self.stops.values() if one.state is StopState.WAITING]:
            day = self._ticks.days.get(stop.position.symbol)
            if day is not None:
                await self._work(stop, day, now_ns, known=stop)

    def sentences(self) -> list[str]:
        """Return where each stop stands, as people read it."""
        return [stop.sentence() for stop in self.stops.values()]

    async def _work(self, stop: Stop, day: SymbolDay, now_ns: int, *, known: Stop) -> None:
        """Send what ``stop`` sends now, or keep why it does not; ``known`` is the stop as it is kept."""
        market = self._selling_side(stop, day, now_ns)
        # trading goes on and nothing was believed of the symbol yet, or it was refused a moment ago
        if market is None or now_ns < stop.retry_at_ns:
            await self._keep(stop, known)
            return
        after, order = next_order(stop, market, self._settings)
        if order is None:
            await self._keep(after, known)
            return
        denial = await self._denial(after, order, market, day)
        if denial:
            retry_at_ns = now_ns + round(self._settings.retry_s * 1e9)
            await self._keep(replace(stop, wait=denial, retry_at_ns=retry_at_ns), known)
            return
        try:
            sent = AlertRaised(tier=Tier.INFO, code="STOP_SENT", message=after.sentence())
            await self._desk.place([self._decided(after, order, now_ns)], [_moved(after), sent])
        finally:
            await self.refresh(self._next_session)

    async def _keep(self, stop: Stop, known: Stop) -> None:
        """Write down a stop that waits, where it waits otherwise than before, and tell what waits for an opening."""
        held, events = stop.position, list[Event]()
        if replace(stop, retry_at_ns=0) != replace(known, retry_at_ns=0):
            events.append(_moved(stop))
        queued = (held.strategy, held.symbol, stop.leg)
        opening = self._next_session if stop.waits_for_open else None
        if opening is not None and self._queued.get(queued) != opening.isoformat():
            self._queued = {**self._queued, queued: opening.isoformat()}
            events.append(
                StopQueued(
                    strategy=held.strategy,
                    symbol=held.symbol,
                    leg=Leg(stop.leg),
                    shares=held.shares,
                    valid_session=opening,
                    reason=stop.sentence(),
                )
            )
        goes_on = stop.wait in _PASSING and known.state is not StopState.WATCHING
        if stop.wait != known.wait and not goes_on:
            events.append(AlertRaised(tier=Tier.WARNING, code=f"STOP_{stop.wait or 'WAITS'}", message=stop.sentence()))
        if events:
            await self._journal.append(events, self._fence.epoch)
        self.stops = {**self.stops, stop.position.identity: stop}

    def _selling_side(self, stop: Stop, day: SymbolDay, now_ns: int) -> SellingSide | None:
        held, facts = stop.position, day.facts
        last = self._ticks.last(held.symbol)
        phase = facts.hours.phase_at(now_ns)
        if last is None and phase.trades and phase not in _AUCTIONS:
            return None
        holding = self._holdings.get(held.symbol, Holding(0, 0, ()))
        others = [one for one in holding.sales if one.client_order_id not in stop.orders]
        sellable = min(holding.sellable_shares, held.shares)
        reserved = min(sellable, sum(one.left_shares for one in others if one.strategy == held.strategy))
        price_e4 = self._ticks.price_e4(held.symbol)
        # larger than one order may be: it goes in parts
        most = int(self._risk.max_order_cny * FEN_PER_CNY) * _E4_PER_FEN // max(price_e4, 1)
        most = int(floor_to_lot(most, day.lot_min, day.lot_step))
        return SellingSide(
            session=facts.hours.session,
            at_ns=now_ns,
            phase=phase,
            board=day.board,
            bid_e4=0 if last is None else last.bid_e4,
            limit_down_e4=facts.limit_down_e4,
            sellable_shares=min(sellable, reserved + most) if most else sellable,
            reserved_shares=reserved,
            account_free_shares=max(0, holding.sellable_shares - sum(one.left_shares for one in others)),
            lot_min=day.lot_min,
            lot_step=day.lot_step,
        )

    def _allowed(self, stop: Stop, action: Action) -> str:
        return self._guard.standing(stop.position.strategy).denial(action)

    async def _denial(self, stop: Stop, order: NewOrder, market: SellingSide, day: SymbolDay) -> str:
        """Return which breaker, mode or limit denies the order; empty where none does."""
        price_e4 = self._ticks.price_e4(order.symbol)
        intent = OrderIntent(
            client_order_id=order.client_order_id,
            session=order.session,
            symbol=order.symbol,
            side=Side.SELL,
            shares=order.shares,
            rank=order.rank,
            reference_price_e4=price_e4,
        )
        suspects = {order.symbol} if self._ticks.is_suspect(order.symbol) else ()
        restraint = await self._guard.restraint(stop.position.strategy, order.session, market.at_ns, suspects)
        view = RiskView(
            equity_fen=0,
            previous_equity_fen=0,
            shares={order.symbol: market.account_free_shares},
            position_values_fen={},
            bundle_age_days=0,
            max_bundle_age_days=0,
            **vars(restraint),
        )
        (decided,) = gate_orders([intent], {order.symbol: Quote(price_e4, day.facts.pre_close_e4)}, view, self._risk)
        return decided.denial

    def _decided(self, stop: Stop, order: NewOrder, now_ns: int) -> OrderDecided:
        return OrderDecided(
            client_order_id=order.client_order_id,
            strategy=stop.position.strategy,
            leg=Leg(stop.leg),
            session=order.session,
            valid_session=order.session,
            bundle_hash=None,
            symbol=order.symbol,
            side=Side.SELL,
            shares=order.shares,
            rank=order.rank,
            execution=Execution(order.execution),
            limit_price_e4=order.limit_price_e4,
            reference_price_e4=self._ticks.price_e4(order.symbol),
            denial="",
            decided_at_ns=now_ns,
        )

    def _restored(self, held: HeldByStrategy, found: _Found) -> Stop:
        """Return the stop of a position as the journal holds it, moved on to what its order has come to."""
        params = self._exits[held.strategy]
        text = found.texts.get(_key(held))
        stop = watch(held, params) if text is None else position_changed(_read(text), held, params)
        made = tuple(row["client_order_id"] for row in found.made if _is_of(row, held))
        stop = replace(stop, orders=made)
        order = next((row for row in found.made if row["client_order_id"] == stop.order_id), None)
        if order is None or order["is_open"]:
            return stop
        return reported(stop, _report(order), self._settings)


@dataclass(frozen=True)
class _Found:
    """What one look at the journal found."""

    positions: Sequence[RowMapping]
    sessions: Sequence[date]
    versions: Mapping[tuple[str, str], str]
    texts: Mapping[str, str]
    made: Sequence[RowMapping]
    holdings: Mapping[str, Holding]
    queued: Mapping[tuple[str, str, str], str]
    alerts: frozenset[str]


def _found(connection: Connection) -> _Found:
    def rows(statement: Select[Any]) -> list[RowMapping]:
        return list(connection.execute(statement).mappings())

    days = [date.fromisoformat(one) for one in connection.execute(select(sessions.c.session)).scalars()]
    days.sort()
    positions = rows(select(positions_now).where(positions_now.c.shares > 0).order_by(positions_now.c.symbol))
    held = [row["symbol"] for row in positions]
    # an order is decided at most a long holiday before its session: nothing older is of a position that is held
    oldest = max((row["held_sessions"] for row in positions), default=0)
    since = (_opened(days, oldest) - timedelta(days=DECIDED_BEFORE_DAYS)).isoformat()
    opened_by = (
        select(orders.c.strategy, orders.c.symbol, bundles.c.model_version)
        .join(bundles, bundles.c.bundle_hash == orders.c.bundle_hash)
        .where(
            orders.c.session >= since, orders.c.side == Side.BUY, orders.c.filled_shares > 0, orders.c.symbol.in_(held)
        )
        .order_by(orders.c.session)
    )
    today = days[-1].isoformat() if days else ""
    sales = rows(select(orders).where(orders.c.is_open == 1, orders.c.side == Side.SELL))
    by_symbol: dict[str, list[OpenSale]] = {}
    for row in sales:
        if (row["valid_session"] or row["session"]) <= today:
            sale = OpenSale(row["client_order_id"], row["strategy"], row["shares"] - row["filled_shares"])
            by_symbol.setdefault(row["symbol"], []).append(sale)
    made = rows(
        select(orders)
        .where(orders.c.session >= since, orders.c.leg.in_(list(LEGS.values())), orders.c.symbol.in_(held))
        .order_by(orders.c.decided_at_ns, orders.c.client_order_id)
    )
    texts = select(breaker_states.c.scope, breaker_states.c.state).where(breaker_states.c.breaker == STOP)
    told = select(outbox.c.message).where(outbox.c.code == "STOP_NOT_WATCHED")
    return _Found(
        positions=positions,
        sessions=days,
        versions={(row["strategy"], row["symbol"]): row["model_version"] for row in rows(opened_by)},
        texts={row["scope"]: row["state"] for row in rows(texts)},
        made=made,
        holdings={
            row["symbol"]: Holding(row["shares"], row["sellable_shares"], tuple(by_symbol.get(row["symbol"], ())))
            for row in positions
        },
        queued={
            (row["strategy"], row["symbol"], row["leg"]): row["valid_session"] for row in rows(select(stops_queued))
        },
        alerts=frozenset(connection.execute(told).scalars()),
    )


def _opened(known: Sequence[date], held_sessions: int) -> date:
    """Return the session of a position's first purchase; one from before all known ones is of the first."""
    return known[max(0, len(known) - 1 - held_sessions)] if known else date(1970, 1, 1)


def _is_of(row: RowMapping, held: HeldByStrategy) -> bool:
    """Return whether an order is of a stop of this position, not of an earlier one in the same name.

    What is bought in a session cannot be sold in it: an order of that session sold what was held before.
    """
    own = (row["strategy"], row["symbol"]) == (held.strategy, held.symbol)
    return own and date.fromisoformat(row["session"]) > held.opened


def _key(held: HeldByStrategy) -> str:
    return f"{held.strategy}|{held.symbol}|{held.opened.isoformat()}"


def _moved(stop: Stop) -> BreakerMoved:
    text = json.dumps(to_json(stop), separators=(",", ":"))
    return BreakerMoved(breaker=STOP, scope=_key(stop.position), state=text)


def _read(text: str) -> Stop:
    try:
        return from_json(Stop, json.loads(text))
    except ValueError as error:
        raise TradingError(f"a stop that the journal holds cannot be read ({error})", "a person looks") from None


def _report(row: RowMapping) -> OrderReport:
    """Return where a final order stands, as the broker would say it."""
    return OrderReport(
        seq=0,
        client_order_id=row["client_order_id"],
        exchange_order_id=row["exchange_order_id"],
        symbol=row["symbol"],
        side=WireSide(row["side"]),
        shares=row["shares"],
        execution=WireExecution(row["execution"]),
        session=date.fromisoformat(row["valid_session"] or row["session"]),
        state=OrderStatus(row["state"]) if row["state"] in _FINAL else OrderStatus.LAPSED,
        reason=row["reason"],
        filled_shares=row["filled_shares"],
        at_ns=row["decided_at_ns"],
    )
