"""Said to be about members, and ranked among everybody."""

import pandas as pd

UNIVERSE = "members"


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    momentum = bars.groupby("symbol")["close"].pct_change(5, fill_method=None)
    rank = momentum.groupby(bars["session_date"]).rank(pct=True)
    return pd.DataFrame({"momentum_rank": rank[bars["in_universe"] == 1]})
