"""Every table beside the bars judged by its schema and the rules that name it.

Tables of a row a stock and session are judged month by month, so that the whole market's fit in memory. Not here: bars
(``judged.py``), the rules (``quality/``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
import pandas as pd

from ljwx_pipeline.ingest.judged_block import JudgedBlock, merged
from ljwx_pipeline.ingest.plan import RAW_BARS, months_of
from ljwx_pipeline.ingest.store import newest_version
from ljwx_pipeline.ingest.tables import read_market_table
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.lake.store import read_versions
from ljwx_pipeline.market.tables import TABLES, SourceDescription, empty_table
from ljwx_pipeline.quality.checks import CHECKS
from ljwx_pipeline.quality.results import CheckResult
from ljwx_pipeline.quality.rule import Check
from ljwx_pipeline.quality.run import run_checks

#: Tables that hold a row a stock and session, or a good part of one: ten million rows for ten years of the market.
BY_MONTH = ("market_values", "suspensions", "price_limits")
#: Rules of tables other than bars; those that compare with bars read the bars' keys, closes and volumes.
TABLE_CHECKS: tuple[Check, ...] = tuple(check for check in CHECKS if not check.name.startswith("bars."))
#: Levels and closes that differ by less are compared.
NEAR_FRAC = 1e-3


def judge_tables(lake: Lake, description: SourceDescription, sessions: pd.DatetimeIndex) -> list[CheckResult]:
    """Return the outcome of every schema and rule of the tables beside the bars, as ``lake`` knows them now.

    Parameters
    ----------
    sessions
        Every session asked for, ascending; ``BY_MONTH`` tables are judged in the months they fall in.
    """
    whole = {name: read_market_table(lake, name) for name in TABLES if name != "bars" and name not in BY_MONTH}
    by_month = [JudgedBlock((month,), tuple(found), 0, 0) for month, found in _months(lake, description, sessions)]
    beside = {"bars": _bars_near(lake, sessions, whole["index_bars"]["close_points"].min())}
    beside["suspensions"] = pd.DataFrame({"symbol": _symbols(lake, "suspensions", sessions)})
    checks = [check for check in TABLE_CHECKS if not _is_by_month(check)]
    return [*merged(by_month), *run_checks(whole, description, sessions, beside=beside, checks=checks)]


def _months(
    lake: Lake, description: SourceDescription, sessions: pd.DatetimeIndex
) -> Iterator[tuple[str, list[CheckResult]]]:
    checks = [check for check in TABLE_CHECKS if _is_by_month(check)]
    for month in months_of(sessions):
        first, last = _span(sessions, month)
        tables = {}
        for name in BY_MONTH:
            version = newest_version(lake, name, month)
            tables[name] = empty_table(name) if version is None else read_versions([version])
        bars = newest_version(lake, RAW_BARS, month)
        columns = ["symbol", "session_date", "volume_shares"]
        beside = {} if bars is None else {"bars": read_versions([bars], columns=columns, first=first, last=last)}
        yield month, run_checks(tables, description, sessions, beside=beside, checks=checks)


def _bars_near(lake: Lake, sessions: pd.DatetimeIndex, lowest: float) -> pd.DataFrame:
    """Return keys and closes of each symbol's first bar and of every bar that may equal an index level."""
    columns, seen = ["symbol", "session_date", "close_cny"], np.empty(0, dtype=object)
    parts = [pd.DataFrame({name: empty_table("bars")[name] for name in columns})]
    span = (sessions[0].date(), sessions[-1].date())
    for _, bars in lake.iter_partitions(RAW_BARS, columns=columns, first=span[0], last=span[1]):
        new = ~bars["symbol"].duplicated() & ~bars["symbol"].isin(seen)
        seen = np.concatenate([seen, bars.loc[new, "symbol"].to_numpy()])
        parts.append(bars[(new | (bars["close_cny"] >= lowest * (1 - NEAR_FRAC))).to_numpy()])
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _symbols(lake: Lake, table: str, sessions: pd.DatetimeIndex) -> list[str]:
    seen: dict[str, None] = {}
    for month in months_of(sessions):
        version = newest_version(lake, table, month)
        if version is not None:
            seen |= dict.fromkeys(read_versions([version], columns=["symbol"])["symbol"].unique())
    return list(seen)


def _span(sessions: pd.DatetimeIndex, month: str) -> tuple[date, date]:
    within = sessions[sessions.strftime("%Y-%m-01") == month]
    return within[0].date(), within[-1].date()


def _is_by_month(check: Check) -> bool:
    return check.name.split(".")[0] in BY_MONTH
