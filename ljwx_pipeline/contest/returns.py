"""What champion and challengers earned in a contest, session by session, and how each stands by it.

Not here: the scores (``assets/contest.py``), the judgement of one pair (``standing.py``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.config import CostSettings, StrategySettings
from ljwx_pipeline.contest.record import Challenger, Contest, Course
from ljwx_pipeline.contest.standing import Standing, standing
from ljwx_pipeline.evaluation.metrics import returns_of
from ljwx_pipeline.market.panel import dense
from ljwx_pipeline.trading.market_arrays import MarketArrays
from ljwx_pipeline.trading.volatility import WINDOW

#: The champion's column, of scores and of returns.
CHAMPION = "champion"
#: Sessions before the first one that the market's arrays hold: what an order's impact looks back on, and one to spare.
_WARM_UP = WINDOW + 1


def column(version: str) -> str:
    """Return the name of a challenger's column."""
    return f"version_{version}"


def sessions_traded(contest: Contest, scores: pd.DataFrame, sessions: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Return the sessions that the market's arrays have to hold: up to the last scored one, warm-up before the first.

    Parameters
    ----------
    scores
        With ``session_date``, the contest's first session and later ones.
    sessions
        Of the calendar, ascending.
    """
    begin = max(0, int(sessions.searchsorted(pd.Timestamp(contest.first_session))) - _WARM_UP)
    return sessions[begin : int(sessions.searchsorted(scores["session_date"].max())) + 1]


def net_returns(
    course: Course, scores: pd.DataFrame, market: MarketArrays, *, strategy: StrategySettings, costs: CostSettings
) -> pd.DataFrame:
    """Return daily returns after every cost, each model from cash at the close of the contest's first session.

    One row for each later session: ``session_date``, ``champion`` and a column a challenger that is in. The account of
    each has its share of the configured capital.

    Parameters
    ----------
    scores
        ``symbol``, ``session_date``, ``scorable`` and a column of scores a model.
    market
        On the sessions that ``sessions_traded`` returns.
    strategy, costs
        Settings.
    """
    contest = course.contest
    shares = {CHAMPION: contest.champion_capital_frac} | {
        column(one.version): one.capital_frac for one in course.remaining
    }
    if market.sessions[-1] == pd.Timestamp(contest.first_session):
        return pd.DataFrame({"session_date": market.sessions[:0], **{name: np.zeros(0) for name in shares}})
    scorable, earned = scores[scores["scorable"]], {}
    for name, share in shares.items():
        result = run_backtest(
            market,
            dense(scorable, name, market.symbols, market.sessions),
            strategy=strategy.model_copy(update={"capital_cny": strategy.capital_cny * share}),
            costs=costs,
            first=contest.first_session,
            last=market.sessions[-1].date(),
        )
        earned[name] = returns_of(result.equity)
    return pd.DataFrame(earned).rename_axis("session_date").reset_index()


def standings(course: Course, returns: pd.DataFrame) -> list[Standing]:
    """Return how every challenger with a return stands, one that left until then.

    Raises
    ------
    DataQualityError
        As ``standing``.
    """
    found = []
    for one in course.contest.challengers:
        paired = paired_returns(returns, one)
        if len(paired):
            found.append(standing(paired, course.contest, one))
    return found


def paired_returns(returns: pd.DataFrame, challenger: Challenger) -> pd.DataFrame:
    """Return the champion's and a challenger's returns as ``standing`` takes them; empty where it has none.

    Up to the challenger's last return: it may have left. A NaN before that stays, and ``standing`` refuses it.
    """
    name = column(challenger.version)
    if name not in returns:
        return pd.DataFrame({"session_date": pd.DatetimeIndex([]), "champion": [], "challenger": []})
    table = returns[["session_date", CHAMPION, name]].rename(columns={name: "challenger"})
    held = np.flatnonzero(table["challenger"].notna())
    return table.iloc[: held[-1] + 1 if len(held) else 0].reset_index(drop=True)
