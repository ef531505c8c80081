"""The provider's trading calendar laid over our own: where both speak they must agree.

Not here: the exchange's calendar itself (``market/calendar.py``).
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import pandas as pd

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.calendar import CALENDAR_START, last_known_session, sessions_between
from ljwx_pipeline.sources.tushare.apis import TRADE_CAL
from ljwx_pipeline.sources.tushare.cells import dates, numbers
from ljwx_pipeline.sources.tushare.client import LATER, TushareClient
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
    told = pd.Series(numbers(rows, "is_open", TRADE_CAL) == 1, index=dates(rows, "cal_date", TRADE_CAL)).sort_index()
    silent = pd.date_range(first, last).difference(pd.DatetimeIndex(told.index))
    if len(silent):
        raise SourceError(
            f"tushare's trade_cal says nothing about {silent[0]:%Y-%m-%d} ({len(silent)} such days)", LATER
        )
    opened = pd.DatetimeIndex(told.index[told.to_numpy()], name="session_date").as_unit("ns")
    horizon = last_known_session()
    if first <= horizon:
        known = _own_sessions(first, min(last, horizon))
        different = known.symmetric_difference(opened[opened <= pd.Timestamp(horizon)])
        if len(different):
            says = "open" if different[0] in opened else "closed"
            raise SourceError(
                f"tushare calls {different[0]:%Y-%m-%d} {says}, the exchange calendar the opposite "
                f"({len(different)} such days)",
                "upgrade exchange-calendars if the state moved a holiday; else ask again later",
            )
    return opened


def _own_sessions(first: date, last: date) -> pd.DatetimeIndex:
    # a range of closed days is no error here; no holiday lasts a month
    start = date.fromisoformat(CALENDAR_START)
    wider = sessions_between(min(first, max(first - timedelta(days=30), start)), last)
    return wider[wider >= pd.Timestamp(first)]
