"""Weekly closes labelled with the Friday that ends the week."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    wide = bars.pivot(index="session_date", columns="symbol", values="close")
    weekly = wide.resample("W-FRI", label="right").last()
    daily = weekly.reindex(wide.index, method="ffill").stack()
    joined = bars.join(pd.Series(daily, name="week_close"), on=["session_date", "symbol"])
    return pd.DataFrame({"to_week": joined["close"] / joined["week_close"]})
