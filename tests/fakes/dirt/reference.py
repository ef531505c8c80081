"""Tables of dates and names: listings, members, industries, spells, suspensions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.fakes.dirt.kind import Inject, TableDirt, Tables, some_rows


def security(**changes: object) -> Inject:
    """Append a changed copy of the first security."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        row = tables["securities"].iloc[[0]].assign(**changes).astype(tables["securities"].dtypes.to_dict())
        rows = tables["securities"].to_dict("records") + row.to_dict("records")
        tables["securities"] = pd.DataFrame(rows).astype(tables["securities"].dtypes.to_dict())
        return tables

    return inject


def members_49_of_50(tables: Tables, rng: np.random.Generator) -> Tables:
    days = np.sort(tables["bars"]["session_date"].unique())
    symbols = tables["bars"].loc[tables["bars"]["session_date"] == days[0], "symbol"].iloc[:10]
    whole = pd.DataFrame({"index_code": "000016.SH", "symbol": symbols, "start_date": days[0], "end_date": pd.NaT})
    whole["end_date"] = whole["end_date"].astype("datetime64[ns]")
    whole.loc[whole.index[0], "end_date"] = days[100]
    back = whole.iloc[[0]].assign(start_date=days[104], end_date=pd.NaT)
    back["end_date"] = back["end_date"].astype("datetime64[ns]")
    tables["index_members"] = pd.concat([whole, back], ignore_index=True)
    return tables


def stated_twice(name: str) -> Inject:
    """Repeat a range a day later, so that the two overlap."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        table = tables[name]
        long = table[(table["end_date"].fillna(pd.Timestamp("2100-01-01")) - table["start_date"]).dt.days > 20]
        again = long.iloc[[0]].assign(start_date=lambda row: row["start_date"] + pd.Timedelta(days=5))
        tables[name] = pd.concat([table, again], ignore_index=True)
        return tables

    return inject


def before_listing(name: str) -> Inject:
    """Let a range begin years before its stock was listed."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        table = tables[name]
        first = table.groupby("symbol")["start_date"].idxmin().iloc[0]
        table.loc[first, "start_date"] = pd.Timestamp("1991-01-02")
        return tables

    return inject


def suspended_but_traded(tables: Tables, rng: np.random.Generator) -> Tables:
    rows = tables["bars"].loc[some_rows(tables, rng, 2), ["symbol", "session_date"]]
    tables["suspensions"] = pd.concat([tables["suspensions"], rows], ignore_index=True)
    return tables


def never_traded(tables: Tables, rng: np.random.Generator) -> Tables:
    return security(symbol="S88888.SIM", name="Ghost", list_date=pd.Timestamp("2001-01-02"), delist_date=pd.NaT)(
        tables, rng
    )


KINDS = (
    TableDirt("49 of 50 members", members_49_of_50, "index_members.count_is_usual", "warn"),
    TableDirt(
        "overlapping memberships", stated_twice("index_members"), "index_members.do_not_overlap", "error", real=False
    ),
    TableDirt("overlapping industries", stated_twice("industries"), "industries.do_not_overlap", "error", real=False),
    TableDirt("overlapping ST spells", stated_twice("st_spells"), "st_spells.do_not_overlap", "error", real=False),
    TableDirt(
        "a member before its listing", before_listing("index_members"), "index_members.are_listed", "warn", real=False
    ),
    TableDirt(
        "an ST spell before the listing", before_listing("st_spells"), "st_spells.within_listing", "warn", real=False
    ),
    TableDirt("one symbol under two names", security(name="Renamed"), "securities.schema", "error"),
    TableDirt(
        "delisted before it was listed",
        security(symbol="S77777.SIM", list_date=pd.Timestamp("2020-01-02"), delist_date=pd.Timestamp("2019-01-02")),
        "securities.schema",
        "error",
    ),
    TableDirt(
        "one name for two symbols",
        security(symbol="S77777.SIM", delist_date=pd.NaT, list_date=pd.Timestamp("2001-01-02")),
        "securities.names_unique",
        "warn",
        real=False,
    ),
    TableDirt("a listed security that never trades", never_traded, "securities.listed_ones_trade", "warn"),
    TableDirt("a bar on a suspended session", suspended_but_traded, "suspensions.did_not_trade", "warn", real=False),
)
