"""The backtest: one compiled loop over the same kernels that the paper broker calls, session after session.

Scores known at the close of session t make orders that are filled in session t+1, at the price of the fill model
(``trading/fill_model.py``). Every session is reckoned twice: cash again from the orders alone, and equity again from
what prices, dividends, fees, slippage and write-offs did to it; a difference of one fen, or of 1e-4 CNY of equity,
stops the run. Nothing random, nothing hashed, no threads: the same input gives the same bits. The loop allocates
nothing and lets go of the interpreter, so that threads may run one variant each.

On a session without a single scored name nothing is decided and everything is held (``unscored_sessions`` counts
them): an empty universe is a gap in the data before it is an opinion.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.backtest.result import ORDER_COLUMNS, BacktestResult
from ljwx_pipeline.compiled import borrowed, trading_kernel
from ljwx_pipeline.config import CostSettings, StrategySettings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.account import mark_kernel, open_session_kernel, settle_kernel
from ljwx_pipeline.trading.costs import rates_table
from ljwx_pipeline.trading.decide import DecisionParams, decide_kernel, purchases, ranked
from ljwx_pipeline.trading.exits import ExitParams, exits_kernel
from ljwx_pipeline.trading.fill_model import FillModel, Reject
from ljwx_pipeline.trading.market_arrays import MarketArrays
from ljwx_pipeline.trading.matching import (
    COMMISSION_FEN,
    FILL_FIELDS,
    FILLED,
    IMPACT_FEN,
    NAME,
    REASON,
    REJECT,
    SESSION,
    SLIPPAGE_FEN,
    STAMP_FEN,
    TRANSFER_FEN,
    VALUE,
    match_kernel,
)
from ljwx_pipeline.trading.opening_limits import OpeningLimits
from ljwx_pipeline.trading.order_reason import SCORE
from ljwx_pipeline.trading.sizing import SizingParams, exposure_bps
from ljwx_pipeline.units import BPS, E4_PER_FEN, FEN_PER_CNY

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]
Int8 = NDArray[np.int8]
Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
Ranking = tuple[Int32, Int32]

# rows of the figures, one column a session
(
    EQUITY,
    CASH,
    FEES,
    DIVIDENDS,
    WRITTEN_OFF,
    BOUGHT,
    SOLD,
    NAMES_HELD,
    LARGEST,
    EXPOSURE,
    SLIPPED,
    IMPACTED,
    RIGHTS_PAID,
    REVALUED_E4,
    CASH_GAP,
    EQUITY_GAP_E4,
    FAULT_NAME,
) = range(17)
_FIGURES = 17
# positions of the loop's state between two calls
_NEXT, _N_HELD, _N_ORDERS, _CASH, _CASH_AGAIN, _EQUITY_AGAIN_E4, _LOGGED = range(7)
#: Order log rows made room for at first, a session; more are made when they are needed.
_LOG_ROWS_A_SESSION = 16
_NO_PRICE = int(Reject.NO_PRICE)


@trading_kernel
def _add_up(rows: Int, position: int, order_reason: Int, row: Int) -> None:
    """Complete the session's rows of the order log and add them up into its figures."""
    for k in range(rows.shape[0]):
        rows[k, SESSION], rows[k, REASON] = position, order_reason[k]
        row[FEES] += rows[k, COMMISSION_FEN] + rows[k, STAMP_FEN] + rows[k, TRANSFER_FEN]
        row[SLIPPED] += rows[k, SLIPPAGE_FEN]
        row[IMPACTED] += rows[k, IMPACT_FEN]
        row[BOUGHT if rows[k, FILLED] > 0 else SOLD] += rows[k, VALUE]
        if rows[k, REJECT] == _NO_PRICE:
            row[FAULT_NAME] = rows[k, NAME]


@trading_kernel
def _note_reasons(
    held_names: Int32,
    n_held: int,
    forced: Int,
    order_names: Int32,
    order_shares: Int,
    n_orders: int,
    reason_of: Int,
    order_reason: Int,
) -> None:
    """Keep why each order was made: a sale's reason stands in ``forced``, a purchase follows the score."""
    for j in range(n_held):
        reason_of[held_names[j]] = forced[j]
    for k in range(n_orders):
        order_reason[k] = reason_of[order_names[k]] if order_shares[k] < 0 else SCORE


