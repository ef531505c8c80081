"""Canonical index bars from the user's files, refusing a series that is, or turns into, a stock."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ljwx_pipeline.config import FolderSettings
from ljwx_pipeline.errors import DataQualityError, SourceError
from ljwx_pipeline.market.calendar import CALENDAR_START, last_known_session, sessions_between
from ljwx_pipeline.market.tables import INDEX_BARS, Unknown
from ljwx_pipeline.market.traded_price import average_price_in_range
from ljwx_pipeline.sources.folder.codes import index_code
from ljwx_pipeline.sources.folder.files import find_files
from ljwx_pipeline.sources.folder.rows import Layout, Rows, read_rows
from ljwx_pipeline.sources.folder.spellings import AmountUnit, VolumeUnit
from ljwx_pipeline.sources.folder.units import CNY, SHARES

LAYOUT = Layout(
    required=("session_date", "close"),
    optional=("symbol", "open", "high", "low", "volume", "amount"),
    to_code=index_code,
    lenient=True,
)
#: No A-share index has moved further in a session since daily limits exist (the widest member limit is 20 %).
MAX_MOVE_FRAC = 0.22
#: A gap in the rows may hide more than one session's move, up to this many.
MAX_GAP_SESSIONS = 10
#: A stock's amount / volume lies within [low, high] on nearly all bars; an index level has nothing to do with it.
STOCK_MIN_FRAC = 0.9
STOCK_REMEDY = "give the index's own file; on the other exchange its code may be that of a stock"
#: Index levels stand in the hundreds and thousands, member prices about 10 CNY; a stock's level is its price, even
#: when adjustment has moved it out of [low, high].
INDEX_MIN_LEVEL_OVER_PRICE = 3.0
#: Mean price of a share across an index, CNY, under the right units.
PLAUSIBLE_CNY = (2.0, 100.0)
#: The pairs that index downloads come in, tried in this order.
TURNOVER_UNITS: tuple[tuple[VolumeUnit, AmountUnit], ...] = (
    ("lots", "thousand_cny"),
    ("shares", "cny"),
    ("lots", "cny"),
)


def load_index_bars(folder: FolderSettings) -> tuple[pd.DataFrame, tuple[Unknown, ...]]:
    """Return table ``index_bars`` by session and code, and what was assumed.

    Open, high and low are the close where a file lacks them; volume and amount are NaN where it lacks them or their
    units are not plausible.

    Raises
    ------
    SourceError, DataQualityError
        For unreadable files, repeated rows, levels not above zero, a level jump, or a stock in an index's place.
    """
    if not folder.index_data:
        raise SourceError(
            "folder.index_data names no file, and the result must be compared with an index",
            "pass --index-data PATH [PATH ...]",
        )
    tables: list[pd.DataFrame] = []
    notes: list[Unknown] = []
    for given in folder.index_data:
        for path in find_files(given, "folder.index_data"):
            rows = read_rows([path], LAYOUT, folder.columns)
            notes.extend(Unknown("what is in the index files", note) for note in rows.notes)
            table, more = _canonical(rows)
            tables.append(table)
            notes.extend(more)
    whole = pd.concat(tables, ignore_index=True).sort_values(["session_date", "index_code"], ignore_index=True)
    twice = whole.duplicated(["session_date", "index_code"])
    if twice.any():
        code = whole.loc[twice, "index_code"].iloc[0]
        raise DataQualityError(
            f"index {code} is given twice (also at {whole.loc[twice, 'session_date'].iloc[0]:%Y-%m-%d})",
            "keep one file for each index in folder.index_data",
        )
    return whole, tuple(notes)


def _canonical(rows: Rows) -> tuple[pd.DataFrame, list[Unknown]]:
    rows = _checked(rows)
    frame = rows.frame
    for role in ("open", "high", "low"):
        frame[role] = frame[role].fillna(frame["close"]) if role in frame else frame["close"]
    for role in ("volume", "amount"):
        if role not in frame:
            frame[role] = np.nan
    read_as: dict[str, list[str]] = {}
    tables = []
    for code, part in frame.groupby("symbol", sort=True):
        volume, amount, how = _turnover(part, rows)
        read_as.setdefault(how, []).append(str(code))
        tables.append(
            pd.DataFrame(
                {
                    "index_code": part["symbol"],
                    "session_date": part["session_date"],
                    "open_points": part["open"],
                    "high_points": part["high"],
                    "low_points": part["low"],
                    "close_points": part["close"],
                    "volume_shares": volume,
                    "amount_cny": amount,
                }
            )[list(INDEX_BARS)]
        )
    notes = [Unknown(f"turnover of index {', '.join(codes)}", how) for how, codes in read_as.items()]
    return pd.concat(tables, ignore_index=True), notes


def _checked(rows: Rows) -> Rows:
    frame = rows.frame
    known = sessions_between(pd.Timestamp(CALENDAR_START).date(), last_known_session())
    keep = np.asarray(frame["session_date"] >= known[0])
    if not keep.any():
        raise SourceError(f"{rows.paths[0]} ends before {known[0]:%Y-%m-%d}", "give a later history of the index")
    frame = frame[keep]
    order = np.lexsort((frame["session_date"].to_numpy().astype("i8"), pd.factorize(frame["symbol"], sort=True)[0]))
    rows = rows.take(np.flatnonzero(keep)[order])
    frame = rows.frame
    rows.refuse(~(frame["close"] > 0), "close is {close:g}, not above zero", "correct the row or delete it")
    position = known.get_indexer(pd.DatetimeIndex(frame["session_date"]))
    rows.refuse(position < 0, "no session of the exchanges is on that date", "delete the row")
    symbols, close = frame["symbol"].to_numpy(), frame["close"].to_numpy()
    same = np.r_[False, symbols[1:] == symbols[:-1]]
    gap = np.r_[1, np.diff(position)]
    rows.refuse(same & (gap == 0), "the session is given twice", "keep one row for each session")
    allowed = np.log1p(MAX_MOVE_FRAC) * np.clip(gap, 1, MAX_GAP_SESSIONS)
    move = np.abs(np.r_[0.0, np.diff(np.log(close))])
    before = np.r_[np.nan, close[:-1]]
    jumped = same & (move > allowed)
    if jumped.any():
        at = int(np.argmax(jumped))
        raise DataQualityError(
            f"{rows.where(at)}: the level jumps from {before[at]:g} to {close[at]:g}, which no index does: "
            "another security of the same code, perhaps a stock, follows",
            "cut the foreign rows out of the file or give another source of this index",
        )
    _refuse_stock(rows)
    return rows


def _refuse_stock(rows: Rows) -> None:
    frame = rows.frame
    if not {"low", "high", "volume", "amount"} <= set(frame.columns):
        return
    for code, part in frame[frame["volume"] > 0].groupby("symbol"):
        for volume_unit, shares in SHARES.items():
            for amount_unit, cny in CNY.items():
                inside = average_price_in_range(
                    low_cny=part["low"].to_numpy(),
                    high_cny=part["high"].to_numpy(),
                    volume_shares=part["volume"].to_numpy() * shares,
                    amount_cny=part["amount"].to_numpy() * cny,
                ).mean()
                if inside > STOCK_MIN_FRAC:
                    raise DataQualityError(
                        f"{rows.paths[0]}: {code} is no index: its amount / volume ({amount_unit}, {volume_unit}) lies "
                        f"within [low, high] on {inside:.1%} of its bars, as only a traded security's does "
                        f"(last close {part['close'].iloc[-1]:g})",
                        STOCK_REMEDY,
                    )


def _turnover(part: pd.DataFrame, rows: Rows) -> tuple[pd.Series, pd.Series, str]:
    """Return volume in shares and amount in CNY under the first pair of units that makes a plausible share price."""
    unknown = pd.Series(np.nan, index=part.index)
    traded = part[(part["volume"] > 0) & (part["amount"] > 0)]
    if traded.empty:
        return unknown, unknown, "the file does not give it"
    quotient = traded["amount"] / traded["volume"]
    for volume_unit, amount_unit in TURNOVER_UNITS:
        price = quotient * CNY[amount_unit] / SHARES[volume_unit]
        if not PLAUSIBLE_CNY[0] <= price.median() < PLAUSIBLE_CNY[1]:
            continue
        if float((traded["close"] / price).median()) < INDEX_MIN_LEVEL_OVER_PRICE:
            code, last = part["symbol"].iloc[0], part["close"].iloc[-1]
            raise DataQualityError(
                f"{rows.paths[0]}: {code} is no index: its level ({last:g}) is about what one of its shares costs "
                f"({price.iloc[-1]:.2f} CNY), so the file holds a stock",
                STOCK_REMEDY,
            )
        how = f"read as {volume_unit} and {amount_unit}, under which a mean share costs a plausible price"
        return part["volume"] * SHARES[volume_unit], part["amount"] * CNY[amount_unit], how
    return unknown, unknown, "left out: under no known pair of units does a mean share cost a plausible price"
