"""What goes ex, as a list of (session, name) instead of two dense arrays: a market of 5,000 names has 20 a session.

Not here: what it does to an account (``account.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.compiled import trading_kernel
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.units import E4

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]

#: Columns of ``ActionList.rows``: position of the symbol, then per share held cash (1e-4 CNY), bonus shares and shares
#: offered in a rights issue (both 1e-4 shares), and the price of one offered share (1e-4 CNY).
ACTION_FIELDS = ("name", "cash_e4", "bonus_e4", "rights_e4", "rights_price_e4")
_CASH, _BONUS, _RIGHTS, _RIGHTS_PRICE = 1, 2, 3, 4
#: Columns of table ``corporate_actions`` that are read where it has them.
RIGHTS_COLUMNS = ("rights_shares_per_share", "rights_price_cny")


@dataclass(frozen=True)
class ActionList:
    """Actions by session, and ascending by name within one.

    Parameters
    ----------
    rows
        int64 of shape ``(n_actions, 5)``, columns ``ACTION_FIELDS``.
    start
        int64 of shape ``(n_sessions + 1,)``: the actions of session s are ``rows[start[s]:start[s + 1]]``.
    """

    rows: Int
    start: Int

    @classmethod
    def none(cls, n_sessions: int) -> ActionList:
        """Return a list on which nothing happens."""
        return cls(np.zeros((0, 5), dtype=np.int64), np.zeros(n_sessions + 1, dtype=np.int64))

    def on(self, position: int) -> Int:
        """Return the actions of the session at ``position``."""
        return self.rows[self.start[position] : self.start[position + 1]]


def booked_actions(actions: pd.DataFrame, names: pd.Index[str], sessions: pd.DatetimeIndex) -> ActionList:
    """Return table ``corporate_actions`` on the axes; an ex-date that is no session counts on the next one.

    ``RIGHTS_COLUMNS`` are read where the table has them, NaN is 0.

    Raises
    ------
    TradingError
        When shares are offered in a rights issue without a price.
    """
    symbol = names.get_indexer(pd.Index(actions["symbol"]))
    days = pd.DatetimeIndex(actions["ex_date"])
    session = sessions.searchsorted(days, side="left")
    kept = (symbol >= 0) & (session < len(sessions)) & (days >= sessions[0])
    columns = ("cash_cny_per_share", "bonus_shares_per_share", *RIGHTS_COLUMNS)
    values = np.zeros((int(kept.sum()), 4), dtype=np.int64)
    for at, column in enumerate(columns):
        if column in actions:
            told = actions[column].to_numpy(dtype=np.float64)[kept]
            values[:, at] = np.rint(np.where(np.isfinite(told), told, 0.0) * E4).astype(np.int64)
    unpriced = np.flatnonzero((values[:, 2] > 0) & (values[:, 3] <= 0))
    if len(unpriced):
        row = actions[kept].iloc[unpriced[0]]
        raise TradingError(
            f"{row['symbol']} offers {row['rights_shares_per_share']} shares a share on {row['ex_date']:%Y-%m-%d} "
            "without a price",
            "state rights_price_cny, or leave the offer out",
        )
    return _listed_by_session(symbol[kept], np.asarray(session)[kept], values, len(sessions))


def derived_actions(close_e4: Int32, pre_close_e4: Int32) -> ActionList:
    """Return what the gap between a close and the next bar's reference price says, for arrays ``(sessions, names)``.

    The drop is credited in cash, a rise takes shares away, so that no gap is a profit or a loss.
    """
    count = _derive(close_e4, pre_close_e4, np.zeros((0, 5), np.int64), np.zeros(len(close_e4) + 1, np.int64))
    rows, start = np.zeros((count, 5), np.int64), np.zeros(len(close_e4) + 1, np.int64)
    _derive(close_e4, pre_close_e4, rows, start)
    return ActionList(rows, start)


def _listed_by_session(symbol: Int, session: Int, values: Int, n_sessions: int) -> ActionList:
    """Return the actions sorted; several of one name on one session are one, offered shares at their mean price."""
    order = np.lexsort((symbol, session))
    symbol, session, values = symbol[order], session[order], values[order]
    first = np.flatnonzero(np.r_[True, (np.diff(symbol) != 0) | (np.diff(session) != 0)]) if len(order) else order
    rows = np.zeros((len(first), 5), dtype=np.int64)
    if len(first):
        rows[:, 0] = symbol[first]
        rows[:, 1:4] = np.add.reduceat(values[:, :3], first)
        paid = np.add.reduceat(values[:, 2] * values[:, 3], first)
        rows[:, _RIGHTS_PRICE] = paid // np.maximum(rows[:, _RIGHTS], 1)
    changed = rows[:, 1:].any(axis=1)
    start = np.searchsorted(session[first][changed], np.arange(n_sessions + 1)).astype(np.int64)
    return ActionList(np.ascontiguousarray(rows[changed]), start)


@trading_kernel
def _derive(close_e4: Int32, pre_close_e4: Int32, rows: Int, start: Int) -> int:
    """Write the gaps into ``rows`` unless it is empty; return how many there are."""
    last, count = np.zeros(close_e4.shape[1], np.int64), 0
    for s in range(close_e4.shape[0]):
        start[s] = count
        for i in range(close_e4.shape[1]):
            close, reference = np.int64(close_e4[s, i]), np.int64(pre_close_e4[s, i])
            if close <= 0:
                continue
            gap = last[i] - reference
            if last[i] > 0 and reference > 0 and gap != 0:
                if rows.shape[0] > 0:
                    rows[count, 0] = i
                    if gap > 0:
                        rows[count, _CASH] = gap
                    else:
                        rows[count, _BONUS] = last[i] * E4 // reference - E4
                count += 1
            last[i] = close
    start[close_e4.shape[0]] = count
    return count
