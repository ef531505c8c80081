"""How good each session's rows are, as one number from 0 to 100, and what was found when.

``score = 100 * clean * coverage * (1 - LATE_COST * late)``, each factor in [0, 1]:

- ``clean`` is one less the mean weight of the session's rows, a row weighing as its worst breach: 1 for ``error`` and
  ``quarantine``, ``WARN_WEIGHT`` for ``warn``;
- ``coverage`` is rows over the usual number of rows less the session's published suspensions, one at most; zero for a
  session without rows;
- ``late`` is 0 up to ``ON_TIME_HOURS`` after the close and 1 from ``LATE_HOURS`` on, straight in between; 0 where the
  instant at which the rows became known is not given.

A table that breaks its columns or types scores 0 throughout. Not here: the picture (``figures.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ljwx_pipeline.quality.bar_rules import COVERAGE_WINDOW_SESSIONS
from ljwx_pipeline.quality.cells import Cells
from ljwx_pipeline.quality.days import Days, days_of
from ljwx_pipeline.quality.history import lag_hours
from ljwx_pipeline.quality.results import NO_ROWS, CheckResult, Positions
from ljwx_pipeline.quality.scan import symbol_codes

WARN_WEIGHT = 0.25
LATE_COST = 0.1
ON_TIME_HOURS, LATE_HOURS = 12.0, 72.0
#: Heaviest first: a row weighs as its worst breach.
WEIGHTS = {"error": 1.0, "quarantine": 1.0, "warn": WARN_WEIGHT}


def scores(
    source: str,
    bars: pd.DataFrame,
    results: Sequence[CheckResult],
    sessions: pd.DatetimeIndex,
    *,
    table: str = "bars",
    known_at: pd.Series | None = None,
    before: pd.DataFrame | None = None,
    released: Positions = NO_ROWS,
    suspensions: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return one row a session: the score and everything it is made of.

    Parameters
    ----------
    source
        Name of the provider, repeated in the column ``source``.
    bars
        The very frame that was checked.
    results
        Of checking it, without the rows that were released; results of other tables change nothing.
    sessions
        Sessions to score, ascending.
    known_at
        Instant at which each session's rows became known (UTC), by session; NaT and absent sessions are not judged.
    before
        Rows of earlier sessions, whole ones: what is usual on the first sessions. None when there are none.
    released
        Positions of rows that broke a rule and were let pass: counted, at no cost.
    suspensions
        Symbols and sessions at which the source says that they did not trade; None where it does not say. Those of
        the sessions before are not looked at, so a month's first sessions are asked for a few rows less.

    Returns
    -------
    DataFrame
        ``source, session_date, rows, usual_rows, suspended_rows, released_rows, error_rows, quarantine_rows,
        warn_rows, clean_frac, coverage_frac, lag_hours, score``; ``usual_rows`` are those expected on the session.
    """
    mine = [result for result in results if result.table == table and not result.passed]
    days = days_of(bars["session_date"])
    weight, counts = np.zeros(len(days.instants)), {}
    worse = NO_ROWS
    for severity, value in WEIGHTS.items():
        marked = np.unique(np.concatenate([NO_ROWS, *(item.rows for item in mine if item.severity == severity)]))
        counts[f"{severity}_rows"] = days.counts_at(marked)
        weight += value * days.counts_at(np.setdiff1d(marked, worse, assume_unique=True))
        worse = np.union1d(worse, marked)
    if any(result.blocks and result.name.endswith(".schema") and not len(result.rows) for result in mine):
        weight = days.counts.astype(np.float64)
    counts["released_rows"] = days.counts_at(released)
    by_day = pd.DataFrame({"weight": weight, **counts}, index=days.rows.index).assign(rows=days.counts)
    found = by_day.reindex(sessions, fill_value=0)
    rows = found["rows"]
    earlier = bars.iloc[:0] if before is None else before
    suspended = _suspended(bars, days, earlier, suspensions, sessions)
    held = pd.concat([days_of(earlier["session_date"]).rows, (rows + suspended).where(rows > 0)])
    listed = held.rolling(COVERAGE_WINDOW_SESSIONS, min_periods=1).median().fillna(0).iloc[-len(rows) :]
    usual = (listed - suspended).clip(lower=0)
    clean = (1.0 - found["weight"] / rows.clip(lower=1)).where(rows > 0, 0.0)
    coverage = (rows / usual.clip(lower=1)).clip(upper=1.0)
    lag = lag_hours(sessions, known_at)
    late = ((lag - ON_TIME_HOURS) / (LATE_HOURS - ON_TIME_HOURS)).clip(0.0, 1.0).fillna(0.0)
    return pd.DataFrame(
        {
            "source": source,
            "session_date": sessions,
            "rows": rows.to_numpy(dtype=np.int64),
            "usual_rows": usual.to_numpy(),
            "suspended_rows": suspended.to_numpy(dtype=np.int64),
            **{name: found[name].to_numpy(dtype=np.int64) for name in counts},
            "clean_frac": clean.to_numpy(),
            "coverage_frac": coverage.to_numpy(),
            "lag_hours": lag.to_numpy(),
            "score": (100.0 * clean.to_numpy() * coverage.to_numpy() * (1.0 - LATE_COST * late.to_numpy())).round(2),
        }
    )


def _suspended(
    bars: pd.DataFrame,
    days: Days,
    before: pd.DataFrame,
    suspensions: pd.DataFrame | None,
    sessions: pd.DatetimeIndex,
) -> pd.Series:
    """Return by session how many symbols that otherwise have bars have none and are said not to trade."""
    if suspensions is None or suspensions.empty:
        return pd.Series(0, index=sessions)
    symbols = symbol_codes(bars["symbol"].to_numpy())
    cells = Cells(days, symbols, suspensions)
    silent = np.zeros(cells.size, dtype=bool)
    silent[cells.of_other] = True
    silent[cells.of_bars] = False
    known = np.arange(len(cells.symbols)) < len(symbols[1])
    known |= pd.Index(cells.symbols).isin(before["symbol"].unique())
    counts = np.count_nonzero(cells.by_day(silent) & known, axis=1)
    return pd.Series(counts, index=pd.DatetimeIndex(cells.days)).reindex(sessions, fill_value=0)


def breach_counts(bars: pd.DataFrame, results: Sequence[CheckResult], *, table: str = "bars") -> pd.DataFrame:
    """Return offending rows by ``session_date``, ``check`` and ``severity`` in the column ``rows``."""
    empty = {"check": object, "severity": object, "rows": np.int64}
    days = bars["session_date"]
    parts = [pd.DataFrame({"session_date": days.iloc[:0], **{k: pd.Series(dtype=v) for k, v in empty.items()}})]
    for result in results:
        if result.table == table and not result.passed and len(result.rows):
            size = days.take(result.rows).value_counts()
            part = {"session_date": size.index, "check": result.name, "severity": result.severity}
            parts.append(pd.DataFrame({**part, "rows": size.to_numpy(dtype=np.int64)}))
    found = pd.concat(parts[1:]) if len(parts) > 1 else parts[0]
    return found.sort_values(["session_date", "check"], ignore_index=True)
