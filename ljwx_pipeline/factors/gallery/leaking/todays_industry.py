"""Momentum over that of the industry the company is in today."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame, industries: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    momentum = bars.groupby("symbol")["close"].pct_change(5, fill_method=None)
    newest = industries.sort_values("start_date").drop_duplicates("symbol", keep="last")
    industry = bars["symbol"].map(newest.set_index("symbol")["industry"])
    mean = momentum.groupby([bars["session_date"], industry]).transform("mean")
    return pd.DataFrame({"over_industry": momentum - mean})
