"""The provider's trading calendar, and from when on a day's figures should be out.

Not here: the exchange's calendar and the comparison with it (``market/calendar.py``).
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import pandas as pd

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.market.calendar import overlaid
from ljwx_pipeline.sources.tushare.apis import TRADE_CAL
from ljwx_pipeline.sources.tushare.cells import dates, numbers
from ljwx_pipeline.sources.tushare.client import TushareClient
from ljwx_pipeline.sources.tushare.pages import day, fetch

#: Bars are stored from 15:00 to 17:00 (tushare.pro/document/2): an hour is left. Market values may come until 19:00.
PUBLISHED_FROM = time(18, 0)


def last_published(now: datetime) -> date:
    """Return the last day whose figures should be out at the instant ``now``."""
    local = now.astimezone(SHANGHAI)
    return local.date() if local.time() >= PUBLISHED_FROM else local.date() - timedelta(days=1)


def trading_sessions(client: TushareClient, first: date, last: date) -> pd.DatetimeIndex:
    """Return the sessions of ``[first, last]``, ascending, named ``session_date``; there may be none.

    Up to the last session that our calendar knows the provider's must be the same; after it the provider's counts.

    Raises
    ------
    SourceError
        When the calendars disagree, or the provider's has no word on a day.
    """
    params = {"exchange": "SSE", "start_date": day(first), "end_date": day(last)}
    rows = fetch(client, TRADE_CAL, params)
    is_open = pd.Series(numbers(rows, "is_open", TRADE_CAL) == 1, index=dates(rows, "cal_date", TRADE_CAL))
    return overlaid(is_open, first, last, "tushare's trade_cal")
