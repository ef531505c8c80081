"""The judged backtest agrees with itself: account, curves, names and trades tell one story."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from assets.backtest import JudgedBacktest, judged_backtest
from assets.report import account_of, curves_of
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.evaluation.lint import lint
from ljwx_pipeline.trading.market_arrays import MarketArrays
from tests.fakes.backtests import small_market

FIRST = 260


def index_bars(settings: Settings, sessions: pd.DatetimeIndex) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    return pd.concat(
        pd.DataFrame(
            {
                "index_code": code,
                "session_date": sessions,
                "close_points": 4000 * np.cumprod(1 + rng.normal(0, 0.01, len(sessions))),
            }
        )
        for code in settings.evaluation.indices
    )


@pytest.fixture
def small(settings: Settings) -> Settings:
    update = {"top_k": 6, "n_drop": 2, "capital_cny": 400_000.0}
    return settings.model_copy(update={"strategy": settings.strategy.model_copy(update=update)})


def judged(settings: Settings, bars: pd.DataFrame | None = None) -> tuple[JudgedBacktest, MarketArrays]:
    market, scores = small_market(3, sessions=400)
    first, last = market.sessions[FIRST].date(), market.sessions[-1].date()
    bars = index_bars(settings, market.sessions) if bars is None else bars
    return judged_backtest(settings, market, scores, bars, first=first, last=last), market


def test_account_curves_names_and_trades_tell_one_story(small: Settings) -> None:
    found, market = judged(small)
    frame = found.by_session().set_index("session_date")
    assert list(frame.index) == list(market.sessions[FIRST:])
    curves = curves_of(frame)
    assert tuple(curves) == (*small.evaluation.indices, "equal_weight", "momentum", "low_volatility")
    account = account_of(frame)
    assert (account["largest_weight_frac"] <= account["invested_frac"] + 1e-9).all()
    names = found.by_name(pd.DataFrame({"symbol": market.symbols, "name": "A"}))
    gained = frame["equity_cny"].iloc[-1] - frame["equity_cny"].iloc[0]
    assert names["profit_cny"].sum() == pytest.approx(gained, abs=0.01 * len(names))
    assert names["trades"].sum() == len(found.trades)
    assert found.evidence.fills == len(found.result.trades)
    assert found.evidence.session_sharpe == pytest.approx(found.figures["sharpe"].value)
    assert found.evidence.capacity_cny == found.figures["capacity_median"].value
    assert found.summary["backtest"]["fees_cny"] == pytest.approx(found.figures["fees"].value)


def test_an_index_that_misses_a_session_stops_it_with_the_day(small: Settings) -> None:
    market, _ = small_market(3, sessions=400)
    bars = index_bars(small, market.sessions)
    day = market.sessions[FIRST + 7]
    gap = bars[(bars["session_date"] != day) | (bars["index_code"] != "399006.SZ")]
    with pytest.raises(DataQualityError, match=f"index 399006.SZ has no close on {day:%Y-%m-%d}"):
        judged(small, gap)


def test_what_was_abstained_from_is_told_where_limits_are_set_and_not_elsewhere(small: Settings) -> None:
    plain, market = judged(small)
    assert plain.summary["backtest"]["abstained_frac"] is plain.evidence.abstained_frac is None
    _, scores = small_market(3, sessions=400)
    first, last = market.sessions[FIRST].date(), market.sessions[-1].date()
    nobody = np.zeros(scores.shape, dtype=np.int8)
    nobody[:, :FIRST] = 1  # before the backtest: no session of it
    found = judged_backtest(
        small, market, scores, index_bars(small, market.sessions), first=first, last=last, may_buy=nobody
    )
    assert found.summary["backtest"]["abstained_frac"] == found.evidence.abstained_frac == 1.0
    (cash,) = [one for one in lint(found.evidence, small.lint) if one.code == "cash_drag"]
    assert "the limits of [uncertainty] keep 100% of scored rows from being bought" in cash.fact
    assert "`uncertainty.max_width_frac`" in cash.remedy
