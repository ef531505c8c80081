"""Rows left out because the buy on the next session would not fill: that is known a session later."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    locked_at_entry = bars.groupby("symbol")["limit_up"].shift(-1) == 1
    momentum = bars.groupby("symbol")["close"].pct_change(5, fill_method=None)
    return pd.DataFrame({"momentum": momentum})[~locked_at_entry]
