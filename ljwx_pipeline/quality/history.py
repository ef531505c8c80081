"""The same rows at another time: what a newer version restates or no longer has, and how late rows came.

Pure functions over frames; where versions are kept is the lake's business. Not here: two providers' rows
(``reconcile.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.quality.results import CheckResult, Severity
from ljwx_pipeline.quality.rule import SAMPLE, row_name

#: Two versions of a number differ beyond this relative change; below it is the rounding of a file format.
SAME_REL = 1e-9
#: More restated rows than this share, and history was rewritten (another adjustment, another unit): it blocks.
REWRITTEN_FRAC = 0.05
CLOSE = pd.Timedelta(hours=15)
#: A daily feed that comes later than this after the close is late.
LATE_HOURS = 24.0
#: Symbols that a message names.
NAMED_SYMBOLS = 10


@dataclass(frozen=True)
class Restatement:
    """What a newer version of a table changes.

    Parameters
    ----------
    changed
        A row for each changed number: the keys, ``column``, ``before``, ``after``, ``change_frac``.
    added, removed
        Rows only the newer and only the older version has.
    result
        The verdict: ``warn`` where numbers change or rows vanish, ``error`` beyond ``REWRITTEN_FRAC`` of the rows.
    """

    changed: pd.DataFrame
    added: int
    removed: int
    result: CheckResult


def restated(
    table: str,
    previous: pd.DataFrame,
    current: pd.DataFrame,
    *,
    keys: Sequence[str],
    rewritten_frac: float = REWRITTEN_FRAC,
) -> Restatement:
    """Return what ``current`` says otherwise than ``previous`` about the rows both have.

    Parameters
    ----------
    table
        Name of the table; the result is named ``TABLE.not_restated``.
    previous, current
        Versions of it with the same columns.
    keys
        Columns that name a row, unique in either.
    rewritten_frac
        Share of the older version's rows beyond which the change blocks.
    """
    names = list(keys)
    numbers = [name for name in previous.columns if name not in names and previous[name].dtype.kind in "iuf"]
    one, two = previous.set_index(names)[numbers], current.set_index(names)[numbers]
    common = one.index.intersection(two.index)
    one, two = one.loc[common], two.loc[common]
    parts = []
    for name in numbers:
        before, after = one[name].to_numpy(dtype=np.float64), two[name].to_numpy(dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            change = np.where(before == after, 0.0, after / before - 1.0)
        moved = (np.abs(change) > SAME_REL) | (np.isnan(before) != np.isnan(after))
        part = common[moved].to_frame(index=False)
        parts.append(part.assign(column=name, before=before[moved], after=after[moved], change_frac=change[moved]))
    changed = pd.concat(parts, ignore_index=True).sort_values([*names, "column"], ignore_index=True)
    added, removed = len(current) - len(common), len(previous) - len(common)
    gone = sorted(set(previous["symbol"]) - set(current["symbol"])) if "symbol" in names else []
    verdict = _verdict(table, changed, names, len(common), removed, gone, rewritten_frac)
    return Restatement(changed, added, removed, verdict)


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


def _verdict(
    table: str,
    changed: pd.DataFrame,
    keys: list[str],
    common: int,
    removed: int,
    gone: Sequence[str],
    rewritten_frac: float,
) -> CheckResult:
    rows = len(changed[keys].drop_duplicates())
    largest = float(changed["change_frac"].abs().max()) if len(changed) else 0.0
    measured = {
        "judged": common,
        "bad": rows,
        "removed": removed,
        "symbols_gone": len(gone),
        "largest_change_frac": largest,
    }
    name = f"{table}.not_restated"
    repair = "read the provider's notice; what was computed from the older version still reads it as of its own day"
    if rows == 0 and removed == 0:
        return CheckResult(name, True, "error", measured, f"holds on all {common} rows", repair)
    most = rewritten_frac * (common + removed)
    severity: Severity = "error" if rows > most or removed > most else "warn"
    first = f"; first at {row_name(changed, 0)} {changed['column'].iloc[0]}" if rows else ""
    whole = f", with all rows of {_named(gone)}" if gone else ""
    message = f"{rows} of {common} rows are restated by up to {largest:.2%}, {removed} are gone{whole}{first}"
    return CheckResult(name, False, severity, measured, message, repair)


def lag_hours(sessions: pd.DatetimeIndex, known_at: pd.Series | None) -> pd.Series:
    """Return hours from each session's close (15:00 Asia/Shanghai) to the instant its rows became known.

    Negative where rows were known before the close; NaN where the instant is not given.
    """
    if known_at is None:
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
