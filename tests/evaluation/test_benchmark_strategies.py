"""Plain alternatives: the equal-weight universe by hand, momentum and low volatility by their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.evaluation.benchmark_strategies import (
    LOW_VOLATILITY,
    MOMENTUM,
    equal_weight,
    low_volatility_scores,
    momentum_scores,
    plain_strategies,
)
from ljwx_pipeline.evaluation.total_returns import session_returns
from ljwx_pipeline.trading.market_arrays import MarketArrays
from tests.fakes.backtests import flat_market, small_market, with_actions


def level(market: MarketArrays, members: np.ndarray) -> list[float]:
    days = market.sessions
    return equal_weight(market, members, first=days[0].date(), last=days[-1].date()).tolist()


def everyone(market: MarketArrays) -> np.ndarray:
    return np.ones(market.close_e4.shape, dtype=bool)


def test_a_session_earns_the_mean_of_who_was_in_at_the_close_before() -> None:
    market = flat_market(symbols=3, sessions=4)
    market.close_e4[0, 1:] = 110_000
    market.close_e4[1, 2:] = 120_000
    market.close_e4[2, 1:] = 50_000
    members = everyone(market)
    members[2, 0] = False  # falls by half on the next session, but is not in yet
    members[0, 1] = False
    assert level(market, members) == pytest.approx([1, 1.05, 1.05 * 1.1, 1.05 * 1.1])


def test_dividends_and_bonus_shares_are_returns() -> None:
    market = with_actions(
        flat_market(symbols=1, sessions=5), (1, 0, 10_000, 0), (2, 0, 0, 5_000), (3, 0, 0, 0, 10_000, 33_000)
    )
    market.close_e4[0, 1:] = 90_000  # exactly the dividend: nothing earned
    market.close_e4[0, 2:] = 66_000  # 60,000 would be the bonus alone
    market.close_e4[0, 3:] = 49_500  # one for one at half the price: nothing earned
    assert level(market, everyone(market)) == pytest.approx([1, 1, 1.1, 1.1, 1.1])


def test_a_suspended_member_stays_in_until_its_gap_is_known() -> None:
    market = flat_market(symbols=2, sessions=5)
    market.close_e4[0, 1:3] = market.volume_shares[0, 1:3] = 0
    market.close_e4[0, 3:] = 50_000
    members = everyone(market) & (market.close_e4 > 0)
    assert level(market, members) == pytest.approx([1, 1, 1, 0.75, 0.75])


def test_a_delisted_member_is_a_total_loss_once() -> None:
    market = flat_market(symbols=4, sessions=5)
    market.listed[0, 2:] = False
    market.close_e4[0, 1:] = 0  # last traded on the first session, suspended until it was delisted
    members = everyone(market) & (market.close_e4 > 0)
    assert level(market, members) == pytest.approx([1, 1, 0.75, 0.75, 0.75])


def test_an_empty_universe_is_an_error_with_its_date() -> None:
    market = flat_market(symbols=2, sessions=5)
    members = everyone(market)
    members[:, 2] = False
    with pytest.raises(DataQualityError, match=rf"empty on {market.sessions[2]:%Y-%m-%d} \(1 sessions so\)"):
        level(market, members)
    members = everyone(market)
    members[:, -1] = False  # nobody earns anything after the last close
    assert level(market, members) == [1] * 5
    with pytest.raises(DataQualityError, match="members have shape"):
        level(market, members[:, 1:])
    with pytest.raises(DataQualityError, match="no span"):
        equal_weight(market, members, first=market.sessions[2].date(), last=market.sessions[2].date())


@pytest.fixture(scope="module")
def market() -> MarketArrays:
    return small_market(3, symbols=20, sessions=330)[0]


def test_momentum_is_the_return_from_240_to_20_sessions_ago(market: MarketArrays) -> None:
    scores = momentum_scores(market, everyone(market))
    returns = np.nan_to_num(session_returns(market))
    for row, t in ((0, 240), (7, 300), (12, 329)):
        first_bar = np.flatnonzero(market.has_bar[row])[0]
        expected = np.prod(1 + returns[row, t - 239 : t - 19]) - 1 if first_bar <= t - 240 else np.nan
        assert scores[row, t] == pytest.approx(expected, rel=1e-9, nan_ok=True)
    assert np.isnan(scores[:, :240]).all()
    assert np.isfinite(scores[:, 245:]).all()


def test_low_volatility_prefers_the_calmer_name_and_needs_eighty_returns(market: MarketArrays) -> None:
    scores = low_volatility_scores(market, everyone(market))
    window = session_returns(market)[4, 200 - 119 : 201]
    assert scores[4, 200] == pytest.approx(-np.nanstd(window, ddof=1), rel=1e-9)
    assert np.isnan(scores[:, :80]).all()


@pytest.mark.parametrize("scores", [momentum_scores, low_volatility_scores])
def test_scores_never_see_what_comes_after(market: MarketArrays, scores: object) -> None:
    cut = 300
    later = small_market(3, symbols=20, sessions=330)[0]
    later.close_e4[:, cut + 1 :] = later.close_e4[:, cut + 1 :] * 2 + 7
    later.actions.rows[later.actions.start[cut + 1] :, 1:3] += 77
    members = everyone(market)
    np.testing.assert_array_equal(scores(market, members)[:, : cut + 1], scores(later, members)[:, : cut + 1])


def test_who_is_outside_the_universe_has_no_score(market: MarketArrays) -> None:
    members = everyone(market)
    members[3] = False
    assert np.isnan(momentum_scores(market, members)[3]).all()
    assert np.isnan(low_volatility_scores(market, members)[3]).all()


def test_plain_strategies_pay_every_cost_and_start_with_the_same_capital(
    market: MarketArrays, settings: Settings
) -> None:
    strategy = settings.strategy.model_copy(update={"top_k": 5, "n_drop": 1, "capital_cny": 4e5})
    days = market.sessions
    results = plain_strategies(
        market,
        everyone(market),
        strategy=strategy,
        costs=settings.costs,
        first=days[250].date(),
        last=days[-1].date(),
    )
    assert list(results) == [MOMENTUM, LOW_VOLATILITY]
    for result in results.values():
        assert result.equity_fen[0] == 40_000_000
        assert result.sessions.equals(days[250:])
        assert result.fees_fen.sum() > 0
    assert not np.array_equal(*(result.equity_fen for result in results.values()))


def test_too_short_a_history_is_said_not_traded(market: MarketArrays, settings: Settings) -> None:
    days = market.sessions
    with pytest.raises(DataQualityError, match=r"universe of momentum is empty on .*it needs 240 sessions before"):
        plain_strategies(
            market,
            everyone(market),
            strategy=settings.strategy,
            costs=settings.costs,
            first=days[200].date(),
            last=days[-1].date(),
        )


def test_the_return_after_a_suspension_holds_what_went_ex_meanwhile() -> None:
    market = with_actions(flat_market(symbols=1, sessions=4), (1, 0, 20_000, 0))
    market.close_e4[0, 1:3] = 0
    market.close_e4[0, 3] = 80_000
    returns = session_returns(market)
    assert np.isnan(returns[0, :3]).all()
    assert returns[0, 3] == 0.0
