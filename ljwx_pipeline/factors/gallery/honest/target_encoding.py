"""Each industry's mean label so far, of labels known by the session."""

import pandas as pd


def transform(
    features: pd.DataFrame, labels: pd.DataFrame, sessions: pd.DatetimeIndex, purge_sessions: int
) -> pd.DataFrame:
    """Return the industry's mean label."""
    by_session = labels.groupby([features["session_date"], features["industry"]])["label"].agg(["sum", "count"])
    total = by_session.unstack().reindex(sessions).fillna(0).cumsum().shift(purge_sessions)
    mean = (total["sum"] / total["count"]).stack().rename("industry_code")
    return features.join(mean, on=["session_date", "industry"])[["industry_code"]]
