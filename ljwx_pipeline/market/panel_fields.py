"""From canonical tables to the panel fields beside adjusted prices: values, limits, spells, industries, point in time.

Every field tells of a session what was known when it closed. A table that is empty gives no field: what a source does
not know is an empty table, and a factor that reads the field is then refused by name instead of computed from a guess.
Not here: adjusted prices (``adjustment.py``), who belongs to a cross-section (``dataset/universe.py``), what the fields
mean to a factor (``expressions/fields.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.calendar import CALENDAR_START, session_closes, sessions_between
from ljwx_pipeline.market.panel import Float, dense
from ljwx_pipeline.market.ranges import UNKNOWN, range_labels, range_mask

#: A value of a session-dated table that says when it became known is used for so long.
MAX_AGE = pd.Timedelta(days=15)
#: Prices within half a tick of a limit are at it.
HALF_TICK_CNY = 0.005
#: Columns of bars that are fields as they stand, where prices are as traded.
AS_TRADED = {
    "raw_open_cny": "open_cny",
    "raw_high_cny": "high_cny",
    "raw_low_cny": "low_cny",
    "raw_close_cny": "close_cny",
    "pre_close_cny": "pre_close_cny",
    "raw_volume_shares": "volume_shares",
}
#: Of a session with price limits: the limits, and whether the close was at them.
LIMIT_PRICES, LIMIT_FLAGS = ("limit_up_price_cny", "limit_down_price_cny"), ("limit_up", "limit_down")
MARKET_VALUES = ("market_value_cny", "float_market_value_cny")


def panel_fields(
    tables: Mapping[str, pd.DataFrame],
    *,
    symbols: tuple[str, ...],
    sessions: pd.DatetimeIndex,
    adjustment: str,
    benchmark: str = "",
) -> dict[str, Float]:
    """Return the fields that ``tables`` know, each float64 of shape ``(n_symbols, n_sessions)``.

    Flags are 1.0 and 0.0; an industry is the code of its name in their order. NaN where nothing is known.

    Parameters
    ----------
    tables
        Canonical tables by name; those absent, empty or lacking a column give no field. Rows off the axes are left out.
    symbols, sessions
        The panel's axes.
    adjustment
        How the bars' prices are: under ``forward`` and ``backward`` they are not those of the day, so that fields as
        traded, limits and turnover are left out.
    benchmark
        Index whose close is ``index_close``; none where it is empty.

    Raises
    ------
    DataQualityError
        For duplicated rows, overlapping ranges of one symbol's industry, or a benchmark the table does not tell.
    """
    axes = _Axes({name: table for name, table in tables.items() if len(table)}, symbols, sessions)
    fields = {name: axes.told("market_values", name) for name in MARKET_VALUES if axes.tells("market_values", name)}
    if adjustment == "raw" and "bars" in axes.tables:
        fields |= {name: axes.told("bars", column) for name, column in AS_TRADED.items()}
        if "float_market_value_cny" in fields:
            free_shares = fields["float_market_value_cny"] / fields["raw_close_cny"]
            traded = fields["raw_volume_shares"]
            fields["turnover_frac"] = np.divide(
                traded, free_shares, out=np.full_like(traded, np.nan), where=free_shares > 0
            )
        fields |= _limits(axes, fields["raw_close_cny"])
    fields |= _states(axes)
    if benchmark and "index_bars" in axes.tables:
        fields["index_close"] = _index_close(axes, benchmark)
    return fields


def field_columns(field: str) -> dict[str, tuple[str, ...]]:
    """Return the columns beside the keys that decide the values of one of ``panel_fields``, by canonical table."""
    spans = ("start_date", "end_date")
    close, limits = ("close_cny",), ("limit_up_cny", "limit_down_cny")
    columns: dict[str, dict[str, tuple[str, ...]]] = {name: {"bars": (column,)} for name, column in AS_TRADED.items()}
    columns |= {name: {"market_values": (name,)} for name in MARKET_VALUES}
    columns |= {name: {"price_limits": (limit,)} for name, limit in zip(LIMIT_PRICES, limits, strict=True)}
    columns |= {
        name: {"price_limits": (limit,), "bars": close} for name, limit in zip(LIMIT_FLAGS, limits, strict=True)
    }
    columns |= {
        "turnover_frac": {"bars": ("volume_shares", *close), "market_values": ("float_market_value_cny",)},
        "is_st": {"st_spells": spans},
        "is_suspended": {"suspensions": ("session_date",), "bars": ("session_date",)},
        "industry": {"industries": ("industry", *spans)},
        "listed_sessions": {"securities": ("list_date",)},
        "index_close": {"index_bars": ("index_code", "close_points")},
    }
    return columns[field]


def as_of_field(
    rows: pd.DataFrame,
    *,
    symbols: tuple[str, ...],
    sessions: pd.DatetimeIndex,
    max_age: pd.Timedelta,
    column: str = "value",
) -> Float:
    """Return the last value known at each session's close, float64 of shape ``(n_symbols, n_sessions)``.

    Parameters
    ----------
    rows
        ``symbol``, ``known_at`` (instants with a time zone) and ``column``, of any frequency and order. Rows of other
        symbols and without a value are left out.
    symbols, sessions
        The field's axes.
    max_age
        How long after ``known_at`` a value is still used; NaN beyond.
    column
        Which column holds the value.

    Raises
    ------
    DataQualityError
        When instants have no time zone, or a symbol has two values known at one instant: then neither is the last.
    """
    if not isinstance(rows["known_at"].dtype, pd.DatetimeTZDtype):
        raise DataQualityError(f"known_at of {column} has no time zone", "store instants as UTC")
    places = pd.Index(symbols).get_indexer(pd.Index(rows["symbol"]))
    used = rows.assign(place=places)[(places >= 0) & rows[column].notna().to_numpy()]
    twice = used.duplicated(["symbol", "known_at"])
    if twice.any():
        row = used[twice].iloc[0]
        raise DataQualityError(
            f"{row['symbol']} has two values of {column} known at {row['known_at']}", "keep the one that counts"
        )
    used = used.sort_values(["place", "known_at"])
    instants = used["known_at"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    closes = _closes(sessions)
    values, place = used[column].to_numpy(dtype=np.float64), used["place"].to_numpy()
    bounds = np.searchsorted(place, np.arange(len(symbols) + 1))
    out = np.full((len(symbols), len(sessions)), np.nan)
    for symbol in np.unique(place):
        mine = slice(bounds[symbol], bounds[symbol + 1])
        last = np.searchsorted(instants[mine], closes, side="right") - 1
        fresh = (last >= 0) & (closes - instants[mine][last] <= max_age.to_timedelta64())
        out[symbol, fresh] = values[mine][last[fresh]]
    return out


def listed_sessions(securities: pd.DataFrame, symbols: tuple[str, ...], sessions: pd.DatetimeIndex) -> Float:
    """Return the sessions since listing, 0 on the first, negative before it; NaN where the date is unknown.

    The calendar counts the sessions before the panel.
    """
    calendar = sessions_between(date.fromisoformat(CALENDAR_START), sessions[0].date())
    earlier = calendar[calendar < sessions[0]]
    every = earlier.append(sessions)
    dates = pd.DatetimeIndex(securities.set_index("symbol")["list_date"].reindex(list(symbols)))
    position = np.where(dates.isna(), np.nan, every.searchsorted(dates))
    since: Float = np.arange(float(len(earlier)), float(len(every)))[None, :] - position[:, None]
    return since


class _Axes:
    """Tables as dense arrays over one pair of axes."""

    def __init__(
        self, tables: Mapping[str, pd.DataFrame], symbols: tuple[str, ...], sessions: pd.DatetimeIndex
    ) -> None:
        self.tables = tables
        self.symbols = symbols
        self.sessions = sessions

    def tells(self, table: str, column: str) -> bool:
        return table in self.tables and column in self.tables[table]

    def told(self, table: str, column: str) -> Float:
        """Return a column of a session-dated table: of the session, or the last known where rows say since when."""
        frame = self.tables[table]
        if "known_at" in frame:
            return as_of_field(frame, symbols=self.symbols, sessions=self.sessions, max_age=MAX_AGE, column=column)
        inside = frame["symbol"].isin(self.symbols) & frame["session_date"].isin(self.sessions)
        return dense(frame[inside], column, self.symbols, self.sessions)


def _closes(sessions: pd.DatetimeIndex) -> NDArray[np.datetime64]:
    closes = session_closes(sessions).tz_convert("UTC").tz_localize(None)
    return np.asarray(closes.to_numpy(dtype="datetime64[ns]"))


def _limits(axes: _Axes, close: Float) -> dict[str, Float]:
    """Return limit prices and whether the close was at them; no limit that day means it was not."""
    if "price_limits" not in axes.tables:
        return {}
    table = axes.tables["price_limits"]
    axes = _Axes({"price_limits": table.assign(stated=1.0)}, axes.symbols, axes.sessions)
    unknown = np.isnan(close) | np.isnan(axes.told("price_limits", "stated"))
    up, down = axes.told("price_limits", "limit_up_cny"), axes.told("price_limits", "limit_down_cny")
    return {
        "limit_up_price_cny": up,
        "limit_down_price_cny": down,
        "limit_up": np.where(unknown, np.nan, close > up - HALF_TICK_CNY),
        "limit_down": np.where(unknown, np.nan, close < down + HALF_TICK_CNY),
    }


def _states(axes: _Axes) -> dict[str, Float]:
    """Return what dated ranges and lists say of each session."""
    tables, symbols, sessions = axes.tables, axes.symbols, axes.sessions
    fields: dict[str, Float] = {}
    if "st_spells" in tables:
        fields["is_st"] = range_mask(tables["st_spells"], symbols, sessions).astype(np.float64)
    if "suspensions" in tables and "bars" in tables:
        stated = {name: tables[name][["symbol", "session_date"]].assign(is_row=1.0) for name in ("suspensions", "bars")}
        rows = _Axes(stated, symbols, sessions)
        absent, traded = rows.told("suspensions", "is_row"), rows.told("bars", "is_row")
        # a row of bars wins: whoever traded a part of the session was not suspended all of it
        fields["is_suspended"] = np.where(traded == 1, 0.0, absent)
    if "industries" in tables:
        labels = range_labels(tables["industries"], "industry", symbols, sessions)
        _, codes = np.unique(labels.astype(str), return_inverse=True)
        fields["industry"] = np.where(labels == UNKNOWN, np.nan, codes.reshape(labels.shape))
    if "securities" in tables:
        since = listed_sessions(tables["securities"], symbols, sessions)
        fields["listed_sessions"] = np.where(since >= 0, since, np.nan)
    return fields


def _index_close(axes: _Axes, benchmark: str) -> Float:
    bars = axes.tables["index_bars"]
    mine = bars[bars["index_code"] == benchmark].rename(columns={"index_code": "symbol"})
    if mine.empty:
        known = ", ".join(sorted(bars["index_code"].unique()))
        raise DataQualityError(f"the source tells no bar of index {benchmark}", f"choose one it tells: {known}")
    row = _Axes({"index_bars": mine}, (benchmark,), axes.sessions).told("index_bars", "close_points")
    return np.repeat(row, len(axes.symbols), axis=0)
