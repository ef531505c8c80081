"""Why an order was made: the codes in the order log."""

from __future__ import annotations

from enum import IntEnum


class OrderReason(IntEnum):
    """What asked for an order. NONE: there is none."""

    NONE = 0
    SCORE = 1
    STOP_LOSS = 2
    TAKE_PROFIT = 3
    TRAILING = 4
    TIME = 5
    SIZING = 6


# numba reads plain integers, not members of an IntEnum in arithmetic
SCORE, STOP_LOSS, TAKE_PROFIT, TRAILING, TIME, SIZING = (int(code) for code in list(OrderReason)[1:])
