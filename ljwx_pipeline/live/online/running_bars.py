"""A running session's bars as fields of the panel: by the same arithmetic as the official bars at the close.

Everything in a snapshot is exact, its adjustment factor is not told. It is the last bar's, and on a day whose reference
price is not the last close (something goes ex) that one times last close over reference price: exchange and provider
round differently, so that prices across such a day are provisional until the close. Not here: bars from ticks
(``live/ticks/bars.py``), the panel of official bars (``market/adjustment.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.market.adjustment import FACTOR_FIELDS
from ljwx_pipeline.market.panel import Float
from ljwx_pipeline.market.panel_fields import AS_TRADED
from ljwx_pipeline.trading.exchange_wire import Bar
from ljwx_pipeline.units import E4, FEN_PER_CNY

Rows = NDArray[np.intp]


def fields_told(adjustment: str) -> frozenset[str]:
    """Return the fields of the panel that a running session's bars tell, under the bars' declared adjustment."""
    return frozenset(FACTOR_FIELDS) | (frozenset(AS_TRADED) if adjustment == "raw" else frozenset())


class RunningBars:
    """Makes fields of running bars; knows each symbol's last close and adjustment factor.

    Parameters
    ----------
    feed
        Its official bars up to the session before the running one are the last ones known.
    """

    def __init__(self, feed: ReplayFeed) -> None:
        self._feed = feed
        self._raw = feed.pack.manifest.adjustment == "raw"
        self._row_of = pd.Index(feed.symbols)
        self._factor = np.ones(len(feed.symbols))
        self._close_e4 = np.zeros(len(feed.symbols), dtype=np.int64)
        history = feed.pack.history
        self._take(history.sort_values("session_date").drop_duplicates("symbol", keep="last"))
        self._at = feed.history_sessions[-1].date()

    def move_to(self, session: date) -> None:
        """Take the official bars up to ``session``, which lies not before the one moved to last."""
        for following in self._feed.sessions:
            if self._at < following <= session:
                self._take(self._feed.bars(following))
                self._at = following

    def fields(self, rows: Rows, bars: Sequence[Bar]) -> dict[str, Float]:
        """Return the fields that ``bars`` tell, each of shape ``(len(rows),)``.

        Parameters
        ----------
        rows
            Of the bars' symbols, in the feed's order of symbols.
        bars
            Each with a price; their adjustment factors are not read.
        """
        numbers = np.array(
            [(b.open_e4, b.high_e4, b.low_e4, b.close_e4, b.pre_close_e4, b.volume_shares, b.amount_fen) for b in bars],
            dtype=np.int64,
        ).reshape(-1, 7)
        prices = {
            name: numbers[:, column] / E4 for column, name in enumerate(("open", "high", "low", "close", "pre_close"))
        }
        volume, amount = numbers[:, 5].astype(np.float64), numbers[:, 6] / FEN_PER_CNY
        before = prices.pop("pre_close")
        if not self._raw:
            vwap = (prices["open"] + prices["high"] + prices["low"] + prices["close"]) / 4
            return {**prices, "vwap": vwap, "volume": volume, "amount_cny": amount}
        factor = self.factors(rows, numbers[:, 4])
        traded = np.divide(amount, volume, out=prices["close"].copy(), where=volume > 0)
        adjusted = {name: values * factor for name, values in prices.items()}
        as_traded = {f"raw_{name}_cny": values for name, values in prices.items()}
        return {
            **adjusted,
            "vwap": traded * factor,
            "volume": volume / factor,
            "amount_cny": amount,
            **as_traded,
            "pre_close_cny": before,
            "raw_volume_shares": volume,
        }

    def factors(self, rows: Rows, pre_close_e4: NDArray[np.int64]) -> Float:
        """Return the running session's adjustment factor of each row, provisional where something goes ex.

        1 for a symbol that has never had a bar.
        """
        factor, close = self._factor[rows], self._close_e4[rows]
        goes_ex = (close > 0) & (pre_close_e4 > 0) & (close != pre_close_e4)
        ratio = np.divide(close, pre_close_e4, out=np.ones(len(rows)), where=goes_ex)
        return np.asarray(np.where(goes_ex, factor * ratio, factor))

    def _take(self, bars: pd.DataFrame) -> None:
        rows = self._row_of.get_indexer(pd.Index(bars["symbol"]))
        known = rows >= 0
        self._close_e4[rows[known]] = np.rint(bars["close_cny"].to_numpy(dtype=np.float64)[known] * E4)
        if self._raw:
            self._factor[rows[known]] = bars["adj_factor"].to_numpy(dtype=np.float64)[known]
