"""The feed port and its first implementation: the held-out sessions of a session pack, replayed in order.

A feed says which sessions there are and what a session's bars were; the runner asks for one only when its turn comes.
Not here: the pack's files (``session_pack.py``), pacing (``loop.py``).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from pathlib import Path

import pandas as pd

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.live.session_pack import SessionPack, read_session_pack
from ljwx_pipeline.trading.market_arrays import MarketArrays, market_arrays


class ReplayFeed:
    """The sessions of one pack.

    Parameters
    ----------
    pack
        A verified pack.
    columns
        Columns of ``market`` beside the close that the fill model reads (``market_arrays.optional_columns``).

    Raises
    ------
    LiveError
        When the pack holds no session to replay.
    """

    def __init__(self, pack: SessionPack, *, columns: Collection[str] = ()) -> None:
        if pack.feed.empty:
            raise LiveError("the session pack holds no session to replay", "raise research.held_out_sessions")
        self.pack = pack
        self.symbols = tuple(sorted(pack.securities["symbol"]))
        self.history_sessions = _sessions(pack.history)
        feed_sessions = _sessions(pack.feed)
        self.sessions: tuple[date, ...] = tuple(day.date() for day in feed_sessions)
        self._by_session = dict(tuple(pack.feed.groupby("session_date", sort=True)))
        # the history goes along: listing ages and what is derived from the close before need it
        axis = pd.DatetimeIndex(self.history_sessions.append(feed_sessions))
        self.market: MarketArrays = market_arrays(
            pd.concat([pack.history, pack.feed], ignore_index=True),
            pack.securities,
            pack.st_spells,
            pack.corporate_actions,
            symbols=self.symbols,
            sessions=axis,
            adjustment=pack.manifest.adjustment,
            columns=columns,
        )
        self._columns = {day.date(): column for column, day in enumerate(axis)}

    @classmethod
    def open(cls, folder: Path, *, columns: Collection[str] = ()) -> ReplayFeed:
        """Return the feed of the pack in ``folder``."""
        return cls(read_session_pack(folder), columns=columns)

    def bars(self, session: date) -> pd.DataFrame:
        """Return the canonical bars of ``session``, by symbol."""
        return self._by_session[pd.Timestamp(session)].reset_index(drop=True)

    def bars_hash(self, session: date) -> str:
        """Return the hash of what the bars of ``session`` say."""
        return content_hash(self.bars(session))

    def column(self, session: date) -> int:
        """Return the column of ``session`` in ``market``."""
        return self._columns[session]


def _sessions(bars: pd.DataFrame) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(bars["session_date"].unique(), name="session_date").sort_values()
