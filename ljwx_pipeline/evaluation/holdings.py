"""What an account held at each close, name by name, worked out again from its fills and the corporate actions.

Not here: the account itself (``trading/account.py``, whose rules these are) or measures of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.account import ex_price_e4
from ljwx_pipeline.trading.market_arrays import MarketArrays
from ljwx_pipeline.units import E4, E4_PER_FEN

Int = NDArray[np.int64]


@dataclass(frozen=True)
class Holdings:
    """Every name that was ever bought, session by session.

    Parameters
    ----------
    symbols
        Names that were ever filled, ascending.
    sessions
        Those of the backtest.
    shares
        Held at the close, shape ``(n_sessions, n_symbols)``.
    value_fen
        At the close or, without a bar, at the last known one; same shape, rounded down by name.
    price_age_sessions
        Sessions since the bar that values the holding, 0 on a session with a bar; same shape, 0 where nothing is held.
    profit_fen
        Of the whole run by name: sold, paid out and still held, minus bought and fees; shape ``(n_symbols,)``.
    positions_closed
        How often a holding went back to nothing.
    """

    symbols: tuple[str, ...]
    sessions: pd.DatetimeIndex
    shares: Int
    value_fen: Int
    price_age_sessions: Int
    profit_fen: Int
    positions_closed: int


def holdings_of(result: BacktestResult, market: MarketArrays) -> Holdings:
    """Return the holdings behind ``result``.

    Parameters
    ----------
    result
        A backtest on ``market``.
    market
        The same arrays that the backtest ran on.

    Raises
    ------
    TradingError
        When the fills and corporate actions do not lead to the positions that the result closes with.
    """
    trades = result.trades
    symbols = tuple(sorted(trades["symbol"].unique()))
    rows = pd.Index(market.symbols).get_indexer(pd.Index(symbols))
    first = int(market.sessions.get_indexer(result.sessions[:1])[0])
    if first < 0 or (rows < 0).any():
        raise TradingError("the result was not made on these market arrays", "pass the arrays the backtest ran on")
    place_of = {int(row): place for place, row in enumerate(rows)}
    span = (len(result.sessions), len(symbols))
    bought, flows = _bought_and_paid(trades, symbols, result.sessions)
    shares, value, age = np.zeros(span, np.int64), np.zeros(span, np.int64), np.zeros(span, np.int64)
    held, price, old = (np.zeros(len(symbols), np.int64) for _ in range(3))
    closed = 0
    for at in range(span[0]):
        session, before = first + at, held
        held = np.where(market.listed[rows, session], held, 0)
        actions = [(place_of[row[0]], *row[1:]) for row in market.actions.on(session).tolist() if row[0] in place_of]
        _go_ex(held, price, flows, actions, int(result.cash_fen[max(at - 1, 0)]))
        held = held + bought[at]
        close = np.asarray(market.close_e4[rows, session], dtype=np.int64)
        price = np.where(close > 0, close, price)
        old = np.where((close > 0) | (held == 0), 0, old + 1)
        closed += int(((before > 0) & (held == 0)).sum())
        shares[at], value[at], age[at] = held, held * price // E4_PER_FEN, old
    _require_positions(dict(zip(symbols, held.tolist(), strict=True)), result)
    return Holdings(symbols, result.sessions, shares, value, age, flows + value[-1], closed)


def _bought_and_paid(trades: pd.DataFrame, symbols: tuple[str, ...], sessions: pd.DatetimeIndex) -> tuple[Int, Int]:
    """Return shares filled by session and name, and the money that fills brought by name, fees taken off."""
    at = sessions.get_indexer(pd.DatetimeIndex(trades["session_date"]))
    name = pd.Index(symbols).get_indexer(pd.Index(trades["symbol"]))
    bought, flows = np.zeros((len(sessions), len(symbols)), np.int64), np.zeros(len(symbols), np.int64)
    np.add.at(bought, (at, name), trades["fill_shares"].to_numpy())
    fees = trades["commission_fen"] + trades["stamp_duty_fen"] + trades["transfer_fee_fen"]
    np.add.at(flows, name, (-np.sign(trades["fill_shares"]) * trades["value_fen"] - fees).to_numpy())
    return bought, flows


def _go_ex(held: Int, price: Int, flows: Int, actions: list[tuple[int, ...]], cash_fen: int) -> None:
    """Book what goes ex in the order of the account: every dividend first, then shares, name by name."""
    for name, per_share_e4, *_ in actions:
        dividend = int(held[name]) * per_share_e4 // E4_PER_FEN
        flows[name] += dividend
        cash_fen += dividend
    for name, per_share_e4, bonus_e4, rights_e4, rights_price_e4 in actions:
        before = int(held[name])
        if not before:
            continue
        held[name] += before * bonus_e4 // E4
        offered = before * rights_e4 // E4
        cost = -(-offered * rights_price_e4 // E4_PER_FEN)
        if offered and cost <= cash_fen:
            cash_fen -= cost
            flows[name] -= cost
            held[name] += offered
        price[name] = ex_price_e4(int(price[name]), per_share_e4, bonus_e4, rights_e4, rights_price_e4)


def _require_positions(held: dict[str, int], result: BacktestResult) -> None:
    ends = dict(zip(result.positions["symbol"], result.positions["shares"].tolist(), strict=True))
    wrong = [name for name in {**held, **ends} if held.get(name, 0) != ends.get(name, 0)]
    if wrong:
        name = min(wrong)
        raise TradingError(
            f"the fills lead to {held.get(name, 0)} shares of {name}, the result closes with {ends.get(name, 0)}",
            "pass a result with the market arrays and corporate actions it was made on",
        )
