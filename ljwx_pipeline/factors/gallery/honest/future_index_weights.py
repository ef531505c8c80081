"""The market's return weighted with the market values of the session before."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame, market_values: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    rows = bars.merge(market_values, on=["symbol", "session_date"])
    rows["change"] = rows["raw_close_cny"] / rows["pre_close_cny"] - 1
    weight = rows.groupby("symbol")["market_value_cny"].shift(1)
    market = (weight * rows["change"]).groupby(rows["session_date"]).sum()
    market /= weight.groupby(rows["session_date"]).sum()
    rows["excess"] = rows["change"] - rows["session_date"].map(market)
    return rows[["symbol", "session_date", "excess"]]
