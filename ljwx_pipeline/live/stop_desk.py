"""Stops on ticks, in force: each position's stop is judged on believed ticks, and its order goes out through the desk.

Positions are those of sleeves: each strategy's by its own rules, and a stop sells of its own sleeve alone, in its name.

A stop that has triggered is kept in the journal with everything it decided, in one transaction with its order; what is
in memory is read from there again after every change, so it is never ahead. A position's stop knows its orders by their
identities alone: what another order did to the position is told by the account. Not here: when a stop triggers and what
it sends (``trading/stops.py``), what the journal says of positions (``stop_books.py``), how orders travel
(``order_desk.py``), when it is asked (``watch.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any

from ljwx_pipeline.config import RiskSettings, StopSettings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.live.alerts import alert_once
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.port import Fence
from ljwx_pipeline.live.events import AlertRaised, BreakerMoved, Event, OrderDecided, StopQueued, Tier
from ljwx_pipeline.live.guard import Guard
from ljwx_pipeline.live.guard_ticks import SymbolDay, TickDesk
from ljwx_pipeline.live.order_desk import OrderDesk
from ljwx_pipeline.live.orders import Leg, OrderIntent
from ljwx_pipeline.live.outstanding import sale_decided
from ljwx_pipeline.live.risk_gate import Quote, RiskView, gate_orders
from ljwx_pipeline.live.sleeves.strategies import strategy_of
from ljwx_pipeline.live.stop_books import NOT_WATCHED, STOP, Watched, stop_books, stop_key
from ljwx_pipeline.market.hours import MarketPhase
from ljwx_pipeline.trading.exchange_wire import Execution, NewOrder, OrderReport, OrderStatus, Side, Tick
from ljwx_pipeline.trading.exits import ExitParams
from ljwx_pipeline.trading.matching import floor_to_lot
from ljwx_pipeline.trading.modes import Action
from ljwx_pipeline.trading.stops import (
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
from ljwx_pipeline.units import E4_PER_FEN, FEN_PER_CNY, NS_PER_S

_FINAL = (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.LAPSED, OrderStatus.REJECTED)
#: What is in the way for minutes: nobody need be told each time.
_PASSING = (Wait.NOT_TRADING, Wait.RESERVED, Wait.RETRY, Wait.MARKET_CLOSED)
_AUCTIONS = (MarketPhase.OPENING_AUCTION, MarketPhase.CLOSING_AUCTION)

Identity = tuple[str, str, date]


class StopDesk:
    """The stops of all strategies of one account.

    Parameters
    ----------
    journal, fence, desk, guard, ticks
        Where stops are kept, under which lease, how their orders leave, whether they may, and what the market says.
    exits
        The rules of the strategy that trades an account whose journal names none; named ones have their own.
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
        self._exits = exits
        self._settings = settings
        self._risk = risk
        self._next_session: date | None = None
        self._watched: Mapping[Identity, Watched] = {}
        self._free_shares: Mapping[str, int] = {}
        self._queued: Mapping[tuple[str, str, str], str] = {}
        self.stops: Mapping[Identity, Stop] = {}

    async def refresh(self, next_session: date | None) -> None:
        """Read what is held, ordered and triggered from the journal again: at the start, and after whatever changed.

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
        if not self._settings.on_ticks:
            return
        found = await self._journal.read(partial(stop_books, self._exits))
        if found.watched is None:
            return  # a close that is being settled: it stands as it stood, and nothing trades meanwhile
        stops: dict[Identity, Stop] = {}
        faults = list(found.faults)
        for one in found.watched:
            try:
                stops[one.held.identity] = restored(one, self._settings)
            except TradingError as error:
                faults.append(str(error))
        await alert_once(self._journal, NOT_WATCHED, faults)
        self._watched = {one.held.identity: one for one in found.watched}
        self._free_shares, self._queued = found.free_shares, dict(found.queued)
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
        for identity in [identity for identity in self.stops if identity[1] == tick.symbol]:
            stop = self.stops.get(identity)
            if stop is None:  # an order before it changed what is held
                continue
            after = judged(stop, tick, phase, self._watched[identity].exits)
            if is_left_behind(after, tick.bid_e4) and self._allowed(after, Action.CANCEL) == "":
                await self._desk.cancel(after.order_id)
                await self.refresh(self._next_session)
                after = self.stops.get(identity, after)
            if after.state is StopState.WAITING:
                await self._work(after, day, now_ns, known=stop)

    async def work(self, now_ns: int) -> None:
        """Let every stop that waits try again: each second, and when a session begins; raises as `on_tick`."""
        for identity in list(self.stops):
            stop, day = self.stops.get(identity), self._ticks.days.get(identity[1])
            if stop is not None and stop.state is StopState.WAITING and day is not None:
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
            retry_at_ns = now_ns + round(self._settings.retry_s * NS_PER_S)
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
        watched, free = self._watched[held.identity], self._free_shares.get(held.symbol, 0)
        sellable = min(watched.sellable_shares, held.shares)
        reserved = min(sellable, watched.reserved_shares)
        sellable = min(sellable, reserved + free)
        price_e4 = self._ticks.price_e4(held.symbol)
        # larger than one order may be: it goes in parts
        most = int(self._risk.max_order_cny * FEN_PER_CNY) * E4_PER_FEN // max(price_e4, 1)
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
            account_free_shares=free,
            lot_min=day.lot_min,
            lot_step=day.lot_step,
        )

    def _allowed(self, stop: Stop, action: Action) -> str:
        return self._guard.standing(strategy_of(stop.position.strategy)).denial(action)

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
        restraint = await self._guard.restraint(
            strategy_of(stop.position.strategy), order.session, market.at_ns, suspects
        )
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
        return sale_decided(
            order,
            strategy=stop.position.strategy,
            leg=Leg(stop.leg),
            session=order.session,
            reference_price_e4=self._ticks.price_e4(order.symbol),
            decided_at_ns=now_ns,
        )


def restored(one: Watched, settings: StopSettings) -> Stop:
    """Return the stop of a position as the journal holds it, moved on to what its orders have come to.

    Raises
    ------
    TradingError
        When it cannot be read, or a price that a rule needs is not known.
    """
    stop = watch(one.held, one.exits) if one.text is None else position_changed(_read(one.text), one.held, one.exits)
    stop = replace(stop, orders=tuple(row["client_order_id"] for row in one.made))
    order = next((row for row in one.made if row["client_order_id"] == stop.order_id), None)
    if order is not None and not order["is_open"]:
        stop = reported(stop, _report(order), settings)
    return _working(stop, one)


def _working(stop: Stop, one: Watched) -> Stop:
    """Return ``stop`` working where an order of its own is open after all, though it was held to be final."""
    late = next((row for row in one.made if row["is_open"]), None)
    if late is None or stop.state is not StopState.WAITING:
        return stop
    return replace(
        stop,
        state=StopState.WORKING,
        wait="",
        order_id=late["client_order_id"],
        order_limit_e4=late["limit_price_e4"],
    )


def _moved(stop: Stop) -> BreakerMoved:
    text = json.dumps(to_json(stop), separators=(",", ":"))
    return BreakerMoved(breaker=STOP, scope=stop_key(stop.position), state=text)


def _read(text: str) -> Stop:
    try:
        kept = json.loads(text)
        if isinstance(kept, dict):
            kept.pop("unsent_id", None)  # written by earlier releases, and never of any use
        return from_json(Stop, kept)
    except ValueError as error:
        raise TradingError(f"a stop that the journal holds cannot be read ({error})", "a person looks") from None


def _report(row: Mapping[str, Any]) -> OrderReport:
    """Return where a final order stands, as the broker would say it."""
    return OrderReport(
        seq=0,
        client_order_id=row["client_order_id"],
        exchange_order_id=row["exchange_order_id"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        shares=row["shares"],
        execution=Execution(row["execution"]),
        session=date.fromisoformat(row["valid_session"] or row["session"]),
        state=OrderStatus(row["state"]) if row["state"] in _FINAL else OrderStatus.LAPSED,
        reason=row["reason"],
        filled_shares=row["filled_shares"],
        at_ns=row["decided_at_ns"],
    )
