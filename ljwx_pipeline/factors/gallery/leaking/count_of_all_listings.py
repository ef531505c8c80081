"""A rank divided by the number of all symbols, those listed later among them."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    momentum = bars.groupby("symbol")["close"].pct_change(5, fill_method=None)
    rank = momentum.groupby(bars["session_date"]).rank()
    return pd.DataFrame({"momentum_rank": rank / bars["symbol"].nunique()})
