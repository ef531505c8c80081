"""The feed port and its first implementation: the held-out sessions of a session pack, replayed in order.

A feed says which sessions there are and what a session's bars were; the runner asks for one only when its turn comes.
Not here: the pack's files (``ljwx_pipeline/session_pack.py``), pacing (``process.py``).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from pathlib import Path

import pandas as pd

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.session_pack import (
    SessionPack,
    bars_hash,
    official_bars,
    pack_market,
    pack_sessions,
    read_session_pack,
)


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
        self.history_sessions = pack_sessions(pack.history)
        self.sessions: tuple[date, ...] = tuple(day.date() for day in pack_sessions(pack.feed))
        self._by_session = dict(tuple(pack.feed.groupby("session_date", sort=True)))
        self.market = pack_market(pack, columns=columns)
        self.symbols = self.market.symbols
        self._columns = {day.date(): column for column, day in enumerate(self.market.sessions)}

    @classmethod
    def open(cls, folder: Path, *, columns: Collection[str] = ()) -> ReplayFeed:
        """Return the feed of the pack in ``folder``."""
        return cls(read_session_pack(folder), columns=columns)

    def bars(self, session: date) -> pd.DataFrame:
        """Return the canonical bars of ``session``, by symbol."""
        return self._by_session[pd.Timestamp(session)].reset_index(drop=True)

    def bars_hash(self, session: date) -> str:
        """Return the hash of what the bars of ``session`` say, which an exchange's word for them has too."""
        return bars_hash(official_bars(self.bars(session)))

    def column(self, session: date) -> int:
        """Return the column of ``session`` in ``market``."""
        return self._columns[session]
