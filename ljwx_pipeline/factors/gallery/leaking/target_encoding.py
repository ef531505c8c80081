"""Each industry's mean label over all rows, the row's own and tested ones among them."""

import pandas as pd


def transform(
    features: pd.DataFrame, labels: pd.DataFrame, sessions: pd.DatetimeIndex, purge_sessions: int
) -> pd.DataFrame:
    """Return the industry's mean label."""
    mean = labels["label"].groupby(features["industry"]).transform("mean")
    known_after = sessions[purge_sessions] - sessions[0]
    return pd.DataFrame({"industry_code": mean, "days": known_after.days})
