"""SESSION orders are filled as the in-process paper broker fills them: to the fen, to the share, by name of reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ljwx_pipeline.exchange.engine import Exchange
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.orders import OrderIntent, OrderState, SessionClose
from ljwx_pipeline.live.orders import Side as LiveSide
from ljwx_pipeline.live.paper_broker import PaperBroker
from ljwx_pipeline.trading.exchange_wire import (
    AccountReport,
    Booking,
    BookingKind,
    FillReport,
    NewOrder,
    OrderReport,
    OrderStatus,
    PhaseName,
)
from ljwx_pipeline.trading.market_arrays import optional_columns
from tests.fakes.exchange_world import (
    CAPITAL_FEN,
    advance_to,
    default_costs,
    opened,
    seeded_session_orders,
    write_market,
)

SESSIONS = 25
STATE_OF = {
    OrderState.FILLED: OrderStatus.FILLED,
    OrderState.PARTLY_FILLED: OrderStatus.LAPSED,
    OrderState.UNFILLED: OrderStatus.LAPSED,
}


@pytest.fixture(scope="module", params=[0, 1])
def pack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack") / "feed"
    return write_market(folder, symbols=24, feed_sessions=SESSIONS, seed=request.param)


def intent(order: NewOrder, decided: object) -> OrderIntent:
    return OrderIntent(
        order.client_order_id, decided, order.symbol, LiveSide(order.side.value), order.shares, order.rank, 1
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"fill": "close"},
        {"fill": "open"},
        {"fill": "vwap"},
        {"fill": "bar_path", "limit_offset_bps": 50.0},
        {"fill": "close", "impact_coefficient": 1.0, "max_participation_frac": 0.001},
    ],
    ids=lambda changed: "-".join(map(str, changed.values())),
)
def test_a_session_is_worth_what_the_paper_broker_makes_of_it(
    pack: Path, tmp_path: Path, changed: dict[str, object]
) -> None:
    costs = default_costs(**changed)
    feed = ReplayFeed.open(pack, columns=optional_columns(costs))
    broker = PaperBroker(tmp_path / "broker.sqlite", market=feed.market, costs=costs, capital_fen=CAPITAL_FEN)
    ends: dict[str, int] = {}
    with opened(pack, tmp_path / "state", costs=costs) as exchange:
        before = None
        for session in feed.sessions:
            if before is not None:
                orders = seeded_session_orders(exchange, session)
                broker.submit([intent(order, before) for order in orders])
                for order in orders:
                    exchange.desk.submit(order, 1)
            seq = exchange.last_seq
            advance_to(exchange, session, PhaseName.CLOSED)
            close = broker.session_close(session)
            compare(close, exchange, seq)
            for outcome in close.outcomes:
                ends[outcome.reason or "filled"] = ends.get(outcome.reason or "filled", 0) + 1
            before = session
    assert ends["filled"] > 50
    assert len(ends) >= 3, f"the market is too tame: {ends}"
    if changed["fill"] == "close":
        assert ends["LIMIT_UP"] > 0


def compare(close: SessionClose, exchange: Exchange, after: int) -> None:
    said = exchange.messages(after, 10_000)
    fills = {one.client_order_id: one for one in said if isinstance(one, FillReport)}
    money = ("price_e4", "value_fen", "commission_fen", "stamp_duty_fen", "transfer_fee_fen", "slippage_fen")
    for fill in close.fills:
        other = fills.pop(fill.client_order_id)
        for name in ("session", "symbol", "shares", *money, "impact_fen"):
            assert getattr(other, name) == getattr(fill, name), name
        assert other.side.value == fill.side.value
    assert fills == {}
    reports = {one.client_order_id: one for one in said if isinstance(one, OrderReport)}
    assert len(reports) == len(close.outcomes)
    for outcome in close.outcomes:
        report = reports[outcome.client_order_id]
        assert (report.state, report.reason) == (STATE_OF[outcome.state], outcome.reason)
        assert report.filled_shares == outcome.filled_shares
    account = exchange.account()
    assert account.cash_fen == close.cash_fen
    shown = ("symbol", "shares", "sellable_shares", "held_sessions", "entry_price_e4", "peak_price_e4")
    assert [[getattr(one, name) for name in shown] + [one.last_price_e4] for one in account.positions] == [
        [getattr(one, name) for name in shown] + [one.price_e4] for one in close.positions
    ]
    bookings = [one for one in said if isinstance(one, Booking)]
    of = {kind: [one for one in bookings if one.kind is kind] for kind in BookingKind}
    assert sum(one.cash_fen for one in of[BookingKind.DIVIDEND]) == close.dividends_fen
    assert sum(-one.cash_fen for one in of[BookingKind.RIGHTS]) == close.rights_paid_fen
    assert bool(of[BookingKind.WRITE_OFF]) == bool(close.written_off_fen)


def test_shares_and_cash_of_the_account_move_by_what_is_told_alone(pack: Path, tmp_path: Path) -> None:
    with opened(pack, tmp_path) as exchange:
        kinds = set()
        cash, shares = CAPITAL_FEN, dict.fromkeys(exchange.market.symbols, 0)
        for session in exchange.market.sessions:
            for order in seeded_session_orders(exchange, session):
                exchange.desk.submit(order, 1)
            seq = exchange.last_seq
            advance_to(exchange, session, PhaseName.CLOSED)
            for one in exchange.messages(seq, 10_000):
                if isinstance(one, Booking):
                    kinds.add(one.kind)
                    cash, shares[one.symbol] = cash + one.cash_fen, shares[one.symbol] + one.shares
                elif isinstance(one, FillReport):
                    sign = 1 if one.side.value == "buy" else -1
                    cash -= sign * one.value_fen + one.fees_fen
                    shares[one.symbol] += sign * one.shares
                elif isinstance(one, AccountReport):
                    assert one.cash_fen == cash
                    assert {held.symbol: held.shares for held in one.positions} == {
                        symbol: held for symbol, held in shares.items() if held
                    }
        assert kinds >= {BookingKind.DIVIDEND, BookingKind.BONUS_SHARES}
        assert np.sum(list(shares.values())) > 0
