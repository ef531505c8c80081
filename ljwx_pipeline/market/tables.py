"""The canonical tables every source yields: names, units and dtypes, stated once.

Prices are as traded (raw) unless the source's description says otherwise; ``adj_factor`` is cumulative, grows at each
ex-date, and ``close_cny * adj_factor`` is a total-return series. Volumes are shares, money is CNY, dates are
``datetime64[ns]`` at midnight without a time zone, instants are UTC. Suspended sessions are absent rows.

Not here: the checks that hold the rows to it (``quality/``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

DATE = "datetime64[ns]"

#: Daily bars, one row a symbol and session traded.
BARS = {
    "symbol": "str",
    "session_date": DATE,
    "open_cny": "float64",
    "high_cny": "float64",
    "low_cny": "float64",
    "close_cny": "float64",
    "pre_close_cny": "float64",  # reference price of the session: previous close after ex-right adjustment
    "volume_shares": "float64",
    "amount_cny": "float64",
    "adj_factor": "float64",
}
#: Daily index bars, in points.
INDEX_BARS = {
    "index_code": "str",
    "session_date": DATE,
    "open_points": "float64",
    "high_points": "float64",
    "low_points": "float64",
    "close_points": "float64",
    "volume_shares": "float64",
    "amount_cny": "float64",
}
#: One row a security ever listed. ``list_date`` is NaT where it is unknown but before the source's first session,
#: ``delist_date`` while it is listed.
SECURITIES = {"symbol": "str", "name": "str", "board": "int64", "list_date": DATE, "delist_date": DATE}
#: Spells under special treatment, first and last session inclusive; ``end_date`` NaT while it lasts.
ST_SPELLS = {"symbol": "str", "start_date": DATE, "end_date": DATE}
#: Industry by date, inclusive ranges.
INDUSTRIES = {"symbol": "str", "industry": "str", "start_date": DATE, "end_date": DATE}
#: Index members by date, inclusive ranges.
INDEX_MEMBERS = {"index_code": "str", "symbol": "str", "start_date": DATE, "end_date": DATE}
#: Total market value at the close.
MARKET_VALUES = {"symbol": "str", "session_date": DATE, "market_value_cny": "float64"}
#: Cash dividends and bonus shares, effective at the open of the ex-date.
CORPORATE_ACTIONS = {
    "symbol": "str",
    "ex_date": DATE,
    "cash_cny_per_share": "float64",
    "bonus_shares_per_share": "float64",
}
#: Sessions on which a listed security did not trade all day.
SUSPENSIONS = {"symbol": "str", "session_date": DATE}
#: The day's price limits as published; NaN where there is none (the first sessions of a listing).
PRICE_LIMITS = {"symbol": "str", "session_date": DATE, "limit_up_cny": "float64", "limit_down_cny": "float64"}
#: Figures of periodic reports: one row a symbol, period, announcement and indicator; known from ``announced_date`` on.
FINANCIAL_INDICATORS = {
    "symbol": "str",
    "report_period": DATE,
    "announced_date": DATE,
    "indicator": "str",
    "value": "float64",
}
#: News items with the instant at which they were published (UTC).
NEWS = {"symbol": "str", "published_at": "datetime64[ns, UTC]", "title": "str", "sentiment": "float64"}
#: Macro releases: the month they describe and the instant they became known (UTC).
MACRO = {"series": "str", "reference_month": DATE, "released_at": "datetime64[ns, UTC]", "value": "float64"}

#: Every table by name, in the order sources yield them.
TABLES = {
    "bars": BARS,
    "index_bars": INDEX_BARS,
    "securities": SECURITIES,
    "st_spells": ST_SPELLS,
    "industries": INDUSTRIES,
    "index_members": INDEX_MEMBERS,
    "market_values": MARKET_VALUES,
    "corporate_actions": CORPORATE_ACTIONS,
    "suspensions": SUSPENSIONS,
    "price_limits": PRICE_LIMITS,
    "financial_indicators": FINANCIAL_INDICATORS,
    "news": NEWS,
    "macro": MACRO,
}
#: Columns that a table has besides, where its source knows them; absent is unknown for every row, NaT for one. What is
#: not told leaves no trace: tables of sources without it, and lakes filled before there was such a column, stay as they
#: are to the hash (``docs/decisions/016-optional-columns.md``).
OPTIONAL_COLUMNS = {
    # first session of the delisting period; NaT where there is none
    "securities": {"delisting_period_date": DATE},
}

#: Tables that only some factors' fields are made of; nobody need read them for a catalogue of adjusted prices.
BESIDE_TABLES = ("index_bars", "industries", "market_values", "suspensions", "price_limits")

#: The column that dates a row of a table that grows by date, where it is not ``session_date``.
DATE_COLUMNS = {
    "corporate_actions": "ex_date",
    "financial_indicators": "announced_date",
    "news": "published_at",
    "macro": "released_at",
}
#: Tables of ranges by date, ``start_date`` to ``end_date``, and what a range is of: while all of these stay the same it
#: goes on.
RANGE_TABLES = {
    "st_spells": ("symbol",),
    "industries": ("symbol", "industry"),
    "index_members": ("index_code", "symbol"),
}


def empty_table(name: str) -> pd.DataFrame:
    """Return table ``name`` with its columns and dtypes and no row: for what a source does not know."""
    dtypes = {column: ("object" if dtype == "str" else dtype) for column, dtype in TABLES[name].items()}
    return pd.DataFrame({column: pd.Series(dtype=dtype) for column, dtype in dtypes.items()})


@dataclass(frozen=True)
class Unknown:
    """Something a source cannot say, and what that does to every result computed from it."""

    what: str
    consequence: str


@dataclass(frozen=True)
class SourceDescription:
    """What a source is and what it does not know; shown in reports and in Dagster.

    ``fetches`` says what a question costs: nothing (everything is at hand), a call a session, or a call a symbol.
    Of the tables of ranges by date, ``snapshots`` names those of which it tells today's state only, in ranges that
    begin today, and ``windowed`` those it tells of the dates asked for only; the others it tells whole. Of the tables
    that grow by date, ``untold`` names those it is not asked for, so that nothing counts as asked. ``symbols`` are
    those it was narrowed to (none: every one); members of an index are told whole all the same.
    """

    name: str
    simulated: bool
    adjustment: str  # raw | forward | backward
    unknown: tuple[Unknown, ...]
    fetches: Literal["at_hand", "by_session", "by_symbol"] = "at_hand"
    snapshots: tuple[str, ...] = ()
    windowed: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
