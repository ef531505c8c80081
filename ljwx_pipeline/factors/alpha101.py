"""The 101 formulaic alphas, all of them, named ALPHA001 to ALPHA101.

Source: Z. Kakushadze, "101 Formulaic Alphas", Wilmott 84 (2016), arXiv:1601.00991, appendix A. The paper leaves much
open. It is decided here once, for all formulas.

Inputs. ``returns`` are close to close. Prices and ``volume`` are adjusted, as everywhere. ``adv{d}`` is the mean of
``amount_cny`` over d sessions, what the paper calls average daily dollar volume; where it divides ``volume`` or is
compared with it (7, 17, 21, 39, 43, 47, 100), that is ``amount_cny`` too, because shares over money mean nothing.
``cap`` is ``market_value_cny``. IndClass.sector, .industry and .subindustry are all ``industry``: the tables know one
level. No alpha is left out; without the tables of market values or industries, those that read them are refused by
name (56 reads the value; 48, 58, 59, 63, 67, 69, 70, 76, 79, 80, 82, 87, 89, 90, 91, 93, 97 and 100 the industry).

Windows. A number of sessions that is not whole is rounded down, for every function, as the paper says of ts_{O}.
Windows skip NaN; ``delay`` and ``delta`` read one session, and are NaN where it was suspended. ``sum(x, d)`` is d
times the mean of the known values: a sum of prices would fall on every suspension.

Functions. ``rank`` is the cross-sectional rank over the number of values, in (0, 1], equals sharing the mean rank;
``ts_rank`` the same in time. What they rank, what is compared and what ``ts_argmax`` looks at is rounded to 10
decimals first: two correlations of 1 are equal, and a price is not above its own mean, whatever computing left in the
last bit. ``ts_argmax`` and ``ts_argmin`` say the position in the window, d for now, the earliest among equals.
``stddev`` and ``covariance`` are of a sample (n - 1), ``correlation`` is NaN where either side is flat. ``min(x, d)``
and ``max(x, d)`` of a number are windows (29 has the only one), of two series the smaller and the larger (71, 73, 76,
77, 82, 87, 88, 92, 96). ``x ^ y`` is a power; no base is negative but for exponents of 1 and 2. ``signedpower`` keeps
the sign; in 1 and 84 the base has none. ``scale`` sums to 1 in absolute value. ``decay_linear`` weighs the newest
session most. A comparison is 1 or 0, and NaN beside NaN, a ternary NaN where its condition is; ``x < y || x == y`` is
what is not ``y < x``. A division by zero is NaN.

Levels. The paper compares prices between symbols (``rank(open)``), adds a price to a rank or to a number, and takes
differences of prices. Prices here are adjusted by a cumulative factor whose level is the provider's own, so 81 of the
101 follow that level: the same market from another provider gives other values. ``LEVEL_FREE`` are the 20 that do not.
"""

from __future__ import annotations

from ljwx_pipeline.factors.alpha101_from_51 import alphas_from_51
from ljwx_pipeline.factors.alpha101_to_50 import alphas_to_50
from ljwx_pipeline.factors.catalogue import Catalogue, catalogue

#: Numbers of the alphas that stay as they are when all prices of a symbol are multiplied by a constant; held by a test.
LEVEL_FREE = frozenset({1, 2, 6, 7, 14, 19, 21, 26, 30, 33, 35, 38, 43, 48, 53, 54, 56, 72, 85, 99})


def alpha101() -> Catalogue:
    """Return the catalogue, in the paper's order."""
    return catalogue("alpha101", [*alphas_to_50(), *alphas_from_51()])
