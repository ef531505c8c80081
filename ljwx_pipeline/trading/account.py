"""The account: shares and cash, and the three things that change them overnight and at the close.

``open_session`` ages positions, pays dividends, books bonus shares and rights and writes off the delisted; ``settle``
books fills; ``mark`` values holdings. Kernels walk the ascending list of held names and change dense arrays in place,
so that a session costs what is held and traded, not the whole market; the ``Account`` methods call them.

A security that is delisted while held is written off at zero: what a holder gets later in the delisted market is
unknown, and zero is the side on which an estimate may err. Dividends are credited gross on the ex-date. A rights issue
is subscribed in full on its ex-date when cash covers it, name by name in symbol order after the session's dividends,
and its shares count as held since before; else it lapses whole, and the fall of the ex-price is the loss that shows.
Fractions of a share are dropped.

Every kernel also returns what it did to the equity in 1e-4 CNY beyond cash that came or went: the second reckoning of
equity (``backtest/engine.py``) adds these up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.compiled import trading_kernel
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.matching import (
    BASE,
    COMMISSION_FEN,
    FILLED,
    NAME,
    PRICE,
    STAMP_FEN,
    TRANSFER_FEN,
    VALUE,
    Fills,
)
from ljwx_pipeline.units import E4, E4_PER_FEN

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]
Bool = NDArray[np.bool_]


@trading_kernel
def ex_price_e4(price_e4: int, cash_e4: int, bonus_e4: int, rights_e4: int, rights_price_e4: int) -> int:
    """Return the reference price after the ex-date: (price - cash + rights x their price) / (1 + bonus + rights)."""
    return max(0, ((price_e4 - cash_e4) * E4 + rights_e4 * rights_price_e4) // (E4 + bonus_e4 + rights_e4))


@trading_kernel
def _without_the_sold(held_names: Int32, n_held: int, shares: Int) -> int:
    kept = 0
    for j in range(n_held):
        if shares[held_names[j]] > 0:
            held_names[kept] = held_names[j]
            kept += 1
    return kept


@trading_kernel
def open_session_kernel(
    held_names: Int32,
    n_held: int,
    shares: Int,
    sellable: Int,
    held_sessions: Int,
    last_price_e4: Int,
    entry_price_e4: Int,
    peak_price_e4: Int,
    listed: Bool,
    actions: Int,
    first_action: int,
    stop_action: int,
    cash_fen: int,
) -> tuple[int, int, int, int, int, int]:
    """Begin a session; rows of ``actions`` are ``market_arrays.ACTION_FIELDS``, ascending by name.

    Returns ``(n_held, cash_fen, dividends_fen, written_off_fen, rights_paid_fen, revalued_e4)``.
    """
    dividends, written_off, rights_paid, revalued_e4, gone = 0, 0, 0, 0, 0
    for j in range(n_held):
        i = held_names[j]
        if listed[i]:
            held_sessions[i] += 1
            sellable[i] = shares[i]
            continue
        value_e4 = shares[i] * last_price_e4[i]
        written_off += value_e4 // E4_PER_FEN
        revalued_e4 -= value_e4 % E4_PER_FEN
        shares[i] = sellable[i] = held_sessions[i] = entry_price_e4[i] = peak_price_e4[i] = 0
        gone += 1
    for a in range(first_action, stop_action):
        dividends += shares[actions[a, 0]] * actions[a, 1] // E4_PER_FEN
    cash = cash_fen + dividends
    for a in range(first_action, stop_action):
        i = actions[a, 0]
        before = shares[i]
        if before == 0:
            continue
        per_share_e4, bonus_e4, rights_e4, rights_price_e4 = actions[a, 1], actions[a, 2], actions[a, 3], actions[a, 4]
        value_e4 = before * last_price_e4[i]
        shares[i] += before * bonus_e4 // E4
        offered = before * rights_e4 // E4
        cost = (offered * rights_price_e4 + E4_PER_FEN - 1) // E4_PER_FEN
        if offered > 0 and cost <= cash:
            cash -= cost
            rights_paid += cost
            shares[i] += offered
            revalued_e4 -= cost * E4_PER_FEN
        # what the holding is worth on the ex-date, for names that are suspended on it
        last_price_e4[i] = ex_price_e4(last_price_e4[i], per_share_e4, bonus_e4, rights_e4, rights_price_e4)
        entry_price_e4[i] = ex_price_e4(entry_price_e4[i], per_share_e4, bonus_e4, rights_e4, rights_price_e4)
        peak_price_e4[i] = ex_price_e4(peak_price_e4[i], per_share_e4, bonus_e4, rights_e4, rights_price_e4)
        revalued_e4 += shares[i] * last_price_e4[i] - value_e4
        sellable[i] = shares[i]
        if shares[i] == 0:  # a derived action took the last odd share
            held_sessions[i] = entry_price_e4[i] = peak_price_e4[i] = 0
            gone += 1
    if gone > 0:
        n_held = _without_the_sold(held_names, n_held, shares)
    return n_held, cash, dividends, written_off, rights_paid, revalued_e4


@trading_kernel
def settle_kernel(
    held_names: Int32,
    n_held: int,
    shares: Int,
    sellable: Int,
    held_sessions: Int,
    last_price_e4: Int,
    entry_price_e4: Int,
    peak_price_e4: Int,
    rows: Int,
    n_rows: int,
    cash_fen: int,
) -> tuple[int, int, int]:
    """Book what ``match_kernel`` wrote; returns ``(n_held, cash_fen, revalued_e4)``. See ``Account.settle``."""
    revalued_e4, gone = 0, 0
    for k in range(n_rows):
        fill = rows[k, FILLED]
        if fill == 0:
            continue
        i, base = rows[k, NAME], rows[k, BASE]
        fees = rows[k, COMMISSION_FEN] + rows[k, STAMP_FEN] + rows[k, TRANSFER_FEN]
        if fill > 0:
            cash_fen -= rows[k, VALUE] + fees
            if shares[i] == 0:
                held_sessions[i] = peak_price_e4[i] = 0
                entry_price_e4[i], last_price_e4[i] = rows[k, PRICE], base
                at = n_held
                while at > 0 and held_names[at - 1] > i:
                    held_names[at] = held_names[at - 1]
                    at -= 1
                held_names[at] = i
                n_held += 1
            else:
                paid_e4 = entry_price_e4[i] * shares[i] + rows[k, PRICE] * fill
                entry_price_e4[i] = paid_e4 // (shares[i] + fill)
            # a buyer's value is rounded up to the fen
            revalued_e4 -= (-(fill * base)) % E4_PER_FEN
        else:
            cash_fen += rows[k, VALUE] - fees
            sellable[i] += fill
            revalued_e4 -= (-fill * base) % E4_PER_FEN
        revalued_e4 += fill * (last_price_e4[i] - base)
        shares[i] += fill
        if shares[i] == 0:
            held_sessions[i] = entry_price_e4[i] = peak_price_e4[i] = 0
            gone += 1
    if gone > 0:
        n_held = _without_the_sold(held_names, n_held, shares)
    return n_held, cash_fen, revalued_e4


@trading_kernel
def mark_kernel(
    held_names: Int32,
    n_held: int,
    shares: Int,
    last_price_e4: Int,
    peak_price_e4: Int,
    close_e4: Int,
    volume_shares: Int,
) -> tuple[int, int, int, int]:
    """Take over the closes of what is held.

    Returns ``(value_e4, largest_e4, revalued_e4, unpriced)``: the holdings' value, that of the largest one, the change
    against the last prices, and the first held name that traded without a close, -1 for none.
    """
    value_e4, largest_e4, revalued_e4, unpriced = 0, 0, 0, -1
    for j in range(n_held):
        i = held_names[j]
        close = np.int64(close_e4[i])
        if close > 0:
            revalued_e4 += shares[i] * (close - last_price_e4[i])
            last_price_e4[i] = close
            peak_price_e4[i] = max(peak_price_e4[i], close)
        elif volume_shares[i] > 0 and unpriced < 0:
            unpriced = i
        position_e4 = shares[i] * last_price_e4[i]
        value_e4 += position_e4
        largest_e4 = max(largest_e4, position_e4)
    return value_e4, largest_e4, revalued_e4, unpriced


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
    entry_price_e4
        Average price paid for the open position, fees left out, adjusted on ex-dates; 0 where nothing is held.
    peak_price_e4
        Highest close since the position was opened, adjusted on ex-dates; 0 where nothing is held.
    """

    cash_fen: int
    shares: Int
    sellable_shares: Int
    held_sessions: Int
    last_price_e4: Int
    entry_price_e4: Int
    peak_price_e4: Int

    @classmethod
    def opened(cls, cash_fen: int, n_symbols: int) -> Account:
        """Return an account that holds only cash."""
        return cls(cash_fen, *(np.zeros(n_symbols, dtype=np.int64) for _ in range(6)))

    @property
    def equity_fen(self) -> int:
        """Cash plus holdings at their last known close."""
        return self.cash_fen + int(self.shares @ self.last_price_e4) // E4_PER_FEN

    def open_session(self, *, actions: Int, listed: Bool) -> tuple[int, int, int]:
        """Begin a session and return ``(dividends_fen, written_off_fen, rights_paid_fen)``.

        Parameters
        ----------
        actions
            What goes ex on this session, rows of ``market_arrays.ACTION_FIELDS`` ascending by name.
        listed
            False from the first session after delisting: what is still held is written off at zero.
        """
        held, n_held = self._held()
        _, cash, dividends, written_off, rights_paid, _ = open_session_kernel(
            held, n_held, *self._arrays(), np.ascontiguousarray(listed), actions, 0, len(actions), self.cash_fen
        )
        self.cash_fen = int(cash)
        return int(dividends), int(written_off), int(rights_paid)

    def settle(self, fills: Fills) -> None:
        """Book the session's fills.

        Raises
        ------
        TradingError
            When cash after them is not what matching reckoned, or a holding would go negative.
        """
        held, n_held = self._held()
        _, cash, _ = settle_kernel(held, n_held, *self._arrays(), fills.rows, len(fills.rows), self.cash_fen)
        if cash != fills.cash_after_fen or cash < 0 or (self.sellable_shares < 0).any():
            raise TradingError(
                f"cash after settlement is {cash} fen, matching reckoned {fills.cash_after_fen}",
                "match and settle the same fills against the same account, once",
            )
        self.cash_fen = int(cash)

    def mark(self, close_e4: Int | Int32, volume_shares: Int | None = None) -> int:
        """Value holdings at ``close_e4`` (0: no bar, the last known close stays) and return the equity in fen.

        Raises
        ------
        TradingError
            When something held traded (``volume_shares`` above zero) and has no close.
        """
        held, n_held = self._held()
        close = close_e4.astype(np.int64)
        traded = np.zeros_like(close) if volume_shares is None else volume_shares
        value_e4, _, _, unpriced = mark_kernel(
            held, n_held, self.shares, self.last_price_e4, self.peak_price_e4, close, traded
        )
        if unpriced >= 0:
            raise TradingError(
                f"name {unpriced} is held and traded {traded[unpriced]} shares, but has no close",
                "complete the bar, or leave the row out (the name is then suspended)",
            )
        return self.cash_fen + int(value_e4) // E4_PER_FEN

    def _held(self) -> tuple[Int32, int]:
        # room for every name: settling may add to the list
        held = np.empty(len(self.shares), dtype=np.int32)
        found = np.flatnonzero(self.shares)
        held[: len(found)] = found
        return held, len(found)

    def _arrays(self) -> tuple[Int, Int, Int, Int, Int, Int]:
        return (
            *(self.shares, self.sellable_shares, self.held_sessions),
            *(self.last_price_e4, self.entry_price_e4, self.peak_price_e4),
        )
