"""THE decision: scores and an account in, orders out. Backtest and runner both call it.

Scores of session t make orders for session t+1. Here are the order in which names are ranked, the parameters, and the
choice among the strategies (``topk_dropout.py``, ``score_weighted.py``). Not here: what forces a name out
(``exits.py``), how much of the equity may be invested (``sizing.py``).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.compiled import trading_kernel
from ljwx_pipeline.config import StrategySettings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.holdings import sell_forced
from ljwx_pipeline.trading.score_weighted import score_weighted_kernel
from ljwx_pipeline.trading.topk_dropout import topk_dropout_kernel
from ljwx_pipeline.units import BPS

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]
Int8 = NDArray[np.int8]
Float = NDArray[np.float64]

#: Sessions ranked at once: a block of keys that fits the cache of a core better than a whole history.
_RANKED_AT_ONCE = 64

#: ``StrategySettings.kind`` as kernels read it.
TOPK_DROPOUT, SCORE_WEIGHTED = 0, 1
KINDS = {"topk_dropout": TOPK_DROPOUT, "score_weighted": SCORE_WEIGHTED}


@dataclass(frozen=True)
class DecisionParams:
    """``StrategySettings`` as the integers a kernel takes."""

    top_k: int
    n_drop: int
    min_hold_sessions: int
    cash_reserve_bps: int
    kind: int = TOPK_DROPOUT
    rebalance_band_bps: int = 0
    max_weight_bps: int = BPS

    @classmethod
    def of(cls, settings: StrategySettings) -> DecisionParams:
        """Return the parameters that ``settings`` stands for.

        Raises
        ------
        TradingError
            For a strategy that makes no orders.
        """
        if settings.kind not in KINDS:
            raise TradingError(
                f"strategy.kind = {settings.kind} makes no orders: no account can sell A-shares short",
                f"choose {' or '.join(KINDS)}; for research, backtest.long_short calculates its returns",
            )
        return cls(
            top_k=settings.top_k,
            n_drop=settings.n_drop,
            min_hold_sessions=settings.min_hold_sessions,
            cash_reserve_bps=round(settings.cash_reserve_frac * BPS),
            kind=KINDS[settings.kind],
            rebalance_band_bps=round(settings.rebalance_band_frac * BPS),
            max_weight_bps=round(settings.max_weight_frac * BPS),
        )

    def as_array(self) -> Int:
        """Return the parameters in declared order, int64: what kernels index with the positions below."""
        return np.array(astuple(self), dtype=np.int64)


TOP_K, N_DROP, MIN_HOLD, CASH_RESERVE, KIND, REBALANCE_BAND, MAX_WEIGHT = range(7)


@dataclass(frozen=True)
class Orders:
    """Orders for the next session, arrays of shape ``(n_symbols,)``.

    ``shares`` is signed, 0 where there is no order; ``rank`` is the place in the queue (0 first, sells before buys, -1
    where there is no order).
    """

    shares: Int
    rank: Int


def ranked(scores: Float) -> tuple[Int32, Int32]:
    """Return every session's names, best first, and how many of them have a finite score.

    Parameters
    ----------
    scores
        Shape ``(n_symbols, n_sessions)``. Equal scores stay in symbol order, so that no run depends on memory or
        hashing; names without a finite score come last, in symbol order too.

    Returns
    -------
    tuple
        ``best_first`` int32 of shape ``(n_sessions, n_symbols)`` and ``n_scored`` int32 of shape ``(n_sessions,)``.
    """
    n, sessions = scores.shape
    best_first, n_scored = np.empty((sessions, n), dtype=np.int32), np.empty(sessions, dtype=np.int32)
    for start in range(0, sessions, _RANKED_AT_ONCE):
        block = slice(start, start + _RANKED_AT_ONCE)
        key = -np.ascontiguousarray(scores.T[block], dtype=np.float64)
        finite = np.isfinite(key)
        key[~finite] = np.inf
        n_scored[block] = finite.sum(axis=1)
        # not stable, as that takes six times as long: the ties are put into order afterwards
        _settle_ties(np.argsort(key, axis=1), key, best_first[block])
    return best_first, n_scored


@trading_kernel
def _settle_ties(order: Int, key: Float, best_first: Int32) -> None:
    sessions, n = key.shape
    for s in range(sessions):
        names, start = order[s], 0
        while start < n:
            stop = start + 1
            while stop < n and key[s, names[stop]] == key[s, names[start]]:
                stop += 1
            if stop - start > 1:
                names[start:stop].sort()
            for place in range(start, stop):
                best_first[s, place] = names[place]
            start = stop


def purchases(may_buy: Int8 | None, shape: tuple[int, ...]) -> Int8:
    """Return what kernels read as ``may_buy``: of ``shape``, names last; without an element a session for None.

    Raises
    ------
    TradingError
        For another shape.
    """
    if may_buy is None:
        return np.empty((*shape[:-1], 0), dtype=np.int8)
    if may_buy.shape != shape:
        raise TradingError(f"may_buy has shape {may_buy.shape}, not {shape}", "align the axes with the scores'")
    return np.ascontiguousarray(may_buy, dtype=np.int8)


@trading_kernel
def decide_kernel(
    best_first: Int32,
    n_scored: int,
    scores: Float,
    may_buy: Int8,
    held_names: Int32,
    n_held: int,
    shares: Int,
    held_sessions: Int,
    entry_price_e4: Int,  # noqa: ARG001 - every strategy is given the whole position
    peak_price_e4: Int,  # noqa: ARG001
    price_e4: Int,
    lot_min: Int,
    lot_step: Int,
    cash_fen: int,
    equity_fen: int,
    exposure_bps: int,
    forced: Int,
    params: Int,
    order_names: Int32,
    order_shares: Int,
) -> int:
    """Write one session's orders into ``order_names`` and ``order_shares`` and return how many there are.

    Orders stand in queue order, sells first; nothing is allocated. Dense arrays have shape ``(n_symbols,)`` and are
    read at the names held and the best scored only.

    Parameters
    ----------
    best_first, n_scored, scores
        The session's row of ``ranked`` and its scores.
    may_buy
        int8, 0 for a name that is not bought (``uncertainty.abstain``): held it may be, and is sold as any other.
        Without an element every name may be bought.
    held_names, n_held
        Names held, ascending, in the first ``n_held`` places.
    entry_price_e4, peak_price_e4
        Of the open positions; no strategy reads them yet, ``exits.exits_kernel`` does.
    exposure_bps
        Share of the investable equity (equity less reserve) that may be invested, from ``sizing.exposure_bps``.
    forced
        int64, an ``OrderReason`` for every held name that must go, 0 for the others. Sold whole whatever its age, and
        not bought back on the same session. On return it holds the reason of every sale, SCORE and SIZING too.
    params
        ``DecisionParams.as_array()``.
    order_names, order_shares
        Buffers of ``2 * n_symbols``; what stands behind the orders is scratch.

    The rest is as in ``decide``. On a session without a single scored name only what is forced out is sold: an empty
    universe is a gap in the data before it is an opinion, so everything else is held.
    """
    if n_scored == 0:
        n_orders, _ = sell_forced(held_names, n_held, shares, price_e4, forced, order_names, order_shares)
        return int(n_orders)
    if params[KIND] == SCORE_WEIGHTED:
        n_orders = score_weighted_kernel(
            best_first,
            n_scored,
            scores,
            may_buy,
            held_names,
            n_held,
            shares,
            held_sessions,
            price_e4,
            lot_min,
            lot_step,
            cash_fen,
            equity_fen,
            exposure_bps,
            forced,
            params[TOP_K],
            params[MIN_HOLD],
            params[CASH_RESERVE],
            params[MAX_WEIGHT],
            params[REBALANCE_BAND],
            order_names,
            order_shares,
        )
        return int(n_orders)
    n_orders = topk_dropout_kernel(
        best_first,
        n_scored,
        scores,
        may_buy,
        held_names,
        n_held,
        shares,
        held_sessions,
        price_e4,
        lot_min,
        lot_step,
        cash_fen,
        equity_fen,
        exposure_bps,
        forced,
        params[TOP_K],
        params[N_DROP],
        params[MIN_HOLD],
        params[CASH_RESERVE],
        params[REBALANCE_BAND],
        order_names,
        order_shares,
    )
    return int(n_orders)


def decide(
    *,
    scores: Float,
    holdings_shares: Int,
    held_sessions: Int,
    price_e4: Int,
    lot_min: Int,
    lot_step: Int,
    cash_fen: int,
    equity_fen: int,
    params: DecisionParams,
    exposure_bps: int = BPS,
    forced: Int | None = None,
    may_buy: Int8 | None = None,
) -> Orders:
    """Return the orders that the close of one session asks for, to be executed on the next.

    Parameters
    ----------
    scores
        Shape ``(n_symbols,)``. NaN: outside the universe; never bought, and sold first when held.
    holdings_shares, held_sessions
        Shares held after the session's fills and sessions passed since each position was opened (0 on that session).
    price_e4
        The session's close, 0 without a bar; a name without a bar is neither bought nor sold, but keeps its place.
    lot_min, lot_step
        From ``rulebook.lot_sizes``.
    cash_fen, equity_fen
        Cash, and cash plus holdings at their last close. ``(1 - reserve) * exposure * equity`` may be invested, and
        purchases shrink when cash and the expected proceeds of the session's sales do not reach.
    params
        The strategy.
    exposure_bps
        Share of the investable equity that may be invested.
    forced
        Shape ``(n_symbols,)``: an ``OrderReason`` for names that must go, 0 for the others. None: no name must.
    may_buy
        Shape ``(n_symbols,)``: 0 for names that are not bought. None: every name may be.

    Raises
    ------
    TradingError
        For a ``may_buy`` of another length.
    """
    n = len(scores)
    best_first, n_scored = ranked(np.asarray(scores, dtype=np.float64)[:, None])
    held = np.flatnonzero(holdings_shares > 0).astype(np.int32)
    unused = np.zeros(n, dtype=np.int64)
    names, traded = np.empty(2 * n, dtype=np.int32), np.empty(2 * n, dtype=np.int64)
    count = decide_kernel(
        best_first[0],
        int(n_scored[0]),
        np.ascontiguousarray(scores, dtype=np.float64),
        purchases(may_buy, (n,)),
        held,
        len(held),
        holdings_shares,
        held_sessions,
        unused,
        unused,
        price_e4,
        lot_min,
        lot_step,
        cash_fen,
        equity_fen,
        exposure_bps,
        unused[held] if forced is None else forced[held],
        params.as_array(),
        names,
        traded,
    )
    shares, rank = np.zeros(n, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    shares[names[:count]], rank[names[:count]] = traded[:count], np.arange(count)
    return Orders(shares, rank)
