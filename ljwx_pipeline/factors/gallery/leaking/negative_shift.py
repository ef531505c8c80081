"""Tomorrow's return: a negative shift."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    tomorrow = bars.groupby("symbol")["close"].shift(-1)
    return pd.DataFrame({"reversal": tomorrow / bars["close"] - 1})
