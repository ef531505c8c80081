"""What the guard reads of the journal: the book as it was left, what was told since, who is behind an order.

Reads of one state of the journal; nothing is decided and nothing written here. Not here: what follows from it
(``guard_book.py``), when it is read (``guard.py``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date, timedelta

from sqlalchemy import Connection, func, select

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.live.event_codec import from_json
from ljwx_pipeline.live.events import EVENTS, Event, HeldPosition, StrategyState
from ljwx_pipeline.live.guard_book import BEFORE_ALL, READ_KINDS, GuardBook, fresh_book, lost
from ljwx_pipeline.live.guard_events import FOLLOWED, STANDING_SCOPE, TRADES, read_followed
from ljwx_pipeline.live.guard_trades import OrderFacts, Part, StrategyTrades, in_line_with, read_trades
from ljwx_pipeline.live.sleeves.netting import ACCOUNT
from ljwx_pipeline.live.sleeves.reading import strategies_in_force
from ljwx_pipeline.live.sleeves.strategies import strategy_of
from ljwx_pipeline.live.tables import (
    account,
    breaker_states,
    events_log,
    modes,
    orders,
    positions_now,
    sessions,
    sleeve_wants,
)
from ljwx_pipeline.trading.breakers import Breaker, expected_breakers, read_state, state_text
from ljwx_pipeline.trading.exchange_wire import Side
from ljwx_pipeline.trading.modes import TradingMode
from ljwx_pipeline.units import NS_PER_MINUTE

#: An order is decided at most so many days before the session it is for: the longest holidays are shorter.
DECIDED_BEFORE_DAYS = 31
#: An event of the log: its number, when it was written, what it says, and its order.
Told = tuple[int, int, Event, OrderFacts | None]


def read_book(
    connection: Connection, strategies: Collection[str], now_ns: int, *, capital_fen: int
) -> tuple[GuardBook | None, GuardBook]:
    """Return the book as the journal holds it (None: it holds none yet), and as it is to be from here on.

    A state that should be there and is not, or cannot be read, is tripped. A strategy that the journal has never had
    an order or a state of is new, and begins with nothing tripped. One that was removed keeps its states: it has them
    again when it comes back.

    Parameters
    ----------
    strategies
        Who trades where the journal names nobody yet.
    """
    there = strategies_in_force(connection)
    in_force = frozenset(one.name for one in there if one.state is not StrategyState.REMOVED)
    in_force = in_force if there else frozenset(strategies)
    kept = {(row.breaker, row.scope): row.state for row in connection.execute(select(breaker_states))}
    if not kept:
        return None, _seeded(connection, in_force, capital_fen)
    try:
        read, session, equity_fen = read_followed(kept.get((FOLLOWED, ""), ""))
        fault = ""
    except TradingError as error:
        read, session, fault = _last(connection), _newest_session(connection), str(error)
        equity_fen = _equity(connection) or capital_fen
    traded = set(connection.execute(select(orders.c.strategy).distinct()).scalars())
    known = {scope for _, scope in kept}
    new = {name for name in in_force if name not in traded and name not in known}
    old = (in_force - new) | {scope for breaker, scope in kept if breaker == TRADES}
    fresh = fresh_book(new, session, equity_fen=equity_fen, read=read)
    new_states = {key: state for key, state in fresh.states.items() if key[1] in new}  # the account's are not new
    states = {
        (breaker, key): read_state(
            kept.get((breaker.value, key)), breaker=breaker, key=key, session=session, at_ns=now_ns
        )
        for breaker, key in expected_breakers(old)
    }
    trades: dict[str, StrategyTrades] = {}
    unreadable: dict[str, str] = {}
    for name in sorted(old):
        try:
            trades[name] = read_trades(kept.get((TRADES, name), ""))
        except TradingError as error:
            unreadable[name] = str(error)
    before = GuardBook(
        session=session,
        equity_fen=equity_fen,
        read=-1 if fault else read,
        states={key: one for key, one in states.items() if state_text(one) == kept.get((key[0].value, key[1]))},
        trades=trades,
        in_force=in_force,
        modes=_chosen(connection),
    )
    empty = dict.fromkeys(unreadable, StrategyTrades())
    book = replace(before, read=read, states={**states, **new_states}, trades={**trades, **empty, **fresh.trades})
    for name in trades if fault else ():
        book = lost(book, (Breaker.FAILURES, name), fault, now_ns)
    for name, why in {**dict.fromkeys(trades if fault else (), fault), **unreadable}.items():
        book = lost(book, (Breaker.LOSING_TRADES, name), why, now_ns)
    return before, book


def _seeded(connection: Connection, strategies: Collection[str], capital_fen: int) -> GuardBook:
    """Return the first book of a journal: of where it stands; what is held is the strategy's where there is one."""
    book = fresh_book(
        strategies, _newest_session(connection), equity_fen=_equity(connection) or capital_fen, read=_last(connection)
    )
    held = [HeldPosition(**row) for row in connection.execute(select(positions_now)).mappings()]
    return replace(book, trades=in_line_with(book.trades, held, in_force=book.in_force), modes=_chosen(connection))


