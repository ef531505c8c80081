"""Stops within the session: the exits of ``exits.py`` judged on ticks, each belonging to one position of one strategy.

A stop is a value, `Stop`, that watches, waits, works or is done, and what happens to it returns the next one; the
journal keeps it as JSON (``strict_json``). The rules and prices are those of ``exits.py``: entry and peak are the
account's, the peak is the highest *close* since entry. Once triggered a stop stays triggered, wherever the price goes.

Nothing is promised about the price. What cannot be sold now waits, and the stop says why by a code: bought today
(T_PLUS_1), sealed at the lower limit (LIMIT_DOWN), no trading now (NOT_TRADING), the session over (MARKET_CLOSED), held
back for another open sale (RESERVED), less than a lot (LOT), or the broker's own reason. A sealed name is tried again
when its seal breaks; the rest in the next session's opening auction, at its lower limit, which sells at whatever the
auction's price is.

Only the reports of orders that a stop itself made are its own: another's are an error, never a guess. What any order
has sold of the position the account tells.

Not here: who asks (the runner), exits judged at the close (``exits.py``), the order's own limits (the risk gate).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from ljwx_pipeline.config import StopSettings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market.hours import MarketPhase
from ljwx_pipeline.market.rulebook import TICK_E4, OrderKind, max_order_shares, worst_order_price_e4
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.exchange_wire import (
    OPEN_STATUSES,
    Execution,
    NewOrder,
    OrderReport,
    OrderStatus,
    Side,
    Tick,
)
from ljwx_pipeline.trading.exits import ExitParams, exit_reason
from ljwx_pipeline.trading.matching import floor_to_lot
from ljwx_pipeline.trading.order_reason import OrderReason
from ljwx_pipeline.units import BPS, E4, NS_PER_S


class StopState(StrEnum):
    """Where a stop stands."""

    WATCHING = "watching"
    WAITING = "waiting"  # triggered; no order of its own is open
    WORKING = "working"  # triggered; its order is open, or nobody knows
    DONE = "done"  # nothing of the position is left


class Wait(StrEnum):
    """Why a triggered stop sends nothing now."""

    T_PLUS_1 = "T_PLUS_1"  # bought in this session: sold in the next at the earliest
    LIMIT_DOWN = "LIMIT_DOWN"  # sealed: nobody buys
    NOT_TRADING = "NOT_TRADING"  # before the open, between auction and trading, lunch
    MARKET_CLOSED = "MARKET_CLOSED"
    RESERVED = "RESERVED"  # another open sale holds the shares
    LOT = "LOT"  # fewer than may be sold by themselves
    RETRY = "RETRY"  # the broker refused a moment ago


#: Leg of the client order id, by what triggered.
LEGS = {
    OrderReason.STOP_LOSS: "stop",
    OrderReason.TAKE_PROFIT: "take_profit",
    OrderReason.TRAILING: "trailing",
    OrderReason.TIME: "time_stop",
}


@dataclass(frozen=True, slots=True)
class HeldByStrategy:
    """One position of one strategy: what a stop watches.

    Parameters
    ----------
    model_version
        The model that opened it.
    opened
        Session of its first purchase: with strategy and symbol it tells the position from an earlier one.
    held_sessions
        Sessions since; 0 on the session of purchase.
    entry_price_e4, peak_price_e4
        Average price paid and highest close since, adjusted on ex-dates; 0 where not known.
    """

    strategy: str
    model_version: str
    symbol: str
    opened: date
    shares: int
    held_sessions: int
    entry_price_e4: int
    peak_price_e4: int

    @property
    def identity(self) -> tuple[str, str, date]:
        """What tells it from every other position."""
        return self.strategy, self.symbol, self.opened


@dataclass(frozen=True, slots=True)
class Stop:
    """The stop of one position.

    Parameters
    ----------
    leg
        What triggered, as the order id says it; empty while it watches.
    triggered_at_ns, trigger_price_e4
        The tick that triggered.
    wait
        Why it sends nothing, or the broker's reason for the last order; empty where nothing is in the way.
    retry_at_ns
        After a refusal: not before.
    order_id, order_limit_e4
        Of the open order.
    orders
        Client order ids of all orders it made, oldest first.
    """

    position: HeldByStrategy
    state: StopState = StopState.WATCHING
    leg: str = ""
    triggered_at_ns: int = 0
    trigger_price_e4: int = 0
    wait: str = ""
    retry_at_ns: int = 0
    order_id: str = ""
    order_limit_e4: int = 0
    orders: tuple[str, ...] = ()

    @property
    def waits_for_open(self) -> bool:
        """Whether it can do nothing more in this session: what the journal queues for the next open."""
        return self.state is StopState.WAITING and self.wait in (Wait.T_PLUS_1, Wait.LIMIT_DOWN, Wait.MARKET_CLOSED)

    def sentence(self) -> str:
        """Return where it stands as people read it."""
        held = self.position
        named = f"{held.strategy}: {held.shares} {held.symbol} opened {held.opened}"
        if self.state is StopState.WATCHING:
            return f"{named}, watched"
        why = f"{self.leg} at {self.trigger_price_e4 / E4:.2f} CNY"
        if self.state is StopState.WAITING and self.wait:
            return f"{named}, {why}: waits, {self.wait}"
        return f"{named}, {why}: {self.state}{f' as {self.order_id}' if self.order_id else ''}"


@dataclass(frozen=True, slots=True)
class SellingSide:
    """What selling one symbol meets at an instant.

    Parameters
    ----------
    bid_e4
        Best bid; 0: nobody buys.
    sellable_shares
        Of the strategy's position: held since before the session.
    reserved_shares
        Of those, what other open sales of the strategy will take.
    account_free_shares
        What the whole account may sell of the symbol and no open sale takes: less than a lot goes only with all of it.
    """

    session: date
    at_ns: int
    phase: MarketPhase
    board: Board
    bid_e4: int
    limit_down_e4: int
    sellable_shares: int
    reserved_shares: int
    account_free_shares: int
    lot_min: int
    lot_step: int


def watch(position: HeldByStrategy, params: ExitParams) -> Stop:
    """Return the stop of a position that was just opened or found.

    Raises
    ------
    TradingError
        When a rule needs a price of the position that is not known: its stop could not be judged.
    """
    _require_prices(position, params)
    return Stop(position) if position.shares > 0 else Stop(position, state=StopState.DONE)


def judged(stop: Stop, tick: Tick, phase: MarketPhase, params: ExitParams) -> Stop:
    """Return ``stop`` after a believed tick of its symbol: triggered where a rule of ``exits.py`` says so.

    Auctions' indications are not judged: the opening price is (phase ``OPENED``), and all of continuous trading.

    Raises
    ------
    TradingError
        When the tick is another symbol's.
    """
    held = stop.position
    if tick.symbol != held.symbol:
        raise TradingError(f"a tick of {tick.symbol} judged a stop of {held.symbol}", "judge each symbol's own ticks")
    if stop.state is not StopState.WATCHING or phase not in (MarketPhase.OPENED, MarketPhase.CONTINUOUS):
        return stop
    code = exit_reason(
        tick.last_e4,
        held.entry_price_e4,
        held.peak_price_e4,
        held.held_sessions,
        params.stop_loss_bps,
        params.take_profit_bps,
        params.trailing_stop_bps,
        params.max_hold_sessions,
    )
    if code == 0:
        return stop
    return replace(
        stop,
        state=StopState.WAITING,
        leg=LEGS[OrderReason(code)],
        triggered_at_ns=tick.at_ns,
        trigger_price_e4=tick.last_e4,
    )


def next_order(stop: Stop, market: SellingSide, settings: StopSettings) -> tuple[Stop, NewOrder | None]:
    """Return ``stop`` and the order it sends now; without one its ``wait`` says why.

    The order sells what it may of the position, at ``limit_offset_bps`` below the best bid in continuous trading, never
    outside the price cage or below the lower limit, and at the lower limit in an auction. It counts as open from here
    on, whether it arrives or not: `reported` says what became of it. Each order has an id of its own.
    """
    if stop.state is not StopState.WAITING:
        return stop, None
    wait = _in_the_way(stop, market)
    shares = 0 if wait else _sellable_now(stop, market)
    if not wait and shares == 0:
        wait = Wait.LOT
    if wait:
        return replace(stop, wait=wait.value), None
    order = NewOrder(
        client_order_id=_order_id(stop, market.session),
        session=market.session,
        symbol=stop.position.symbol,
        side=Side.SELL,
        shares=shares,
        rank=0,
        execution=Execution.CONTINUOUS,
        limit_price_e4=_limit_price_e4(market, settings),
    )
    working = replace(
        stop,
        state=StopState.WORKING,
        wait="",
        order_id=order.client_order_id,
        order_limit_e4=order.limit_price_e4,
        orders=stop.orders if order.client_order_id in stop.orders else (*stop.orders, order.client_order_id),
    )
    return working, order


def is_left_behind(stop: Stop, bid_e4: int) -> bool:
    """Return whether the market has fallen through the open order's limit: cancel it, and it goes out again lower."""
    return stop.state is StopState.WORKING and 0 < bid_e4 < stop.order_limit_e4


