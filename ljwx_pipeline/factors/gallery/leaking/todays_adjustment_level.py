"""The level of a price that is adjusted back from today: every later split changes it."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    today = bars.groupby("symbol")["adj_factor"].transform("last")
    price = bars["raw_close_cny"] * bars["adj_factor"] / today
    return pd.DataFrame({"low_price": -price})
