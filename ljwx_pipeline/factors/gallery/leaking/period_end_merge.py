"""Earnings used from the end of their period on, weeks before anybody knew them."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame, financial_indicators: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    reports = financial_indicators.drop_duplicates(["symbol", "report_period"])
    left = bars[["symbol", "session_date", "raw_close_cny"]].sort_values("session_date")
    right = reports.sort_values("report_period")
    rows = pd.merge_asof(left, right, left_on="session_date", right_on="report_period", by="symbol")
    rows["earnings_yield"] = rows["value"] / rows["raw_close_cny"]
    return rows[["symbol", "session_date", "earnings_yield"]]
