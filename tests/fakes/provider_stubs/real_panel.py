"""A few real Shanghai stocks as tables a stub can serve: real ex-dates, real rounding, real gaps.

The panel is looked for beside the checkout; the caller skips where it is absent.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd

from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.sources.folder import FolderSource
from tests.fakes.provider_files import folder_settings
from tests.fakes.provider_stubs.market import SimulatedTables

FIRST, LAST = date(2019, 5, 6), date(2019, 8, 30)
INDEX = "000300.SH"
#: The panel does not say when its stocks listed; long before.
LISTED = pd.Timestamp("2005-01-04")


def real_tables(data: Path, stocks: int = 6) -> SimulatedTables:
    """Return raw bars of the first Shanghai stocks that have an ex-date in the range, and the index beside them."""
    index_file = data / "nolicence" / "nymath" / "index_daily_2005_2022.parquet"
    panel = data / "licensed" / "qbot" / "daily_raw_2019_2020.parquet"
    source = FolderSource(folder_settings(panel, index_file, adjustment="raw"), required_indices=(INDEX,))
    bars = source.bars(FIRST, LAST)
    seen = bars.groupby("symbol")["adj_factor"].agg(["min", "max", "size"]).sort_values("size", kind="stable")
    paid = seen.index[seen["max"] > seen["min"]]
    chosen = sorted([symbol for symbol in paid if symbol.endswith(".SH")][:stocks])  # those with gaps first
    bars = bars[bars["symbol"].isin(chosen)].reset_index(drop=True)
    sessions, known = source.sessions(FIRST, LAST), source.securities()
    pairs = pd.MultiIndex.from_product([chosen, sessions], names=["symbol", "session_date"])
    missing = pairs.difference(pd.MultiIndex.from_frame(bars[["symbol", "session_date"]])).to_frame(index=False)
    index_bars = source.index_bars(FIRST, LAST)
    tables = {name: empty_table(name) for name in ("st_spells", "industries", "index_members", "corporate_actions")}
    tables |= {
        "bars": bars,
        "index_bars": index_bars[index_bars["index_code"] == INDEX].reset_index(drop=True),
        "securities": known[known["symbol"].isin(chosen)].assign(list_date=LISTED).reset_index(drop=True),
        "suspensions": missing.sort_values(["session_date", "symbol"], ignore_index=True),
    }
    return SimulatedTables(FIRST, LAST, sessions, tables)
