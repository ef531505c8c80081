"""What the stops of an account need of the journal: whose positions they watch, by which rules, and what is on its way.

A strategy that has the whole account by itself watches the account's positions. Where several trade it, each watches
its own book: the last settled one, carried over the session under way by the same attribution that the close will make
(``sleeves/attribution.py``). What a sleeve has of an order is known once that order is final; until then all that it
wanted of an open sale counts as sold, and of a sale by hand all that nobody's book does not give. So a stop may sell a
little less than is its own for a while, and never more. Books that are not of the newest close are watched by nobody:
what was crossed and attributed since is not known.

Reads of one state of the journal, and no more of it than belongs to what is held. Not here: when a stop triggers and
what it sends (``trading/stops.py``), who asks (``stop_desk.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, select

from ljwx_pipeline.live.events import SleeveBook, StrategyState
from ljwx_pipeline.live.guard_journal import DECIDED_BEFORE_DAYS
from ljwx_pipeline.live.sleeves.attribution import SessionRecord, carry, carry_sold, wants_by_order
from ljwx_pipeline.live.sleeves.book import NOBODY, Books
from ljwx_pipeline.live.sleeves.reading import last_books, session_so_far, strategies_in_force
from ljwx_pipeline.live.sleeves.strategies import strategy_of
from ljwx_pipeline.live.tables import (
    account,
    breaker_states,
    bundles,
    orders,
    positions_now,
    sessions,
    sleeve_wants,
    stops_queued,
)
from ljwx_pipeline.trading.exchange_wire import Side
from ljwx_pipeline.trading.exits import ExitParams
from ljwx_pipeline.trading.stops import LEGS, HeldByStrategy
from ljwx_pipeline.units import BPS

#: What the journal keeps of a stop that has triggered, by position.
STOP = "STOP"
#: Alert of a position that no stop can watch.
NOT_WATCHED = "STOP_NOT_WATCHED"
#: Model version of a position that no model opened.
BY_HAND = "hand"


@dataclass(frozen=True)
class Watched:
    """One position of one sleeve.

    Parameters
    ----------
    held
        The position; its ``strategy`` is the sleeve, which stands on the orders of its stop.
    strategy, exits
        Whose sleeve it is, and the rules.
    sellable_shares, reserved_shares
        What of it was held since before the session, and how much of that open sales may take at most.
    text
        Its stop as the journal keeps it; None where nothing has triggered.
    made
        Orders of its stop, oldest first: rows of the journal.
    """

    held: HeldByStrategy
    strategy: str
    exits: ExitParams
    sellable_shares: int
    reserved_shares: int
    text: str | None = None
    made: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class StopBooks:
    """What one look at the journal found.

    Parameters
    ----------
    watched
        None between a close and its settling: books that are about to come.
    free_shares
        By symbol, what the account may sell of it and no open sale takes.
    queued
        Session that a stop waits for, by sleeve, symbol and leg.
    faults
        Why something is not watched that should be.
    """

    watched: tuple[Watched, ...] | None
    free_shares: Mapping[str, int]
    queued: Mapping[tuple[str, str, str], str]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class OpenSale:
    """An open order that sells, and may do so in the session under way."""

    client_order_id: str
    strategy: str
    symbol: str
    shares: int
    filled_shares: int


@dataclass(frozen=True)
class _Rules:
    """Exits by strategy; ``sole``: the one whose book is the account."""

    exits: Mapping[str, ExitParams]
    sole: str | None
    faults: tuple[str, ...]


@dataclass(frozen=True)
class _Market:
    """The account in the session under way: ``session`` None between two; open sales that can fill in it."""

    session: date | None
    newest_close: date | None
    held: Mapping[str, RowMapping]
    sales: tuple[OpenSale, ...]

    def left_shares(self, symbol: str) -> int:
        """Return what open sales may still sell of ``symbol``."""
        return sum(one.shares - one.filled_shares for one in self.sales if one.symbol == symbol)

    def free_shares(self, symbol: str) -> int:
        """Return what the account may sell of ``symbol`` and no open sale takes."""
        return max(0, int(self.held[symbol]["sellable_shares"]) - self.left_shares(symbol))


def stop_books(given: Mapping[str, ExitParams], connection: Connection) -> StopBooks:
    """Return what the journal says that stops need.

    Parameters
    ----------
    given
        The rules of the one strategy of an account whose journal names none.
    """
    rules = _rules(given, connection)
    if not rules.exits:
        return StopBooks((), {}, {}, rules.faults)
    market = _market(connection)
    free = {symbol: market.free_shares(symbol) for symbol in market.held}
    faults = rules.faults
    if rules.sole is not None:
        watched = [_of_account(rules.sole, rules.exits[rules.sole], row, market) for row in market.held.values()]
    else:
        settled, stated = last_books(connection)
        if settled is None:  # nobody has a book before the first close: what is held is nobody's
            watched = []
        elif settled != market.newest_close:
            if market.session is None:
                return StopBooks(None, free, {}, faults)
            late = f"the strategies' books are of {settled} and the newest close is {market.newest_close}"
            watched, faults = [], (*faults, f"{late}: no stop of theirs is watched until the next close settles them")
        else:
            watched = _of_sleeves(rules.exits, stated, market, connection)
    return StopBooks(_with_journal(watched, connection), free, _queued(watched, connection), faults)


def stop_key(held: HeldByStrategy) -> str:
    """Return the scope under which the journal keeps the stop of a position."""
    return f"{held.strategy}|{held.symbol}|{held.opened.isoformat()}"


def _rules(given: Mapping[str, ExitParams], connection: Connection) -> _Rules:
    named = [one for one in strategies_in_force(connection) if one.state is not StrategyState.REMOVED]
    if not named:
        active = {name: one for name, one in given.items() if one.active}
        return _Rules(active, next(iter(active), None), ())
    found: dict[str, ExitParams] = {}
    faults: list[str] = []
    for one in named:
        spec = one.spec
        if spec is None:
            faults.append(f"strategy {one.name} has parameters that this program cannot read: its stops are unknown")
        elif one.state is not StrategyState.PAUSED and (exits := ExitParams.of(spec.strategy.exits)).active:
            found[one.name] = exits
    whole = named[0].name if len(named) == 1 and named[0].share_bps == BPS else None
    if whole is not None:
        _, books = last_books(connection)
        if any(strategy_of(book.sleeve) == whole != book.sleeve for book in books):
            whole = None  # a canary has a part of it
    return _Rules(found, whole, tuple(faults))


def _market(connection: Connection) -> _Market:
    newest = connection.execute(select(func.max(sessions.c.session))).scalar()
    closed = connection.execute(select(func.max(account.c.session))).scalar()
    held = _rows(connection, select(positions_now).where(positions_now.c.shares > 0).order_by(positions_now.c.symbol))
    open_sales = select(orders).where(orders.c.is_open == 1, orders.c.side == Side.SELL)
    sales = [
        OpenSale(row["client_order_id"], row["strategy"], row["symbol"], row["shares"], row["filled_shares"])
        for row in _rows(connection, open_sales.order_by(orders.c.client_order_id))
        if (row["valid_session"] or row["session"]) <= (newest or "")
    ]
    return _Market(
        session=date.fromisoformat(newest) if newest and newest != closed else None,
        newest_close=date.fromisoformat(closed) if closed else None,
        held={row["symbol"]: row for row in held},
        sales=tuple(sales),
    )


def _of_account(name: str, exits: ExitParams, row: RowMapping, market: _Market) -> Watched:
    symbol, sessions_held = row["symbol"], row["held_sessions"]
    held = _position(name, symbol, row["shares"], sessions_held, row["entry_price_e4"], row["peak_price_e4"])
    return Watched(held, name, exits, row["sellable_shares"], market.left_shares(symbol))


def _of_sleeves(
    exits: Mapping[str, ExitParams], stated: Sequence[SleeveBook], market: _Market, connection: Connection
) -> list[Watched]:
    books = Books(stated)
    record = None if market.session is None else session_so_far(connection, market.session)
    if record is not None:
        carry(books, record)
    before, reserved = sleeves_to_sell(stated, record, market.sales)
    found = []
    for sleeve in books.sleeves:
        rules = exits.get(strategy_of(sleeve))
        if rules is None:
            continue
        for symbol in books.symbols_of(sleeve):
            one = books.holding(sleeve, symbol)
            held = _position(sleeve, symbol, one.shares, one.held_sessions, one.entry_price_e4, one.peak_price_e4)
            taken = reserved.get((sleeve, symbol), 0)
            found.append(Watched(held, strategy_of(sleeve), rules, before.shares(sleeve, symbol), taken))
    return found


def sleeves_to_sell(
    stated: Sequence[SleeveBook], record: SessionRecord | None, sales: Sequence[OpenSale]
) -> tuple[Books, dict[tuple[str, str], int]]:
    """Return what each sleeve held before the session and final sales have left it, and what open ones may still take.

    Parameters
    ----------
    stated
        The books of the newest close.
    record
        The session under way so far; None between two.

    Returns
    -------
    tuple of Books, dict
        The second by sleeve and symbol, shares: at most so many, whatever becomes of the open sales.
    """
    before, reserved = Books(stated), dict[tuple[str, str], int]()
    if record is None:
        return before, reserved
    carry_sold(before, record, {one.client_order_id for one in sales})
    wanted = wants_by_order(record)
    for sale in sales:
        wants = {one.sleeve: one.shares - one.crossed_shares for one in wanted.get(sale.client_order_id, ())}
        if not wants and sale.strategy in before.capital and sale.strategy != NOBODY:
            wants = {sale.strategy: sale.shares}
        elif not wants:  # by hand: whose it is, if not nobody's, hangs on who holds it at the close
            beyond = max(0, sale.shares - before.shares(NOBODY, sale.symbol))
            wants = dict.fromkeys(before.holders(sale.symbol), beyond)
        for sleeve, shares in wants.items():
            reserved[sleeve, sale.symbol] = reserved.get((sleeve, sale.symbol), 0) + shares
    return before, reserved


def _position(sleeve: str, symbol: str, shares: int, held_sessions: int, entry_e4: int, peak_e4: int) -> HeldByStrategy:
    return HeldByStrategy(
        strategy=sleeve,
        model_version=BY_HAND,
        symbol=symbol,
        opened=date(1970, 1, 1),  # until the sessions are read
        shares=shares,
        held_sessions=held_sessions,
        entry_price_e4=entry_e4,
        peak_price_e4=peak_e4 or (0 if held_sessions else entry_e4),
    )


def _with_journal(watched: Sequence[Watched], connection: Connection) -> tuple[Watched, ...]:
    """Return ``watched`` with when and by which model each was opened, and what its stop has come to."""
    oldest = max((one.held.held_sessions for one in watched), default=0)
    newest_days = select(sessions.c.session).order_by(sessions.c.session.desc()).limit(oldest + 1)
    days = sorted(date.fromisoformat(day) for day in connection.execute(newest_days).scalars())
    symbols = {one.held.symbol for one in watched}
    # an order is decided at most a long holiday before its session: nothing older is of a position that is held
    since = (_opened(days, oldest) - timedelta(days=DECIDED_BEFORE_DAYS)).isoformat()
    versions = _versions(since, symbols, connection)
    made = (
        select(orders)
        .where(orders.c.session >= since, orders.c.leg.in_(list(LEGS.values())), orders.c.symbol.in_(symbols))
        .order_by(orders.c.decided_at_ns, orders.c.client_order_id)
    )
    made_rows = _rows(connection, made)
    found = []
    for one in watched:
        name, symbol = one.held.strategy, one.held.symbol
        opened = _opened(days, one.held.held_sessions)
        held = replace(one.held, opened=opened, model_version=versions.get((name, symbol), BY_HAND))
        found.append(replace(one, held=held, made=tuple(dict(row) for row in made_rows if _is_of(row, held))))
    keys = [stop_key(one.held) for one in found]
    kept = select(breaker_states.c.scope, breaker_states.c.state)
    kept = kept.where(breaker_states.c.breaker == STOP, breaker_states.c.scope.in_(keys))
    texts = {row["scope"]: row["state"] for row in _rows(connection, kept)}
    return tuple(replace(one, text=texts.get(key)) for one, key in zip(found, keys, strict=True))


def _versions(since: str, symbols: Collection[str], connection: Connection) -> dict[tuple[str, str], str]:
    """Return the model of the newest purchase by sleeve and symbol: of its own orders, and of those it shared."""
    bought = (
        select(orders.c.strategy, orders.c.symbol, bundles.c.model_version)
        .join(bundles, bundles.c.bundle_hash == orders.c.bundle_hash)
        .where(
            orders.c.session >= since,
            orders.c.side == Side.BUY,
            orders.c.filled_shares > 0,
            orders.c.symbol.in_(symbols),
        )
        .order_by(orders.c.session)
    )
    shared = bought.join(sleeve_wants, sleeve_wants.c.client_order_id == orders.c.client_order_id)
    of_sleeves = shared.with_only_columns(sleeve_wants.c.sleeve, orders.c.symbol, bundles.c.model_version)
    found = {(row[0], row[1]): row[2] for row in connection.execute(of_sleeves)}
    return {**found, **{(row[0], row[1]): row[2] for row in connection.execute(bought)}}


def _queued(watched: Sequence[Watched], connection: Connection) -> dict[tuple[str, str, str], str]:
    waits = select(stops_queued).where(stops_queued.c.symbol.in_({one.held.symbol for one in watched}))
    return {(row["strategy"], row["symbol"], row["leg"]): row["valid_session"] for row in _rows(connection, waits)}


def _opened(known: Sequence[date], held_sessions: int) -> date:
    """Return the session of a position's first purchase; one from before all known ones is of the first."""
    return known[max(0, len(known) - 1 - held_sessions)] if known else date(1970, 1, 1)


def _is_of(row: RowMapping, held: HeldByStrategy) -> bool:
    """Return whether an order is of a stop of this position, not of an earlier one in the same name.

    What is bought in a session cannot be sold in it: an order of that session sold what was held before.
    """
    own = (row["strategy"], row["symbol"]) == (held.strategy, held.symbol)
    return own and date.fromisoformat(row["session"]) > held.opened


def _rows(connection: Connection, statement: Select[Any]) -> list[RowMapping]:
    return list(connection.execute(statement).mappings())
