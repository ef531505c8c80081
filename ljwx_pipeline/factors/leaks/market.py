"""The market a user's factors are judged on: one dense panel, the tables beside it, and the bars as rows.

Not here: a made-up market (``synthetic.py``), other worlds made from one (``worlds.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ljwx_pipeline.market.adjustment import FACTOR_FIELDS
from ljwx_pipeline.market.panel import Float, Panel

#: Raw fields of the panel, named and measured as in the canonical bars.
RAW_PRICES = ("open_cny", "high_cny", "low_cny", "close_cny", "pre_close_cny")
RAW_FIELDS = (*RAW_PRICES, "volume_shares", "adj_factor")
#: 1.0 where it holds, 0.0 where it does not: the close is locked at a limit; the symbol is a member of the index.
LIMIT_FLAGS = ("limit_up", "limit_down")
MEMBER_FLAG = "in_universe"
#: Every field of the panel a user's file is handed.
FIELDS = (*FACTOR_FIELDS, *RAW_FIELDS, *LIMIT_FLAGS, MEMBER_FLAG)
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
    """

    panel: Panel
    tables: Mapping[str, pd.DataFrame]

    def bars(self) -> pd.DataFrame:
        """Return one row a symbol and session with a bar: both names and every field; by symbol, then session."""
        panel = self.panel
        at_symbol, at_session = np.nonzero(~np.isnan(panel.fields["close"]))
        columns: dict[str, object] = {
            "symbol": np.array(panel.symbols, dtype=object)[at_symbol],
            "session_date": panel.sessions[at_session],
        }
        columns |= {name: values[at_symbol, at_session] for name, values in panel.fields.items()}
        return pd.DataFrame(columns)

    def copies(self) -> Market:
        """Return a market whose arrays and tables may be written to without harm to this one."""
        fields = {name: values.copy() for name, values in self.panel.fields.items()}
        tables = {name: table.copy() for name, table in self.tables.items()}
        return Market(Panel(self.panel.symbols, self.panel.sessions, fields), tables)


def forward_returns(close: Float, *, entry: int, horizon: int) -> Float:
    """Return close[t + entry + horizon] / close[t + entry] - 1, NaN past the end; shapes as ``close``."""
    out = np.full_like(close, np.nan)
    reach = entry + horizon
    if close.shape[1] > reach:
        out[:, :-reach] = close[:, reach:] / close[:, entry : close.shape[1] - horizon] - 1
    return out