@trading_kernel
def _run(
    best_first: Int32,
    n_scored: Int32,
    scores: Float,
    may_buy: Int8,
    open_e4: Int32,
    high_e4: Int32,
    low_e4: Int32,
    close_e4: Int32,
    pre_close_e4: Int32,
    limit_up_e4: Int32,
    limit_down_e4: Int32,
    volume_shares: Int,
    amount_fen: Int,
    volatility_e8: Int32,
    listed: Bool,
    actions: Int,
    action_start: Int,
    opening_limits: Int,
    opening_start: Int,
    lot_min: Int,
    lot_step: Int,
    rates: Int,
    params: Int,
    exit_params: Int,
    sizing_params: Int,
    first: int,
    positions: Int,
    held_names: Int32,
    order_names: Int32,
    order_shares: Int,
    order_reason: Int,
    forced: Int,
    reason_of: Int,
    state: Int,
    figures: Int,
    log: Int,
) -> bool:
    """Run sessions from ``state`` on; return whether the end was reached (or a fault), not the end of ``log``.

    Market arrays are ``(n_sessions, n_symbols)``; ``positions`` holds the six arrays of the account by row. A fault is
    a session whose gaps are not 0 or with a FAULT_NAME; nothing runs after it.
    """
    best_first = borrowed(best_first)
    n_scored = borrowed(n_scored)
    scores = borrowed(scores)
    may_buy = borrowed(may_buy)
    open_e4 = borrowed(open_e4)
    high_e4 = borrowed(high_e4)
    low_e4 = borrowed(low_e4)
    close_e4 = borrowed(close_e4)
    pre_close_e4 = borrowed(pre_close_e4)
    limit_up_e4 = borrowed(limit_up_e4)
    limit_down_e4 = borrowed(limit_down_e4)
    volume_shares = borrowed(volume_shares)
    amount_fen = borrowed(amount_fen)
    volatility_e8 = borrowed(volatility_e8)
    listed = borrowed(listed)
    actions = borrowed(actions)
    action_start = borrowed(action_start)
    opening_limits = borrowed(opening_limits)
    opening_start = borrowed(opening_start)
    lot_min = borrowed(lot_min)
    lot_step = borrowed(lot_step)
    rates = borrowed(rates)
    params = borrowed(params)
    exit_params = borrowed(exit_params)
    sizing_params = borrowed(sizing_params)
    positions = borrowed(positions)
    held_names = borrowed(held_names)
    order_names = borrowed(order_names)
    order_shares = borrowed(order_shares)
    order_reason = borrowed(order_reason)
    forced = borrowed(forced)
    reason_of = borrowed(reason_of)
    state = borrowed(state)
    figures = borrowed(figures)
    log = borrowed(log)
    shares, sellable, held_sessions = positions[0], positions[1], positions[2]
    last_price_e4, entry_price_e4, peak_price_e4 = positions[3], positions[4], positions[5]
    sessions = figures.shape[1]
    n_held, n_orders, cash = state[_N_HELD], state[_N_ORDERS], state[_CASH]
    cash_again, equity_again_e4, logged = state[_CASH_AGAIN], state[_EQUITY_AGAIN_E4], state[_LOGGED]
    t, ended, exits_on = state[_NEXT], True, bool((exit_params != 0).any())
    while t < sessions:
        if logged + n_orders > log.shape[0]:
            ended = False
            break
        s, row = first + t, figures[:, t]
        n_held, cash, dividends, written_off, rights_paid, revalued_e4 = open_session_kernel(
            held_names,
            n_held,
            shares,
            sellable,
            held_sessions,
            last_price_e4,
            entry_price_e4,
            peak_price_e4,
            listed[s],
            actions,
            action_start[s],
            action_start[s + 1],
            cash,
        )
        row[DIVIDENDS], row[WRITTEN_OFF], row[RIGHTS_PAID] = dividends, written_off, rights_paid
        row[FAULT_NAME] = -1
        if n_orders > 0:
            rows = log[logged : logged + n_orders]
            match_kernel(
                order_names,
                order_shares,
                n_orders,
                open_e4[s],
                high_e4[s],
                low_e4[s],
                close_e4[s],
                pre_close_e4[s],
                limit_up_e4[s],
                limit_down_e4[s],
                volume_shares[s],
                amount_fen[s],
                volatility_e8[s],
                lot_min,
                lot_step,
                opening_limits[opening_start[s] : opening_start[s + 1]],
                sellable,
                cash,
                rates[t],
                rows,
            )
            n_held, cash, moved_e4 = settle_kernel(
                held_names,
                n_held,
                shares,
                sellable,
                held_sessions,
                last_price_e4,
                entry_price_e4,
                peak_price_e4,
                rows,
                n_orders,
                cash,
            )
            revalued_e4 += moved_e4
            _add_up(rows, s, order_reason, row)
            logged += n_orders
            n_orders = 0
        value_e4, largest_e4, moved_e4, unpriced = mark_kernel(
            held_names, n_held, shares, last_price_e4, peak_price_e4, close_e4[s], volume_shares[s]
        )
        if unpriced >= 0:
            row[FAULT_NAME] = unpriced
        revalued_e4 += moved_e4
        cash_again += dividends - rights_paid + row[SOLD] - row[BOUGHT] - row[FEES]
        lost_fen = written_off + row[FEES] + row[SLIPPED] + row[IMPACTED]
        equity_again_e4 += revalued_e4 + (dividends - lost_fen) * E4_PER_FEN
        row[EQUITY], row[CASH] = cash + value_e4 // E4_PER_FEN, cash
        row[NAMES_HELD], row[LARGEST], row[REVALUED_E4] = n_held, largest_e4 // E4_PER_FEN, revalued_e4
        row[CASH_GAP] = cash - cash_again
        row[EQUITY_GAP_E4] = cash * E4_PER_FEN + value_e4 - equity_again_e4
        row[EXPOSURE] = exposure_bps(figures[EQUITY, : t + 1], figures[CASH, : t + 1], sizing_params)
        if row[CASH_GAP] != 0 or row[EQUITY_GAP_E4] != 0 or cash < 0 or row[FAULT_NAME] >= 0:
            break
        if row[EXPOSURE] < 0 or row[EXPOSURE] > BPS:
            break
        if t + 1 < sessions:
            if exits_on:
                exits_kernel(
                    held_names,
                    n_held,
                    held_sessions,
                    entry_price_e4,
                    peak_price_e4,
                    close_e4[s],
                    exit_params,
                    forced,
                )
            else:
                for j in range(n_held):
                    forced[j] = 0
            n_orders = decide_kernel(
                best_first[s],
                n_scored[s],
                scores[s],
                may_buy[s],
                held_names,
                n_held,
                shares,
                held_sessions,
                entry_price_e4,
                peak_price_e4,
                close_e4[s],
                lot_min,
                lot_step,
                cash,
                row[EQUITY],
                row[EXPOSURE],
                forced,
                params,
                order_names,
                order_shares,
            )
            _note_reasons(held_names, n_held, forced, order_names, order_shares, n_orders, reason_of, order_reason)
        t += 1
    state[_NEXT], state[_N_HELD], state[_N_ORDERS], state[_CASH] = t, n_held, n_orders, cash
    state[_CASH_AGAIN], state[_EQUITY_AGAIN_E4], state[_LOGGED] = cash_again, equity_again_e4, logged
    return ended


