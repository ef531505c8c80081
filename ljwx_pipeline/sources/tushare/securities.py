"""Who is listed and under which name, from ``stock_basic`` and ``namechange``.

Not here: index members (``members.py``), and which rows are asked for (``source.py``).
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date

import numpy as np
import pandas as pd

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.calendar import CALENDAR_START, last_known_session, sessions_between
from ljwx_pipeline.market.symbols import Board, board_of, check_symbol, is_simulated
from ljwx_pipeline.market.tables import INDUSTRIES, SECURITIES, empty_table
from ljwx_pipeline.sources.tushare.apis import NAMECHANGE, STOCK_BASIC
from ljwx_pipeline.sources.tushare.cells import dates

#: Listed, delisted, listing paused: everything that ever traded. The default answers the first only.
STATUSES = ("L", "D", "P")
_BOARDS = {
    "主板": Board.MAIN,
    "中小板": Board.MAIN,
    "创业板": Board.CHINEXT,
    "科创板": Board.STAR,
    "北交所": Board.BEIJING,
}
#: A name under special treatment: ST, *ST, SST, S*ST, and after the share reform of 2006 GST, G*ST; XD, XR and DR mark
#: an ex-date.
_ST_NAME = re.compile(r"(XD|XR|DR)?[SG]?\*?ST")
#: A name in its delisting period: 退市甲 in Shanghai, 甲退 in Shenzhen; ``stock_basic`` writes 甲(退) after the end.
_PERIOD_NAME = re.compile(r"退市.|.+退$")
_DAY = pd.Timedelta(days=1)
_FAR = pd.Timestamp.max.normalize()


def stock_list(answers: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of ``stock_basic`` for every status, one a symbol, with dates; never listed ones left out.

    A stock that leaves between two of the calls is answered twice: its later status counts.
    """
    rows = pd.concat([answers[status].assign(list_status=status) for status in ("L", "P", "D")], ignore_index=True)
    rows = rows.assign(
        list_date=dates(rows, "list_date", STOCK_BASIC), delist_date=dates(rows, "delist_date", STOCK_BASIC)
    )
    rows = rows[rows["list_date"].notna()].drop_duplicates("ts_code", keep="last")
    for symbol in rows["ts_code"]:
        check_symbol(symbol)
    return rows.sort_values("ts_code", ignore_index=True)


def securities(stocks: pd.DataFrame) -> pd.DataFrame:
    """Return the canonical securities of a ``stock_list``, without ``delisting_period_date``."""
    boards = [_board(symbol, market) for symbol, market in zip(stocks["ts_code"], stocks["market"], strict=True)]
    table = pd.DataFrame(
        {
            "symbol": stocks["ts_code"].astype(object),
            "name": stocks["name"].astype(object),
            "board": pd.Series(boards, dtype="int64", index=stocks.index),
            "list_date": stocks["list_date"],
            "delist_date": stocks["delist_date"],
        }
    )
    return table[list(SECURITIES)].reset_index(drop=True)


def industries(stocks: pd.DataFrame, today: date) -> pd.DataFrame:
    """Return the industries of the stocks listed today, each from ``today`` on: what it was before is not told."""
    known = stocks[(stocks["list_status"] != "D") & stocks["industry"].notna()]
    table = pd.DataFrame({"symbol": known["ts_code"].astype(object), "industry": known["industry"].astype(object)})
    table["start_date"] = pd.Timestamp(today).as_unit("ns")
    table["end_date"] = pd.Series(pd.NaT, index=table.index, dtype="datetime64[ns]")
    return table[list(INDUSTRIES)].reset_index(drop=True)


def st_spells(names: pd.DataFrame, listed: pd.DataFrame) -> pd.DataFrame:
    """Return spells under special treatment from rows of ``namechange``.

    A name counts from the day it takes effect (the announcement's where none is given) to the day before the next one;
    names that follow each other, ST after ``*ST``, are one spell; a spell ends with the last session before delisting.

    Parameters
    ----------
    names
        Rows of ``namechange``, all names, others than ST too.
    listed
        Canonical securities; names of others are left out.
    """
    rows = pd.DataFrame({"symbol": names["ts_code"].astype(object), "name": names["name"]})
    announced = dates(names, "ann_date", NAMECHANGE).to_series(index=rows.index)
    rows["start"] = dates(names, "start_date", NAMECHANGE).to_series(index=rows.index).fillna(announced)
    rows["end"] = dates(names, "end_date", NAMECHANGE)
    rows["announced"] = announced
    rows = rows[rows["start"].notna() & rows["symbol"].isin(listed["symbol"])]
    rows = rows.sort_values(["symbol", "start", "announced"], kind="stable").drop_duplicates(
        ["symbol", "start"], keep="last"
    )
    delisted = rows["symbol"].map(listed.set_index("symbol")["delist_date"])
    ends = pd.concat([rows["end"], rows.groupby("symbol")["start"].shift(-1) - _DAY, delisted - _DAY], axis=1)
    rows["end"] = ends.min(axis=1)
    rows = rows[rows["name"].map(is_st_name).astype(bool)]
    return _merged(_on_sessions(rows))


