"""Each symbol's mean label in training, the row's own label in it."""

import pandas as pd


def transform(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    train_stop: pd.Timestamp,
    sessions: pd.DatetimeIndex,
    purge_sessions: int,
) -> pd.DataFrame:
    """Return the symbol's mean label in training."""
    last = sessions[sessions < train_stop][-purge_sessions]
    known = labels[labels["session_date"] <= last].assign(industry=features["industry"])
    return pd.DataFrame({"symbol_code": features["symbol"].map(known.groupby("symbol")["label"].mean())})
