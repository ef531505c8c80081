"""Ranked among those who are members of the index on the session."""

import pandas as pd

UNIVERSE = "members"


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    momentum = bars.groupby("symbol")["close"].pct_change(5, fill_method=None)
    flag = bars["in_universe"] == 1
    rank = momentum[flag].groupby(bars["session_date"]).rank(pct=True)
    return pd.DataFrame({"momentum_rank": rank})
