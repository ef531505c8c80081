"""Index levels: a stock in the place of an index, levels carried forward, gaps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.fakes.dirt.kind import LEVELS, Inject, TableDirt, Tables, one_symbol


def stock_of(tables: Tables) -> pd.DataFrame:
    return tables["bars"].loc[one_symbol(tables)]


def index_tail(count: int) -> Inject:
    """Let the last rows of an index be those of a stock of the same code."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        table, stock = tables["index_bars"], stock_of(tables)
        rows = table.index[table["index_code"] == table["index_code"].iloc[0]][-count:]
        table.loc[rows, LEVELS] = stock[["open_cny", "high_cny", "low_cny", "close_cny"]].to_numpy()[-count:]
        return tables

    return inject


def index_is_stock(tables: Tables, rng: np.random.Generator) -> Tables:
    table, stock = tables["index_bars"], stock_of(tables).reset_index(drop=True)
    made = {level: stock[level.replace("_points", "_cny")] for level in LEVELS}
    code = table["index_code"].iloc[0]
    whole = stock[["session_date", "volume_shares", "amount_cny"]].assign(index_code=code, **made)
    tables["index_bars"] = pd.concat([whole[table.columns], table[table["index_code"] != code]], ignore_index=True)
    return tables


def index_cells(count: int, **values: object) -> Inject:
    """Put values into the middle rows of an index."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        table = tables["index_bars"]
        rows = table.index[table["index_code"] == table["index_code"].iloc[0]]
        rows = rows[len(rows) // 2 : len(rows) // 2 + count]
        for column, value in values.items():
            table.loc[rows, column] = table.loc[rows, value] if isinstance(value, str) else value
        return tables

    return inject


def index_gap(tables: Tables, rng: np.random.Generator) -> Tables:
    rows = tables["index_bars"].index[tables["index_bars"]["index_code"] == tables["index_bars"]["index_code"].iloc[0]]
    tables["index_bars"] = tables["index_bars"].drop(index=rows[len(rows) // 2]).reset_index(drop=True)
    return tables


def index_again(tables: Tables, rng: np.random.Generator) -> Tables:
    table = tables["index_bars"]
    rows = table.index[table["index_code"] == table["index_code"].iloc[0]]
    names = [*LEVELS, "volume_shares", "amount_cny"]
    table.loc[rows[50], names] = table.loc[rows[49], names]
    return tables


KINDS = (
    TableDirt("the index ends as a stock, four rows", index_tail(4), "index_bars.moves_plausible", "error"),
    TableDirt("the index ends as a stock, two rows", index_tail(2), "index_bars.moves_plausible", "error"),
    TableDirt("the index file is a stock", index_is_stock, "index_bars.equals_no_stock", "error"),
    TableDirt("the index trades like a stock", index_is_stock, "index_bars.is_no_stock", "error"),
    TableDirt("the index level is a price", index_is_stock, "index_bars.level_plausible", "error"),
    TableDirt(
        "flat index bars without volume",
        index_cells(
            5,
            open_points="close_points",
            high_points="close_points",
            low_points="close_points",
            volume_shares=0.0,
            amount_cny=0.0,
        ),
        "index_bars.not_flat_untraded",
        "warn",
    ),
    TableDirt("an index level is empty", index_cells(1, close_points=np.nan), "index_bars.schema", "quarantine"),
    TableDirt("an index session is missing", index_gap, "index_bars.sessions_complete", "warn"),
    TableDirt("an index session is repeated", index_again, "index_bars.not_repeated", "warn"),
)
