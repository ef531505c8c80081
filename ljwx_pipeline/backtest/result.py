"""What a backtest gives back: integers as the kernels made them, with the views people ask for.

Not here: performance measures (``evaluation/metrics.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.trading.matching import Reject

Int = NDArray[np.int64]

#: Columns of ``BacktestResult.orders`` after session and symbol.
ORDER_COLUMNS = (
    "order_shares",
    "fill_shares",
    "price_e4",
    "value_fen",
    "commission_fen",
    "stamp_duty_fen",
    "transfer_fee_fen",
    "reject",
)


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
        Every order sent: session_date, symbol and ``ORDER_COLUMNS``; shares signed, ``reject`` a ``Reject`` code.
    positions
        Held at the last close: symbol, shares, held_sessions, last_price_e4, value_fen.
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
