"""Whole sessions: missing, thin, served twice, in another adjustment."""

from __future__ import annotations

import numpy as np

from tests.fakes.dirt.kind import PRICES, Inject, TableDirt, Tables, some_rows


def session_again(share: float) -> Inject:
    """Serve yesterday's rows of a share of the symbols once more as today's."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        bars = tables["bars"]
        days = np.sort(bars["session_date"].unique())
        old, new = days[len(days) // 2], days[len(days) // 2 + 1]
        before = bars[bars["session_date"] == old].set_index("symbol")
        rows = bars.index[(bars["session_date"] == new) & bars["symbol"].isin(before.index)]
        rows = rows[: max(2, int(share * len(rows)))]
        names = [name for name in bars.columns if name not in ("symbol", "session_date", "adj_factor")]
        bars.loc[rows, names] = before.loc[bars.loc[rows, "symbol"], names].to_numpy()
        return tables

    return inject


def torn_session(tables: Tables, rng: np.random.Generator) -> Tables:
    bars = tables["bars"]
    day = bars["session_date"].iloc[len(bars) // 2]
    names = [*PRICES, "amount_cny"]
    bars.loc[bars["session_date"] == day, names] = (bars.loc[bars["session_date"] == day, names] / 2).round(2)
    return tables


def keep_sessions(share: float) -> Inject:
    """Keep a share of one session's rows."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        bars = tables["bars"]
        day = bars["session_date"].iloc[len(bars) // 2]
        rows = bars.index[bars["session_date"] == day]
        tables["bars"] = bars.drop(index=rows[int(share * len(rows)) :]).reset_index(drop=True)
        return tables

    return inject


def rows_missing(tables: Tables, rng: np.random.Generator) -> Tables:
    tables["bars"] = tables["bars"].drop(index=some_rows(tables, rng)).reset_index(drop=True)
    return tables


KINDS = (
    TableDirt("some rows are yesterday's", session_again(0.05), "bars.not_repeated", "quarantine"),
    TableDirt("a whole session is yesterday's", session_again(1.0), "bars.quarantine_share", "error", judge="split"),
    TableDirt("a session is missing", keep_sessions(0.0), "bars.every_session_present", "error"),
    TableDirt("a session is thin", keep_sessions(0.2), "bars.sessions_covered", "warn"),
    TableDirt("rows are missing", rows_missing, "bars.gaps_are_suspensions", "warn", real=False),
    TableDirt("a session in another adjustment", torn_session, "bars.sessions_not_torn", "error"),
)
