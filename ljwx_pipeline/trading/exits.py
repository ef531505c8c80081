"""Exits: which held names must go whatever their score: stop-loss, take-profit, trailing and time stop.

Judged at a session's close on that close, executed on the next session. A purchase can therefore never be sold on its
own session: the earliest exit is judged at the close of the session of purchase and executed on the one after, which is
what T+1 asks. Nothing is promised about the price: a stop names the close that triggers it, the fill comes a session
later and may be far worse. Without a bar nothing is judged; a name that could not be sold (suspended, locked at its
lower limit) is judged again at each close for as long as it is held. A name forced out is not bought back on the same
session; afterwards its score decides, as for every other.

Entry and peak prices are the account's, adjusted on ex-dates, so that a dividend triggers nothing. The same rules on
ticks, within the session: ``stops.py``.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.compiled import trading_kernel
from ljwx_pipeline.config import ExitSettings
from ljwx_pipeline.trading.order_reason import STOP_LOSS, TAKE_PROFIT, TIME, TRAILING
from ljwx_pipeline.units import BPS

Int = NDArray[np.int64]
Int32 = NDArray[np.int32]


@dataclass(frozen=True)
class ExitParams:
    """``ExitSettings`` as the integers a kernel takes; 0 switches a rule off."""

    stop_loss_bps: int
    take_profit_bps: int
    trailing_stop_bps: int
    max_hold_sessions: int

    @classmethod
    def of(cls, settings: ExitSettings) -> ExitParams:
        """Return the parameters that ``settings`` stands for."""
        return cls(
            stop_loss_bps=round(settings.stop_loss_frac * BPS),
            take_profit_bps=round(settings.take_profit_frac * BPS),
            trailing_stop_bps=round(settings.trailing_stop_frac * BPS),
            max_hold_sessions=settings.max_hold_sessions,
        )

    @property
    def active(self) -> bool:
        """Whether any rule is on."""
        return any(astuple(self))

    @property
    def reads_entry(self) -> bool:
        """Whether a rule needs to know what was paid."""
        return bool(self.stop_loss_bps or self.take_profit_bps)

    @property
    def reads_peak(self) -> bool:
        """Whether a rule needs to know the highest close since."""
        return bool(self.trailing_stop_bps)

    def as_array(self) -> Int:
        """Return the parameters in declared order, int64."""
        return np.array(astuple(self), dtype=np.int64)


STOP_LOSS_BPS, TAKE_PROFIT_BPS, TRAILING_BPS, MAX_HOLD = range(4)


@trading_kernel(inline=True)
def exit_reason(
    price_e4: int, entry_e4: int, peak_e4: int, age_sessions: int, stop: int, profit: int, trailing: int, max_hold: int
) -> int:
    """Return why a name must go at a price (an ``OrderReason``, 0: it may stay); THE definition of every exit.

    Parameters
    ----------
    price_e4, entry_e4, peak_e4
        Price judged, average price paid, highest close since; a price of 0 is not known, and rules that need it do
        not apply.
    age_sessions
        Sessions the position will be old when it is sold.
    stop, profit, trailing, max_hold
        The fields of ``ExitParams`` in declared order. When several rules hold, the first is the reason.
    """
    if price_e4 <= 0:
        return 0
    if stop > 0 and entry_e4 > 0 and price_e4 * BPS <= entry_e4 * (BPS - stop):
        return STOP_LOSS
    if profit > 0 and entry_e4 > 0 and price_e4 * BPS >= entry_e4 * (BPS + profit):
        return TAKE_PROFIT
    if trailing > 0 and peak_e4 > 0 and price_e4 * BPS <= peak_e4 * (BPS - trailing):
        return TRAILING
    return TIME if 0 < max_hold <= age_sessions else 0


@trading_kernel
def exits_kernel(
    held_names: Int32,
    n_held: int,
    held_sessions: Int,
    entry_price_e4: Int,
    peak_price_e4: Int,
    price_e4: Int,
    params: Int,
    forced: Int,
) -> int:
    """Write into ``forced`` why each held name must go (an ``OrderReason``, 0: it may stay); returns how many must.

    Parameters
    ----------
    held_names, n_held
        Names held, in the first ``n_held`` places; ``forced`` is filled in the same order.
    held_sessions, entry_price_e4, peak_price_e4
        Of the open positions, shape ``(n_symbols,)``: age, average price paid, highest close since. A price of 0 is
        not known (`exit_reason`).
    price_e4
        The session's close, 0 without a bar.
    params
        ``ExitParams.as_array()``.
    """
    stop, profit, trailing, max_hold = (
        params[STOP_LOSS_BPS],
        params[TAKE_PROFIT_BPS],
        params[TRAILING_BPS],
        params[MAX_HOLD],
    )
    found = 0
    for j in range(n_held):
        i = held_names[j]
        forced[j] = exit_reason(
            int(price_e4[i]),
            int(entry_price_e4[i]),
            int(peak_price_e4[i]),
            int(held_sessions[i]) + 1,  # one more session passes before it is sold
            stop,
            profit,
            trailing,
            max_hold,
        )
        found += forced[j] != 0
    return found


def forced_out(
    *,
    holdings_shares: Int,
    held_sessions: Int,
    entry_price_e4: Int,
    peak_price_e4: Int,
    price_e4: Int,
    params: ExitParams,
) -> Int:
    """Return why each name must go (an ``OrderReason``, 0: it need not), shape ``(n_symbols,)``; see the kernel."""
    held = np.flatnonzero(holdings_shares > 0).astype(np.int32)
    reasons, forced = np.zeros(len(held), dtype=np.int64), np.zeros(len(holdings_shares), dtype=np.int64)
    exits_kernel(held, len(held), held_sessions, entry_price_e4, peak_price_e4, price_e4, params.as_array(), reasons)
    forced[held] = reasons
    return forced
