"""The market a user's factors are judged on: one dense panel, the tables beside it, and the bars as rows.

Not here: a made-up market (``synthetic.py``), other worlds made from one (``worlds.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ljwx_pipeline.expressions.evaluate import MEMBERSHIP
from ljwx_pipeline.market.adjustment import FACTOR_FIELDS, factor_panel
from ljwx_pipeline.market.panel import Panel, dense
from ljwx_pipeline.market.panel_fields import AS_TRADED, LIMIT_FLAGS, LIMIT_PRICES, panel_fields
from ljwx_pipeline.market.ranges import index_member_mask

#: Where a panel is cut when nothing is asked, as shares of its sessions, and how far from there a cut may lie.
CUT_SHARES, CUT_REACH = (0.5, 0.75, 0.9), 10

#: Fields handed out as columns of bars, under the names of the language (``expressions/fields.py``), and the adjustment
#: factor. The panel's others come from tables that a file may ask for, whose columns must not meet them in a merge.
BAR_FIELDS = (*FACTOR_FIELDS, *AS_TRADED, *LIMIT_PRICES, *LIMIT_FLAGS, MEMBERSHIP, "adj_factor")
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
#: Further tables that fields of the panel are made of.
BESIDE = ("price_limits", "st_spells", "suspensions", "index_bars")


@dataclass(frozen=True)
class Market:
    """A panel and the tables beside it.

    Parameters
    ----------
    panel
        The adjusted fields, and as far as they are known all others of the language and ``adj_factor``.
    tables
        Canonical tables by name; those that are not known are missing.
    rebased
        Whether adjusted prices are rebased on the newest dividend (``forward``), so that a later one rescales them all.
    """

    panel: Panel
    tables: Mapping[str, pd.DataFrame]
    rebased: bool = False

    def bars(self) -> pd.DataFrame:
        """Return one row a symbol and session with a bar: both names and ``BAR_FIELDS``; by symbol, then session.

        Rows are numbered from ``FIRST_ROW``: an answer numbered anew is then seen not to be about these rows.
        """
        panel = self.panel
        at_symbol, at_session = np.nonzero(~np.isnan(panel.fields["close"]))
        columns: dict[str, object] = {
            "symbol": np.array(panel.symbols, dtype=object)[at_symbol],
            "session_date": panel.sessions[at_session],
        }
        fields = {name: panel.fields[name] for name in BAR_FIELDS if name in panel.fields}
        columns |= {name: values[at_symbol, at_session] for name, values in fields.items()}
        return pd.DataFrame(columns, index=pd.RangeIndex(FIRST_ROW, FIRST_ROW + len(at_symbol)))

    def copies(self) -> Market:
        """Return a market whose arrays and tables may be written to without harm to this one."""
        fields = {name: values.copy() for name, values in self.panel.fields.items()}
        tables = {name: table.copy() for name, table in self.tables.items()}
        return Market(Panel(self.panel.symbols, self.panel.sessions, fields), tables, self.rebased)


def market_of(
    bars: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    *,
    symbols: tuple[str, ...],
    sessions: pd.DatetimeIndex,
    adjustment: str,
    index: str,
    benchmark: str = "",
) -> Market:
    """Return canonical bars and tables as a market; ``TABLES`` that are empty are left out.

    Parameters
    ----------
    bars, tables
        Canonical tables (``market/tables.py``); only those in ``TABLES`` are handed on, the panel is made of all.
    symbols, sessions
        Rows and columns of the panel; other rows are left out.
    adjustment
        Of the prices, as the source declares; fields as traded are known under ``raw`` alone.
    index
        Whose members are the universe; the one with most rows if empty, no flag where none is known.
    benchmark
        The index whose close is ``index_close``; no such field if empty.

    Raises
    ------
    DataQualityError
        As ``factor_panel`` and ``panel_fields``.
    """
    here = bars[bars["symbol"].isin(symbols) & bars["session_date"].isin(sessions)]
    panel = factor_panel(here, symbols=symbols, sessions=sessions, adjustment=adjustment)
    fields = panel_fields(
        {**tables, "bars": here}, symbols=symbols, sessions=sessions, adjustment=adjustment, benchmark=benchmark
    )
    if adjustment == "raw":
        fields["adj_factor"] = dense(here, "adj_factor", symbols, sessions)
    members = tables.get("index_members")
    if members is not None and len(members):
        code = index or str(members["index_code"].value_counts().index[0])
        inside = index_member_mask(members, code, symbols, sessions).astype(np.float64)
        fields[MEMBERSHIP] = np.where(np.isnan(panel.fields["close"]), np.nan, inside)
    kept = {name: tables[name] for name in TABLES if name in tables and len(tables[name])}
    mine = {name: table[table["symbol"].isin(symbols)].reset_index(drop=True) for name, table in kept.items()}
    return Market(panel.with_fields(fields), mine, rebased=adjustment == "forward")


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
