"""Only symbols that trade on the last session of the data."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    last = bars.groupby("symbol")["session_date"].transform("max")
    momentum = bars.groupby("symbol")["close"].pct_change(20, fill_method=None)
    alive = last == bars["session_date"].max()
    return pd.DataFrame({"momentum": momentum[alive]})