def run_backtest(
    market: MarketArrays,
    scores: Float,
    *,
    strategy: StrategySettings,
    costs: CostSettings,
    first: date,
    last: date,
    ranking: Ranking | None = None,
    may_buy: Int8 | None = None,
) -> BacktestResult:
    """Return what trading ``scores`` from ``first`` to ``last`` would have come to.

    The account opens with cash at the close of ``first`` (the first equity is the capital), decides there for the first
    time and trades on the session after it.

    Parameters
    ----------
    market
        Trading view of the market.
    scores
        Shape ``(n_symbols, n_sessions)`` on the market's axes, float64; in Fortran order it is not copied. NaN: outside
        the universe on that session.
    strategy, costs
        Settings; statutory fees are those of each session's date.
    first, last
        First decision and last valuation, both sessions of ``market``.
    ranking
        ``decide.ranked(scores)``, for callers that run many variants over the same scores; made here when None.
    may_buy
        Shape as ``scores``, 0 where a name is not bought (``uncertainty.abstain.may_buy``); None: every name may be.

    Raises
    ------
    TradingError
        For scores or ``may_buy`` on other axes, dates that are no sessions of the market or outside the rulebook, a
        market without a column that the fill model reads, a held name that traded without a price, or an account that
        does not add up.
    """
    done = simulate(
        market, scores, strategy=strategy, costs=costs, first=first, last=last, ranking=ranking, may_buy=may_buy
    )
    figures = done.figures
    return BacktestResult(
        sessions=done.sessions,
        equity_fen=figures[EQUITY],
        cash_fen=figures[CASH],
        fees_fen=figures[FEES],
        dividends_fen=figures[DIVIDENDS],
        written_off_fen=figures[WRITTEN_OFF],
        bought_fen=figures[BOUGHT],
        sold_fen=figures[SOLD],
        names_held=figures[NAMES_HELD],
        orders=_orders(done.log, market),
        positions=_positions(done.positions, market),
        largest_position_fen=figures[LARGEST],
        exposure_bps=figures[EXPOSURE],
        slippage_fen=figures[SLIPPED],
        impact_fen=figures[IMPACTED],
        rights_paid_fen=figures[RIGHTS_PAID],
        price_pnl_e4=figures[REVALUED_E4],
        unscored_sessions=done.unscored_sessions,
    )


