"""Canonical daily bars from the user's rows: dirt refused by file and row, units settled, factor derived."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ljwx_pipeline.clock import SHANGHAI, utc_now
from ljwx_pipeline.config import ColumnRole, FolderSettings
from ljwx_pipeline.errors import DataQualityError, SourceError
from ljwx_pipeline.market.calendar import CALENDAR_START, last_known_session, sessions_between
from ljwx_pipeline.market.symbols import board_of
from ljwx_pipeline.market.tables import BARS, SECURITIES, ST_SPELLS, Unknown, empty_table
from ljwx_pipeline.sources.folder.codes import stock_symbol
from ljwx_pipeline.sources.folder.files import find_files
from ljwx_pipeline.sources.folder.reference import reference_prices
from ljwx_pipeline.sources.folder.rows import Layout, Rows, read_rows
from ljwx_pipeline.sources.folder.units import CNY, SHARES, settle_units

LAYOUT = Layout(
    required=("session_date", "open", "high", "low", "close", "volume", "amount"),
    optional=("symbol", "pre_close", "change", "adj_factor", "name", "traded", "is_st"),
    to_code=stock_symbol,
    lenient=False,
)
PRICES: tuple[ColumnRole, ...] = ("open", "high", "low", "close")


@dataclass(frozen=True)
class LoadedBars:
    """Everything the bar files say, in canonical tables.

    Parameters
    ----------
    bars
        Table ``bars``, by session and symbol.
    securities, st_spells
        Derived tables; ``st_spells`` is empty where the files do not say.
    notes
        What was assumed, with its consequence.
    """

    bars: pd.DataFrame
    securities: pd.DataFrame
    st_spells: pd.DataFrame
    notes: tuple[Unknown, ...]


def load_bars(folder: FolderSettings) -> LoadedBars:
    """Return the bars below ``folder.data``.

    Raises
    ------
    SourceError
        When a file cannot be read as declared.
    DataQualityError
        When rows were read but break a hard rule, or contradict the declared units or adjustment.
    """
    rows = read_rows(find_files(folder.data, "folder.data"), LAYOUT, folder.columns)
    notes = [Unknown("what is in the files", note) for note in rows.notes]
    rows, untraded = _traded(rows, folder)
    if untraded:
        notes.append(Unknown(f"{untraded} rows without trading", "left out: a suspended session has no bar"))
    rows = _sorted(rows)
    _refuse_dirt(rows)
    frame = rows.frame
    units = settle_units(frame, folder, rows.provider)
    notes.append(
        Unknown("units (amount / volume)" if _declared(folder) else "units (not declared)", f"{units}: {units.how}")
    )
    reference, factor, more = reference_prices(rows, raw=folder.adjustment == "raw")
    notes.extend(more)
    bars = pd.DataFrame(
        {
            "symbol": frame["symbol"],
            "session_date": frame["session_date"],
            "open_cny": frame["open"],
            "high_cny": frame["high"],
            "low_cny": frame["low"],
            "close_cny": frame["close"],
            "pre_close_cny": reference,
            "volume_shares": frame["volume"] * SHARES[units.volume],
            "amount_cny": frame["amount"] * CNY[units.amount],
            "adj_factor": factor,
        }
    )[list(BARS)]
    securities = _securities(frame)
    spells = _st_spells(frame)
    bars = bars.iloc[_by_session(frame)].reset_index(drop=True)
    return LoadedBars(bars, securities, spells, tuple(notes))


def _declared(folder: FolderSettings) -> bool:
    return folder.volume_unit != "auto" and folder.amount_unit != "auto"


def _traded(rows: Rows, folder: FolderSettings) -> tuple[Rows, int]:
    frame = rows.frame
    silent = ~(frame["volume"] > 0) & ~(frame["amount"] > 0) & ~(frame["volume"] < 0) & ~(frame["amount"] < 0)
    if "traded" in frame:
        silent |= frame["traded"] == 0
    before = frame["session_date"] < pd.Timestamp(CALENDAR_START)
    keep = np.asarray(~(silent | before))
    if not keep.any():
        raise SourceError(f"{folder.data} holds no bar with any trading", "check volume and amount in the files")
    return (rows, 0) if keep.all() else (rows.take(keep), int((~keep).sum()))


def _sorted(rows: Rows) -> Rows:
    symbol_codes = pd.factorize(rows.frame["symbol"], sort=True)[0]
    days = rows.frame["session_date"].to_numpy().astype("i8")
    order = np.lexsort((days, symbol_codes))
    return rows if (order == np.arange(len(order))).all() else rows.take(order)


def _by_session(frame: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the order by session, then symbol, of rows that stand by symbol, then session."""
    return np.argsort(frame["session_date"].to_numpy().astype("i8"), kind="stable")


