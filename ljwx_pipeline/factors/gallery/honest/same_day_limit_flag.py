"""Bought at the open, unless the session before closed locked at its limit."""

import pandas as pd

DECISION = "open"


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    by_symbol = bars.groupby("symbol")
    gap = bars["raw_open_cny"] / bars["pre_close_cny"] - 1
    locked = by_symbol["limit_up"].shift(1) == 1
    return pd.DataFrame({"gap": gap.where(~locked), "days": by_symbol.cumcount()})
