"""The market that a session pack holds, as the exchange plays it: one session's bars, limits, lots and actions.

Not here: the pack's files (``ljwx_pipeline/session_pack.py``), how a bar becomes ticks (``tick_path.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.config import CostSettings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.session_pack import SessionPack, official_bars, pack_market, pack_sessions, read_session_pack
from ljwx_pipeline.trading.exchange_wire import Bar
from ljwx_pipeline.trading.market_arrays import MarketArrays, optional_columns

Int = NDArray[np.int64]
_AGAIN = "run the pipeline's deployment again to write the pack anew"


@dataclass(frozen=True)
class DayBars:
    """One session's bars over all symbols, int64 of shape ``(n_symbols,)``; 0 without a bar.

    Prices in 1e-4 CNY, a missing open, high or low is the close; ``limit_up_e4`` and ``limit_down_e4`` as in
    ``MarketArrays``, ``open_up_e4`` and ``open_down_e4`` those of the opening auction.
    """

    open_e4: Int
    high_e4: Int
    low_e4: Int
    close_e4: Int
    pre_close_e4: Int
    limit_up_e4: Int
    limit_down_e4: Int
    open_up_e4: Int
    open_down_e4: Int
    volume_shares: Int
    amount_fen: Int


class ExchangeMarket:
    """The sessions of one pack.

    Parameters
    ----------
    pack
        A verified pack.
    costs
        The fill model decides which columns matching reads.

    Raises
    ------
    TradingError
        When the pack holds no session, a bar's high or low does not hold its other prices, or the market arrays cannot
        be made.
    """

    def __init__(self, pack: SessionPack, costs: CostSettings) -> None:
        if pack.feed.empty:
            raise TradingError("the session pack holds no session to play", "raise research.held_out_sessions")
        columns = {"open", "high", "low", *optional_columns(costs)}
        self.arrays: MarketArrays = pack_market(pack, columns=sorted(columns))
        self.symbols = self.arrays.symbols
        self.rows = {symbol: row for row, symbol in enumerate(self.symbols)}
        self.sessions: tuple[date, ...] = tuple(day.date() for day in pack_sessions(pack.feed))
        self.raw_prices = pack.manifest.adjustment == "raw"
        self._columns = {day.date(): column for column, day in enumerate(self.arrays.sessions)}
        self._frames = dict(tuple(pack.feed.groupby("session_date", sort=True)))

    @classmethod
    def open(cls, folder: Path, costs: CostSettings) -> ExchangeMarket:
        """Return the market of the pack in ``folder``, which is verified."""
        return cls(read_session_pack(folder), costs)

    def column(self, session: date) -> int:
        """Return the column of ``session`` in ``arrays``."""
        return self._columns[session]

    def next_session(self, session: date | None) -> date | None:
        """Return the session after ``session`` (None: the first), None after the last."""
        return next((day for day in self.sessions if session is None or day > session), None)

    def bars_hash(self, session: date) -> str:
        """Return the hash of what the bars of ``session`` say."""
        return content_hash(self._frame(session))

    def official_bars(self, session: date) -> tuple[Bar, ...]:
        """Return the session's bars as they are sent, by symbol."""
        return official_bars(self._frame(session))

    def day_bars(self, session: date) -> DayBars:
        """Return the session's bars on the axis of symbols."""
        arrays, column = self.arrays, self.column(session)
        close = arrays.close_e4[:, column].astype(np.int64)
        traded = close > 0

        def price(values: NDArray[np.int32] | None) -> Int:
            found = close if values is None else values[:, column].astype(np.int64)
            return np.where(traded & (found <= 0), close, found)

        open_e4, high, low = price(arrays.open_e4), price(arrays.high_e4), price(arrays.low_e4)
        wrong = np.flatnonzero((high < np.maximum(open_e4, close)) | (low > np.minimum(open_e4, close)))
        if len(wrong):
            row = wrong[0]
            raise TradingError(
                f"{self.symbols[row]} on {session} has open {open_e4[row]}, high {high[row]}, low {low[row]} and close "
                f"{close[row]} (1e-4 CNY): that is no bar",
                _AGAIN,
            )
        up, down = arrays.limit_up_e4[:, column].astype(np.int64), arrays.limit_down_e4[:, column].astype(np.int64)
        open_up, open_down = up.copy(), down.copy()
        if arrays.opening_limits is not None:
            for row, at_open_up, at_open_down in arrays.opening_limits.on(column):
                open_up[row], open_down[row] = at_open_up, at_open_down
        volume = arrays.volume_shares[:, column]
        return DayBars(
            open_e4=open_e4,
            high_e4=high,
            low_e4=low,
            close_e4=close,
            pre_close_e4=arrays.pre_close_e4[:, column].astype(np.int64),
            limit_up_e4=up,
            limit_down_e4=down,
            open_up_e4=open_up,
            open_down_e4=open_down,
            volume_shares=volume,
            amount_fen=self._amounts_fen(session),
        )

    def _amounts_fen(self, session: date) -> Int:
        frame = self._frame(session)
        out = np.zeros(len(self.symbols), dtype=np.int64)
        amounts = frame["amount_cny"].to_numpy(dtype=np.float64)
        rows = [self.rows[symbol] for symbol in frame["symbol"]]
        out[rows] = np.rint(np.where(np.isfinite(amounts), amounts, 0.0) * 100).astype(np.int64)
        return out

    def _frame(self, session: date) -> pd.DataFrame:
        frame: pd.DataFrame = self._frames[pd.Timestamp(session)].reset_index(drop=True)
        return frame
