"""Trading sessions of the Shanghai and Shenzhen exchanges (calendar XSHG), as dates without a time zone.

Not here: wall-clock time (``clock.py``).
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import SourceError

#: Fewer known sessions ahead than this are an alarm: labels, schedules and purges soon run into the calendar's end.
MIN_HORIZON_SESSIONS = 60
#: First date of the calendar we ask for; A-share history that the rulebook covers begins later.
CALENDAR_START = "1999-01-04"


@lru_cache(maxsize=1)
def _all_sessions() -> pd.DatetimeIndex:
    import exchange_calendars  # 0.3 s to import: only when sessions are asked for

    calendar = exchange_calendars.get_calendar("XSHG", start=CALENDAR_START)
    return pd.DatetimeIndex(calendar.sessions.tz_localize(None), name="session_date")


def last_known_session() -> date:
    """Return the last session the calendar knows; the library publishes a year at a time."""
    return _all_sessions()[-1].date()


def sessions_ahead(day: date) -> int:
    """Return how many sessions after ``day`` the calendar knows."""
    return int((_all_sessions() > pd.Timestamp(day)).sum())


def sessions_between(first: date, last: date) -> pd.DatetimeIndex:
    """Return the sessions in ``[first, last]``, ascending, named ``session_date``.

    Raises
    ------
    SourceError
        When the range holds no session, or begins before or ends after what the calendar knows.
    """
    every = _all_sessions()
    if first < date.fromisoformat(CALENDAR_START):
        raise SourceError(f"{first} is before the calendar's start {CALENDAR_START}", "ask for a later first session")
    # a horizon that ends inside the calendar's last year is normal: clip to what is known
    found = every[(every >= pd.Timestamp(first)) & (every <= pd.Timestamp(last))]
    if found.empty:
        raise SourceError(f"no trading session lies in {first} to {last}", "widen the date range")
    return found


def is_session(day: date) -> bool:
    """Return whether ``day`` is a trading session; a day past the known horizon is an error, not a guess."""
    if day > last_known_session():
        raise SourceError(f"{day} is past the calendar's horizon {last_known_session()}", "upgrade exchange-calendars")
    return pd.Timestamp(day) in _all_sessions()


def session_positions(dates: pd.Series, sessions: pd.DatetimeIndex) -> NDArray[np.int64]:
    """Return each date's position in ``sessions``, shape ``(n,)``; -1 where it is not a session."""
    return np.asarray(sessions.get_indexer(pd.DatetimeIndex(dates)), dtype=np.int64)
