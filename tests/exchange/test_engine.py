"""The exchange as a whole: what is told adds up, what is refused is refused by name, and a failed write never was."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.exchange import database
from ljwx_pipeline.exchange.engine import Exchange
from ljwx_pipeline.exchange.market import ExchangeMarket
from ljwx_pipeline.exchange.refusals import Fenced, NotFound
from ljwx_pipeline.trading.exchange_wire import (
    AccountReport,
    Booking,
    Execution,
    FillReport,
    NewOrder,
    OrderReport,
    OrderStatus,
    Phase,
    PhaseName,
    Reason,
    Side,
)
from tests.fakes.exchange_world import (
    CAPITAL_FEN,
    advance_to,
    default_costs,
    limit_order,
    opened,
    play,
    play_session,
    seeded_session_orders,
    session_order,
    write_market,
)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_market(tmp_path_factory.mktemp("pack") / "feed", symbols=12, feed_sessions=5)


def in_continuous(exchange: Exchange, session: date | None = None) -> tuple[date, str, int]:
    """Go to a tick of the session (the first one); returns it, a name that trades freely there, and its ask."""
    session = session or exchange.market.sessions[0]
    advance_to(exchange, session, PhaseName.CONTINUOUS)
    rows = [row for _ in range(6) for row in exchange.advance(ticks=True)]
    free = next(row for row in rows[-len(exchange.market.symbols) :] if row[6] and row[7])  # bid and ask
    return session, str(free[0]), int(free[7])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_traded_cash_and_shares_add_up_to_the_fen(
    pack: Path, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    with opened(pack, tmp_path_factory.mktemp("state"), seed=seed) as exchange:
        play(exchange, seed=seed, order_each_ticks=12)
        messages = exchange.messages(0, 100_000)
        assert [one.seq for one in messages] == list(range(1, len(messages) + 1))
        cash, shares = CAPITAL_FEN, dict.fromkeys(exchange.market.symbols, 0)
        filled: dict[str, int] = {}
        bought_today: dict[str, int] = {}
        sold_today: dict[str, int] = {}
        held_before = dict(shares)
        last: dict[str, OrderReport] = {}
        for one in messages:
            if isinstance(one, Phase) and one.phase is PhaseName.OPENING_AUCTION:
                bought_today, sold_today = {}, {}
            elif isinstance(one, Booking):
                cash, shares[one.symbol] = cash + one.cash_fen, shares[one.symbol] + one.shares
            elif isinstance(one, FillReport):
                sign = 1 if one.side is Side.BUY else -1
                cash -= sign * one.value_fen + one.fees_fen
                shares[one.symbol] += sign * one.shares
                filled[one.exchange_order_id] = filled.get(one.exchange_order_id, 0) + one.shares
                book = bought_today if sign > 0 else sold_today
                book[one.symbol] = book.get(one.symbol, 0) + one.shares
                assert sold_today.get(one.symbol, 0) <= held_before[one.symbol], "T+1"
            elif isinstance(one, OrderReport):
                last[one.exchange_order_id] = one
                assert one.filled_shares == filled.get(one.exchange_order_id, 0) <= one.shares
            elif isinstance(one, AccountReport):
                assert one.cash_fen == cash
                assert {held.symbol: held.shares for held in one.positions} == {k: v for k, v in shares.items() if v}
                held_before = dict(shares)
            assert cash >= 0
            assert min(shares.values()) >= 0
        assert all(one.state not in (OrderStatus.ACCEPTED, OrderStatus.PARTLY_FILLED) for one in last.values())
        assert any(one.execution is Execution.CONTINUOUS and one.filled_shares for one in last.values())


def test_ticks_asked_for_or_not_change_nothing_that_is_durable(pack: Path, tmp_path: Path) -> None:
    told = []
    for name, ticks in (("with", True), ("without", False)):
        with opened(pack, tmp_path / name) as exchange:
            play(exchange, ticks=ticks)
            told.append(exchange.messages(0, 100_000))
    assert told[0] == told[1]


def test_a_limit_order_is_refused_by_the_rule_it_breaks(pack: Path, tmp_path: Path) -> None:
    with opened(pack, tmp_path) as exchange:
        closes = {day: exchange.market.day_bars(day).close_e4 for day in exchange.market.sessions}
        halted = next(day for day, close_e4 in closes.items() if (close_e4 == 0).any())
        session, symbol, ask = in_continuous(exchange, halted)
        row = exchange.market.rows[symbol]
        bars = exchange.market.day_bars(session)
        up = int(bars.limit_up_e4[row])
        suspended = exchange.market.symbols[int(np.flatnonzero(bars.close_e4 == 0)[0])]

        def reason(signed_shares: int, limit_e4: int, *, name: str = symbol) -> str:
            order = limit_order(session, name, signed_shares, limit_e4, name=f"{name}{signed_shares}{limit_e4}")
            return exchange.desk.submit(order, 1)[0].reason

        assert reason(100, ask) == ""
        assert reason(100, up + 100) == Reason.PRICE_LIMIT
        assert reason(100, ask + 50) == Reason.PRICE_LIMIT
        assert reason(150, ask) == Reason.LOT
        assert reason(1_000_100, ask) == Reason.ORDER_SIZE
        assert reason(900_000, ask) == Reason.CASH
        assert reason(-100, ask) == Reason.T_PLUS_1
        assert reason(100, ask, name="S99999.SIM") == Reason.UNKNOWN_SYMBOL
        assert reason(100, 10_000, name=suspended) == Reason.SUSPENDED


def test_an_order_comes_at_its_time_or_is_refused(pack: Path, tmp_path: Path) -> None:
    with opened(pack, tmp_path) as exchange:
        first, second, third = exchange.market.sessions[:3]
        symbol = exchange.market.symbols[1]

        def reason(order: NewOrder) -> str:
            return exchange.desk.submit(order, 1)[0].reason

        assert reason(session_order(first, symbol, 100, name="a")) == ""
        assert reason(limit_order(first, symbol, 100, 100_000, name="b")) == Reason.FUTURE_SESSION
        assert reason(session_order(second, symbol, 100, name="c")) == Reason.FUTURE_SESSION
        assert reason(session_order(date(2012, 1, 4), symbol, 100, name="k")) == Reason.STALE_SESSION
        assert reason(session_order(first, "999999.SH", 100, name="l")) == Reason.UNKNOWN_SYMBOL
        advance_to(exchange, first, PhaseName.CLOSING_AUCTION)
        assert reason(session_order(second, symbol, 100, name="d")) == ""
        assert reason(session_order(second, symbol, 200, name="e")) == Reason.SAME_SYMBOL
        assert reason(session_order(third, symbol, 100, name="f")) == Reason.FUTURE_SESSION
        exchange.advance(ticks=False)  # the closing price is made
        assert reason(limit_order(first, symbol, 100, 100_000, name="g")) == Reason.MARKET_CLOSED
        assert reason(session_order(first, exchange.market.symbols[2], 100, name="h")) == ""
        advance_to(exchange, first, PhaseName.CLOSED)
        assert reason(session_order(first, exchange.market.symbols[4], 100, name="i")) == Reason.STALE_SESSION
        advance_to(exchange, exchange.market.sessions[-1], PhaseName.CLOSED)
        day = exchange.market.sessions[-1].replace(year=2030)
        assert reason(session_order(day, symbol, 100, name="j")) == Reason.FUTURE_SESSION
        with pytest.raises(TradingError, match="every session of the pack is over"):
            exchange.advance(ticks=False)


def test_shares_bought_today_are_sellable_from_the_next_session_on_and_another_capital_changes_no_account(
    pack: Path, tmp_path: Path
) -> None:
    with opened(pack, tmp_path) as exchange:
        first, second = exchange.market.sessions[:2]
        for row in np.flatnonzero(exchange.market.arrays.can_buy[:, exchange.market.column(first)]):
            exchange.desk.submit(session_order(first, exchange.market.symbols[row], 200, name=f"{row}"), 1)
        bought = play_session(exchange, first)
        assert len(bought.fills) == len(bought.positions) > 3
        assert {(one.shares, one.sellable_shares) for one in bought.positions} == {(200, 0)}
        for fill, one in zip(sorted(bought.fills, key=lambda fill: fill.symbol), bought.positions, strict=True):
            assert (one.entry_price_e4, one.peak_price_e4) == (fill.price_e4, one.last_price_e4)
    with opened(pack, tmp_path, capital_fen=1) as exchange:
        kept = play_session(exchange, second).positions
        assert len(kept) == len(bought.positions)
        assert all(one.sellable_shares == one.shares for one in kept)
        assert exchange.account().cash_fen > CAPITAL_FEN // 2


def test_cash_is_reserved_until_the_order_ends(pack: Path, tmp_path: Path) -> None:
    with opened(pack, tmp_path) as exchange:
        session, symbol, ask = in_continuous(exchange)
        limit = ask * 99 // 100 // 100 * 100  # deep enough to rest
        shares = CAPITAL_FEN * 100 * 6 // 10 // limit // 100 * 100
        first, _ = exchange.desk.submit(limit_order(session, symbol, shares, limit, name="first"), 1)
        second, _ = exchange.desk.submit(limit_order(session, symbol, shares, limit, name="second"), 1)
        assert (first.state, second.reason) == (OrderStatus.ACCEPTED, Reason.CASH)
        assert exchange.desk.cancel("first", 1).state is OrderStatus.CANCELLED
        third, _ = exchange.desk.submit(limit_order(session, symbol, shares, limit, name="third"), 1)
        assert third.state is OrderStatus.ACCEPTED


def test_a_write_that_fails_has_not_happened(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(pack, tmp_path) as exchange:
        session = exchange.market.sessions[0]
        orders = seeded_session_orders(exchange, session)
        exchange.desk.submit(orders[0], 1)
        before = (exchange.messages(0, 100), exchange.account(), exchange.clock(0))
        commit = database.commit

        def full(_: sqlite3.Connection) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(database, "commit", full)
        with pytest.raises(TradingError, match="disk is full"):
            exchange.desk.submit(orders[1], 1)
        with pytest.raises(TradingError, match="disk is full"):
            exchange.advance(ticks=False)
        monkeypatch.setattr(database, "commit", commit)
        assert (exchange.messages(0, 100), exchange.account(), exchange.clock(0)) == before
        assert exchange.desk.submit(orders[1], 1)[1]
        advance_to(exchange, session, PhaseName.CLOSED)
        assert len([one for one in exchange.messages(0, 100) if isinstance(one, AccountReport)]) == 2


def test_a_request_that_comes_after_its_cancellation_is_rejected_even_over_a_restart(
    pack: Path, tmp_path: Path
) -> None:
    with opened(pack, tmp_path) as exchange:
        session = exchange.market.sessions[0]
        late = seeded_session_orders(exchange, session)[0]
        with pytest.raises(NotFound, match="never was"):
            exchange.desk.cancel(late.client_order_id, 3)
        with pytest.raises(NotFound):
            exchange.desk.cancel(late.client_order_id, 3)
        with pytest.raises(NotFound):
            exchange.desk.cancel("no/identity", 3)
        assert exchange.messages(0, 100) == []
    with opened(pack, tmp_path) as exchange:
        assert exchange.epoch == 3
        with pytest.raises(Fenced):
            exchange.desk.submit(late, 2)
        report, new = exchange.desk.submit(late, 3)
        assert (report.state, report.reason, new) == (
            OrderStatus.REJECTED,
            Reason.CANCELLED_BEFORE_ARRIVAL,
            True,
        )
        assert exchange.desk.submit(late, 3) == (report, False)
        other = seeded_session_orders(exchange, session)[1]
        assert exchange.desk.submit(other, 3)[0].state is OrderStatus.ACCEPTED


def test_a_cancellation_that_could_not_be_written_has_not_happened(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(pack, tmp_path) as exchange:
        order = seeded_session_orders(exchange, exchange.market.sessions[0])[0]

        def full(_: sqlite3.Connection) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        with monkeypatch.context() as patched:
            patched.setattr(database, "commit", full)
            with pytest.raises(TradingError, match="disk is full"):
                exchange.desk.cancel(order.client_order_id, 5)
        assert exchange.epoch == 0
        assert exchange.desk.submit(order, 1)[0].state is OrderStatus.ACCEPTED


def test_an_account_of_the_schema_before_goes_on(pack: Path, tmp_path: Path) -> None:
    with opened(pack, tmp_path) as exchange:
        order = seeded_session_orders(exchange, exchange.market.sessions[0])[0]
        exchange.desk.submit(order, 1)
        before = exchange.messages(0, 100)
    with closing(sqlite3.connect(tmp_path / "exchange.sqlite")) as db:
        db.executescript("DROP TABLE cancelled_unseen; PRAGMA user_version = 1")
    with opened(pack, tmp_path) as exchange:
        assert exchange.messages(0, 100) == before
        with pytest.raises(NotFound):
            exchange.desk.cancel("late", 1)
    with opened(pack, tmp_path) as exchange:
        assert exchange.epoch == 1
    with closing(sqlite3.connect(tmp_path / "exchange.sqlite")) as db:
        db.execute("PRAGMA user_version = 3")
    with pytest.raises(TradingError, match="schema version 3, this program knows 2"), opened(pack, tmp_path):
        pass


def test_it_goes_on_over_a_longer_pack_and_not_over_another_market(tmp_path: Path) -> None:
    whole = write_market(tmp_path / "whole", symbols=8, feed_sessions=4)
    with opened(whole, tmp_path / "state") as exchange:
        advance_to(exchange, exchange.market.sessions[1], PhaseName.CLOSED)
        before = exchange.account()
        exchange.play_on(ExchangeMarket.open(whole, default_costs()))
        assert exchange.account() == before
        other = write_market(tmp_path / "other", symbols=8, feed_sessions=4, seed=9)
        with pytest.raises(TradingError, match="are not those that this account has traded on"):
            exchange.play_on(ExchangeMarket.open(other, default_costs()))
        advance_to(exchange, exchange.market.sessions[3], PhaseName.CLOSED)


def test_orders_behind_the_packs_end_wait_for_the_pack_that_holds_their_session(tmp_path: Path) -> None:
    whole = write_market(tmp_path / "whole", symbols=8, feed_sessions=4)
    short = write_market(tmp_path / "short", symbols=8, feed_sessions=4, without=(-1,))
    with opened(whole, tmp_path / "at once") as exchange:
        play(exchange)
        at_once = exchange.messages(0, 100_000)
    with opened(short, tmp_path / "state") as exchange:
        play(exchange)
        clock = exchange.clock(0)
        assert clock.exhausted
        assert clock.next_session == ExchangeMarket.open(whole, default_costs()).sessions[-1]
        placed = [exchange.desk.submit(one, 1)[0] for one in seeded_session_orders(exchange, clock.next_session)]
        assert {one.state for one in placed} == {OrderStatus.ACCEPTED}
        assert exchange.next_step() is None
    with opened(short, tmp_path / "state") as exchange:
        assert exchange.orders(clock.next_session) == placed, "a restart keeps them"
        exchange.play_on(ExchangeMarket.open(whole, default_costs()))
        assert not exchange.clock(0).exhausted
        play(exchange)
        assert exchange.messages(0, 100_000) == at_once
        assert any(one.filled_shares for one in exchange.orders(clock.next_session))


def test_orders_for_a_session_that_never_comes_lapse_and_those_of_a_lost_name_keep_a_pack_out(tmp_path: Path) -> None:
    short = write_market(tmp_path / "short", symbols=8, feed_sessions=4, without=(-1, -2))
    skipping = write_market(tmp_path / "skipping", symbols=8, feed_sessions=4, without=(-2,))
    with opened(short, tmp_path / "state") as exchange:
        advance_to(exchange, exchange.market.sessions[-1], PhaseName.CLOSED)
        session = exchange.clock(0).next_session
        assert session is not None
        symbol = exchange.market.symbols[-1]
        exchange.desk.submit(session_order(session, symbol, 100), 1)
        fewer = ExchangeMarket.open(skipping, default_costs())
        del fewer.rows[symbol]
        with pytest.raises(TradingError, match=f"has an open order in {symbol}, which the session pack does not list"):
            exchange.play_on(fewer)
        exchange.play_on(ExchangeMarket.open(skipping, default_costs()))
        exchange.advance(ticks=False)
        assert exchange.order("a").reason == Reason.STALE_SESSION


def test_where_the_calendar_ends_no_session_comes(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played = ExchangeMarket.open(pack, default_costs())
    last = played.sessions[-1]
    assert played.coming_session(None) == played.sessions[0]
    assert played.coming_session(played.sessions[0]) == played.sessions[1]
    monkeypatch.setattr("ljwx_pipeline.exchange.market.last_known_session", lambda: last)
    assert played.coming_session(last) is None
