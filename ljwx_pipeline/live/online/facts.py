"""What is known of every symbol before a session begins, from the market arrays: what ticks are judged by.

Not here: the judging (``live/ticks/validation.py``), where limits come from (``trading/market_arrays.py``).
"""

from __future__ import annotations

from datetime import date

from ljwx_pipeline.live.ticks.validation import SymbolFacts
from ljwx_pipeline.market.hours import session_hours
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.market_arrays import ADJUSTED_TOLERANCE_BPS, MarketArrays
from ljwx_pipeline.units import BPS

#: Stands for the lower limit where there is none: a believed price is above zero.
LOWEST_PRICE_E4 = 1


def session_facts(market: MarketArrays, session: date, *, raw_prices: bool) -> tuple[SymbolFacts, ...]:
    """Return the facts of ``session``, by symbol.

    A symbol without a reference price has no limits that could hold its ticks to anything: it is left out, and its
    ticks are a stranger's. One whose reference lies outside its limits is known all the same, its limits reach as far.
    The opening auction is held to the session's limits. Those of adjusted prices are not exact, and the market's lie
    inside the true ones by the tolerance: these are drawn as far outside.

    Raises
    ------
    ValueError
        When the market does not hold the session.
    """
    column = [day.date() for day in market.sessions].index(session)
    found = []
    for row, symbol in enumerate(market.symbols):
        before, up = int(market.pre_close_e4[row, column]), int(market.limit_up_e4[row, column])
        down = int(market.limit_down_e4[row, column])
        if not raw_prices:
            up += up * 2 * ADJUSTED_TOLERANCE_BPS // BPS
            down -= down * 2 * ADJUSTED_TOLERANCE_BPS // BPS
        if before > 0:
            hours = session_hours(session, Board(int(market.board[row])), symbol.rpartition(".")[2])
            lowest = min(max(down, LOWEST_PRICE_E4), before)
            found.append(SymbolFacts(symbol, before, max(up, before), lowest, hours))
    return tuple(found)
