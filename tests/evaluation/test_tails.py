"""Tails and moments: against scipy, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from ljwx_pipeline.evaluation.tails import (
    excess_kurtosis,
    expected_shortfall,
    skewness,
    tail_position,
    tail_ratio,
    value_at_risk,
)


@pytest.mark.parametrize("n", [3, 40, 1000])
def test_moments_are_scipys(n: int) -> None:
    returns = np.random.default_rng(n).standard_t(4, n) * 0.01
    assert skewness(returns) == pytest.approx(scipy.stats.skew(returns), rel=1e-10)
    assert excess_kurtosis(returns) == pytest.approx(scipy.stats.kurtosis(returns), rel=1e-10)


def test_a_loss_at_risk_is_negative_and_the_shortfall_lies_beyond_it() -> None:
    returns = np.arange(-50, 51) / 1000  # 101 values: the quantile is one of them
    assert value_at_risk(returns) == pytest.approx(-0.045)
    assert expected_shortfall(returns) == pytest.approx(np.mean([-0.050, -0.049, -0.048, -0.047, -0.046, -0.045]))
    assert tail_ratio(returns) == pytest.approx(1.0)
    assert tail_ratio(np.r_[returns, np.full(20, 0.09)]) > 1
    assert tail_position(101) == 5


def test_a_constant_series_has_no_shape_but_a_quantile() -> None:
    flat = np.full(30, 0.01)
    assert math.isnan(skewness(flat))
    assert math.isnan(excess_kurtosis(flat))
    assert value_at_risk(flat) == expected_shortfall(flat) == pytest.approx(0.01)
    assert math.isnan(tail_ratio(np.zeros(30)))
    for measure in (skewness, excess_kurtosis, tail_ratio, value_at_risk, expected_shortfall):
        assert math.isnan(measure(np.array([])))
        assert math.isnan(measure(np.array([0.1, np.nan, 0.2])))
