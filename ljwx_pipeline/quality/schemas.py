"""The pandera schema of every canonical table: names, dtypes, nullability, bounds and keys.

Not here: checks that need more than one table or the calendar (``checks.py``).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.lake.keys import SORT_KEYS
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.market.tables import BARS, OPTIONAL_COLUMNS, TABLES
from ljwx_pipeline.quality import scan_kernel
from ljwx_pipeline.quality.results import CheckResult, Positions, Severity
from ljwx_pipeline.quality.rule import SINGLE_FRAC, SINGLE_ROWS, Market, row_name

if TYPE_CHECKING:
    import pandera.pandas as pa

#: Open and close may leave [low, high] by this much: providers round adjusted prices to four decimals.
ROUNDING_FRAC = 1e-4

NULLABLE = frozenset(
    {
        ("securities", "list_date"),
        ("securities", "delist_date"),
        ("securities", "delisting_period_date"),
        ("st_spells", "end_date"),
        ("industries", "end_date"),
        ("index_members", "end_date"),
        ("index_bars", "volume_shares"),
        ("index_bars", "amount_cny"),
        ("price_limits", "limit_up_cny"),
        ("price_limits", "limit_down_cny"),
        ("news", "sentiment"),
    }
)
ABOVE_ZERO = frozenset(
    {
        "open_cny",
        "high_cny",
        "low_cny",
        "close_cny",
        "pre_close_cny",
        "adj_factor",
        "open_points",
        "high_points",
        "low_points",
        "close_points",
        "market_value_cny",
        "limit_up_cny",
        "limit_down_cny",
    }
)
NOT_BELOW_ZERO = frozenset({"volume_shares", "amount_cny", "cash_cny_per_share", "bonus_shares_per_share"})
#: Tables in which a row may be given twice: a feed repeats an item.
MAY_REPEAT = frozenset({"news"})
#: What no two rows of a table share: the keys the lake keeps it by.
KEYS = {table: keys for table, keys in SORT_KEYS.items() if table in TABLES and table not in MAY_REPEAT}
#: Tables of which a row that breaks its bounds can be taken out without making the others wrong.
ROWS_STAND_ALONE = frozenset({"bars", "index_bars"})
#: What the pandera schema holds single bars to, as the scan finds it; tests compare the two.
BAR_BITS = (
    scan_kernel.NOT_FINITE
    | scan_kernel.NOT_POSITIVE
    | scan_kernel.HIGH_BELOW_LOW
    | scan_kernel.OPEN_OUTSIDE
    | scan_kernel.CLOSE_OUTSIDE
    | scan_kernel.TURNOVER_NEGATIVE
    | scan_kernel.DUPLICATE
)
REPAIR_TABLE = "map the source's columns to the canonical table"
REPAIR_ROWS = "correct the named cells in the source and load them again"


def validate(table: str, frame: pd.DataFrame) -> CheckResult:
    """Return whether ``frame`` is the canonical table ``table``; the message names the first offending row.

    A breach of columns or types is an ``error``; so is one in rows, but of bars and index bars, whose rows stand alone,
    single rows are quarantined.

    Raises
    ------
    DataQualityError
        When there is no canonical table of that name.
    """
    if table not in TABLES:
        raise DataQualityError(f"{table!r} is not a canonical table", f"choose one of: {', '.join(TABLES)}")
    from pandera.errors import SchemaErrors  # 1 s to import: only where tables are checked

    given = frame.reset_index(drop=True)
    try:
        schema(table).validate(given, lazy=True)
    except SchemaErrors as error:
        return _broken(table, given, error.failure_cases)
    return _holds(table, frame)


def validate_bars(market: Market) -> CheckResult:
    """Return ``validate("bars", ...)`` of the market's bars, whatever their columns and types, found by the scan.

    The scan needs the right columns and types; pandera is asked only where there is something to say.
    """
    frame = market.tables["bars"]
    if not _is_typed(market):
        return validate("bars", frame)
    if not market.any_bar_bits & np.uint32(BAR_BITS):
        return _holds("bars", frame)
    rows = np.flatnonzero((market.bar_bits & np.uint32(BAR_BITS)) != 0)
    said = validate("bars", frame.take(rows))
    # a repeated row whose twin stands unbroken elsewhere holds pandera's schema when alone
    where = row_name(frame, int(rows[0]))
    message = f"a row is given twice at {where}" if said.passed else said.message
    measured = {"rows": len(frame), "failures": len(rows)}
    return CheckResult("bars.schema", False, _severity(frame, rows), measured, message, REPAIR_ROWS, rows)


def _is_typed(market: Market) -> bool:
    frame = market.tables["bars"]
    if list(frame.columns) != list(BARS):
        return False
    if any(str(frame[column].dtype) != dtype for column, dtype in BARS.items() if dtype != "str"):
        return False
    codes, words = market.bar_symbols
    named = all(isinstance(word, str) and word != "" for word in words) and codes.min(initial=0) >= 0
    return named and not (market.bar_days.place.min(initial=0) < 0)


def _holds(table: str, frame: pd.DataFrame) -> CheckResult:
    measured = {"rows": len(frame), "failures": 0}
    return CheckResult(f"{table}.schema", True, "error", measured, f"{len(frame)} rows hold the schema")


def _broken(table: str, frame: pd.DataFrame, cases: pd.DataFrame) -> CheckResult:
    measured = {"rows": len(frame), "failures": len(cases)}
    in_rows = bool(cases["index"].notna().all())
    if not in_rows:
        return CheckResult(f"{table}.schema", False, "error", measured, _first(frame, cases), REPAIR_TABLE)
    cases = cases.sort_values("index", kind="stable")
    rows = np.unique(cases["index"].to_numpy(dtype=np.int64))
    severity = _severity(frame, rows) if table in ROWS_STAND_ALONE else "error"
    return CheckResult(f"{table}.schema", False, severity, measured, _first(frame, cases), REPAIR_ROWS, rows)


def _severity(frame: pd.DataFrame, rows: Positions) -> Severity:
    single = len(rows) <= max(SINGLE_ROWS, SINGLE_FRAC * len(frame)) and len(rows) < len(frame)
    return "quarantine" if single else "error"


@cache
def schema(table: str) -> pa.DataFrameSchema:
    """Return the strict schema of a canonical table; ``OPTIONAL_COLUMNS`` may be there, others not in it may not."""
    import pandera.pandas as pa  # 1 s to import: only where tables are checked

    columns = {}
    optional = OPTIONAL_COLUMNS.get(table, {})
    for column, dtype in (TABLES[table] | optional).items():
        checks = []
        if column in ABOVE_ZERO:
            checks.append(pa.Check.gt(0, error=f"{column} is above zero"))
        if column in NOT_BELOW_ZERO:
            checks.append(pa.Check.ge(0, error=f"{column} is not below zero"))
        if column == "board":
            checks.append(pa.Check.isin([int(board) for board in Board], error="board is a known board"))
        if dtype == "str":
            checks.append(pa.Check(_is_text, error=f"{column} is text"))
        if dtype.startswith("float"):
            checks.append(pa.Check(_is_not_infinite, error=f"{column} is not infinite"))
        columns[column] = pa.Column(
            object if dtype == "str" else dtype,
            checks,
            nullable=(table, column) in NULLABLE,
            required=column not in optional,
        )
    return pa.DataFrameSchema(columns, checks=_row_checks(table), strict=True, unique=KEYS.get(table), name=table)


def _row_checks(table: str) -> list[pa.Check]:
    import pandera.pandas as pa  # 1 s to import: only where tables are checked

    if table in ("bars", "index_bars"):
        unit = "cny" if table == "bars" else "points"
        return [
            pa.Check(lambda frame: frame[f"high_{unit}"] >= frame[f"low_{unit}"], error="high is not below low"),
            pa.Check(lambda frame: _in_range(frame, "open", unit), error="open lies within [low, high]"),
            pa.Check(lambda frame: _in_range(frame, "close", unit), error="close lies within [low, high]"),
        ]
    if "end_date" in TABLES[table]:
        return [
            pa.Check(
                lambda frame: frame["end_date"].isna() | (frame["end_date"] >= frame["start_date"]),
                error="end_date is not before start_date",
            )
        ]
    if table == "securities":
        return [
            pa.Check(
                lambda frame: ~(frame["delist_date"] <= frame["list_date"]),  # NaT compares false
                error="delist_date is after list_date",
            ),
            pa.Check(_period_is_within_listing, error="delisting_period_date is after list_date, before delist_date"),
        ]
    if table == "financial_indicators":
        announced = pa.Check(
            lambda frame: frame["announced_date"] >= frame["report_period"],
            error="announced_date is not before the report period ends",
        )
        return [announced]
    if table == "macro":
        released = pa.Check(
            lambda frame: frame["released_at"].dt.tz_localize(None) > frame["reference_month"],
            error="released_at is after the reference month begins",
        )
        return [released]
    return []


def _period_is_within_listing(frame: pd.DataFrame) -> pd.Series:
    if "delisting_period_date" not in frame:
        return pd.Series(True, index=frame.index)
    start = frame["delisting_period_date"]  # NaT compares false
    within: pd.Series = ~((start <= frame["list_date"]) | (start >= frame["delist_date"]))
    return within


def _in_range(frame: pd.DataFrame, price: str, unit: str) -> pd.Series:
    value = frame[f"{price}_{unit}"]
    inside: pd.Series = (value >= frame[f"low_{unit}"] * (1 - ROUNDING_FRAC)) & (
        value <= frame[f"high_{unit}"] * (1 + ROUNDING_FRAC)
    )
    return inside


def _is_text(column: pd.Series) -> bool:
    return all(isinstance(word, str) and word != "" for word in column.dropna().unique())


def _is_not_infinite(column: pd.Series) -> pd.Series:
    found: pd.Series = ~np.isinf(column)
    return found


def _first(frame: pd.DataFrame, cases: pd.DataFrame) -> str:
    """Return a sentence on the first breach: of a column if there is one, as rules across columns only follow."""
    of_column = cases["schema_context"] == "Column"
    case = cases[of_column].iloc[0] if of_column.any() else cases.iloc[0]
    check = case["check"]
    if case["index"] is None or pd.isna(case["index"]):
        return f"{check}: {case['column'] if of_column.any() else case['failure_case']}"
    where = row_name(frame, int(case["index"]))
    value = f" ({case['column']}: {case['failure_case']})" if of_column.any() else ""
    return f"{check} is broken at {where}{value}"
