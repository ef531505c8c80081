"""Rows of bars that are wrong in themselves: impossible cells, repeated and foreign rows, rows out of place."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.fakes.dirt.kind import TableDirt, Tables, appended, cells, one_symbol


def conflicting(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(volume_shares=rows["volume_shares"] + 100)


def weekend(rows: pd.DataFrame) -> pd.DataFrame:
    day = rows["session_date"]
    return rows.assign(session_date=day + pd.to_timedelta((5 - day.dt.dayofweek) % 7, unit="D"))


def next_year(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(session_date=rows["session_date"] + pd.DateOffset(years=12))


def foreign_symbol(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(symbol="S99999.SIM")


def out_of_order(tables: Tables, rng: np.random.Generator) -> Tables:
    rows = one_symbol(tables)
    order = np.arange(len(tables["bars"]))
    order[rows[10]], order[rows[40]] = rows[40], rows[10]
    tables["bars"] = tables["bars"].iloc[order].reset_index(drop=True)
    return tables


def delisted_earlier(tables: Tables, rng: np.random.Generator) -> Tables:
    rows = one_symbol(tables)
    gone = tables["bars"].loc[rows[-3], "session_date"]
    table = tables["securities"]
    table.loc[table["symbol"] == tables["bars"].loc[rows[0], "symbol"], "delist_date"] = gone
    return tables


KINDS = (
    TableDirt("a price is empty", cells(close_cny=np.nan), "bars.schema", "quarantine"),
    TableDirt("a volume is infinite", cells(volume_shares=np.inf), "bars.schema", "quarantine"),
    TableDirt("a price is below zero", cells(low_cny=-1.0), "bars.schema", "quarantine"),
    TableDirt("high below low", cells(high_cny=lambda rows: rows["low_cny"] - 0.01), "bars.schema", "quarantine"),
    TableDirt("close outside the range", cells(close_cny=lambda r: r["high_cny"] * 1.01), "bars.schema", "quarantine"),
    TableDirt("a volume is below zero", cells(volume_shares=-100.0), "bars.schema", "quarantine"),
    TableDirt("a row is given twice", appended(lambda rows: rows), "bars.schema", "quarantine"),
    TableDirt("two rows contradict each other", appended(conflicting), "bars.schema", "quarantine"),
    TableDirt(
        "suspended sessions as flat rows",
        cells(
            volume_shares=0.0,
            amount_cny=0.0,
            open_cny=lambda rows: rows["pre_close_cny"],
            high_cny=lambda rows: rows["pre_close_cny"],
            low_cny=lambda rows: rows["pre_close_cny"],
            close_cny=lambda rows: rows["pre_close_cny"],
        ),
        "bars.traded",
        "quarantine",
    ),
    TableDirt("no volume and yet a range", cells(volume_shares=0.0), "bars.volume_where_prices_moved", "quarantine"),
    TableDirt("a row on a Saturday", appended(weekend), "bars.on_known_sessions", "quarantine"),
    TableDirt("a row of the future", appended(next_year), "bars.not_future", "quarantine"),
    TableDirt("rows out of order", out_of_order, "bars.in_order", "warn"),
    TableDirt("rows after the delisting", delisted_earlier, "bars.of_listed_securities", "quarantine"),
    TableDirt("rows of an unknown code", appended(foreign_symbol), "bars.of_listed_securities", "quarantine"),
)
