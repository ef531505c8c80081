"""A percentage change over negative periods, which is the return to come with its sign turned."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    change = bars.groupby("symbol")["close"].pct_change(-5, fill_method=None)
    return pd.DataFrame({"change_5": change})
