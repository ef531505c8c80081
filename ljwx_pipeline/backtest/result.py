"""What a backtest gives back: integers as the kernels made them, with the views people ask for.

Not here: performance measures (``evaluation/metrics.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.trading.matching import FILL_FIELDS, Reject

Int = NDArray[np.int64]

#: Columns of ``BacktestResult.orders`` after session and symbol.
ORDER_COLUMNS = FILL_FIELDS[2:]


def _unrecorded() -> Int:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class BacktestResult:
    """Sessions run, and per session (shape ``(n_sessions,)``, fen) what the account did.

    Parameters
    ----------
    sessions
        The first one is where the account opened: its equity is the capital and nothing was traded on it.
    equity_fen, cash_fen
        At the close. Holdings without a bar count at their last close.
    fees_fen, dividends_fen, written_off_fen, bought_fen, sold_fen
        Of the session; ``written_off_fen`` is the last value of holdings that were delisted.
    names_held
        Names held at the close.
    orders
        Every order sent, in queue order: session_date, symbol and ``ORDER_COLUMNS``; shares signed, ``reject`` a
        ``Reject`` code, ``order_reason`` an ``OrderReason`` code.
    positions
        Held at the last close: symbol, shares, held_sessions, last_price_e4, value_fen, entry_price_e4, peak_price_e4.
    largest_position_fen
        Value of the largest holding at the close.
    exposure_bps
        Share of the equity that money management let the decision at this close invest, before the cash reserve.
    slippage_fen, impact_fen
        What fills cost beyond their base price; bought and sold value hold them already.
    rights_paid_fen
        Paid for shares of rights issues.
    price_pnl_e4
        What prices did to the holdings, in 1e-4 CNY, with ex-dates, lapsed rights and the rounding of trade values.
        The change of cash x 100 + holdings at their last close is this plus 100 x (dividends - fees - slippage -
        impact - written off), exactly; the engine checks it on every session.
        These six have shape ``(0,)`` in a result that was not made by the engine.
    unscored_sessions
        Sessions on which no name had a score and nothing was decided.
    """

    sessions: pd.DatetimeIndex
    equity_fen: Int
    cash_fen: Int
    fees_fen: Int
    dividends_fen: Int
    written_off_fen: Int
    bought_fen: Int
    sold_fen: Int
    names_held: Int
    orders: pd.DataFrame
    positions: pd.DataFrame
    largest_position_fen: Int = field(default_factory=_unrecorded)
    exposure_bps: Int = field(default_factory=_unrecorded)
    slippage_fen: Int = field(default_factory=_unrecorded)
    impact_fen: Int = field(default_factory=_unrecorded)
    rights_paid_fen: Int = field(default_factory=_unrecorded)
    price_pnl_e4: Int = field(default_factory=_unrecorded)
    unscored_sessions: int = 0

    @property
    def equity(self) -> pd.Series:
        """Equity in CNY by session, the opening capital first."""
        return pd.Series(self.equity_fen / 100, index=self.sessions, name="equity_cny")

    @property
    def turnover_frac(self) -> pd.Series:
        """Half of bought plus sold value over the equity before the session (one-way turnover); 0 on the first."""
        before = np.r_[self.equity_fen[0], self.equity_fen[:-1]]
        traded = (self.bought_fen + self.sold_fen) / 2
        return pd.Series(traded / np.where(before > 0, before, 1), index=self.sessions, name="turnover_frac")

    @property
    def trades(self) -> pd.DataFrame:
        """The orders of which something was filled."""
        return self.orders[self.orders["fill_shares"] != 0]

    @property
    def rejects(self) -> dict[str, int]:
        """How many orders were refused, wholly or in part, by the name of the reason."""
        counts = self.orders["reject"].value_counts()
        return {code.name: int(counts.get(int(code), 0)) for code in Reject if code is not Reject.NONE}
