"""Only symbols with sixty bars so far."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    bars_so_far = bars.groupby("symbol").cumcount()
    momentum = bars.groupby("symbol")["close"].pct_change(20, fill_method=None)
    return pd.DataFrame({"momentum": momentum})[bars_so_far >= 60]