def delisting_periods(names: pd.DataFrame, listed: pd.DataFrame) -> pd.DatetimeIndex:
    """Return the first session of each stock's delisting period, in the rows of ``listed``; NaT where there is none.

    It begins with the first of the names that say so; a later name that does not says that there was none after all.
    A name without a start date is left out: an announcement comes before the period.

    Parameters
    ----------
    names
        Rows of ``namechange``, all names, others than those of a delisting period too.
    listed
        Canonical securities.
    """
    rows = pd.DataFrame({"symbol": names["ts_code"].astype(object), "name": names["name"]})
    rows["start"] = dates(names, "start_date", NAMECHANGE)
    rows["end"] = rows["symbol"].map(listed.set_index("symbol")["delist_date"]) - _DAY
    rows = rows[rows["start"].notna() & ~(rows["start"] > rows["end"]) & rows["symbol"].isin(listed["symbol"])]
    rows = rows.sort_values(["symbol", "start"], kind="stable")
    says = rows["name"].map(is_period_name).astype(bool)
    still = says.iloc[::-1].groupby(rows["symbol"].iloc[::-1]).cummin().iloc[::-1]  # nothing else was borne since
    first = _on_sessions(rows[still.to_numpy()].drop_duplicates("symbol"))
    starts = first.set_index("symbol")["start"].reindex(listed["symbol"])
    return pd.DatetimeIndex(starts).as_unit("ns")


def is_period_name(name: object) -> bool:
    """Return whether a stock of this name is in its delisting period."""
    return isinstance(name, str) and _PERIOD_NAME.match(unicodedata.normalize("NFKC", name).strip()) is not None


def is_st_name(name: object) -> bool:
    """Return whether a stock of this name is under special treatment."""
    return isinstance(name, str) and _ST_NAME.match(unicodedata.normalize("NFKC", name).strip().upper()) is not None


def _board(symbol: str, market: object) -> int:
    if not is_simulated(symbol):
        return int(board_of(symbol))
    if market not in _BOARDS:
        raise SourceError(f"stock_basic puts the simulated {symbol} on {market!r}", f"use {', '.join(_BOARDS)}")
    return int(_BOARDS[str(market)])


def _on_sessions(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows whose ``start`` and ``end`` are sessions inside them, where the calendar reaches; empty ones left."""
    calendar = sessions_between(date.fromisoformat(CALENDAR_START), last_known_session())
    start, end = pd.DatetimeIndex(rows["start"]), pd.DatetimeIndex(rows["end"])
    first = calendar.searchsorted(start).clip(max=len(calendar) - 1)
    last = (calendar.searchsorted(end.fillna(calendar[0]), side="right") - 1).clip(min=0)
    known = (start >= calendar[0]) & (start <= calendar[-1])
    rows = rows.assign(start=calendar[first].where(known, start))
    rows["end"] = calendar[last].where((end >= calendar[0]) & (end <= calendar[-1]), end)
    return rows[rows["end"].isna() | (rows["end"] >= rows["start"])]


def _merged(rows: pd.DataFrame) -> pd.DataFrame:
    """Return spells by symbol and start; those without a session between them are joined."""
    if rows.empty:
        return empty_table("st_spells")
    calendar = sessions_between(date.fromisoformat(CALENDAR_START), last_known_session())
    # names do not overlap: each ends before the next begins
    began = calendar.searchsorted(pd.DatetimeIndex(rows["start"]))
    ended = calendar.searchsorted(pd.DatetimeIndex(rows["end"].fillna(_FAR)), side="right")
    same = (rows["symbol"] == rows["symbol"].shift()).to_numpy()
    follows = same & (began <= np.roll(ended, 1))
    spell = np.cumsum(~follows)
    grouped = rows.groupby(spell, sort=False)
    table = pd.DataFrame(
        {
            "symbol": grouped["symbol"].first(),
            "start_date": grouped["start"].first(),
            "end_date": rows["end"].groupby(spell, sort=False).nth(-1).to_numpy(),
        }
    ).reset_index(drop=True)
    return table.astype({"start_date": "datetime64[ns]", "end_date": "datetime64[ns]"})
