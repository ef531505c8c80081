"""At what price of the session an order fills, and whether the name was open to it then: the four fill models.

An order is decided at the close of one session and worked on the next. What each model reads of that next session:

CLOSE
    The close. Locked when the close stands at the limit.
OPEN
    The open. Locked when the open stands at the limit of the opening auction, whatever happened later.
VWAP
    Amount over volume, clipped to [low, high] and rounded against the trader: an order worked through the whole
    session. Locked for a buy only when not even the low was below the upper limit, for a sale when not even the high
    was above the lower one.
BAR_PATH
    A limit order at the session's reference price plus or minus an offset (whole ticks, never beyond it), along open,
    then the extreme that is worse for the trader, then the other one, then the close. Better than its limit at the
    open, it is filled at the open. Else it is filled at its limit once the price has gone *through* it: a price that is
    only touched fills nothing, as the queue there is not ours to jump. Where the exchange's limit is the nearer one it
    stands for the order's own, so that a seal that breaks fills at the limit price. A stop (sales only) sleeps until
    the path reaches its price, sells there, or at an open that gapped below it; a position with a stop and a limit to
    take profit at meets its stop first. A stop at the lower limit itself sells only when the close is above it.

The reference price, the limits and the lots are known before the open. The session's whole volume caps what could have
been filled and scales the impact under every model: it judges a fill, and no decision sees it.
"""

from __future__ import annotations

from enum import IntEnum

from numba import njit

from ljwx_pipeline.market.rulebook import BPS


class FillModel(IntEnum):
    """How a session fills orders; the codes are what kernels compare."""

    CLOSE = 0
    OPEN = 1
    VWAP = 2
    BAR_PATH = 3

    @classmethod
    def of(cls, name: str) -> FillModel:
        """Return the model that the settings call ``name``: close, open, vwap or bar_path."""
        return cls[name.upper()]

    @property
    def reads(self) -> tuple[str, ...]:
        """Optional columns of ``MarketArrays`` that the model reads."""
        return _READS[self]


_READS: dict[FillModel, tuple[str, ...]] = {
    FillModel.CLOSE: (),
    FillModel.OPEN: ("open",),
    FillModel.VWAP: ("high", "low", "amount"),
    FillModel.BAR_PATH: ("open", "high", "low"),
}


class Reject(IntEnum):
    """Why an order, or the rest of it, did not fill."""

    NONE = 0
    SUSPENDED = 1
    LIMIT_UP = 2
    LIMIT_DOWN = 3
    T_PLUS_1 = 4
    LOT = 5
    PARTICIPATION = 6
    CASH = 7
    LIMIT_PRICE = 8  # the path never went through the order's own limit
    STOP = 9  # the path never reached the order's stop
    NO_PRICE = 10  # the name traded, but a price that the model reads is missing: callers raise


# numba reads plain integers, not members of an IntEnum in arithmetic
_NONE, _SUSPENDED, _LIMIT_UP, _LIMIT_DOWN = 0, 1, 2, 3
_LIMIT_PRICE, _STOP, _NO_PRICE = 8, 9, 10
_CLOSE, _OPEN, _VWAP = 0, 1, 2
TICK_E4 = 100


@njit(cache=True)
def path_fill(
    open_e4: int,
    reach_e4: int,
    worst_e4: int,
    close_e4: int,
    limit_e4: int,
    open_limit_e4: int,
    own_e4: int,
    stop_e4: int,
    buying: bool,
) -> tuple[int, int, int]:
    """Return ``(price, bound, reason)`` of an order along a bar; see ``BAR_PATH``.

    ``reach_e4`` is the extreme that is good for the trader (the low for a buy), ``worst_e4`` the other, ``limit_e4``
    the exchange's limit on the trader's side and ``open_limit_e4`` that of its opening auction, ``own_e4`` the order's
    own and ``stop_e4`` its stop (0: none). ``bound`` is the price beyond which no slippage goes. Prices of a sale are
    mirrored in sign, so that less is better for both.
    """
    sign = 1 if buying else -1
    start, best, sealed = sign * open_e4, sign * reach_e4, sign * limit_e4
    if stop_e4 > 0:
        if open_e4 > stop_e4 and worst_e4 > stop_e4:
            return 0, 0, _STOP
        if open_e4 > stop_e4:  # reached on the way down
            if stop_e4 > limit_e4:
                return stop_e4, limit_e4, _NONE
            return (limit_e4, limit_e4, _NONE) if close_e4 > limit_e4 else (0, 0, _LIMIT_DOWN)
        own_e4 = limit_e4
    bound = min(sealed, sign * own_e4)
    if start < sign * open_limit_e4 and start <= bound:
        return open_e4, sign * bound, _NONE
    if best < bound:
        return sign * bound, sign * bound, _NONE
    if best >= sealed:
        return 0, 0, _LIMIT_UP if buying else _LIMIT_DOWN
    return 0, 0, _LIMIT_PRICE


@njit(cache=True)
def mean_price_e4(buying: bool, high_e4: int, low_e4: int, volume_shares: int, amount_fen: int) -> int:
    """Return amount over volume inside [low, high], rounded up for a buyer and down for a seller."""
    value_e4 = amount_fen * 100
    mean_e4 = -(-value_e4 // volume_shares) if buying else value_e4 // volume_shares
    return min(max(mean_e4, low_e4), high_e4)


@njit(cache=True, forceinline=True)
def base_price(
    model: int,
    buying: bool,
    open_e4: int,
    high_e4: int,
    low_e4: int,
    close_e4: int,
    reference_e4: int,
    limit_up_e4: int,
    limit_down_e4: int,
    open_limit_e4: int,
    volume_shares: int,
    amount_fen: int,
    offset_bps: int,
    stop_e4: int,
) -> tuple[int, int, int]:
    """Return ``(price, bound, reason)``: the price before slippage, how far slippage may go, a ``Reject`` code.

    ``open_limit_e4`` is the opening auction's limit on the trader's side: the session's on all but some first days.
    """
    limit = limit_up_e4 if buying else limit_down_e4
    locked = _LIMIT_UP if buying else _LIMIT_DOWN
    if close_e4 <= 0:
        return 0, 0, _SUSPENDED
    if model in (_CLOSE, _OPEN):
        price, limit = (close_e4, limit) if model == _CLOSE else (open_e4, open_limit_e4)
        if price <= 0:
            return 0, 0, _NO_PRICE
        if (buying and price >= limit) or (not buying and price <= limit):
            return 0, 0, locked
        return price, limit, _NONE
    if low_e4 <= 0 or high_e4 <= 0:
        return 0, 0, _NO_PRICE
    if model == _VWAP:
        if volume_shares <= 0:
            return 0, 0, _SUSPENDED
        if amount_fen <= 0:
            return 0, 0, _NO_PRICE
        if (buying and low_e4 >= limit) or (not buying and high_e4 <= limit):
            return 0, 0, locked
        return mean_price_e4(buying, high_e4, low_e4, volume_shares, amount_fen), limit, _NONE
    if open_e4 <= 0:
        return 0, 0, _NO_PRICE
    if buying:
        own = reference_e4 * (BPS + offset_bps) // BPS // TICK_E4 * TICK_E4
        return path_fill(open_e4, low_e4, high_e4, close_e4, limit, open_limit_e4, own, 0, True)
    own = -(-reference_e4 * (BPS - offset_bps) // BPS // TICK_E4) * TICK_E4
    return path_fill(open_e4, high_e4, low_e4, close_e4, limit, open_limit_e4, own, stop_e4, False)
