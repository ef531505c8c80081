"""Compiles, once, every kernel that the runner calls while it trades, by calling it: before the first close.

A kernel that is compiled at its first call keeps the caller waiting for seconds, on a machine that has much to do for a
quarter of a minute: longer than the lease's term. What belongs here is one call of each, with arguments of the types
that the runner calls it with. Not here: the factors' kernels, which opening a pack calls by itself
(``factor_history.py``), and those of the exchange, a process of its own.
"""

from __future__ import annotations

import numpy as np

from ljwx_pipeline.config import CostSettings
from ljwx_pipeline.live.decision import Decider, DecidingModel, Portfolio, RunnerSettings
from ljwx_pipeline.live.events import HeldPosition
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.trading.costs import cost_rates, fees_fen, fill_price_e4, trade_value_fen
from ljwx_pipeline.trading.exits import exit_reason
from ljwx_pipeline.trading.matching import floor_to_lot
from ljwx_pipeline.units import E4, FEN_PER_CNY

_PRICE_E4 = 10 * E4
_SHARES = 100
_CASH_FEN = 1_000_000 * FEN_PER_CNY


def compile_kernels(feed: ReplayFeed, settings: RunnerSettings, costs: CostSettings) -> None:
    """Decide, value and stop once on a made-up account, from any thread; what comes out is thrown away.

    Raises
    ------
    LjwxError
        When the strategy cannot be traded by an account.
    """
    session = feed.sessions[-1]
    held = HeldPosition(
        symbol=feed.symbols[0],
        shares=_SHARES,
        sellable_shares=_SHARES,
        held_sessions=1,
        entry_price_e4=_PRICE_E4,
        peak_price_e4=_PRICE_E4,
        last_price_e4=_PRICE_E4,
    )
    account = Portfolio(
        held=[held],
        cash_fen=_CASH_FEN,
        equity_fen=_CASH_FEN,
        value_fen={},
        past_equity_fen=[_CASH_FEN],
        past_cash_fen=[_CASH_FEN],
    )
    scores = np.arange(len(feed.symbols), dtype=np.float64)
    Decider(feed, settings).intents(session, account, scores, None, DecidingModel("compiling", session))
    rates = cost_rates(costs.model_copy(update={"charge_statutory_fees": False}), session)
    sold_at = fill_price_e4(_PRICE_E4, _PRICE_E4, 0, rates.slippage_e8, False)
    fees_fen(int(trade_value_fen(_SHARES, int(sold_at), False)), buying=False, rates=rates)
    exit_reason(_PRICE_E4, _PRICE_E4, _PRICE_E4, 1, 0, 0, 0, 0)
    floor_to_lot(_SHARES, _SHARES, _SHARES)
