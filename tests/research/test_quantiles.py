"""Quantiles: pandas.qcut's edges, no look at the return, equal values together, and what a quantile holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.coefficients import by_session
from ljwx_pipeline.research.quantiles import (
    NONE,
    capacity_cny,
    cumulative_growth,
    quantile_buckets,
    quantile_returns,
    quantile_turnover,
    session_means,
)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), names=st.integers(2, 60), quantiles=st.integers(2, 10), digits=st.integers(1, 6))
def test_buckets_are_those_of_qcut_wherever_it_has_an_answer(
    seed: int, names: int, quantiles: int, digits: int
) -> None:
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=(names, 3)), digits)
    values[rng.uniform(size=values.shape) < 0.1] = np.nan
    found = quantile_buckets(by_session(values), quantiles=quantiles)
    for session in range(3):
        column = pd.Series(values[:, session])
        if column.notna().sum() < quantiles:
            assert (found[session] == NONE).all()
            continue
        edges = np.percentile(column.dropna(), np.linspace(0, 1, quantiles + 1) * 100)
        if len(np.unique(edges)) <= quantiles:
            continue  # qcut refuses
        expected = pd.qcut(column, quantiles, labels=False)
        assert found[session].tolist() == expected.fillna(NONE).astype(int).tolist()


def test_equal_values_are_never_parted_and_a_quantile_may_be_empty() -> None:
    values = np.array([[0.0]] * 6 + [[1.0], [2.0]])
    found = quantile_buckets(by_session(values), quantiles=4)[0]
    assert set(found[:6]) == {0}
    assert found[6:].tolist() == [3, 3]
    returned = quantile_returns(found[None, :], np.arange(8.0)[None, :], quantiles=4)
    assert np.isnan(returned.mean[0, 1:3]).all()
    assert returned.mean[0, 3] == 6.5


def test_a_missing_return_moves_nobody_to_another_quantile() -> None:
    values = np.arange(10.0)[:, None]
    buckets = quantile_buckets(by_session(values), quantiles=5)
    returns = np.arange(10.0)[None, :].copy()
    returns[0, 9] = np.nan
    found = quantile_returns(buckets, returns)
    assert found.mean[0].tolist() == [0.5, 2.5, 4.5, 6.5, 8.0]
    assert found.universe[0] == 4.0
    assert found.spread[0] == 7.5
    assert found.excess[0].tolist() == [-3.5, -1.5, 0.5, 2.5, 4.0]


def test_each_session_weighs_the_same_in_the_mean() -> None:
    assert session_means(np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])).tolist()[0] == 2.0
    assert np.isnan(session_means(np.full((2, 1), np.nan))).all()


def test_turnover_counts_names_that_were_not_there() -> None:
    buckets = np.array([[4, 4, 0, 0], [4, 0, 4, 0], [0, 0, 0, 0], [4, 4, 0, 0]], dtype=np.int8)
    found = quantile_turnover(buckets, 4)
    assert found[1] == 0.5
    assert np.isnan(found[[0, 2, 3]]).all()  # no session before, empty now, empty before


def test_growth_compounds_and_waits_where_nothing_is_known() -> None:
    assert cumulative_growth(np.array([[0.1], [np.nan], [-0.5]])).ravel() == pytest.approx([1.1, 1.1, 0.55])


def test_capacity_is_a_share_of_what_the_quantile_s_names_usually_trade() -> None:
    buckets = np.array([[4, 4, 0], [0, 0, 0]], dtype=np.int8)
    usual = np.array([[1e6, 3e6, 9e6], [1e6, 3e6, 9e6]])
    found = capacity_cny(buckets, usual, 4, participation_frac=0.1)
    assert found[0] == pytest.approx(4e5)
    assert np.isnan(found[1])
