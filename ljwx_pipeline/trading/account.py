"""The account: shares and cash, and the three things that change them overnight and at the close.

``open_session`` ages positions, pays dividends, books bonus shares and writes off the delisted; ``settle`` books fills;
``mark`` values holdings. Kernels change arrays in place; the ``Account`` methods call them.

A security that is delisted while held is written off at zero: what a holder gets later in the delisted market is
unknown, and zero is the side on which an estimate may err. Dividends are credited gross on the ex-date.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.costs import E4_PER_FEN
from ljwx_pipeline.trading.matching import Fills

Int = NDArray[np.int64]
E4 = 10_000


@njit(cache=True)
def open_session_kernel(
    shares: Int,
    sellable: Int,
    held_sessions: Int,
    last_price_e4: Int,
    cash_e4_per_share: Int,
    bonus_e4_per_share: Int,
    listed: NDArray[np.bool_],
    cash_fen: int,
) -> tuple[int, int, int]:
    """Begin a session; returns ``(cash_fen, dividends_fen, written_off_fen)``. See ``Account.open_session``."""
    dividends, written_off = 0, 0
    for i in range(shares.size):
        if shares[i] == 0:
            continue
        if not listed[i]:
            written_off += shares[i] * last_price_e4[i] // E4_PER_FEN
            shares[i] = sellable[i] = held_sessions[i] = 0
            continue
        held_sessions[i] += 1
        if cash_e4_per_share[i] != 0 or bonus_e4_per_share[i] != 0:
            dividends += shares[i] * cash_e4_per_share[i] // E4_PER_FEN
            shares[i] += shares[i] * bonus_e4_per_share[i] // E4
            # the reference price after the ex-date, for holdings that are suspended on it
            ex_price = (last_price_e4[i] - cash_e4_per_share[i]) * E4 // (E4 + bonus_e4_per_share[i])
            last_price_e4[i] = max(0, ex_price)
        sellable[i] = shares[i]
    return cash_fen + dividends, dividends, written_off


@njit(cache=True)
def settle_kernel(
    shares: Int,
    sellable: Int,
    held_sessions: Int,
    fill_shares: Int,
    fill_value_fen: Int,
    fill_fees_fen: Int,
    cash_fen: int,
) -> int:
    """Book fills; returns the cash after them. See ``Account.settle``."""
    for i in range(shares.size):
        if fill_shares[i] == 0:
            continue
        if fill_shares[i] > 0:
            cash_fen -= fill_value_fen[i] + fill_fees_fen[i]
            if shares[i] == 0:
                held_sessions[i] = 0
        else:
            cash_fen += fill_value_fen[i] - fill_fees_fen[i]
            sellable[i] += fill_shares[i]
        shares[i] += fill_shares[i]
        if shares[i] == 0:
            held_sessions[i] = 0
    return cash_fen


@njit(cache=True)
def mark_kernel(shares: Int, last_price_e4: Int, close_e4: Int) -> int:
    """Take over the closes of what is held and return the holdings' value in fen, rounded down."""
    value_e4 = 0
    for i in range(shares.size):
        if shares[i] > 0:
            if close_e4[i] > 0:
                last_price_e4[i] = close_e4[i]
            value_e4 += shares[i] * last_price_e4[i]
    return value_e4 // E4_PER_FEN


@dataclass
class Account:
    """One account over a fixed list of symbols.

    Parameters
    ----------
    cash_fen
        Cash, never negative.
    shares, sellable_shares
        Shares held, and those of them held since before the session (T+1), int64 of shape ``(n_symbols,)``.
    held_sessions
        Sessions since the position was opened; 0 on that session and where nothing is held.
    last_price_e4
        Last known close of what is held.
    """

    cash_fen: int
    shares: Int
    sellable_shares: Int
    held_sessions: Int
    last_price_e4: Int

    @classmethod
    def opened(cls, cash_fen: int, n_symbols: int) -> Account:
        """Return an account that holds only cash."""
        return cls(cash_fen, *(np.zeros(n_symbols, dtype=np.int64) for _ in range(4)))

    @property
    def equity_fen(self) -> int:
        """Cash plus holdings at their last known close."""
        return self.cash_fen + int(self.shares @ self.last_price_e4) // E4_PER_FEN

    def open_session(
        self, *, cash_e4_per_share: Int, bonus_e4_per_share: Int, listed: NDArray[np.bool_]
    ) -> tuple[int, int]:
        """Begin a session and return ``(dividends_fen, written_off_fen)``.

        Parameters
        ----------
        cash_e4_per_share, bonus_e4_per_share
            What goes ex on this session, 1e-4 CNY and 1e-4 shares a share held at the previous close; shares below one
            are dropped.
        listed
            False from the first session after delisting: what is still held is written off at zero.
        """
        cash, dividends, written_off = open_session_kernel(
            self.shares,
            self.sellable_shares,
            self.held_sessions,
            self.last_price_e4,
            cash_e4_per_share,
            bonus_e4_per_share,
            listed,
            self.cash_fen,
        )
        self.cash_fen = int(cash)
        return int(dividends), int(written_off)

    def settle(self, fills: Fills) -> None:
        """Book the session's fills.

        Raises
        ------
        TradingError
            When cash after them is not what matching reckoned, or a holding would go negative.
        """
        cash = int(
            settle_kernel(
                self.shares,
                self.sellable_shares,
                self.held_sessions,
                fills.shares,
                fills.value_fen,
                fills.fees_fen,
                self.cash_fen,
            )
        )
        if cash != fills.cash_after_fen or cash < 0 or (self.sellable_shares < 0).any():
            raise TradingError(
                f"cash after settlement is {cash} fen, matching reckoned {fills.cash_after_fen}",
                "match and settle the same fills against the same account, once",
            )
        self.cash_fen = cash

    def mark(self, close_e4: Int) -> int:
        """Value holdings at ``close_e4`` (0: no bar, the last known close stays) and return the equity in fen."""
        return self.cash_fen + int(mark_kernel(self.shares, self.last_price_e4, close_e4))