@dataclass(frozen=True)
class Simulation:
    """A backtest as its loop leaves it, before tables are made of it: all that a sweep reads.

    Parameters
    ----------
    sessions
        The sessions run.
    figures
        What the account did, int64 of shape ``(17, n_sessions)``; rows by ``EQUITY`` to ``FAULT_NAME``.
    log
        One row an order, ``matching.FILL_FIELDS``.
    positions
        The account at the last close, int64 of shape ``(6, n_symbols)``.
    unscored_sessions
        Sessions on which no name had a score and nothing was decided.
    """

    sessions: pd.DatetimeIndex
    figures: Int
    log: Int
    positions: Int
    unscored_sessions: int


def simulate(
    market: MarketArrays,
    scores: Float,
    *,
    strategy: StrategySettings,
    costs: CostSettings,
    first: date,
    last: date,
    ranking: Ranking | None = None,
    may_buy: Int8 | None = None,
) -> Simulation:
    """Return what ``run_backtest`` makes its tables of, checked to the fen; parameters and errors as there."""
    begin, end = _span(market, scores, first, last)
    days = market.sessions[begin : end + 1]
    best_first, n_scored = ranked(scores) if ranking is None else ranking
    if best_first.shape != scores.shape[::-1]:
        raise TradingError(f"the ranking has shape {best_first.shape}, the scores {scores.shape}", "rank these scores")
    n, sessions = len(market.symbols), end - begin + 1
    opening = market.opening_limits or OpeningLimits.none(len(market.sessions))
    capital_fen = round(strategy.capital_cny * FEN_PER_CNY)
    state = np.array([0, 0, 0, capital_fen, capital_fen, capital_fen * E4_PER_FEN, 0], dtype=np.int64)
    positions, held_names = np.zeros((6, n), dtype=np.int64), np.zeros(n, dtype=np.int32)
    figures = np.zeros((_FIGURES, sessions), dtype=np.int64)
    figures[FAULT_NAME] = -1
    log = np.empty((_LOG_ROWS_A_SESSION * sessions + 2 * n, len(FILL_FIELDS)), dtype=np.int64)
    given = (
        best_first,
        n_scored,
        np.ascontiguousarray(scores.T, dtype=np.float64),
        purchases(None if may_buy is None else may_buy.T, scores.shape[::-1]),
        *_market_columns(market, costs),
        np.ascontiguousarray(market.listed.T),
        market.actions.rows,
        market.actions.start,
        opening.rows,
        opening.start,
        market.lot_min,
        market.lot_step,
        rates_table(costs, days.to_numpy(dtype="datetime64[D]")),
        DecisionParams.of(strategy).as_array(),
        ExitParams.of(strategy.exits).as_array(),
        SizingParams.of(strategy.sizing).as_array(),
        begin,
        positions,
        held_names,
        np.zeros(2 * n, dtype=np.int32),
        *(np.zeros(2 * n, dtype=np.int64) for _ in range(2)),
        *(np.zeros(n, dtype=np.int64) for _ in range(2)),
        state,
        figures,
    )
    while not _run(*given, log):
        log = np.concatenate([log[: state[_LOGGED]], np.empty_like(log), np.empty_like(log)])
    _check(figures, days, market)
    unscored = int((n_scored[begin:end] == 0).sum())
    return Simulation(days, figures, log[: state[_LOGGED]], positions, unscored)


