"""What an order's fills are held against: the prices of its session's bar, and the one it was decided on.

Not here: the measures themselves (``measures.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from ljwx_pipeline.live.analysis.ledger import TradedOrder
from ljwx_pipeline.session_pack import SessionPack
from ljwx_pipeline.units import E4


@dataclass(frozen=True)
class BarPrices:
    """One name's bar on one session, 1e-4 CNY; 0 where the bar does not say.

    ``vwap_e4`` is amount over volume, and 0 where the pack's prices are adjusted: its amounts are not.
    """

    pre_close_e4: int
    open_e4: int
    close_e4: int
    vwap_e4: float


Bars = Mapping[tuple[date, str], BarPrices]


def bars_of(pack: SessionPack, traded: Iterable[TradedOrder]) -> Bars:
    """Return the bars of the sessions and names that ``traded`` were decided on or good for; suspended ones lack."""
    wanted = {(day, one.symbol) for one in traded for day in (one.session, one.valid_session)}
    days = pd.DatetimeIndex(sorted({pd.Timestamp(day) for day, _ in wanted}))
    symbols = {symbol for _, symbol in wanted}
    raw = pack.manifest.adjustment == "raw"
    found: dict[tuple[date, str], BarPrices] = {}
    for bars in (pack.history, pack.feed):
        some = bars[bars["session_date"].isin(days) & bars["symbol"].isin(symbols)]
        volume = some["volume_shares"].to_numpy(dtype=np.float64)
        amount = some["amount_cny"].to_numpy(dtype=np.float64)
        known = np.isfinite(amount) & np.isfinite(volume) & (volume > 0) & raw
        vwap = np.divide(amount * E4, volume, out=np.zeros(len(some)), where=known)
        columns = [_whole(some[f"{name}_cny"]) for name in ("pre_close", "open", "close")]
        keys = zip(some["session_date"], some["symbol"], strict=True)
        for (day, symbol), *prices, average in zip(keys, *columns, vwap.tolist(), strict=True):
            key = (day.date(), str(symbol))
            if key in wanted:
                pre_close, open_, close = prices
                found[key] = BarPrices(pre_close, open_, close, average)
    return found


def decision_price_e4(order: TradedOrder, bars: Bars) -> int:
    """Return the price the order was decided on, in the shares of the session it was good for; 0 when unknown.

    Between a close and an ex-date's session the same share is quoted lower: the price decided on is carried over by
    the session's own reference price (its ``pre_close``) over the close it was decided at, so that a dividend is no
    slippage.
    """
    before, then = bars.get((order.session, order.symbol)), bars.get((order.valid_session, order.symbol))
    if before is None or then is None or before.close_e4 <= 0 or then.pre_close_e4 <= 0:
        return order.decision_e4
    return round(order.decision_e4 * then.pre_close_e4 / before.close_e4)


def _whole(prices: pd.Series) -> list[int]:
    values = prices.to_numpy(dtype=np.float64)
    whole: list[int] = np.rint(np.where(np.isfinite(values), values, 0.0) * E4).astype(np.int64).tolist()
    return whole
