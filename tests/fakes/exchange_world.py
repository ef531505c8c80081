"""A small violent market as the exchange plays it, and a trader whose orders hang on the session and its step alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from ljwx_pipeline.config import CostSettings, load_settings
from ljwx_pipeline.exchange.engine import Exchange
from ljwx_pipeline.exchange.opening import ExchangeSettings, open_exchange
from ljwx_pipeline.trading.exchange_wire import (
    AccountReport,
    Booking,
    BookingKind,
    Execution,
    FillReport,
    NewOrder,
    OrderReport,
    PhaseName,
    PositionReport,
    Side,
)
from tests.fakes.live_market import live_tables, write_pack

CAPITAL_FEN = 100_000_000
CONFIG = Path(__file__).resolve().parents[2] / "ljwx.toml"
#: Ten minutes between ticks: a session takes milliseconds.
TICK_SECONDS = 600


def write_market(folder: Path, *, symbols: int = 16, feed_sessions: int = 6, seed: int = 0) -> Path:
    """Write the pack of a violent market and return its folder."""
    tables = live_tables(symbols=symbols, sessions=80, feed_sessions=feed_sessions, seed=seed)
    write_pack(folder, tables, feed_sessions=feed_sessions, online_features=pd.DataFrame({"symbol": ["x"]}))
    return folder


def default_costs(**changed: object) -> CostSettings:
    """The shipped costs, with ``changed`` keys."""
    costs = load_settings(config_file=CONFIG, profile="simulated", environ={}).costs
    return CostSettings.model_validate({**costs.model_dump(), **changed})


@contextmanager
def opened(
    pack: Path,
    state: Path,
    *,
    costs: CostSettings | None = None,
    capital_fen: int = CAPITAL_FEN,
    tick_seconds: int = TICK_SECONDS,
    seed: int = 0,
) -> Iterator[Exchange]:
    """An exchange over ``pack``, closed at the end."""
    settings = ExchangeSettings(costs or default_costs(), capital_fen, seed=seed, tick_seconds=tick_seconds)
    exchange, journal = open_exchange(pack, state, settings)
    try:
        yield exchange
    finally:
        journal.close()


def advance_to(exchange: Exchange, session: date, phase: PhaseName) -> None:
    """Let time pass until ``phase`` of ``session`` has begun."""
    while (exchange.clock(0).session, exchange.clock(0).phase) != (session, phase):
        exchange.advance(ticks=False)


@dataclass(frozen=True)
class PlayedSession:
    """What one session did to the account, from the exchange's messages; money in fen."""

    session: date
    cash_fen: int
    equity_fen: int
    dividends_fen: int
    rights_paid_fen: int
    written_off_fen: int
    fills: tuple[FillReport, ...]
    ended: tuple[OrderReport, ...]
    positions: tuple[PositionReport, ...]


def play_session(exchange: Exchange, session: date) -> PlayedSession:
    """Play ``session`` to its close without ticks and return what the exchange has told of it."""
    after = exchange.last_seq
    held = {one.symbol: one.shares * one.last_price_e4 // 100 for one in exchange.account().positions}
    while (exchange.clock(0).session, exchange.clock(0).phase) != (session, PhaseName.CLOSED):
        exchange.advance(ticks=False, hurry=True)
    said = exchange.messages(after, 10_000)
    bookings = [one for one in said if isinstance(one, Booking)]
    stated = [one for one in said if isinstance(one, AccountReport)][-1]

    def cash_of(kind: BookingKind) -> int:
        return sum(one.cash_fen for one in bookings if one.kind is kind)

    return PlayedSession(
        session=session,
        cash_fen=stated.cash_fen,
        equity_fen=stated.cash_fen + sum(one.shares * one.last_price_e4 // 100 for one in stated.positions),
        dividends_fen=cash_of(BookingKind.DIVIDEND),
        rights_paid_fen=-cash_of(BookingKind.RIGHTS),
        written_off_fen=sum(held[one.symbol] for one in bookings if one.kind is BookingKind.WRITE_OFF),
        fills=tuple(one for one in said if isinstance(one, FillReport)),
        ended=tuple(one for one in said if isinstance(one, OrderReport)),
        positions=stated.positions,
    )


def session_order(session: date, symbol: str, signed_shares: int, *, rank: int = 0, name: str = "a") -> NewOrder:
    """An order for the session's whole bar."""
    side = Side.BUY if signed_shares > 0 else Side.SELL
    return NewOrder(name, session, symbol, side, abs(signed_shares), rank, Execution.SESSION, 0)


def limit_order(session: date, symbol: str, signed_shares: int, limit_price_e4: int, *, name: str = "a") -> NewOrder:
    """A limit order."""
    side = Side.BUY if signed_shares > 0 else Side.SELL
    return NewOrder(name, session, symbol, side, abs(signed_shares), 0, Execution.CONTINUOUS, limit_price_e4)


def seeded_session_orders(exchange: Exchange, session: date, seed: int = 0) -> list[NewOrder]:
    """Orders for ``session`` from what is held and a seed: half of what is held is sold, some names are bought."""
    rng = np.random.default_rng((seed, session.toordinal()))
    held = {one.symbol: one.shares for one in exchange.account().positions}
    orders: list[NewOrder] = []
    for symbol in exchange.market.symbols:
        draw = rng.uniform()
        shares = int(rng.integers(1, 40)) * 100 if symbol not in held else -held[symbol]
        if draw < 0.5:
            name = f"{session}|{symbol}|session"
            orders.append(session_order(session, symbol, shares, rank=len(orders), name=name))
    return sorted(orders, key=lambda order: order.side is Side.BUY)


def seeded_limit_orders(exchange: Exchange, seed: int = 0) -> list[NewOrder]:
    """Limit orders around yesterday's close from the standing session, its step and a seed."""
    clock = exchange.clock(0)
    assert clock.session is not None
    session, bars = clock.session, exchange.market.day_bars(clock.session)
    rng = np.random.default_rng((seed, session.toordinal(), clock.at_ns // 1_000_000_000))
    held = {one.symbol: one.sellable_shares for one in exchange.account().positions}
    orders = []
    for row, symbol in enumerate(exchange.market.symbols):
        pre_close, draw = int(bars.pre_close_e4[row]), rng.uniform()
        limit = max(1, round(pre_close * float(rng.uniform(0.96, 1.04)) / 100)) * 100
        shares = int(rng.integers(1, 30)) * 100
        selling = held.get(symbol, 0) > 0 and rng.uniform() < 0.7
        if draw < 0.3:
            name = f"{session}|{symbol}|{clock.at_ns}"
            signed = -min(shares, held[symbol]) if selling else shares
            orders.append(limit_order(session, symbol, signed, limit, name=name))
    return orders


def play(exchange: Exchange, *, seed: int = 0, ticks: bool = False, order_each_ticks: int = 7) -> None:
    """Trade every session of the pack that is not over; again from anywhere, it does the same."""
    while (coming := exchange.next_step()) is not None:
        session, step = coming
        if step.phase is PhaseName.OPENING_AUCTION:
            for order in seeded_session_orders(exchange, session, seed):
                exchange.desk.submit(order, 1)
        elif step.tick % order_each_ticks == 3:
            clock = exchange.clock(0)
            for at, order in enumerate(seeded_limit_orders(exchange, seed)):
                exchange.desk.submit(order, 1)
                if at % 5 == 4 and clock.phase is PhaseName.CONTINUOUS:
                    exchange.desk.cancel(order.client_order_id, 1)
        exchange.advance(ticks=ticks)
