"""Releases: rows in quarantine that a person lets pass, each for one check, kept in the lake with who said so and why.

Not here: what a release means for a row (``quality/quarantine.py``).
"""

from __future__ import annotations

from datetime import date, datetime

import pandas as pd

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.ingest.judged_store import QUARANTINE
from ljwx_pipeline.lake import Lake, TableVersion
from ljwx_pipeline.lake.store import read_versions
from ljwx_pipeline.quality.quarantine import RELEASES, release

TABLE = "releases"
KEYS = ["symbol", "session_date", "check"]


def read_releases(lake: Lake, *, as_of: datetime | None = None) -> pd.DataFrame:
    """Return every release made by ``as_of`` (now, when None); empty when there is none.

    Raises
    ------
    LakeError
        When retention removed what was released by then.
    """
    if versions := lake.known(TABLE, as_of=as_of):
        return read_versions(versions)
    dtypes = {name: "object" if dtype == "str" else dtype for name, dtype in RELEASES.items()}
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in dtypes.items()})


def release_rows(
    lake: Lake,
    checked: Lake,
    *,
    symbol: str,
    session: date,
    check: str | None,
    reason: str,
    released_by: str,
    at: datetime,
) -> TableVersion:
    """Let the bar of ``symbol`` on ``session`` pass ``check`` (every check it broke, when None) from the next run on.

    Raises
    ------
    DataQualityError
        When no such row is in quarantine, or reason or name are missing.
    """
    mine = rows_in_quarantine(checked, symbol=symbol, session=session, check=check)
    made = release(mine, reason=reason, released_by=released_by, at=at)
    return lake.revise(TABLE, made, known_at=at, keys=KEYS)


def rows_in_quarantine(checked: Lake, *, symbol: str, session: date, check: str | None) -> pd.DataFrame:
    """Return what holds the bar of ``symbol`` on ``session`` in quarantine, a row for each check it broke.

    Raises
    ------
    DataQualityError
        When nothing does.
    """
    held = checked.read(QUARANTINE) if checked.holds(QUARANTINE) else pd.DataFrame(columns=[*KEYS])
    mine = held[(held["symbol"] == symbol) & (held["session_date"] == pd.Timestamp(session))]
    if check is not None:
        mine = mine[mine["check"] == check]
    if mine.empty:
        what = f" for {check}" if check else ""
        raise DataQualityError(
            f"no bar of {symbol} on {session} is in quarantine{what}", "see `ljwx data quarantine` for those that are"
        )
    return mine.drop_duplicates(KEYS, keep="last", ignore_index=True)
