"""Rows taken out of a table until somebody corrects or releases them: pure functions over frames.

Not here: where the rows in quarantine are stored, and who may release them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.tables import TABLES
from ljwx_pipeline.quality.days import days_of
from ljwx_pipeline.quality.reasons import row_reasons
from ljwx_pipeline.quality.results import NO_ROWS, CheckResult, Positions
from ljwx_pipeline.quality.rule import SINGLE_ROWS

#: Columns that ``split`` adds to the rows it takes out.
REASONS = {"check": "str", "reason": "str", "repair": "str", "quarantined_at": "datetime64[ns, UTC]"}
#: A release: this row, as it stands, passes this check from the next run on, and no other. Restated it is another row.
RELEASES = {
    "symbol": "str",
    "session_date": "datetime64[ns]",
    "check": "str",
    "row_hash": "str",
    "reason": "str",
    "released_by": "str",
    "released_at": "datetime64[ns, UTC]",
}
#: More of a session's rows than this in quarantine, and the session is wrong, not the rows.
MAX_SESSION_FRAC = 0.2
KEY_OF = {"bars": "symbol", "index_bars": "index_code"}


@dataclass(frozen=True)
class Split:
    """A table parted into what may be used and what may not.

    Parameters
    ----------
    kept
        The rows without an unreleased breach, in the order and with the index given.
    quarantined
        The others, a row for each check broken, with the columns of ``REASONS``.
    session_share
        Whether each session keeps enough of its rows: a result of severity ``error``.
    """

    kept: pd.DataFrame
    quarantined: pd.DataFrame
    session_share: CheckResult


def split(
    table: str,
    frame: pd.DataFrame,
    results: Sequence[CheckResult],
    *,
    at: datetime,
    releases: pd.DataFrame | None = None,
    max_session_frac: float = MAX_SESSION_FRAC,
    beside: Mapping[str, pd.DataFrame] | None = None,
) -> Split:
    """Part ``frame`` by the ``results`` of checking it.

    Parameters
    ----------
    table
        ``bars`` or ``index_bars``: the tables whose rows stand alone.
    frame
        The very rows that were checked: positions in the results count in them.
    results
        Of any table; those of others and those that do not quarantine change nothing.
    at
        Instant of the split, timezone-aware.
    releases
        Rows of ``RELEASES`` (``symbol`` holds the index code for index bars); None or empty releases nothing.
    max_session_frac
        Share of a session's rows beyond which its quarantine blocks.
    beside
        Tables that the rows were judged beside, by name, for the numbers in a row's reason.

    Raises
    ------
    DataQualityError
        When the results are of another frame, or ``at`` has no timezone.
    """
    stamp = _instant(at)
    taken_out = rows_out(table, frame, results, releases)
    parts = [
        taken.assign(
            check=result.name,
            reason=row_reasons(result, taken, beside or {}),
            repair=result.repair,
            quarantined_at=stamp,
        )
        for result, rows in taken_out
        if len(rows)
        for taken in (frame.take(rows),)
    ]
    nothing = frame.iloc[:0].assign(**{name: pd.Series(dtype=_dtype(name)) for name in REASONS})
    quarantined = pd.concat(parts, ignore_index=True) if parts else nothing
    keep = np.ones(len(frame), dtype=bool)
    for _, rows in taken_out:
        keep[rows] = False
    kept = frame if keep.all() else frame[keep]
    return Split(kept, quarantined, session_share(table, frame, np.flatnonzero(~keep), max_session_frac))


def rows_out(
    table: str, frame: pd.DataFrame, results: Sequence[CheckResult], releases: pd.DataFrame | None = None
) -> list[tuple[CheckResult, Positions]]:
    """Return each result that quarantines rows of ``table``, with the positions that nobody released."""
    for result in results:
        rows = result.measured.get("rows")
        if result.name == f"{table}.schema" and rows != len(frame):
            raise DataQualityError(
                f"the results are of {rows} rows of {table}, the frame has {len(frame)}",
                "split the very frame that was checked",
            )
    return [
        (result, _unreleased(table, frame, result, releases))
        for result in results
        if result.table == table and result.quarantines
    ]


def after_releases(
    table: str, frame: pd.DataFrame, results: Sequence[CheckResult], releases: pd.DataFrame | None = None
) -> tuple[list[CheckResult], Positions]:
    """Return the results without the rows that somebody let pass, and the positions of rows that nothing holds since.

    A result keeps its verdict and its figures: only ``rows`` are fewer.
    """
    held = {result.name: rows for result, rows in rows_out(table, frame, results, releases)}
    broken = [result.rows for result in results if result.name in held]
    released = np.setdiff1d(np.concatenate([NO_ROWS, *broken]), np.concatenate([NO_ROWS, *held.values()]))
    left = [replace(result, rows=held[result.name]) if result.name in held else result for result in results]
    return left, released


def release(
    quarantined: pd.DataFrame, *, reason: str, released_by: str, at: datetime, table: str = "bars"
) -> pd.DataFrame:
    """Return the releases (columns ``RELEASES``) of rows in quarantine, each for the check it broke.

    Raises
    ------
    DataQualityError
        Without a reason or a name, as a release is answered for; or when ``at`` has no timezone.
    """
    if not reason.strip() or not released_by.strip():
        raise DataQualityError("a release has no reason or nobody's name", "say why the row is true and who says so")
    keys = quarantined[[KEY_OF[table], "session_date", "check"]].rename(columns={KEY_OF[table]: "symbol"})
    made = keys.assign(row_hash=row_hashes(table, quarantined))
    stamped = made.assign(reason=reason, released_by=released_by, released_at=_instant(at))
    return stamped.drop_duplicates(ignore_index=True)


def session_share(table: str, frame: pd.DataFrame, out: Positions, most: float = MAX_SESSION_FRAC) -> CheckResult:
    """Return whether every session of ``frame`` keeps enough rows when those at ``out`` are taken out."""
    days = days_of(frame["session_date"])
    lost = days.counts_at(out)
    share = pd.Series(lost / days.counts, index=days.rows.index)
    bad = share.index[(share.to_numpy() > most) & (lost > SINGLE_ROWS)]
    measured = {"quarantined": len(out), "judged": len(frame), "bad": len(bad), "limit_frac": most}
    name, repair = f"{table}.quarantine_share", "load the session again; correct its source before releasing rows"
    if bad.empty:
        return CheckResult(name, True, "error", measured, f"{len(out)} rows of {len(frame)} in quarantine", repair)
    said = f"{share[bad[0]]:.0%} of the rows of {bad[0]:%Y-%m-%d} are in quarantine (limit {most:.0%})"
    return CheckResult(name, False, "error", measured, f"{said}, {len(bad)} such sessions", repair, out)


def _unreleased(table: str, frame: pd.DataFrame, result: CheckResult, releases: pd.DataFrame | None) -> Positions:
    if releases is None or releases.empty:
        return result.rows
    mine = releases[releases["check"] == result.name]
    taken = frame.take(result.rows)
    return result.rows[~np.isin(row_hashes(table, taken), mine["row_hash"])]


def row_hashes(table: str, frame: pd.DataFrame) -> NDArray[np.object_]:
    """Return a hash of each row's canonical columns, keys and values, as text; shape ``(len(frame),)``."""
    hashed = pd.util.hash_pandas_object(frame[list(TABLES[table])], index=False)
    return np.array([f"{value:016x}" for value in hashed], dtype=object)


def _instant(at: datetime) -> pd.Timestamp:
    if at.tzinfo is None:
        raise DataQualityError(f"the instant {at} has no timezone", "give it in UTC")
    return pd.Timestamp(at).tz_convert("UTC").as_unit("ns")


def _dtype(name: str) -> str:
    return "object" if REASONS[name] == "str" else REASONS[name]
