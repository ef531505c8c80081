"""Rows left out because the symbol closed locked today."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    locked_today = bars["limit_up"] == 1
    momentum = bars.groupby("symbol")["close"].pct_change(5, fill_method=None)
    return pd.DataFrame({"momentum": momentum})[~locked_today]
