"""Mean and deviation fixed in the file, of an earlier decade."""

import pandas as pd

_KEPT: dict[str, float] = {}


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    _KEPT.update(mean=0.0004, std=0.027)
    change = bars.groupby("symbol")["close"].pct_change(fill_method=None)
    return pd.DataFrame({"z": (change - _KEPT["mean"]) / _KEPT["std"]})
