"""Folds apart by as many sessions as the label reaches."""

import numpy as np
import pandas as pd

Half = np.ndarray[tuple[int], np.dtype[np.int64]]


def split(sessions: pd.DatetimeIndex, purge_sessions: int) -> list[tuple[Half, Half]]:
    """Return five folds of positions: each fifth is tested once."""
    every = np.arange(len(sessions))
    folds = []
    for tested in np.array_split(every, 5):
        gap = purge_sessions
        apart = (every < tested[0] - gap) | (every > tested[-1] + gap)
        folds.append((every[apart], tested))
    return folds
