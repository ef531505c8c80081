"""How many of one unit make one of another: money, prices, shares of a whole, and time.

Money is integer fen (``_fen``), prices are integers of 1e-4 CNY (``_e4``), rates of 1e-8 (``_e8``), shares of a whole
basis points (``_bps``), instants and spans nanoseconds (``_ns``). Not here: what a market prescribes, such as the tick
of a price (``market/rulebook.py``), and constants of one computation, which stand beside it.
"""

from __future__ import annotations

FEN_PER_CNY = 100
#: One, in the unit of prices in CNY and of shares per share.
E4 = 10_000
#: 1e-4 CNY in a fen.
E4_PER_FEN = 100
#: One in the unit of rates.
E8 = 100_000_000
#: The whole.
BPS = 10_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_S
NS_PER_DAY = 86_400 * NS_PER_S
