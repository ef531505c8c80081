"""The market a user's factors are judged on: one dense panel, the tables beside it, and the bars as rows.

Not here: a made-up market (``synthetic.py``), other worlds made from one (``worlds.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ljwx_pipeline.market.adjustment import FACTOR_FIELDS, factor_panel
from ljwx_pipeline.market.panel import Float, Panel, dense
from ljwx_pipeline.market.ranges import index_member_mask

#: Where a panel is cut when nothing is asked, as shares of its sessions, and how far from there a cut may lie.
CUT_SHARES, CUT_REACH = (0.5, 0.75, 0.9), 10

#: Raw fields of the panel, named and measured as in the canonical bars.
RAW_PRICES = ("open_cny", "high_cny", "low_cny", "close_cny", "pre_close_cny")
RAW_FIELDS = (*RAW_PRICES, "volume_shares", "adj_factor")
#: Money traded, under the panel's name for it and the bars'.
MONEY = ("amount", "amount_cny")
#: 1.0 where it holds, 0.0 where it does not: the close is locked at a limit; the symbol is a member of the index.
LIMIT_FLAGS = ("limit_up", "limit_down")
MEMBER_FLAG = "in_universe"
#: Every field of the panel a user's file is handed.
FIELDS = tuple(dict.fromkeys((*FACTOR_FIELDS, *MONEY, *RAW_FIELDS, *LIMIT_FLAGS, MEMBER_FLAG)))
#: Where the rows of frames handed to a user's file are numbered from.
FIRST_ROW = 1_000_000
#: Canonical tables (``market/tables.py``) a user's file may ask for beside the panel.
TABLES = (
    "securities",
    "industries",
    "index_members",
    "market_values",
    "corporate_actions",
    "financial_indicators",
)


@dataclass(frozen=True)
class Market:
    """A panel and the tables beside it.

    Parameters
    ----------
    panel
        Adjusted fields, and as far as they are known those of ``FIELDS``; NaN where there is no bar.
    tables
        Canonical tables by name; those that are not known are missing.
    rebased
        Whether adjusted prices are rebased on the newest dividend (``forward``), so that a later one rescales them all.
    """

    panel: Panel
    tables: Mapping[str, pd.DataFrame]
    rebased: bool = False

    def bars(self) -> pd.DataFrame:
        """Return one row a symbol and session with a bar: both names and every field; by symbol, then session.

        Rows are numbered from ``FIRST_ROW``: an answer numbered anew is then seen not to be about these rows.
        """
        panel = self.panel
        at_symbol, at_session = np.nonzero(~np.isnan(panel.fields["close"]))
        columns: dict[str, object] = {
            "symbol": np.array(panel.symbols, dtype=object)[at_symbol],
            "session_date": panel.sessions[at_session],
        }
        columns |= {name: values[at_symbol, at_session] for name, values in panel.fields.items()}
        return pd.DataFrame(columns, index=pd.RangeIndex(FIRST_ROW, FIRST_ROW + len(at_symbol)))

    def copies(self) -> Market:
        """Return a market whose arrays and tables may be written to without harm to this one."""
        fields = {name: values.copy() for name, values in self.panel.fields.items()}
        tables = {name: table.copy() for name, table in self.tables.items()}
        return Market(Panel(self.panel.symbols, self.panel.sessions, fields), tables, self.rebased)


def forward_returns(close: Float, *, entry: int, horizon: int) -> Float:
    """Return close[t + entry + horizon] / close[t + entry] - 1, NaN past the end; shapes as ``close``."""
    out = np.full_like(close, np.nan)
    reach = entry + horizon
    if close.shape[1] > reach:
        out[:, :-reach] = close[:, reach:] / close[:, entry : close.shape[1] - horizon] - 1
    return out


def market_of(
    bars: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    *,
    symbols: tuple[str, ...],
    sessions: pd.DatetimeIndex,
    adjustment: str,
    index: str,
) -> Market:
    """Return canonical bars and tables as a market; ``TABLES`` that are empty are left out.

    Parameters
    ----------
    bars, tables
        Canonical tables (``market/tables.py``); ``price_limits`` gives the limit flags and is not handed on.
    symbols, sessions
        Rows and columns of the panel; other rows are left out.
    adjustment
        Of the prices, as the source declares; raw fields are known under ``raw`` alone.
    index
        Whose members are the universe; the one with most rows if empty, no flag where none is known.

    Raises
    ------
    DataQualityError
        As ``factor_panel``.
    """
    here = bars[bars["symbol"].isin(symbols) & bars["session_date"].isin(sessions)]
    fields = dict(factor_panel(here, symbols=symbols, sessions=sessions, adjustment=adjustment).fields)
    fields |= {name: dense(here, "amount_cny", symbols, sessions) for name in MONEY}
    if adjustment == "raw":
        fields |= {name: dense(here, name, symbols, sessions) for name in RAW_FIELDS}
        limits = tables.get("price_limits")
        if limits is not None and len(limits):
            of = limits[limits["symbol"].isin(symbols) & limits["session_date"].isin(sessions)]
            up, down = (dense(of, f"{name}_cny", symbols, sessions) for name in LIMIT_FLAGS)
            fields["limit_up"] = (fields["close_cny"] >= up).astype(np.float64)
            fields["limit_down"] = (fields["close_cny"] <= down).astype(np.float64)
    members = tables.get("index_members")
    if members is not None and len(members):
        code = index or str(members["index_code"].value_counts().index[0])
        fields[MEMBER_FLAG] = index_member_mask(members, code, symbols, sessions).astype(np.float64)
    absent = np.isnan(fields["close"])
    for name in (*LIMIT_FLAGS, MEMBER_FLAG):
        if name in fields:
            fields[name][absent] = np.nan
    kept = {name: tables[name] for name in TABLES if name in tables and len(tables[name])}
    mine = {name: table[table["symbol"].isin(symbols)].reset_index(drop=True) for name, table in kept.items()}
    return Market(Panel(symbols, sessions, fields), mine, rebased=adjustment == "forward")


def telling_cuts(panel: Panel) -> tuple[int, ...]:
    """Return where to cut a market: inside a week and month, across as many suspensions as there are nearby.

    A filled gap shows only where the cut lies in it, a weekly figure only where it parts the week.
    """
    sessions = panel.sessions
    missing = np.isnan(panel.fields["close"])
    weeks, months = sessions.isocalendar().week.to_numpy(), sessions.month.to_numpy()
    chosen = []
    for share in CUT_SHARES:
        middle = int(len(sessions) * share)
        near = range(max(1, middle - CUT_REACH), min(len(sessions) - 1, middle + CUT_REACH + 1))
        inside = [cut for cut in near if weeks[cut - 1] == weeks[cut] and months[cut - 1] == months[cut]]
        chosen.append(max(inside or near, key=lambda cut: (int(missing[:, cut - 1].sum()), cut == middle)))
    return tuple(sorted(set(chosen)))
