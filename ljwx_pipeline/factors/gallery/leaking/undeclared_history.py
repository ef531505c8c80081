"""A mean over all history that declares twenty sessions."""

import pandas as pd

WINDOW = 20


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    mean = bars.groupby("symbol")["close"].transform(lambda x: x.expanding().mean())
    return pd.DataFrame({"to_mean": bars["close"] / mean})
