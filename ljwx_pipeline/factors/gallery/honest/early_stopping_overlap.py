"""Boosting stops by labels known when the test begins, and learns from ones known when the tail begins."""

import numpy as np
import pandas as pd

NUMBERS = ["return_1", "return_5", "return_20", "volatility_20", "log_volume"]
TAIL_SESSIONS, ROUNDS = 20, 100


def choose(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    train_stop: pd.Timestamp,
    sessions: pd.DatetimeIndex,
    purge_sessions: int,
) -> dict[str, int]:
    """Return the round of gradient descent at which the tail's error is least."""
    stop = sessions.searchsorted(train_stop) - purge_sessions + 1
    tail = sessions[stop - TAIL_SESSIONS : stop]
    head = sessions[: stop - TAIL_SESSIONS - purge_sessions]
    known = labels["label"].notna() & features[NUMBERS].notna().all(axis=1)
    x = features.groupby("session_date")[NUMBERS].rank(pct=True).to_numpy() - 0.5
    y = labels["label"].to_numpy()
    fit = (known & labels["session_date"].isin(head)).to_numpy()
    seen = (known & labels["session_date"].isin(tail)).to_numpy()
    gram, moment = x[fit].T @ x[fit] / fit.sum(), x[fit].T @ y[fit] / fit.sum()
    x_tail, y_tail = x[seen], y[seen]
    weights, errors = np.zeros(len(NUMBERS)), []
    for _ in range(ROUNDS):
        weights += 0.5 * (moment - gram @ weights)
        errors.append(float(((y_tail - x_tail @ weights) ** 2).mean()))
    return {"rounds": int(np.argmin(errors)) + 1}
