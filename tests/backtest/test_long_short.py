"""Long-short returns by hand: lag, legs, costs, and what bad input does."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest

from ljwx_pipeline.backtest.long_short import LongShortReturns, long_short_returns
from ljwx_pipeline.errors import TradingError

NAN = math.nan


def calculate(scores: np.ndarray, returns: np.ndarray, **over: float) -> LongShortReturns:
    chosen = {"quantile_frac": 0.25, "cost_frac": 0.0, "borrow_annual_frac": 0.0, **over}
    return long_short_returns(scores, returns, **chosen)


@pytest.fixture
def scores() -> np.ndarray:
    """Four names, best first in the first session, worst first in the second, then as in the first."""
    return np.array([[4.0, 1.0, 4.0, 4.0], [3.0, 2.0, 3.0, 3.0], [2.0, 3.0, 2.0, 2.0], [1.0, 4.0, 1.0, 1.0]])


RETURNS = np.array([[0.5, 0.5, 0.10, 0.02], [0.5, 0.5, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.5, 0.5, -0.04, 0.06]])


def test_scores_earn_the_return_two_sessions_later(scores: np.ndarray) -> None:
    got = calculate(scores, RETURNS)
    # the first session's best earned 10 % while its worst lost 4 %; then the legs changed places: 6 % - 2 %
    assert got.gross.tolist() == pytest.approx([0.0, 0.0, 0.14, 0.04])
    assert got.long_leg.tolist() == pytest.approx([0.0, 0.0, 0.10, 0.06])
    assert got.short_leg.tolist() == pytest.approx([0.0, 0.0, -0.04, 0.02])
    assert got.names.tolist() == [0, 0, 1, 1]


def test_costs_are_charged_on_what_is_traded_and_borrowed(scores: np.ndarray) -> None:
    got = calculate(scores, RETURNS, cost_frac=0.001, borrow_annual_frac=0.0252)
    # entry: 1 + 1; exchange of the legs after +10 % and -4 %: 2.10 + 1.96; again after +2 % and +6 %: 2.02 + 2.06
    assert got.turnover.tolist() == pytest.approx([0.0, 2.0, 4.06, 4.08])
    expected = [0.0, -0.002, 0.14 - 0.00406 - 0.0001, 0.04 - 0.00408 - 0.0001]
    assert got.net.tolist() == pytest.approx(expected)


def test_a_leg_is_the_quantile_of_the_scored_names_in_equal_weights() -> None:
    scores = np.repeat(np.array([8.0, 7, NAN, 6, 5, NAN, 4, 3])[:, None], 3, axis=1)
    returns = np.zeros((8, 3))
    returns[:, 2] = [0.1, 0.3, 9.0, 0.0, 0.0, 9.0, 0.02, 0.06]
    got = calculate(scores, returns, quantile_frac=0.4)  # 0.4 of six: two names a leg
    assert got.names[2] == 2
    assert got.gross[2] == pytest.approx(0.2 - 0.04)


def test_a_return_that_is_missing_counts_as_unchanged_and_is_counted(scores: np.ndarray) -> None:
    holes = RETURNS.copy()
    holes[0, 2] = NAN
    got = calculate(scores, holes)
    assert got.gross[2] == pytest.approx(0.04)
    assert got.missing_returns.tolist() == [0, 0, 1, 0]


def test_a_universe_too_small_for_two_legs_holds_nothing() -> None:
    scores = np.array([[1.0, NAN, NAN, NAN], [NAN, NAN, NAN, NAN]])
    got = calculate(scores, np.full((2, 4), 0.1), cost_frac=0.01)
    for field in fields(got):
        assert not getattr(got, field.name).any(), field.name


def test_scores_that_know_nothing_earn_nothing_but_costs() -> None:
    rng = np.random.default_rng(4)
    scores, returns = rng.normal(size=(60, 400)), 0.02 * rng.normal(size=(60, 400))
    got = calculate(scores, returns, cost_frac=0.001)
    error = got.gross.std() / math.sqrt(398)
    assert abs(got.gross.mean()) < 4 * error
    assert got.net.mean() == pytest.approx(got.gross.mean() - 0.001 * got.turnover.mean())
    seer = calculate(np.roll(returns, -2, axis=1), returns)
    assert seer.gross[2:].min() > 0


def test_later_data_changes_nothing_earlier() -> None:
    rng = np.random.default_rng(5)
    scores, returns = rng.normal(size=(20, 30)), 0.02 * rng.normal(size=(20, 30))
    later_scores, later_returns = scores.copy(), returns.copy()
    later_scores[:, 19:], later_returns[:, 20:] = -1.0, 0.5
    one, two = calculate(scores, returns), calculate(later_scores, later_returns)
    assert one.net[:20].tolist() == two.net[:20].tolist()


def test_it_is_never_promotable(scores: np.ndarray) -> None:
    assert calculate(scores, RETURNS).promotable is False


def test_bad_input_is_refused(scores: np.ndarray) -> None:
    with pytest.raises(TradingError, match="align the axes"):
        calculate(scores, RETURNS[:, 1:])
    with pytest.raises(TradingError, match="legs would overlap"):
        calculate(scores, RETURNS, quantile_frac=0.6)
    with pytest.raises(TradingError, match=r"a rate is -0\.1"):
        calculate(scores, RETURNS, borrow_annual_frac=-0.1)
    with pytest.raises(TradingError, match="1 returns are infinite"):
        calculate(scores, np.where(RETURNS == 0.06, math.inf, RETURNS))
