"""What a runner's journal and its exchange hold of orders, fills and the account, without times of day."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from ljwx_pipeline.exchange.engine import Exchange
from ljwx_pipeline.trading.exchange_wire import FillReport
from tests.fakes.sqlite_file import connect

Books = dict[str, list[tuple[object, ...]]]

#: An id that the exchange gave depends on which of several orders under way came first.
_ASKED = {
    "sessions": "SELECT session, bars_hash, bundle_hash FROM sessions",
    "signals": "SELECT session, symbol, strategy, score FROM signals",
    "orders": "SELECT client_order_id, session, valid_session, symbol, side, shares, rank, state, reason, "
    "filled_shares, is_open FROM orders",
    "fills": "SELECT client_order_id, session, symbol, side, shares, price_e4, value_fen, commission_fen, "
    "stamp_duty_fen, transfer_fee_fen FROM fills",
    "positions": "SELECT session, symbol, shares, sellable_shares, held_sessions, price_e4 FROM positions",
    "account": "SELECT session, cash_fen, equity_fen, fees_fen, dividends_fen, written_off_fen FROM account",
    "held": "SELECT symbol, shares, sellable_shares FROM positions_now",
    "cash": "SELECT cash_fen FROM account_now",
}


def runner_books(journal: Path) -> Books:
    """Return what the journal's tables hold."""
    with closing(connect(journal)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return {name: sorted((tuple(row) for row in db.execute(asked)), key=repr) for name, asked in _ASKED.items()}


def assert_agree(books: Books, exchange: Exchange) -> None:
    """Hold the journal against the exchange's own account, orders and fills: neither knows anything more."""
    theirs, account = exchange.orders(None), exchange.account()
    sent = [order for order in books["orders"] if order[7] != "denied"]
    assert sorted((order[0], order[7], order[8], order[9]) for order in sent) == sorted(
        (order.client_order_id, order.state.value, order.reason, order.filled_shares) for order in theirs
    )
    fills = [one for one in exchange.messages(0, 100_000) if isinstance(one, FillReport)]
    assert sorted((fill[0], fill[4], fill[5], fill[6]) for fill in books["fills"]) == sorted(
        (fill.client_order_id, fill.shares, fill.price_e4, fill.value_fen) for fill in fills
    )
    assert books["cash"] == [(account.cash_fen,)]
    assert books["held"] == sorted(
        ((one.symbol, one.shares, one.sellable_shares) for one in account.positions), key=repr
    )
