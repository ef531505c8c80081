"""A rank divided by the number of symbols with a bar on the session."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    momentum = bars.groupby("symbol")["close"].pct_change(5, fill_method=None)
    rank = momentum.groupby(bars["session_date"]).rank()
    return pd.DataFrame({"momentum_rank": rank / bars.groupby("session_date")["symbol"].transform("count")})
