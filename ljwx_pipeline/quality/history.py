"""How late rows came after the close of their session.

Pure functions over series; when rows became known is the lake's business. Not here: rows that came back different
(``ingest/rewrites.py``), two providers' rows (``reconcile.py``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.quality.results import CheckResult, Severity
from ljwx_pipeline.quality.rule import SAMPLE

CLOSE = pd.Timedelta(hours=15)
#: A daily feed that comes later than this after the close is late.
LATE_HOURS = 24.0


def lag_hours(sessions: pd.DatetimeIndex, known_at: pd.Series | None) -> pd.Series:
    """Return hours from each session's close (15:00 Asia/Shanghai) to the instant its rows became known.

    Negative where rows were known before the close; NaN where the instant is not given.
    """
    if known_at is None or known_at.isna().all():
        return pd.Series(np.nan, index=sessions)
    known = pd.DatetimeIndex(known_at.reindex(sessions))
    closed = (sessions + CLOSE).tz_localize(SHANGHAI)
    return pd.Series((known - closed) / pd.Timedelta(hours=1), index=sessions)


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
