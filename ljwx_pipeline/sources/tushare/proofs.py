"""Second questions: what shows that an answer without rows, or with few, is the truth and not a silence.

A refusal that looks like an empty table, a session that is not published yet and a page cut in half all look like "no
data". Not here: the first questions (``source.py``), and the proof of the dividends (``dividends.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date

import pandas as pd

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.sources.provider_frames import is_a_share
from ljwx_pipeline.sources.tushare.apis import DAILY, SUSPEND_D, Api
from ljwx_pipeline.sources.tushare.client import LATER, TushareClient
from ljwx_pipeline.sources.tushare.events import suspensions
from ljwx_pipeline.sources.tushare.pages import day, fetch

#: Share of a session's stocks that may lack a row without a suspension to explain it: listings paused for years are
#: in no list of suspensions.
SESSION_TOLERANCE = 0.03
#: The same for one stock's sessions; the list of suspensions has holes in its first years.
SYMBOL_TOLERANCE = 0.2
#: Share of the stocks that one list names and another may not: a code that was changed, a listing of this very day.
STRANGERS_TOLERANCE = 0.005


def suspended_days(client: TushareClient, params: Mapping[str, str | int]) -> pd.DataFrame:
    """Return whole-day suspensions for ``params``, as answered: announced ones of coming days may be among them."""
    return suspensions(fetch(client, SUSPEND_D, {**params, "suspend_type": "S"}))


def session_is_whole(client: TushareClient, api: Api, session: date, held: set[str], listed: set[str]) -> None:
    """Check that the stocks ``listed`` on a session of which ``api`` says nothing were suspended.

    Raises
    ------
    SourceError
        When too many were not: the answer is incomplete, withheld or not published yet.
    """
    allowed = SESSION_TOLERANCE * len(listed)
    missing = listed - held
    if len(missing) <= allowed:
        return
    missing -= set(suspended_days(client, {"trade_date": day(session)})["symbol"])
    if len(missing) > allowed:
        raise SourceError(
            f"tushare's {api.name} of {session} lacks {len(missing)} of {len(listed)} listed stocks that nobody "
            f"suspended, first {min(missing)}",
            "the session is not published yet, or the answer was cut short: ask again later",
        )


def symbol_is_whole(
    client: TushareClient, api: Api, symbol: str, held: pd.DatetimeIndex, expected: pd.DatetimeIndex
) -> None:
    """Check that one stock was suspended on the ``expected`` sessions of which ``api`` says nothing.

    Raises
    ------
    SourceError
        When it was not.
    """
    missing = expected.difference(held)
    if len(missing) <= SYMBOL_TOLERANCE * len(expected) and len(held):
        return
    span = {"ts_code": symbol, "start_date": day(expected[0]), "end_date": day(expected[-1])}
    missing = missing.difference(pd.DatetimeIndex(suspended_days(client, span)["session_date"]))
    if len(missing) > SYMBOL_TOLERANCE * len(expected):
        raise SourceError(
            f"tushare's {api.name} gives {len(held)} of {len(expected)} sessions of {symbol} from "
            f"{expected[0]:%Y-%m-%d} to {expected[-1]:%Y-%m-%d}; {len(missing)} of the others were not suspended, "
            f"first {missing[0]:%Y-%m-%d}",
            LATER,
        )


def nobody_suspended(
    client: TushareClient, sessions: pd.DatetimeIndex, listed: Mapping[pd.Timestamp, set[str]]
) -> None:
    """Check an empty list of suspensions: every stock listed has a bar on every session.

    Raises
    ------
    SourceError
        When one has none.
    """
    for session in sessions:
        traded = set(fetch(client, DAILY, {"trade_date": day(session)})["ts_code"])
        missing = listed[session] - traded
        if missing:
            raise SourceError(
                f"tushare's suspend_d names nobody, but {min(missing)} did not trade on {session:%Y-%m-%d}", LATER
            )


def everybody_known(session: date, traded: set[str], known: set[str]) -> None:
    """Check the list of stocks by those that traded: who is left out of it would be left out of every table.

    B shares and stocks of the Beijing exchange, whose codes were changed, prove nothing and are not asked about.

    Raises
    ------
    SourceError
        When more than a few are not in the list: it was cut short.
    """
    strangers = {code for code in traded - known if is_a_share(code) and not code.endswith(".BJ")}
    if len(strangers) > STRANGERS_TOLERANCE * len(traded):
        raise SourceError(
            f"tushare's stock_basic lacks {len(strangers)} of the {len(traded)} stocks that traded on {session}, first "
            f"{min(strangers)}: the list was cut short",
            LATER,
        )


def everybody_named(named: set[str], listed: Collection[str]) -> None:
    """Check the list of names: a stock has one from its listing on, so each that was listed must be in it.

    Raises
    ------
    SourceError
        When more than a few are not.
    """
    nameless = set(listed) - named
    if len(nameless) > STRANGERS_TOLERANCE * len(listed):
        raise SourceError(
            f"tushare's namechange has no name of {len(nameless)} of {len(listed)} stocks, first {min(nameless)}: the "
            "list was cut short",
            f"{LATER}; without it special treatment goes unseen",
        )