def reported(stop: Stop, report: OrderReport, settings: StopSettings) -> Stop:
    """Return ``stop`` after a report on one of its own orders; what is then still held `position_changed` tells.

    A final order leaves what is not sold waiting; after a refusal for ``retry_s``.

    Raises
    ------
    TradingError
        When the order is not its own.
    """
    _require_own(stop, report.client_order_id)
    if report.client_order_id != stop.order_id or report.state in OPEN_STATUSES:
        return stop
    closed = replace(stop, order_id="", order_limit_e4=0)
    if stop.state is not StopState.WORKING:
        return closed
    refused = report.state is OrderStatus.REJECTED
    retry_at_ns = report.at_ns + round(settings.retry_s * NS_PER_S) if refused else 0
    return replace(closed, state=StopState.WAITING, wait=report.reason, retry_at_ns=retry_at_ns)


def position_changed(stop: Stop, position: HeldByStrategy, params: ExitParams) -> Stop:
    """Return ``stop`` after the account said what is held: on a new session, or after another order's fill.

    Raises
    ------
    TradingError
        When it is another position, or a price that a rule needs is not known.
    """
    if position.identity != stop.position.identity:
        raise TradingError(
            f"the stop of {stop.position.identity} was given the position {position.identity}",
            "a new position gets a stop of its own: watch",
        )
    _require_prices(position, params)
    return _with_shares(replace(stop, position=position), position.shares)


