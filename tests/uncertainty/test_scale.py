"""Scales by hand and by pandas, floors, gaps, the past alone; thirds of a session; ranks with ties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.uncertainty.ranks import doubled_ranks
from ljwx_pipeline.uncertainty.scale import HALF_LIVES, return_scale, terciles

CHOSEN = {"horizon": 5, "floor": 0.001, "least_returns": 1}


def test_the_first_scales_by_hand():
    scale = return_scale(np.array([[0.02, -0.01]]), **CHOSEN)
    keep = [0.5 ** (1 / half_life) for half_life in HALF_LIVES]
    second = np.mean([(k * 0.0004 + 0.0001) / (k + 1) for k in keep])
    np.testing.assert_allclose(scale, [[np.sqrt(5 * 0.0004), np.sqrt(5 * second)]])


def test_scales_are_pandas_weighted_means_of_squares_over_sessions_with_a_return():
    rng = np.random.default_rng(1)
    returns = rng.normal(0, 0.02, (5, 300))
    returns[rng.uniform(size=returns.shape) < 0.1] = np.nan
    squares = pd.DataFrame(returns.T**2)
    means = [squares.ewm(halflife=half_life, ignore_na=True).mean() for half_life in HALF_LIVES]
    expected = np.sqrt(5 * sum(means) / len(means)).to_numpy().T
    np.testing.assert_allclose(return_scale(returns, **CHOSEN), expected, rtol=1e-9)


def test_a_scale_knows_the_past_alone():
    returns = np.random.default_rng(2).normal(0, 0.02, (4, 60))
    before = return_scale(returns, **CHOSEN)
    later = returns.copy()
    later[:, 40:] *= 9
    after = return_scale(later, **CHOSEN)
    np.testing.assert_array_equal(after[:, :40], before[:, :40])
    assert (after[:, 40] > before[:, 40]).all()


def test_a_stock_that_stands_still_has_the_floor_and_one_of_few_returns_none():
    returns = np.zeros((2, 10))
    returns[1, :8] = np.nan
    scale = return_scale(returns, horizon=4, floor=0.005, least_returns=3)
    np.testing.assert_allclose(scale[0, 2:], 2 * 0.005)
    assert np.isnan(scale[0, :2]).all()
    assert np.isnan(scale[1]).all()


@pytest.mark.parametrize("wrong", [{"horizon": 0}, {"floor": 0.0}, {"floor": np.nan}, {"least_returns": 0}])
def test_choices_out_of_range_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ModelError):
        return_scale(np.zeros((1, 3)), **(CHOSEN | wrong))


def test_thirds_of_a_session_by_hand():
    values = np.array([[1.0, np.nan], [2.0, 5.0], [3.0, np.nan], [4.0, np.inf], [5.0, np.nan], [6.0, np.nan]])
    np.testing.assert_array_equal(terciles(values)[:, 0], [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(terciles(values)[:, 1], [-1, 1, -1, -1, -1, -1])
    np.testing.assert_array_equal(terciles(np.ones((5, 1)))[:, 0], 1)  # equal values share a group


def test_ranks_with_ties_are_pandas():
    values = np.random.default_rng(3).integers(0, 6, 40).astype(float)
    np.testing.assert_array_equal(doubled_ranks(values), 2 * pd.Series(values).rank().to_numpy() - 1)
    assert doubled_ranks(np.empty(0)).shape == (0,)
