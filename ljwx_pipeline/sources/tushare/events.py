"""What happened to a stock: dividends, suspensions and reports, from ``dividend``, ``suspend_d``, ``fina_indicator``.

Not here: which rows are asked for (``source.py``), and what an empty answer proves (``proofs.py``).
"""

from __future__ import annotations

import pandas as pd

from ljwx_pipeline.market.tables import CORPORATE_ACTIONS, FINANCIAL_INDICATORS, SUSPENSIONS
from ljwx_pipeline.sources.tushare.apis import DIVIDEND, FINA_INDICATOR, INDICATORS, SUSPEND_D
from ljwx_pipeline.sources.tushare.cells import dates, numbers

#: A proposal is no dividend: only what was carried out has an ex-date that counts.
CARRIED_OUT = "实施"


def corporate_actions(rows: pd.DataFrame) -> pd.DataFrame:
    """Return cash (before tax) and bonus shares a share by ex-date; two on one day are added up."""
    table = pd.DataFrame({"symbol": rows["ts_code"].astype(object), "ex_date": dates(rows, "ex_date", DIVIDEND)})
    table["period"] = rows["end_date"]
    table["cash_cny_per_share"] = pd.Series(numbers(rows, "cash_div_tax", DIVIDEND)).fillna(0.0)
    table["bonus_shares_per_share"] = pd.Series(numbers(rows, "stk_div", DIVIDEND)).fillna(0.0)
    given = (table["cash_cny_per_share"] > 0) | (table["bonus_shares_per_share"] > 0)
    table = table[(rows["div_proc"] == CARRIED_OUT) & table["ex_date"].notna() & given].drop_duplicates()
    summed = table.drop(columns="period").groupby(["symbol", "ex_date"], as_index=False).sum()
    return summed[list(CORPORATE_ACTIONS)]


def suspensions(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the sessions suspended all day; halts within a session and resumptions are left out."""
    whole_day = (rows["suspend_type"] == "S") & rows["suspend_timing"].isin([None, ""])
    table = pd.DataFrame(
        {"symbol": rows["ts_code"].astype(object), "session_date": dates(rows, "trade_date", SUSPEND_D)}
    )
    table = table[whole_day].drop_duplicates()
    return table[list(SUSPENSIONS)].sort_values(["session_date", "symbol"], ignore_index=True)


def financial_indicators(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the indicators of reports, long, known from their announcement on.

    Of a report answered twice under one announcement the row first published counts (``update_flag`` 0): when the
    other was corrected is not told. Rows without an announcement date are left out.
    """
    table = pd.DataFrame(
        {
            "symbol": rows["ts_code"].astype(object),
            "report_period": dates(rows, "end_date", FINA_INDICATOR),
            "announced_date": dates(rows, "ann_date", FINA_INDICATOR),
            "flag": rows["update_flag"].fillna("").astype(str),
        }
    )
    for name, canonical in INDICATORS.items():
        table[canonical] = numbers(rows, name, FINA_INDICATOR)
    keys = ["symbol", "report_period", "announced_date"]
    table = table.dropna(subset=["announced_date", "report_period"]).sort_values([*keys, "flag"], kind="stable")
    table = table.drop_duplicates(keys).drop(columns="flag")
    long = table.melt(keys, var_name="indicator", value_name="value").dropna(subset="value")
    long = long.astype({"indicator": object})
    order = ["announced_date", "symbol", "indicator", "report_period"]
    return long[list(FINANCIAL_INDICATORS)].sort_values(order, kind="stable", ignore_index=True)
