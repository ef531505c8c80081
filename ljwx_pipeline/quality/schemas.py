"""The pandera schema of every canonical table: names, dtypes, nullability, bounds and keys.

Not here: checks that need more than one table or the calendar (``checks.py``).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pandas as pd

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.market.tables import TABLES
from ljwx_pipeline.quality.results import CheckResult

if TYPE_CHECKING:
    import pandera.pandas as pa

#: Open and close may leave [low, high] by this much: providers round adjusted prices to four decimals.
ROUNDING_FRAC = 1e-4

NULLABLE = frozenset(
    {
        ("securities", "list_date"),
        ("securities", "delist_date"),
        ("st_spells", "end_date"),
        ("industries", "end_date"),
        ("index_members", "end_date"),
        ("index_bars", "volume_shares"),
        ("index_bars", "amount_cny"),
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
    }
)
NOT_BELOW_ZERO = frozenset({"volume_shares", "amount_cny", "cash_cny_per_share", "bonus_shares_per_share"})
KEYS = {
    "bars": ["session_date", "symbol"],
    "index_bars": ["session_date", "index_code"],
    "securities": ["symbol"],
    "st_spells": ["symbol", "start_date"],
    "industries": ["symbol", "start_date"],
    "index_members": ["index_code", "symbol", "start_date"],
    "market_values": ["session_date", "symbol"],
    "corporate_actions": ["ex_date", "symbol"],
    "macro": ["series", "reference_month", "released_at"],
}
#: Columns that name a row in a message.
ROW_NAMES = ("symbol", "index_code", "series", "session_date", "start_date", "ex_date", "reference_month")


def validate(table: str, frame: pd.DataFrame) -> CheckResult:
    """Return whether ``frame`` is the canonical table ``table``; the message names the first offending row.

    Raises
    ------
    DataQualityError
        When there is no canonical table of that name.
    """
    if table not in TABLES:
        raise DataQualityError(f"{table!r} is not a canonical table", f"choose one of: {', '.join(TABLES)}")
    from pandera.errors import SchemaErrors  # 1 s to import: only where tables are checked

    name = f"{table}.schema"
    try:
        schema(table).validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        return CheckResult(name, False, "error", {"rows": len(frame), "failures": len(cases)}, _first(frame, cases))
    return CheckResult(name, True, "error", {"rows": len(frame), "failures": 0}, f"{len(frame)} rows hold the schema")


@cache
def schema(table: str) -> pa.DataFrameSchema:
    """Return the strict schema of a canonical table; every column is required and no other is allowed."""
    import pandera.pandas as pa  # 1 s to import: only where tables are checked

    columns = {}
    for column, dtype in TABLES[table].items():
        checks = []
        if column in ABOVE_ZERO:
            checks.append(pa.Check.gt(0, error=f"{column} is above zero"))
        if column in NOT_BELOW_ZERO:
            checks.append(pa.Check.ge(0, error=f"{column} is not below zero"))
        if column == "board":
            checks.append(pa.Check.isin([int(board) for board in Board], error="board is a known board"))
        if dtype == "str":
            checks.append(pa.Check(_is_text, error=f"{column} is text"))
        columns[column] = pa.Column(
            object if dtype == "str" else dtype, checks, nullable=(table, column) in NULLABLE, required=True
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
            )
        ]
    if table == "macro":
        released = pa.Check(
            lambda frame: frame["released_at"].dt.tz_localize(None) > frame["reference_month"],
            error="released_at is after the reference month begins",
        )
        return [released]
    return []


def _in_range(frame: pd.DataFrame, price: str, unit: str) -> pd.Series:
    value = frame[f"{price}_{unit}"]
    inside: pd.Series = (value >= frame[f"low_{unit}"] * (1 - ROUNDING_FRAC)) & (
        value <= frame[f"high_{unit}"] * (1 + ROUNDING_FRAC)
    )
    return inside


def _is_text(column: pd.Series) -> bool:
    return all(isinstance(word, str) and word != "" for word in column.dropna().unique())


def _first(frame: pd.DataFrame, cases: pd.DataFrame) -> str:
    """Return a sentence on the first breach: of a column if there is one, as rules across columns only follow."""
    of_column = cases["schema_context"] == "Column"
    case = cases[of_column].iloc[0] if of_column.any() else cases.iloc[0]
    check = case["check"]
    if case["index"] is None or pd.isna(case["index"]):
        return f"{check}: {case['column'] if of_column.any() else case['failure_case']}"
    row = frame.loc[case["index"]]
    named = [row[name] for name in ROW_NAMES if name in frame]
    where = " ".join(f"{cell:%Y-%m-%d}" if isinstance(cell, pd.Timestamp) else str(cell) for cell in named)
    value = f" ({case['column']}: {case['failure_case']})" if of_column.any() else ""
    return f"{check} is broken at {where}{value}"
