"""What the adapters of akshare and baostock share: A-share codes, columns by name, canonical frames, dated ranges.

Not here: either provider's protocol or spelling.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.tables import TABLES, empty_table
from ljwx_pipeline.observability.progress import told

T = TypeVar("T")

#: SSE main board and STAR, SZSE main board and ChiNext, Beijing; the simulated range. B shares and funds are others.
_A_SHARE = re.compile(r"6[08]\d{4}\.SH|[03]0\d{4}\.SZ|[48]\d{5}\.BJ|92\d{4}\.BJ|S\d{5}\.SIM")
#: Daily figures of a session are complete at the providers from this hour on.
PUBLISHED_AT = time(18, 0)


def is_a_share(symbol: str) -> bool:
    """Return whether ``symbol`` (``CODE.EXCHANGE``) is an A share, or in the simulated range."""
    return _A_SHARE.fullmatch(symbol) is not None


def last_published_day(now: datetime) -> date:
    """Return the last day whose bars a provider can have at the instant ``now``."""
    local = now.astimezone(SHANGHAI)
    return local.date() if local.time() >= PUBLISHED_AT else local.date() - timedelta(days=1)


def columns_of(frame: pd.DataFrame, needed: Sequence[str], what: str) -> pd.DataFrame:
    """Return the ``needed`` columns of ``frame``, whatever others it has.

    Raises
    ------
    SourceError
        When one is missing: the provider changed its answer. ``what`` names the question and the library's version.
    """
    missing = [name for name in needed if name not in frame]
    if missing:
        raise SourceError(
            f"{what} answered without {', '.join(missing)}; it has {', '.join(map(str, frame.columns)) or 'no column'}",
            "the provider changed its answer: upgrade the library, or use another source until it has caught up",
        )
    return frame[list(needed)]


def numbers(column: pd.Series, what: str) -> pd.Series:
    """Return text as float64, NaN where blank; anything that is no number is a ``SourceError``."""
    text = column.astype("string").str.strip()
    blank = text.isna() | text.isin(["", "-", "--"])
    values = pd.to_numeric(text.mask(blank), errors="coerce").astype("float64")
    wrong = values.isna().to_numpy(dtype=bool) & ~blank.to_numpy(dtype=bool)
    if wrong.any():
        raise SourceError(
            f"{what} holds {column[wrong].iloc[0]!r} in column {column.name}, which is no number",
            "the provider changed its answer: upgrade the library, or use another source until it has caught up",
        )
    return pd.Series(values.to_numpy(dtype=np.float64, na_value=np.nan), index=column.index, name=column.name)


def dates(column: pd.Series, what: str) -> pd.Series:
    """Return dates (text or ``datetime.date``) as midnights, NaT where blank; anything else is a ``SourceError``."""
    text = column.astype("string").str.strip().str.slice(0, 10)
    blank = text.isna() | text.isin(["", "-", "NaT"])
    values = pd.to_datetime(text.mask(blank), format="%Y-%m-%d", errors="coerce")
    wrong = values.isna().to_numpy(dtype=bool) & ~blank.to_numpy(dtype=bool)
    if wrong.any():
        raise SourceError(
            f"{what} holds {column[wrong].iloc[0]!r} in column {column.name}, which is no date",
            "the provider changed its answer: upgrade the library, or use another source until it has caught up",
        )
    return pd.Series(pd.DatetimeIndex(values).as_unit("ns"), index=column.index, name=column.name)


def canonical(name: str, frame: pd.DataFrame, *, by: Sequence[str]) -> pd.DataFrame:
    """Return ``frame`` as table ``name``: its columns and dtypes, sorted ``by`` these keys."""
    if frame.empty:
        return empty_table(name)
    dtypes = {column: dtype for column, dtype in TABLES[name].items() if dtype != "str"}
    return frame[list(TABLES[name])].astype(dtypes).sort_values(list(by), kind="stable", ignore_index=True)


def distributions(frame: pd.DataFrame) -> pd.DataFrame:
    """Return table ``corporate_actions``: what a stock pays on one ex-date added up, the same row told twice once."""
    paid = frame.drop_duplicates().groupby(["symbol", "ex_date"], as_index=False).sum() if len(frame) else frame
    return canonical("corporate_actions", paid, by=("symbol", "ex_date"))


def factor_on(days: pd.Series, ex_dates: pd.Series, factors: pd.Series) -> NDArray[np.float64]:
    """Return the factor in force on each day: that of the last ex-date up to it, 1 before the first."""
    order = np.argsort(ex_dates.to_numpy(), kind="stable")
    steps = np.r_[1.0, factors.to_numpy(dtype=np.float64)[order]]
    return np.asarray(steps[ex_dates.to_numpy()[order].searchsorted(days.to_numpy(), side="right")])


def true_runs(days: pd.Series, flags: NDArray[np.bool_], *, open_end: bool) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """Return first and last day of each run of true flags; with ``open_end`` a run at the end has no last day."""
    edges = np.flatnonzero(np.diff(np.r_[False, flags, False]))
    runs = [(days.iloc[start], days.iloc[stop - 1]) for start, stop in edges.reshape(-1, 2)]
    if runs and open_end and flags[-1]:
        runs[-1] = (runs[-1][0], pd.NaT)
    return runs


def ranges_of(samples: Sequence[tuple[pd.Timestamp, dict[str, str]]], sessions: pd.DatetimeIndex) -> pd.DataFrame:
    """Return ``key, value, start_date, end_date`` from what each key was at a sequence of sampled sessions.

    A value holds from the session it was first sampled to the one before the sample that no longer shows it; what the
    last sample shows is open.
    """
    rows: list[tuple[str, str, pd.Timestamp, pd.Timestamp]] = []
    running: dict[str, tuple[str, pd.Timestamp]] = {}
    for day, shown in samples:
        for key in [key for key, (value, _) in running.items() if shown.get(key) != value]:
            value, since = running.pop(key)
            rows.append((key, value, since, sessions[int(sessions.searchsorted(day)) - 1]))
        for key, value in shown.items():
            running.setdefault(key, (value, day))
    found = pd.DataFrame(rows, columns=["key", "value", "start_date", "end_date"])
    left = pd.DataFrame([(key, *held, pd.NaT) for key, held in running.items()], columns=found.columns)
    return pd.concat([table for table in (found, left) if len(table)] or [found], ignore_index=True)


def sampled(
    sessions: pd.DatetimeIndex, ask: Callable[[pd.Timestamp], T], *, exact: bool, what: str
) -> list[tuple[pd.Timestamp, T]]:
    """Return what ``ask`` answers on the first session, the first of each month and the last, by session.

    ``what`` names the question to who listens to its progress.

    With ``exact`` the session at which an answer changes is found by halving, for things that change together and
    seldom; a change that is taken back within a month is not seen.
    """
    firsts = np.flatnonzero(np.r_[True, sessions.month[1:] != sessions.month[:-1]])
    positions = sorted({*firsts.tolist(), len(sessions) - 1})
    answers = {at: ask(sessions[at]) for at in told(positions, what)}
    for start, stop in pairwise(positions) if exact else ():
        low, high = start, stop
        while answers[low] != answers[high] and high - low > 1:
            middle = (low + high) // 2
            answers[middle] = ask(sessions[middle])
            if answers[middle] == answers[low]:
                low = middle
            else:
                high = middle
    return [(sessions[at], answers[at]) for at in sorted(answers)]