def _chosen(connection: Connection) -> dict[str, TradingMode]:
    """Return a person's words, by scope."""
    rows = connection.execute(select(modes.c.scope, modes.c.mode).where(modes.c.scope != STANDING_SCOPE))
    return {row.scope: TradingMode(row.mode) for row in rows}


def told_mode(connection: Connection) -> TradingMode:
    """Return the mode that the journal says the account is in."""
    told = connection.execute(select(modes.c.mode).where(modes.c.scope == STANDING_SCOPE)).scalar()
    return TradingMode.ACTIVE if told is None else TradingMode(told)


def told_since(connection: Connection, read: int) -> tuple[int, list[Told]]:
    """Return the log's last event, and of those behind ``read`` what is counted, with its order."""
    last = _last(connection)
    wanted = select(events_log.c.seq, events_log.c.at_ns, events_log.c.kind, events_log.c.body).where(
        events_log.c.seq > read,
        events_log.c.seq <= last,
        events_log.c.kind.in_([kind.__name__ for kind in READ_KINDS]),
    )
    told = []
    for row in connection.execute(wanted.order_by(events_log.c.seq)):
        event = from_json(EVENTS[row.kind], row.body)
        told.append((row.seq, row.at_ns, event, _order_of(connection, event)))
    return last, told


def _order_of(connection: Connection, event: Event) -> OrderFacts | None:
    identity = getattr(event, "client_order_id", None)
    by_exchange = getattr(event, "exchange_order_id", "")
    if identity is None or not (identity or by_exchange):
        return None
    by = orders.c.client_order_id == identity if identity else orders.c.exchange_order_id == by_exchange
    wanted = select(
        orders.c.client_order_id, orders.c.strategy, orders.c.session, orders.c.symbol, orders.c.side, orders.c.shares
    )
    row = connection.execute(wanted.where(by)).first()
    if row is None:
        return None
    if row.strategy != ACCOUNT:
        return OrderFacts(Side(row.side), row.shares, (Part(strategy_of(row.strategy), row.shares),), 1)
    wants = connection.execute(
        select(sleeve_wants.c.sleeve, sleeve_wants.c.shares, sleeve_wants.c.crossed_shares, sleeve_wants.c.lot_step)
        .where(
            sleeve_wants.c.session == row.session,
            sleeve_wants.c.symbol == row.symbol,
            sleeve_wants.c.client_order_id == row.client_order_id,
        )
        .order_by(sleeve_wants.c.sleeve)
    ).all()
    behind = tuple(Part(strategy_of(want.sleeve), want.shares - want.crossed_shares) for want in wants)
    return OrderFacts(Side(row.side), row.shares, behind, max((want.lot_step for want in wants), default=1))


def sent_lately(connection: Connection, valid_session: date, now_ns: int) -> tuple[int, tuple[int, ...]]:
    """Return how many orders for the session were sent, and when those within the last minute were decided."""
    since = (valid_session - timedelta(days=DECIDED_BEFORE_DAYS)).isoformat()
    of_late = (orders.c.session >= since, orders.c.sent_times > 0)
    sent = select(func.count()).where(*of_late, orders.c.valid_session == valid_session.isoformat())
    lately = select(orders.c.decided_at_ns).where(*of_late, orders.c.decided_at_ns > now_ns - NS_PER_MINUTE)
    return int(connection.execute(sent).scalar_one()), tuple(connection.execute(lately).scalars())


def _last(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(events_log.c.seq), 0))).scalar_one())


def _newest_session(connection: Connection) -> date:
    newest = connection.execute(select(func.max(sessions.c.session))).scalar()
    return BEFORE_ALL if newest is None else date.fromisoformat(newest)


def _equity(connection: Connection) -> int:
    newest = select(account.c.equity_fen).order_by(account.c.session.desc()).limit(1)
    return int(connection.execute(newest).scalar() or 0)
