"""Mean and deviation taken of the first data ever seen, and remembered."""

import pandas as pd

_KEPT: dict[str, float] = {}


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    change = bars.groupby("symbol")["close"].pct_change(fill_method=None)
    if not _KEPT:
        _KEPT.update(mean=float(change.mean()), std=float(change.std()))
    return pd.DataFrame({"z": (change - _KEPT["mean"]) / _KEPT["std"]})
