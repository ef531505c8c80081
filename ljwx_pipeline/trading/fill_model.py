"""At what price of the session an order fills, and whether the name was open to it then: the four fill models.

An order is decided at the close of one session and worked on the next. What each model reads of that next session:

CLOSE
    The close. Locked when the close stands at the limit.
OPEN
    The open. Locked when the open stands at the limit of the opening auction, whatever happened later.
VWAP
    Amount over volume, rounded against the trader: an order worked through the whole session. What lies outside
    [low, high] by a tick at most is rounding, and the nearer of the two is taken; further out amount or volume are
    wrong (another unit, say), and the order is rejected, as without a price. Locked for a buy only when not even the
    low was below the upper limit, for a sale when not even the high was above the lower one.
BAR_PATH
    A limit order at the session's reference price plus or minus an offset (whole ticks, never beyond it), along open,
    then the extreme that is worse for the trader, then the other one, then the close. Better than its limit at the
    open, it is filled at the open. Else it is filled at its limit once the price has gone *through* it: a price that is
    only touched fills nothing, as the queue there is not ours to jump. Where the exchange's limit is the nearer one it
    stands for the order's own, so that a seal that breaks fills at the limit price.

No model fills a stop within a session: exits are judged at the close and executed on the next one (``exits.py``).
The reference price, the limits and the lots are known before the open. The session's whole volume caps what could have
been filled and scales the impact under every model: it judges a fill, and no decision sees it.
"""

from __future__ import annotations

from enum import IntEnum

from ljwx_pipeline.compiled import trading_kernel
from ljwx_pipeline.market.rulebook import TICK_E4
from ljwx_pipeline.units import BPS


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
    OUTSIDE_BAR = 9  # amount over volume is no price of the session: the mean is not known
    NO_PRICE = 10  # the name traded, but a price that the model reads is missing: callers raise


# numba reads plain integers, not members of an IntEnum in arithmetic
_NONE, _SUSPENDED, _LIMIT_UP, _LIMIT_DOWN = 0, 1, 2, 3
_LIMIT_PRICE, _OUTSIDE_BAR, _NO_PRICE = 8, 9, 10
_CLOSE, _OPEN, _VWAP = 0, 1, 2


@trading_kernel
def path_fill(
    open_e4: int,
    reach_e4: int,
    limit_e4: int,
    open_limit_e4: int,
    own_e4: int,
    buying: bool,
) -> tuple[int, int, int]:
    """Return ``(price, bound, reason)`` of an order along a bar; see ``BAR_PATH``.

    ``reach_e4`` is the extreme that is good for the trader (the low for a buy), ``limit_e4`` the exchange's limit
    on the trader's side and ``open_limit_e4`` that of its opening auction, ``own_e4`` the order's own. ``bound`` is the
    price beyond which no slippage goes. Prices of a sale are mirrored in sign, so that less is better for both.
    """
    sign = 1 if buying else -1
    start, best, sealed = sign * open_e4, sign * reach_e4, sign * limit_e4
    bound = min(sealed, sign * own_e4)
    if start < sign * open_limit_e4 and start <= bound:
        return open_e4, sign * bound, _NONE
    if best < bound:
        return sign * bound, sign * bound, _NONE
    if best >= sealed:
        return 0, 0, _LIMIT_UP if buying else _LIMIT_DOWN
    return 0, 0, _LIMIT_PRICE


@trading_kernel
def mean_price_e4(buying: bool, high_e4: int, low_e4: int, volume_shares: int, amount_fen: int) -> int:
    """Return amount over volume, rounded up for a buyer and down for a seller; 0 beyond a tick outside [low, high]."""
    value_e4 = amount_fen * 100
    mean_e4 = -(-value_e4 // volume_shares) if buying else value_e4 // volume_shares
    if mean_e4 < low_e4 - TICK_E4 or mean_e4 > high_e4 + TICK_E4:
        return 0
    return min(max(mean_e4, low_e4), high_e4)


@trading_kernel(inline=True)
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
        mean_e4 = mean_price_e4(buying, high_e4, low_e4, volume_shares, amount_fen)
        return (mean_e4, limit, _NONE) if mean_e4 > 0 else (0, 0, _OUTSIDE_BAR)
    if open_e4 <= 0:
        return 0, 0, _NO_PRICE
    if buying:
        own = reference_e4 * (BPS + offset_bps) // BPS // TICK_E4 * TICK_E4
    else:
        own = -(-reference_e4 * (BPS - offset_bps) // BPS // TICK_E4) * TICK_E4
    reach_e4 = low_e4 if buying else high_e4
    filled: tuple[int, int, int] = path_fill(open_e4, reach_e4, limit, open_limit_e4, own, buying)
    return filled
