"""Only companies that are still listed today."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame, securities: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    delisted = bars["symbol"].map(securities.set_index("symbol")["delist_date"])
    alive = delisted.isna()
    momentum = bars.groupby("symbol")["close"].pct_change(20, fill_method=None)
    return pd.DataFrame({"momentum": momentum[alive]})
