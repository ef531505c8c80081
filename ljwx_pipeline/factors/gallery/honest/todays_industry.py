"""Momentum over that of the industry the company was in on the session."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame, industries: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    momentum = bars.groupby("symbol")["close"].pct_change(5, fill_method=None)
    left = bars[["symbol", "session_date"]].reset_index().sort_values("session_date")
    right = industries.sort_values("start_date")
    at = pd.merge_asof(left, right, left_on="session_date", right_on="start_date", by="symbol")
    industry = at.set_index("index")["industry"]
    mean = momentum.groupby([bars["session_date"], industry]).transform("mean")
    return pd.DataFrame({"over_industry": momentum - mean})
