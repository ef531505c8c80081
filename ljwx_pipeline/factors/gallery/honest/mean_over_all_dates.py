"""Turnover against the mean of all symbols on the same date."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    usual = bars.groupby("session_date")["amount_cny"].transform("mean")
    return pd.DataFrame({"turnover": bars["amount_cny"] / usual})
