"""Trading sessions of the Shanghai and Shenzhen exchanges (calendar XSHG), as dates without a time zone.

Not here: wall-clock time (``clock.py``), and how a provider tells its own calendar (the source adapters).
"""

from __future__ import annotations

import sys
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.clock import SESSION_CLOSE, SHANGHAI
from ljwx_pipeline.errors import SourceError

#: Fewer known sessions ahead than this are an alarm: labels, schedules and purges soon run into the calendar's end.
MIN_HORIZON_SESSIONS = 60
#: First date of the calendar we ask for; A-share history that the rulebook covers begins later.
CALENDAR_START = "1999-01-04"
#: By which a figure of a session is made one of a year.
SESSIONS_PER_YEAR = 252


@lru_cache(maxsize=1)
def _all_sessions() -> pd.DatetimeIndex:
    import exchange_calendars  # 0.3 s to import: only when sessions are asked for

    calendar = exchange_calendars.get_calendar("XSHG", start=CALENDAR_START)
    return pd.DatetimeIndex(calendar.sessions.tz_localize(None), name="session_date")


def last_known_session() -> date:
    """Return the last session the calendar knows; the library publishes a year at a time."""
    return _all_sessions()[-1].date()


def upgrade_remedy() -> str:
    """Return what to do about a calendar that ends too soon: the command, and when there is something to install."""
    return (
        f"upgrade exchange-calendars: {sys.executable} -m pip install --upgrade exchange-calendars (a year's sessions "
        "come with a release made after the exchange announced its holidays, late in the year before; while there is "
        f"none newer, the line runs on until {last_known_session()})"
    )


def sessions_ahead(day: date) -> int:
    """Return how many sessions after ``day`` the calendar knows."""
    return int((_all_sessions() > pd.Timestamp(day)).sum())


def session_closes(sessions: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Return the instant at which each session closes, 15:00 Asia/Shanghai, in that time zone."""
    return (sessions + pd.Timedelta(hours=SESSION_CLOSE.hour)).tz_localize(SHANGHAI)


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


def overlaid(is_open: pd.Series, first: date, last: date, provider: str) -> pd.DatetimeIndex:
    """Return the sessions of ``[first, last]``, ascending, named ``session_date``, as provider and exchange agree.

    Up to the last session that this calendar knows the provider's must be the same; after it the provider's counts.
    There may be none.

    Parameters
    ----------
    is_open
        The provider's word (bool) by calendar day; days outside the range are left out.
    first, last
        The range.
    provider
        Who says so, for the error.

    Raises
    ------
    SourceError
        When the calendars disagree on a day, the provider's has none or two words on one, or the range begins
        before this calendar.
    """
    told = is_open.sort_index()
    told = told[(told.index >= pd.Timestamp(first)) & (told.index <= pd.Timestamp(last))]
    twice = told.index[told.index.duplicated()]
    if len(twice):
        raise SourceError(f"{provider} answers {twice[0]:%Y-%m-%d} twice", "ask again later")
    silent = pd.date_range(first, last).difference(pd.DatetimeIndex(told.index))
    if len(silent):
        raise SourceError(
            f"{provider} says nothing about {silent[0]:%Y-%m-%d} ({len(silent)} such days)",
            "the answer was cut short: ask again later",
        )
    opened = pd.DatetimeIndex(told.index[told.to_numpy(dtype=bool)], name="session_date").as_unit("ns")
    horizon = last_known_session()
    if first <= horizon:
        known = _sessions_or_none(first, min(last, horizon))
        different = known.symmetric_difference(opened[opened <= pd.Timestamp(horizon)])
        if len(different):
            says = "open" if different[0] in opened else "closed"
            raise SourceError(
                f"{provider} calls {different[0]:%Y-%m-%d} {says}, the exchange calendar the opposite "
                f"({len(different)} such days)",
                "upgrade exchange-calendars if the state moved a holiday; else ask again later",
            )
    return opened


def is_session(day: date) -> bool:
    """Return whether ``day`` is a trading session; a day past the known horizon is an error, not a guess."""
    if day > last_known_session():
        raise SourceError(f"{day} is past the calendar's horizon {last_known_session()}", upgrade_remedy())
    return pd.Timestamp(day) in _all_sessions()


def session_positions(dates: pd.Series, sessions: pd.DatetimeIndex) -> NDArray[np.int64]:
    """Return each date's position in ``sessions``, shape ``(n,)``; -1 where it is not a session."""
    return np.asarray(sessions.get_indexer(pd.DatetimeIndex(dates)), dtype=np.int64)


def _sessions_or_none(first: date, last: date) -> pd.DatetimeIndex:
    # a range of closed days is no error here; no holiday lasts a month
    start = date.fromisoformat(CALENDAR_START)
    wider = sessions_between(min(first, max(first - timedelta(days=30), start)), last)
    return wider[wider >= pd.Timestamp(first)]
