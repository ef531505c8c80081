"""The backtest: one compiled loop over the same kernels that the runner calls, session after session.

Scores known at the close of session t make orders that are matched at the close of session t+1. Every session the cash
is reckoned a second time from the orders alone, and a difference of one fen stops the run. Nothing random, nothing
hashed, no threads: the same input gives the same bits.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.backtest.result import ORDER_COLUMNS, BacktestResult
from ljwx_pipeline.config import CostSettings, StrategySettings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market.rulebook import BPS
from ljwx_pipeline.trading import account, costs, decide, holdings, matching, topk_dropout
from ljwx_pipeline.trading.account import mark_kernel, open_session_kernel, settle_kernel
from ljwx_pipeline.trading.compiled import kernel
from ljwx_pipeline.trading.costs import rates_table
from ljwx_pipeline.trading.decide import DecisionParams, decide_kernel, ranked
from ljwx_pipeline.trading.market_arrays import MarketArrays
from ljwx_pipeline.trading.matching import match_kernel

Int = NDArray[np.int64]
Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


@kernel(costs, matching, holdings, topk_dropout, decide, account)
def _run(
    scores: Float,
    best_first: NDArray[np.int32],
    n_scored: NDArray[np.int32],
    close_e4: Int,
    limit_up_e4: Int,
    limit_down_e4: Int,
    volume_shares: Int,
    cash_e4_per_share: Int,
    bonus_e4_per_share: Int,
    listed: Bool,
    lot_min: Int,
    lot_step: Int,
    rates: Int,
    first: int,
    last: int,
    capital_fen: int,
    params: Int,
) -> tuple[Int, Int, Int, Int, Int]:
    """Run sessions ``first`` to ``last``; returns per-session figures, the order log and the closing position.

    Per session: equity, cash, fees, dividends, written off, bought and sold value (fen), names held, and last the fen
    by which the second reckoning of cash differs.
    """
    n, sessions = scores.shape[0], last - first + 1
    shares, sellable = np.zeros(n, np.int64), np.zeros(n, np.int64)
    held, last_price = np.zeros(n, np.int64), np.zeros(n, np.int64)
    orders, ranks = np.zeros(n, np.int64), np.zeros(n, np.int64)
    figures = np.zeros((sessions, 9), np.int64)
    names, traded = np.empty(2 * n, np.int32), np.empty(2 * n, np.int64)
    held_names, forced = np.empty(n, np.int32), np.zeros(n, np.int64)
    log = np.empty((sessions * min(n, 2 * params[decide.N_DROP] + params[decide.TOP_K]), 10), np.int64)
    logged, cash, reckoned, any_order = 0, capital_fen, capital_fen, False
    for t in range(sessions):
        s = first + t
        row = figures[t]
        cash, dividends, written_off = open_session_kernel(
            shares, sellable, held, last_price, cash_e4_per_share[:, s], bonus_e4_per_share[:, s], listed[:, s], cash
        )
        reckoned += dividends
        row[3], row[4] = dividends, written_off
        if any_order:
            fills, price, value, commission, stamp, transfer, reject, _ = match_kernel(
                orders,
                ranks,
                close_e4[:, s],
                limit_up_e4[:, s],
                limit_down_e4[:, s],
                volume_shares[:, s],
                lot_min,
                lot_step,
                sellable,
                cash,
                rates[t],
            )
            cash = settle_kernel(shares, sellable, held, fills, value, commission + stamp + transfer, cash)
            for i in range(n):
                if orders[i] == 0:
                    continue
                entry = log[logged]
                entry[0], entry[1], entry[2], entry[3], entry[4] = s, i, orders[i], fills[i], price[i]
                entry[5], entry[6], entry[7], entry[8] = value[i], commission[i], stamp[i], transfer[i]
                entry[9] = reject[i]
                logged += 1
                fees = commission[i] + stamp[i] + transfer[i]
                row[2] += fees
                row[5] += value[i] if fills[i] > 0 else 0
                row[6] += value[i] if fills[i] < 0 else 0
        reckoned += row[6] - row[5] - row[2]
        row[0] = cash + mark_kernel(shares, last_price, close_e4[:, s])
        row[1] = cash
        row[8] = cash - reckoned
        for i in range(n):
            row[7] += shares[i] > 0
        if row[8] != 0 or cash < 0:
            break
        if t + 1 < sessions:
            n_held = 0
            for i in range(n):
                if shares[i] > 0:
                    held_names[n_held] = i
                    forced[n_held] = 0
                    n_held += 1
            count = decide_kernel(
                best_first[s],
                n_scored[s],
                scores[:, s],
                held_names,
                n_held,
                shares,
                held,
                last_price,
                last_price,
                close_e4[:, s],
                lot_min,
                lot_step,
                cash,
                row[0],
                BPS,
                forced,
                params,
                names,
                traded,
            )
            orders[:] = 0
            for k in range(count):
                orders[names[k]], ranks[names[k]] = traded[k], k
            any_order = count > 0
    return figures, log[:logged].copy(), shares, held, last_price


def run_backtest(
    market: MarketArrays,
    scores: Float,
    *,
    strategy: StrategySettings,
    costs: CostSettings,
    first: date,
    last: date,
) -> BacktestResult:
    """Return what trading ``scores`` from ``first`` to ``last`` would have come to.

    The account opens with cash at the close of ``first`` (the first equity is the capital), decides there for the first
    time and trades on the session after it.

    Parameters
    ----------
    market
        Trading view of the market.
    scores
        Shape ``(n_symbols, n_sessions)`` on the market's axes, float64. NaN: outside the universe on that session.
    strategy, costs
        Settings; statutory fees are those of each session's date.
    first, last
        First decision and last valuation, both sessions of ``market``.

    Raises
    ------
    TradingError
        For scores on other axes, dates that are no sessions of the market or outside the rulebook, or an account that
        does not add up.
    """
    if scores.shape != market.close_e4.shape:
        raise TradingError(f"scores have shape {scores.shape}, the market {market.close_e4.shape}", "align the axes")
    begin, end = (_position(market, day) for day in (first, last))
    if end <= begin:
        raise TradingError(f"no session lies between {first} and {last}", "give a backtest two sessions at least")
    sessions = market.sessions[begin : end + 1]
    scores = np.ascontiguousarray(scores, dtype=np.float64)
    figures, log, shares, held, last_price = _run(
        scores,
        *ranked(scores),
        market.close_e4,
        market.limit_up_e4,
        market.limit_down_e4,
        market.volume_shares,
        market.cash_e4_per_share,
        market.bonus_e4_per_share,
        market.listed,
        market.lot_min,
        market.lot_step,
        rates_table(costs, [day.date() for day in sessions]),
        begin,
        end,
        round(strategy.capital_cny * 100),
        DecisionParams.of(strategy).as_array(),
    )
    _check(figures, sessions)
    return BacktestResult(
        sessions=sessions,
        equity_fen=figures[:, 0],
        cash_fen=figures[:, 1],
        fees_fen=figures[:, 2],
        dividends_fen=figures[:, 3],
        written_off_fen=figures[:, 4],
        bought_fen=figures[:, 5],
        sold_fen=figures[:, 6],
        names_held=figures[:, 7],
        orders=_orders(log, market),
        positions=_positions(shares, held, last_price, market),
    )


def _position(market: MarketArrays, day: date) -> int:
    found = int(market.sessions.get_indexer(pd.DatetimeIndex([pd.Timestamp(day)]))[0])
    if found < 0:
        raise TradingError(f"{day} is not a session of the market arrays", "choose first and last among its sessions")
    return found


def _check(figures: Int, sessions: pd.DatetimeIndex) -> None:
    wrong = np.flatnonzero((figures[:, 8] != 0) | (figures[:, 1] < 0))
    if len(wrong):
        at = wrong[0]
        raise TradingError(
            f"on {sessions[at]:%Y-%m-%d} cash is {figures[at, 1]} fen, {figures[at, 8]} more than its orders explain",
            "report it with the input: the account must add up to the fen",
        )


def _orders(log: Int, market: MarketArrays) -> pd.DataFrame:
    frame = pd.DataFrame(log, columns=["session_date", "symbol", *ORDER_COLUMNS])
    frame["session_date"] = market.sessions[log[:, 0]]
    frame["symbol"] = np.array(market.symbols, dtype=object)[log[:, 1]]
    return frame


def _positions(shares: Int, held: Int, last_price_e4: Int, market: MarketArrays) -> pd.DataFrame:
    rows = np.flatnonzero(shares)
    return pd.DataFrame(
        {
            "symbol": np.array(market.symbols, dtype=object)[rows],
            "shares": shares[rows],
            "held_sessions": held[rows],
            "last_price_e4": last_price_e4[rows],
            "value_fen": shares[rows] * last_price_e4[rows] // 100,
        }
    )
