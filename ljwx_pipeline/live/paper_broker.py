"""The paper broker: an account in its own SQLite file, run by the same kernels as the backtest.

It matches the orders it holds against a session at the configured fill model, charges fees, settles, pays dividends; it
knows T+1, limits, lots and suspensions because ``trading/`` does. Everything it says was durable first, and saying it
again is reading it again. Not here: any rule of the market.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np

from ljwx_pipeline.config import CostSettings
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.database import connect, migrate, transaction
from ljwx_pipeline.live.orders import Fill, OrderIntent, OrderOutcome, OrderState, Position, SessionClose, Side
from ljwx_pipeline.live.paper_schema import MIGRATIONS
from ljwx_pipeline.trading.account import Account
from ljwx_pipeline.trading.costs import E4_PER_FEN, cost_rates
from ljwx_pipeline.trading.market_arrays import MarketArrays
from ljwx_pipeline.trading.matching import Fills, Reject, match

PAPER_NAME = "paper-broker.sqlite"
UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
LATE = "LATE"


class PaperBroker:
    """One paper account at the closes of a replayed market. Satisfies `broker.Broker`.

    Parameters
    ----------
    path
        The account's SQLite file.
    market
        The sessions it can trade.
    costs
        The fill model, and the broker's own charges.
    capital_fen
        Cash it opens with.
    """

    def __init__(self, path: Path, *, market: MarketArrays, costs: CostSettings, capital_fen: int) -> None:
        self._market = market
        self._costs = costs
        self._capital_fen = capital_fen
        self._rows = {symbol: row for row, symbol in enumerate(market.symbols)}
        self._columns = {day.date(): column for column, day in enumerate(market.sessions)}
        self._db = connect(path)
        migrate(self._db, MIGRATIONS, "paper broker's file")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def submit(self, orders: Sequence[OrderIntent]) -> None:
        """Hold ``orders`` for the session after the one they were decided at; repeating it changes nothing."""
        last = self._last_session()
        rows = []
        for order in orders:
            reason = "" if order.symbol in self._rows else UNKNOWN_SYMBOL
            if last is None or order.session.isoformat() != last:
                reason = LATE
            state = OrderState.REJECTED if reason else OrderState.ACCEPTED
            decided = order.session.isoformat()
            rows.append((order.client_order_id, decided, order.symbol, order.signed_shares, order.rank, state, reason))
        with transaction(self._db) as db:
            db.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, 0, NULL) ON CONFLICT DO NOTHING", rows)

    def session_close(self, session: date) -> SessionClose:
        """Return what ``session`` did to the account; the first call makes it happen.

        Raises
        ------
        LiveError
            When the session is unknown here, or lies before the last one made.
        """
        day, last = session.isoformat(), self._last_session()
        if self._db.execute("SELECT 1 FROM book WHERE session = ?", (day,)).fetchone() is None:
            if session not in self._columns or (last is not None and day < last):
                raise LiveError(
                    f"the paper broker cannot trade {day}: its market runs to {self._market.sessions[-1]:%Y-%m-%d} "
                    f"and its account stands at {last}",
                    "write the session pack again, or move the live folder away to start a new account",
                )
            self._trade(session, last)
        return self._report(day)

    def _trade(self, session: date, last: str | None) -> None:
        market, column, day = self._market, self._columns[session], session.isoformat()
        account = self._account(last)
        dividends, written_off, rights_paid = account.open_session(
            actions=market.actions.on(column), listed=market.listed[:, column]
        )
        waiting = self._db.execute("SELECT * FROM orders WHERE closed_session IS NULL").fetchall()
        shares = np.zeros(len(market.symbols), dtype=np.int64)
        rank = np.full(len(market.symbols), -1, dtype=np.int64)
        for order in waiting:
            if order["state"] == OrderState.ACCEPTED:
                shares[self._rows[order["symbol"]]] = order["shares"]
                rank[self._rows[order["symbol"]]] = order["rank"]
        fills = match(
            order_shares=shares,
            order_rank=rank,
            quotes=market.quotes(column, with_volatility=self._costs.impact_coefficient > 0),
            sellable_shares=account.sellable_shares,
            cash_fen=account.cash_fen,
            rates=cost_rates(self._costs, session),
        )
        account.settle(fills)
        equity = account.mark(market.close_e4[:, column], market.volume_shares[:, column])
        with transaction(self._db) as db:
            db.execute(
                "INSERT INTO book VALUES (?, ?, ?, ?, ?, ?)",
                (day, account.cash_fen, equity, dividends, written_off, rights_paid),
            )
            self._write_outcomes(db, waiting, fills, day)
            held = np.flatnonzero(account.shares)
            db.executemany(
                "INSERT INTO holdings VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        day,
                        market.symbols[row],
                        int(account.shares[row]),
                        int(account.sellable_shares[row]),
                        int(account.held_sessions[row]),
                        int(account.last_price_e4[row]),
                        int(account.entry_price_e4[row]),
                        int(account.peak_price_e4[row]),
                    )
                    for row in held
                ],
            )

    def _write_outcomes(self, db: sqlite3.Connection, waiting: list[sqlite3.Row], fills: Fills, day: str) -> None:
        for order in waiting:
            identity = order["client_order_id"]
            if order["state"] == OrderState.REJECTED:
                db.execute("UPDATE orders SET closed_session = ? WHERE client_order_id = ?", (day, identity))
                continue
            row = self._rows[order["symbol"]]
            filled = int(fills.shares[row])
            reason = Reject(int(fills.reject[row]))
            state = OrderState.UNFILLED
            if filled:
                state = OrderState.FILLED if filled == order["shares"] else OrderState.PARTLY_FILLED
                values = (
                    *(fills.price_e4, fills.value_fen, fills.commission_fen, fills.stamp_duty_fen),
                    *(fills.transfer_fee_fen, fills.slippage_fen, fills.impact_fen),
                )
                numbers = [int(array[row]) for array in values]
                db.execute("INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (identity, day, filled, *numbers))
            db.execute(
                "UPDATE orders SET state = ?, reason = ?, filled_shares = ?, closed_session = ? "
                "WHERE client_order_id = ?",
                (state, "" if reason is Reject.NONE else reason.name, abs(filled), day, identity),
            )

    def _account(self, session: str | None) -> Account:
        account = Account.opened(self._capital_fen, len(self._market.symbols))
        if session is None:
            return account
        account.cash_fen = int(self._book(session)["cash_fen"])
        for holding in self._holdings(session):
            if holding["symbol"] not in self._rows:
                raise LiveError(
                    f"the paper account holds {holding['symbol']}, which the session pack does not list",
                    "write the session pack again with every security, the delisted too",
                )
            row = self._rows[holding["symbol"]]
            account.shares[row] = holding["shares"]
            account.sellable_shares[row] = holding["sellable_shares"]
            account.held_sessions[row] = holding["held_sessions"]
            account.last_price_e4[row] = holding["last_price_e4"]
            account.entry_price_e4[row] = holding["entry_price_e4"]
            account.peak_price_e4[row] = holding["peak_price_e4"]
        return account

    def _report(self, day: str) -> SessionClose:
        book = self._book(day)
        session = date.fromisoformat(day)
        orders = self._db.execute("SELECT * FROM orders WHERE closed_session = ? ORDER BY client_order_id", (day,))
        fills = self._db.execute(
            "SELECT f.*, o.symbol FROM fills f JOIN orders o USING (client_order_id) WHERE f.session = ? "
            "ORDER BY client_order_id",
            (day,),
        )
        return SessionClose(
            session=session,
            outcomes=tuple(
                OrderOutcome(row["client_order_id"], OrderState(row["state"]), row["reason"], row["filled_shares"])
                for row in orders
            ),
            fills=tuple(_fill(row, session) for row in fills),
            positions=tuple(_position(row) for row in self._holdings(day)),
            cash_fen=book["cash_fen"],
            equity_fen=book["equity_fen"],
            dividends_fen=book["dividends_fen"],
            written_off_fen=book["written_off_fen"],
            rights_paid_fen=book["rights_paid_fen"],
        )

    def _last_session(self) -> str | None:
        last: str | None = self._db.execute("SELECT max(session) FROM book").fetchone()[0]
        return last

    def _book(self, day: str) -> sqlite3.Row:
        row: sqlite3.Row = self._db.execute("SELECT * FROM book WHERE session = ?", (day,)).fetchone()
        return row

    def _holdings(self, day: str) -> list[sqlite3.Row]:
        return self._db.execute("SELECT * FROM holdings WHERE session = ? ORDER BY symbol", (day,)).fetchall()


def _fill(row: sqlite3.Row, session: date) -> Fill:
    return Fill(
        client_order_id=row["client_order_id"],
        session=session,
        symbol=row["symbol"],
        side=Side.BUY if row["shares"] > 0 else Side.SELL,
        shares=abs(row["shares"]),
        price_e4=row["price_e4"],
        value_fen=row["value_fen"],
        commission_fen=row["commission_fen"],
        stamp_duty_fen=row["stamp_duty_fen"],
        transfer_fee_fen=row["transfer_fee_fen"],
        slippage_fen=row["slippage_fen"],
        impact_fen=row["impact_fen"],
    )


def _position(row: sqlite3.Row) -> Position:
    return Position(
        symbol=row["symbol"],
        shares=row["shares"],
        sellable_shares=row["sellable_shares"],
        held_sessions=row["held_sessions"],
        price_e4=row["last_price_e4"],
        value_fen=row["shares"] * row["last_price_e4"] // E4_PER_FEN,
        entry_price_e4=row["entry_price_e4"],
        peak_price_e4=row["peak_price_e4"],
    )
