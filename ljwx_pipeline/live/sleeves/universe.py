"""A strategy's own universe: the index whose members alone it scores, as the session pack tells them.

What a strategy holds of others is held as research's strategy holds a name without a score. Not here: who may be scored
at all (``dataset/universe.py``, which the index narrows down), what is made of scores (``decision.py``).
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.market.ranges import index_member_mask


def keep_members(scores: NDArray[np.float64], index: str, feed: ReplayFeed, session: date) -> str:
    """Make the scores of all who are no member of ``index`` at ``session`` NaN, in place.

    Returns
    -------
    str
        Why nobody is a member: the pack tells none of that index, and then nobody has a score. Empty otherwise.

    Raises
    ------
    DataQualityError
        When two ranges of one member overlap.
    """
    told = feed.pack.index_members
    if index not in set(told["index_code"]):
        scores[:] = np.nan
        known = ", ".join(sorted(told["index_code"].unique())) or "of no index"
        return f"the session pack tells no member of {index}, only {known}: write it anew, or name another universe"
    days = pd.DatetimeIndex([pd.Timestamp(session)], name="session_date")
    scores[~index_member_mask(told, index, feed.symbols, days)[:, 0]] = np.nan
    return ""