def _span(market: MarketArrays, scores: Float, first: date, last: date) -> tuple[int, int]:
    if scores.shape != market.close_e4.shape:
        raise TradingError(f"scores have shape {scores.shape}, the market {market.close_e4.shape}", "align the axes")
    begin, end = (_position(market, day) for day in (first, last))
    if end <= begin:
        raise TradingError(f"no session lies between {first} and {last}", "give a backtest two sessions at least")
    return begin, end


def _position(market: MarketArrays, day: date) -> int:
    found = int(market.sessions.searchsorted(pd.Timestamp(day)))
    if found == len(market.sessions) or market.sessions[found].date() != day:
        raise TradingError(f"{day} is not a session of the market arrays", "choose first and last among its sessions")
    return found


def _market_columns(market: MarketArrays, costs: CostSettings) -> tuple[NDArray[np.integer], ...]:
    """Return open to volatility by session; the close stands where the fill model does not read a column."""
    fill = FillModel.of(costs.fill)
    given = {"open": market.open_e4, "high": market.high_e4, "low": market.low_e4, "amount": market.amount_fen}
    for name in fill.reads:
        if given[name] is None:
            raise TradingError(
                f'costs.fill = "{costs.fill}" reads {name}, which the market arrays were built without',
                "build them with columns=optional_columns(costs)",
            )
    close = market.close_e4
    prices = [given[name] if name in fill.reads else close for name in ("open", "high", "low")]
    amount = given["amount"] if "amount" in fill.reads else market.volume_shares
    volatility = market.volatility_e8 if costs.impact_coefficient > 0 else close
    columns = (
        *prices,
        *(close, market.pre_close_e4, market.limit_up_e4, market.limit_down_e4),
        *(market.volume_shares, amount, volatility),
    )
    return tuple(np.ascontiguousarray(column.T) for column in columns if column is not None)


def _check(figures: Int, sessions: pd.DatetimeIndex, market: MarketArrays) -> None:
    unpriced = np.flatnonzero(figures[FAULT_NAME] >= 0)
    if len(unpriced):
        at = unpriced[0]
        raise TradingError(
            f"{market.symbols[figures[FAULT_NAME, at]]} traded on {sessions[at]:%Y-%m-%d}, is held or ordered, and a "
            "price of that session is missing",
            "complete the bar, or leave the row out: the name then counts as suspended",
        )
    leveraged = np.flatnonzero((figures[EXPOSURE] < 0) | (figures[EXPOSURE] > BPS))
    if len(leveraged):
        at = leveraged[0]
        raise TradingError(
            f"money management asks for {figures[EXPOSURE, at] / BPS:.2%} of the equity on {sessions[at]:%Y-%m-%d}",
            "weights above one need borrowed money, which an account of this kind has not: cap the sizing at 1",
        )
    wrong = np.flatnonzero((figures[CASH_GAP] != 0) | (figures[EQUITY_GAP_E4] != 0) | (figures[CASH] < 0))
    if len(wrong):
        at = wrong[0]
        raise TradingError(
            f"on {sessions[at]:%Y-%m-%d} cash is {figures[CASH, at]} fen, {figures[CASH_GAP, at]} more than its orders "
            f"explain; equity is {figures[EQUITY, at]} fen, {figures[EQUITY_GAP_E4, at]} 1e-4 CNY more than prices, "
            "dividends and costs explain",
            "report it with the input: the account must add up to the fen",
        )


def _orders(log: Int, market: MarketArrays) -> pd.DataFrame:
    frame = pd.DataFrame(log[:, 2:], columns=list(ORDER_COLUMNS))
    frame.insert(0, "symbol", np.array(market.symbols, dtype=object)[log[:, NAME]])
    frame.insert(0, "session_date", market.sessions.to_numpy()[log[:, SESSION]])
    return frame


def _positions(positions: Int, market: MarketArrays) -> pd.DataFrame:
    rows = np.flatnonzero(positions[0])
    shares, _, held_sessions, last_price_e4, entry_price_e4, peak_price_e4 = positions[:, rows]
    return pd.DataFrame(
        {
            "symbol": np.array(market.symbols, dtype=object)[rows],
            "shares": shares,
            "held_sessions": held_sessions,
            "last_price_e4": last_price_e4,
            "value_fen": shares * last_price_e4 // E4_PER_FEN,
            "entry_price_e4": entry_price_e4,
            "peak_price_e4": peak_price_e4,
        }
    )
