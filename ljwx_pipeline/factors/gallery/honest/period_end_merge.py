"""First announcements of earnings, used from their announcement on."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame, financial_indicators: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    reports = financial_indicators.drop_duplicates(["symbol", "report_period"])
    left = bars[["symbol", "session_date", "raw_close_cny"]].sort_values("session_date")
    right = reports.sort_values("announced_date")
    rows = pd.merge_asof(left, right, left_on="session_date", right_on="announced_date", by="symbol")
    rows["earnings_yield"] = rows["value"] / rows["raw_close_cny"]
    return rows[["symbol", "session_date", "earnings_yield"]]