def _refuse_dirt(rows: Rows) -> None:
    frame = rows.frame
    for role in (*PRICES, "volume", "amount"):
        rows.refuse(frame[role].isna(), f"{role} is empty", "fill the cell or delete the row")
    if "is_st" in frame and frame["is_st"].notna().any():
        rows.refuse(frame["is_st"].isna(), "is_st is empty", "write 1 or 0, or leave the whole column empty")
    for role in PRICES:
        rows.refuse(
            frame[role] <= 0,
            f"{role} is {{{role}:g}}, and a price is above zero",
            "correct the row or delete it; if adjustment took it below zero, give raw prices",
        )
    rows.refuse(
        frame["high"] < frame["low"],
        "high {high:g} is below low {low:g}",
        "correct the row; if the columns are swapped, declare them under folder.columns",
    )
    for role in ("volume", "amount"):
        rows.refuse(frame[role] < 0, f"{role} is {{{role}:g}}, below zero", "correct the row or delete it")
    symbols, days = frame["symbol"].to_numpy(), frame["session_date"].to_numpy()
    again = np.r_[False, (symbols[1:] == symbols[:-1]) & (days[1:] == days[:-1])]
    if again.any():
        at = int(np.argmax(again))
        raise DataQualityError(
            f"{rows.where(at)} repeats {rows.where(at - 1)} ({int(again.sum())} such rows in all)",
            "keep one row for each symbol and session",
        )
    today = utc_now().astimezone(SHANGHAI).date()
    at = int(np.argmax(days > np.datetime64(today)))
    if days[at] > np.datetime64(today):
        raise DataQualityError(f"{rows.where(at)} is dated after today, {today}", "correct the date or delete the row")
    known = sessions_between(pd.Timestamp(days.min()).date(), last_known_session())
    rows.refuse(
        ~np.isin(days, known.to_numpy()),
        f"no session of the exchanges is on that date (calendar known to {known[-1]:%Y-%m-%d})",
        "delete the row; if it is a later session, upgrade exchange-calendars",
    )


def _securities(frame: pd.DataFrame) -> pd.DataFrame:
    grouped = frame.groupby("symbol", sort=True)
    first = grouped["session_date"].min()
    # a bar on the files' first session was not the first of its stock: when that listed is unknown
    listed = first.where(first > first.min())
    names = grouped["name"].last() if "name" in frame else pd.Series(first.index, index=first.index)
    table = pd.DataFrame(
        {
            "symbol": first.index.to_numpy(dtype=object),
            "name": names.fillna(names.index.to_series()).to_numpy(dtype=object),
            "board": np.array([int(board_of(symbol)) for symbol in first.index], dtype=np.int64),
            "list_date": listed.to_numpy(),
            "delist_date": np.full(len(first), np.datetime64("NaT", "ns")),
        }
    )
    return table[list(SECURITIES)]


def _st_spells(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of bars flagged ST; a run that reaches a symbol's last bar is still open."""
    if "is_st" not in frame:
        return empty_table("st_spells")
    flagged = (frame["is_st"] == 1).to_numpy()
    symbols = frame["symbol"].to_numpy()
    changed = np.r_[True, (symbols[1:] != symbols[:-1]) | (flagged[1:] != flagged[:-1])]
    starts = np.flatnonzero(changed)
    ends = np.r_[starts[1:], len(frame)] - 1
    last_of_symbol = np.r_[symbols[1:] != symbols[:-1], True]
    starts, ends = starts[flagged[starts]], ends[flagged[starts]]
    days = frame["session_date"].to_numpy()
    end_dates = np.where(last_of_symbol[ends], np.datetime64("NaT", "ns"), days[ends])
    spells = pd.DataFrame({"symbol": symbols[starts], "start_date": days[starts], "end_date": end_dates})
    return spells[list(ST_SPELLS)] if len(spells) else empty_table("st_spells")