def _in_the_way(stop: Stop, market: SellingSide) -> Wait | None:
    if market.phase in (MarketPhase.CLOSED, MarketPhase.CLOSING_SILENCE, MarketPhase.AFTER_HOURS):
        return Wait.MARKET_CLOSED
    if market.sellable_shares <= 0:
        return Wait.T_PLUS_1
    if market.sellable_shares <= market.reserved_shares:
        return Wait.RESERVED
    if not market.phase.trades:
        return Wait.NOT_TRADING
    if market.phase is MarketPhase.CONTINUOUS and market.bid_e4 == 0:
        return Wait.LIMIT_DOWN
    return Wait.RETRY if market.at_ns < stop.retry_at_ns else None


def _sellable_now(stop: Stop, market: SellingSide) -> int:
    most = max_order_shares(market.board, OrderKind.LIMIT, market.session)
    shares = min(stop.position.shares, market.sellable_shares - market.reserved_shares, most)
    if shares == market.account_free_shares:
        return shares
    return int(floor_to_lot(shares, market.lot_min, market.lot_step))


def _order_id(stop: Stop, session: date) -> str:
    held = stop.position
    parts = (held.strategy, held.model_version, held.symbol, session.isoformat(), Side.SELL.value)
    made = len(stop.orders)
    return "|".join((*parts, stop.leg if made == 0 else f"{stop.leg}.{made + 1}"))


def _limit_price_e4(market: SellingSide, settings: StopSettings) -> int:
    if market.phase is not MarketPhase.CONTINUOUS:
        return market.limit_down_e4
    offset_bps = round(settings.limit_offset_bps)
    below = market.bid_e4 * (BPS - offset_bps) // BPS // TICK_E4 * TICK_E4
    cage = int(worst_order_price_e4(market.board, market.session, market.bid_e4, buying=False))
    return max(below, cage, market.limit_down_e4)


def _with_shares(stop: Stop, shares: int) -> Stop:
    held = replace(stop, position=replace(stop.position, shares=shares))
    if shares == 0:
        return replace(held, state=StopState.DONE, wait="", retry_at_ns=0)
    if stop.state is StopState.DONE:  # what was believed sold is held after all
        return replace(held, state=StopState.WAITING if stop.leg else StopState.WATCHING)
    return held


def _require_own(stop: Stop, client_order_id: str) -> None:
    if client_order_id not in stop.orders:
        raise TradingError(
            f"order {client_order_id!r} was told to the stop of {stop.position.identity}, which did not make it",
            "tell each stop of its own orders alone",
        )


def _require_prices(position: HeldByStrategy, params: ExitParams) -> None:
    if (params.reads_entry and position.entry_price_e4 <= 0) or (params.reads_peak and position.peak_price_e4 <= 0):
        raise TradingError(
            f"{position.strategy} holds {position.symbol}, but what it cost or its highest close since is not known: "
            "its stop cannot be judged",
            "reconcile with the broker, or set every key of [strategy.exits] to 0",
        )
