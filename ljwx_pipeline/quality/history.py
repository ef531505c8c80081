"""The same table at another time: symbols it no longer has, and how late rows came after their session's close.

Pure functions; when rows became known is the lake's business. Not here: rows that came back different
(``ingest/rewrites.py``), two providers' rows (``reconcile.py``).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from ljwx_pipeline.market.calendar import session_closes
from ljwx_pipeline.quality.results import CheckResult, Severity
from ljwx_pipeline.quality.rule import SAMPLE

#: A daily feed that comes later than this after the close is late.
LATE_HOURS = 24.0
#: Symbols that a message names.
NAMED_SYMBOLS = 10


def symbols_still_given(gone: Collection[str], judged: int, *, table: str = "bars") -> CheckResult:
    """Return whether every one of ``judged`` symbols that had rows still has some; ``gone`` are those that have none.

    What vanished is history taken away, not a delisting, and a universe without it is one of survivors: a ``warn``.
    """
    measured = {"judged": judged, "bad": len(gone)}
    name = f"{table}.symbols_still_given"
    repair = "put their files back or load them again: a universe without them is one of survivors"
    if not gone:
        return CheckResult(name, True, "warn", measured, f"holds on all {judged} symbols", repair)
    return CheckResult(name, False, "warn", measured, f"{_named(gone)} had rows and have none any more", repair)


def _named(symbols: Collection[str]) -> str:
    """Return how many there are and the first of them."""
    first = ", ".join(sorted(symbols)[:NAMED_SYMBOLS])
    return f"{len(symbols)} symbols ({first}{', ...' if len(symbols) > NAMED_SYMBOLS else ''})"


def lag_hours(sessions: pd.DatetimeIndex, known_at: pd.Series | None) -> pd.Series:
    """Return hours from each session's close (15:00 Asia/Shanghai) to the instant its rows became known.

    Negative where rows were known before the close; NaN where the instant is not given.
    """
    if known_at is None or known_at.isna().all():
        return pd.Series(np.nan, index=sessions)
    known = pd.DatetimeIndex(known_at.reindex(sessions))
    return pd.Series((known - session_closes(sessions)) / pd.Timedelta(hours=1), index=sessions)


def feed_on_time(
    sessions: pd.DatetimeIndex, known_at: pd.Series, *, table: str = "bars", late_hours: float = LATE_HOURS
) -> CheckResult:
    """Return whether each session's rows came after its close and no later than ``late_hours`` after it.

    Rows known before the close are a session still running, or a session that never was: an ``error``.
    """
    lag = lag_hours(sessions, known_at).dropna()
    early, late = lag[lag < 0], lag[lag > late_hours]
    bad = len(early) + len(late)
    longest = float(lag.max()) if len(lag) else 0.0
    measured = {"judged": len(lag), "bad": bad, "longest_lag_hours": longest}
    name, repair = f"{table}.on_time", "load the session again after its close, or look why the feed is late"
    if bad == 0:
        return CheckResult(name, True, "error", measured, f"holds on all {len(lag)} sessions", repair)
    worst = early if len(early) else late
    severity: Severity = "error" if len(early) else "warn"
    days = ", ".join(f"{day:%Y-%m-%d} ({hours:+.1f} h)" for day, hours in worst.head(SAMPLE).items())
    message = f"rows came before the close or more than {late_hours:g} h after it: {days}, {bad} sessions"
    return CheckResult(name, False, severity, measured, message, repair)
