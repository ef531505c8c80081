"""The trader's hand on a running runner: modes, the kill switch, resets, and closing positions.

A person's word is durable before anything follows from it. Closing by hand first cancels what is open in the name (of
all names where all is closed, so that no purchase opens a position afterwards), then sells what may be sold now at a
limit inside the price cage, and queues what cannot (bought today, sealed, the market shut) as an order of the next
session; the limits of ``[risk]`` are for what programs decide, a person's close is bounded by what is held. Not here:
the endpoints (``control_api.py``), the commands (``live_control_commands.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from ljwx_pipeline.config import StopSettings
from ljwx_pipeline.errors import Deposed, LiveError
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.port import Broker
from ljwx_pipeline.live.control_api import CloseAsked, KillAsked, ModeAsked, ResetAsked
from ljwx_pipeline.live.control_view import book_view, journal_view
from ljwx_pipeline.live.events import AlertRaised, HeldPosition, OrderDecided, Tier
from ljwx_pipeline.live.guard import Guard
from ljwx_pipeline.live.guard_ticks import SymbolDay
from ljwx_pipeline.live.order_desk import OrderDesk
from ljwx_pipeline.live.orders import Leg, OrderState
from ljwx_pipeline.live.outstanding import sale_decided
from ljwx_pipeline.live.stop_books import BY_HAND
from ljwx_pipeline.live.tables import orders, positions_now
from ljwx_pipeline.live.watch import Watch
from ljwx_pipeline.trading.exchange_wire import ClockReport, Execution, NewOrder, PhaseName, Side
from ljwx_pipeline.trading.matching import floor_to_lot
from ljwx_pipeline.trading.modes import Action
from ljwx_pipeline.trading.stops import HeldByStrategy, SellingSide, Stop, StopState, Wait, next_order

_MANUAL = Leg.MANUAL.value


@dataclass(frozen=True)
class _Cancellable:
    """An open order in a name that is to be closed."""

    client_order_id: str
    symbol: str
    side: Side
    left_shares: int


@dataclass(frozen=True)
class _Account:
    """What is held and open, and the orders that a person had before."""

    held: Mapping[str, HeldPosition]
    open: Sequence[_Cancellable]
    made: Sequence[str]


@dataclass(frozen=True)
class _Stand:
    """Where an order stands and why; empty while it is only planned."""

    state: str
    reason: str


async def pulled(guard: Guard, asked: KillAsked) -> str:
    """Pull the kill switch; return why it is not in the journal yet, empty where it is. It is in force either way.

    Raises
    ------
    Deposed
        When another runner leads: it has to be asked.
    TradingError
        When name or reason is empty.
    """
    try:
        await guard.kill(by=asked.by, reason=asked.reason)
    except Deposed:
        raise
    except LiveError as error:  # what is open is cancelled all the same; the guard writes it down as soon as it can
        return error.fact
    return ""


class HandControl:
    """Does what a person asks for. Satisfies `control_api.Control`.

    Parameters
    ----------
    watch
        The guard and the market as the runner sees them.
    journal, desk, broker
        Where it reads, how orders leave, and who is asked where the market stands.
    stops
        How far below the best bid an order stands.
    turn
        Held while something is closed, and by whoever decides a close of the market: each sees what the other sold.
    """

    def __init__(
        self,
        *,
        watch: Watch,
        journal: AsyncJournal,
        desk: OrderDesk,
        broker: Broker,
        stops: StopSettings,
        turn: asyncio.Lock,
    ) -> None:
        self._watch = watch
        self._journal = journal
        self._desk = desk
        self._broker = broker
        self._stops = stops
        self._turn = turn

    async def standing(self) -> dict[str, Any]:
        """Return mode, reasons, breakers, positions by the last good prices, open orders, stops, alerts."""
        watch = self._watch
        found = await self._journal.read(journal_view)
        validator = watch.ticks.validator
        return {
            "source": "runner",
            **book_view(watch.guard.now()),
            **found,
            "valuation": asdict(watch.valuation()),
            "stops": watch.stops.sentences(),
            "ticks": {} if validator is None else {one.value: n for one, n in sorted(validator.counts.items())},
            "suspects": sorted(watch.ticks.suspects()),
            "market_ns": watch.market.now_ns(),
        }

    async def set_mode(self, asked: ModeAsked) -> dict[str, Any]:
        """Set the account or a strategy to a mode; breakers may be stricter."""
        guard = self._watch.guard
        await guard.choose(asked.mode, asked.strategy, by=asked.by, reason=asked.reason)
        return book_view(guard.now())

    async def kill(self, asked: KillAsked) -> dict[str, Any]:
        """Pull the kill switch, then cancel whatever is open, and say what could not be cancelled, or written."""
        guard = self._watch.guard
        not_written = await pulled(guard, asked)
        open_orders = (await self._journal.read(_account)).open
        cancelled, left = await self._cancelled(open_orders)
        if left and not not_written:
            said = "; ".join(f"{identity}: {why}" for identity, why in left.items())
            alert = AlertRaised(tier=Tier.CRITICAL, code="NOT_CANCELLED", message=f"after the kill switch: {said}")
            await self._journal.append([alert], None)
        return {
            **book_view(guard.now()), "not_written": not_written, "cancelled": cancelled, "not_cancelled": left
        }  # fmt: skip

    async def reset(self, asked: ResetAsked) -> dict[str, Any]:
        """Reset a breaker."""
        guard = self._watch.guard
        await guard.reset(asked.breaker, asked.strategy, by=asked.by, reason=asked.reason)
        return book_view(guard.now())

    async def close(self, asked: CloseAsked) -> dict[str, Any]:
        """Close one position, a part of it, or all of them; say what is sold now, what waits for the next session.

        Raises
        ------
        BrokerSilent
            When the broker does not say where the market stands, or does not cancel what is open: nothing was sold.
        LiveError
            When closing by hand is not allowed now, nothing of it is held, or the shares are no order.
        """
        if not asked.by.strip() or not asked.reason.strip():
            raise LiveError(f"{asked.by!r} asked for a close because of {asked.reason!r}", "say who closes, and why")
        async with self._turn:
            return await self._close(asked)

    async def _close(self, asked: CloseAsked) -> dict[str, Any]:
        denial = self._watch.guard.standing().denial(Action.CLOSE_BY_HAND)
        if denial:
            raise LiveError(f"nothing may be closed by hand: {denial}", "see `ljwx live status`, and mend it first")
        clock = await self._broker.clock()
        account = await self._journal.read(_account)
        wanted = self._wanted(asked, account)
        cancels = [one for one in account.open if asked.symbol in ("", one.symbol)]
        if asked.dry_run:
            planned, left = self._orders(wanted, account, clock, freed=True)
            return _said(asked, [one.client_order_id for one in cancels], {}, planned, {}, left)
        cancelled, not_cancelled = await self._cancelled(cancels)
        account = await self._journal.read(_account)
        if not asked.symbol:
            wanted = self._wanted(asked, account)  # a purchase may have been filled before it could be cancelled
        placed, left = self._orders(wanted, account, clock, freed=False)
        if placed or cancelled:
            done = [f"closes {', '.join(f'{one.shares} {one.symbol}' for one in placed)}"] if placed else []
            done += [f"cancels {', '.join(cancelled)}"] if cancelled else []
            message = f"{asked.by.strip()} {' and '.join(done)}: {asked.reason.strip()}"
            note = AlertRaised(tier=Tier.INFO, code="CLOSED_BY_HAND", message=message)
            await self._desk.place(placed, [note])
        stand = await self._journal.read(partial(_stand, [one.client_order_id for one in placed]))
        return _said(asked, cancelled, not_cancelled, placed, stand, left)

    def _wanted(self, asked: CloseAsked, account: _Account) -> dict[str, int]:
        """Return how many shares of which symbols are to be closed."""
        held = {symbol: one.shares for symbol, one in account.held.items() if one.shares > 0}
        if not asked.symbol:
            if asked.shares:
                raise LiveError(f"{asked.shares} shares of every position were to be closed", "name the symbol")
            return held
        if asked.symbol not in held:
            if not asked.shares and any(one.symbol == asked.symbol for one in account.open):
                return {}  # what is open in the name is cancelled
            raise LiveError(
                f"the account holds no {asked.symbol}", f"name one of {', '.join(sorted(held)) or 'none: it is empty'}"
            )
        if not 0 <= asked.shares <= held[asked.symbol]:
            raise LiveError(
                f"{asked.shares} shares of {asked.symbol} were to be closed, the account holds {held[asked.symbol]}",
                "close as many as are held, or leave --shares out for all of them",
            )
        day = self._watch.ticks.days.get(asked.symbol)
        if 0 < asked.shares < held[asked.symbol] and day is not None:
            lots = int(floor_to_lot(asked.shares, day.lot_min, day.lot_step))
            if lots != asked.shares:
                raise LiveError(
                    f"{asked.shares} shares of {asked.symbol} are no lots of {day.lot_min} and {day.lot_step} more",
                    f"close {lots} or all {held[asked.symbol]}",
                )
        return {asked.symbol: asked.shares or held[asked.symbol]}

    def _orders(
        self, wanted: Mapping[str, int], account: _Account, clock: ClockReport, *, freed: bool
    ) -> tuple[list[OrderDecided], dict[str, str]]:
        """Return the orders that close ``wanted``, and by symbol why some of it waits or cannot be sold.

        Parameters
        ----------
        freed
            Count what open sales hold as free: they will have been cancelled.
        """
        made: list[OrderDecided] = []
        left: dict[str, str] = {}
        for symbol, asked in sorted(wanted.items()):
            position = account.held.get(symbol)
            if position is None or position.shares <= 0:
                left[symbol] = "sold meanwhile"
                continue
            sales = [one.left_shares for one in account.open if one.symbol == symbol and one.side is Side.SELL]
            reserved = 0 if freed else sum(sales)
            shares = min(asked, position.shares - reserved)
            if shares <= 0:
                left[symbol] = Wait.RESERVED.value
                continue
            now, wait = self._now(position, shares, reserved, account, clock)
            rest = shares - (now.shares if now is not None else 0)
            if now is not None:
                made.append(self._decided(now, clock))
            if rest == 0:
                continue
            left[symbol] = f"{wait}: {rest} shares stay"
            still_open = not freed and any(one.symbol == symbol for one in account.open)
            if wait == Wait.NOT_TRADING or clock.next_session is None or still_open:
                continue  # trading goes on soon, nobody knows a next session, or it has an order in the name already
            identity = self._identity(symbol, clock.next_session, account.made)
            order = NewOrder(identity, clock.next_session, symbol, Side.SELL, rest, 0, Execution.SESSION, 0)
            made.append(self._decided(order, clock))
            left[symbol] = f"{wait}: {rest} shares wait for {clock.next_session}"
        return made, left

    def _now(
        self, position: HeldPosition, shares: int, reserved: int, account: _Account, clock: ClockReport
    ) -> tuple[NewOrder | None, str]:
        """Return the order that sells now what may be sold now, and the code of what is in the way of the rest."""
        day = self._watch.ticks.days.get(position.symbol)
        if clock.session is None or clock.phase is PhaseName.CLOSED:
            return None, Wait.MARKET_CLOSED.value
        if day is None or day.facts.hours.session != clock.session:
            return None, "SUSPENDED"
        identity = self._identity(position.symbol, clock.session, account.made)
        held = HeldByStrategy(
            strategy=identity.split("|")[0],
            model_version=BY_HAND,
            symbol=position.symbol,
            opened=clock.session,
            shares=shares,
            held_sessions=position.held_sessions,
            entry_price_e4=position.entry_price_e4,
            peak_price_e4=position.peak_price_e4,
        )
        asked = Stop(held, state=StopState.WAITING, leg=_MANUAL)
        stop, order = next_order(asked, self._selling_side(position, day, reserved, clock), self._stops)
        return None if order is None else replace(order, client_order_id=identity), stop.wait or Wait.T_PLUS_1.value

    def _selling_side(self, position: HeldPosition, day: SymbolDay, reserved: int, clock: ClockReport) -> SellingSide:
        last = self._watch.ticks.last(position.symbol)
        at_ns = max(self._watch.market.now_ns(), clock.at_ns)
        return SellingSide(
            session=day.facts.hours.session,
            at_ns=at_ns,
            phase=day.facts.hours.phase_at(at_ns),
            board=day.board,
            bid_e4=0 if last is None else last.bid_e4,
            limit_down_e4=day.facts.limit_down_e4,
            sellable_shares=position.sellable_shares,
            reserved_shares=reserved,
            account_free_shares=max(0, position.sellable_shares - reserved),
            lot_min=day.lot_min,
            lot_step=day.lot_step,
        )

    def _identity(self, symbol: str, session: date, made: Sequence[str]) -> str:
        """Return the id of the next order that a person has in ``symbol`` on ``session``."""
        holders = [name for name, one in self._watch.guard.book.trades.items() if one.book.shares_of(symbol) > 0]
        strategy = holders[0] if len(holders) == 1 else BY_HAND
        stem = "|".join((strategy, BY_HAND, symbol, session.isoformat(), Side.SELL.value, _MANUAL))
        before = sum(one == stem or one.startswith(f"{stem}.") for one in made)
        return stem if before == 0 else f"{stem}.{before + 1}"

    def _decided(self, order: NewOrder, clock: ClockReport) -> OrderDecided:
        return sale_decided(
            order,
            strategy=order.client_order_id.split("|")[0],
            leg=Leg.MANUAL,
            session=clock.session or order.session,
            reference_price_e4=self._watch.ticks.price_e4(order.symbol),
            decided_at_ns=max(self._watch.market.now_ns(), clock.at_ns),
        )

    async def _cancelled(self, wanted: Sequence[_Cancellable]) -> tuple[list[str], dict[str, str]]:
        """Cancel ``wanted``; return what was, and of the others why not: one may have been filled before."""
        asked: list[str] = []
        left: dict[str, str] = {}
        for one in wanted:
            try:
                await self._desk.cancel(one.client_order_id)
                asked.append(one.client_order_id)
            except Deposed:
                raise
            except LiveError as error:  # the others are cancelled all the same; what was not is said
                left[one.client_order_id] = error.fact
        stand = await self._journal.read(partial(_stand, asked))
        done = [one for one in asked if stand[one].state == OrderState.CANCELLED]
        left.update({one: f"it is {stand[one].state}" for one in asked if one not in done})
        return done, left


def _said(
    asked: CloseAsked,
    cancelled: Sequence[str],
    not_cancelled: Mapping[str, str],
    placed: Sequence[OrderDecided],
    stand: Mapping[str, _Stand],
    left: Mapping[str, str],
) -> dict[str, Any]:
    nowhere = _Stand("", "")
    return {
        "dry_run": asked.dry_run,
        "cancelled": list(cancelled),
        "not_cancelled": dict(not_cancelled),
        "orders": [
            {
                "client_order_id": one.client_order_id,
                "symbol": one.symbol,
                "shares": one.shares,
                "execution": one.execution.value,
                "limit_price_e4": one.limit_price_e4,
                "session": None if one.valid_session is None else one.valid_session.isoformat(),
                **asdict(stand.get(one.client_order_id, nowhere)),
            }
            for one in placed
        ],
        "left": dict(left),
    }


def _account(connection: Connection) -> _Account:
    held = [HeldPosition(**row) for row in connection.execute(select(positions_now)).mappings()]
    found = connection.execute(select(orders).where(orders.c.is_open == 1)).mappings().all()
    made = connection.execute(select(orders.c.client_order_id).where(orders.c.leg == _MANUAL)).scalars().all()
    return _Account(
        held={one.symbol: one for one in held},
        open=[
            _Cancellable(row["client_order_id"], row["symbol"], Side(row["side"]), row["shares"] - row["filled_shares"])
            for row in found
        ],
        made=list(made),
    )


def _stand(identities: Sequence[str], connection: Connection) -> dict[str, _Stand]:
    wanted = select(orders.c.client_order_id, orders.c.state, orders.c.reason)
    rows = connection.execute(wanted.where(orders.c.client_order_id.in_(identities)))
    return {row.client_order_id: _Stand(row.state, row.reason) for row in rows}
