"""Turnover against the symbol's mean over all dates."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    usual = bars.groupby("symbol")["amount_cny"].transform("mean")
    return pd.DataFrame({"turnover": bars["amount_cny"] / usual})
