"""Whole numbers divided so that the parts add up: by prefix and floor, in whole lots where there are lots.

Both functions look at totals alone. What a sleeve has of an order after its third fill follows from the sum of the
three: it does not matter how the market split them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise


def prefix_floor(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Return ``total`` divided in proportion to ``weights``.

    Part k is ``floor(total * W[k] / W) - floor(total * W[k-1] / W)`` with the running sums W of the weights: no part
    is further than 1 from its proportion, and none is above its weight while ``|total|`` is not above their sum. A
    total below zero is divided as its size is.

    Parameters
    ----------
    weights
        0 or more each; above 0 together, unless ``total`` is 0.
    """
    if total < 0:
        return tuple(-part for part in prefix_floor(-total, weights))
    if total == 0:
        return (0,) * len(weights)
    whole = sum(weights)
    ends = [total * end // whole for end in accumulate(weights, initial=0)]
    return tuple(end - start for start, end in pairwise(ends))


def in_lots(total_shares: int, wanted_shares: Sequence[int], step_shares: int) -> tuple[int, ...]:
    """Return what each of several who wanted ``wanted_shares`` gets of ``total_shares``, no more than it wanted.

    Whole lots of ``step_shares`` first, by `prefix_floor` of the whole lots wanted; what is left over after them (an
    odd rest that was sold along) fills up what is wanted in the order given.

    Parameters
    ----------
    total_shares
        0 to the sum of what is wanted.
    """
    lots = [wanted // step_shares for wanted in wanted_shares]
    whole = min(total_shares // step_shares, sum(lots))
    given = [part * step_shares for part in prefix_floor(whole, lots)]
    rest = total_shares - whole * step_shares
    for at, wanted in enumerate(wanted_shares):
        more = min(rest, wanted - given[at])
        given[at] += more
        rest -= more
    return tuple(given)
