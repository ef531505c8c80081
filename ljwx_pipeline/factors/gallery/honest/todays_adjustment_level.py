"""The return of a price that is adjusted back from today: later splits cancel."""

import pandas as pd


def factors_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Return one column."""
    today = bars.groupby("symbol")["adj_factor"].transform("last")
    price = bars["raw_close_cny"] * bars["adj_factor"] / today
    return pd.DataFrame({"change": price / price.groupby(bars["symbol"]).shift(1) - 1})
