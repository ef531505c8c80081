"""The feature is chosen by how well it foretells training rows whose labels are known."""

import pandas as pd

NUMBERS = ["return_1", "return_5", "return_20", "volatility_20", "log_volume"]


def choose(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    train_stop: pd.Timestamp,
    sessions: pd.DatetimeIndex,
    purge_sessions: int,
) -> dict[str, str]:
    """Return the feature that foretells best."""
    last = sessions[sessions < train_stop][-purge_sessions]
    rows = labels["session_date"] <= last
    foretold = features.loc[rows, NUMBERS].corrwith(labels.loc[rows, "label"], method="spearman")
    return {"feature": str(foretold.abs().idxmax())}
