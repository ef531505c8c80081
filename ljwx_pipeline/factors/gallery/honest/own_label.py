"""Each symbol's mean label in training, without the row's own."""

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
    total = known.groupby("symbol")["label"].agg(["sum", "count"])
    own = known["label"].reindex(features.index)
    rest = features["symbol"].map(total["sum"]) - own.fillna(0)
    return pd.DataFrame({"symbol_code": rest / (features["symbol"].map(total["count"]) - own.notna())})
