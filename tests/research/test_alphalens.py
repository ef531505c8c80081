"""Where alphalens and this package define the same thing they say the same, to 1e-9 (see the modules' docstrings)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ljwx_pipeline.coefficients import by_session, panel_rank_ic
from ljwx_pipeline.research.forward import close_to_close_returns
from ljwx_pipeline.research.ic import rank_autocorrelation
from ljwx_pipeline.research.quantiles import quantile_buckets, quantile_returns, quantile_turnover

TOLERANCE = 1e-9


def array(nested: list[Any]) -> np.ndarray:
    return np.array(nested, dtype=np.float64)  # None becomes NaN


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    """What ``golden_alphalens.py`` wrote; alphalens keeps the sessions where every horizon's return is known."""
    return json.loads(Path(__file__).with_name("golden_alphalens.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def ours(golden: dict[str, Any]) -> dict[str, Any]:
    kept = golden["sessions"]
    returns = close_to_close_returns(array(golden["close"]).T, golden["horizons"])
    factor = by_session(array(golden["factor"]).T).sessions(0, kept)
    by_horizon = [by_session(returns.of(horizon)).sessions(0, kept) for horizon in golden["horizons"]]
    return {"factor": factor, "returns": by_horizon, "buckets": quantile_buckets(factor, quantiles=golden["quantiles"])}


def test_the_fixture_has_holes_ties_and_several_horizons(golden: dict[str, Any]) -> None:
    factor = array(golden["factor"])
    assert np.isnan(factor).any()
    assert len(golden["horizons"]) == 3
    assert golden["sessions"] == len(factor) - max(golden["horizons"])


def test_rank_ic_by_session(golden: dict[str, Any], ours: dict[str, Any]) -> None:
    found = np.column_stack([panel_rank_ic(ours["factor"], returns) for returns in ours["returns"]])
    assert np.abs(found - array(golden["rank_ic"])).max() < TOLERANCE


def test_every_name_is_in_the_same_quantile(golden: dict[str, Any], ours: dict[str, Any]) -> None:
    expected = np.nan_to_num(array(golden["buckets"]), nan=0) - 1
    assert (ours["buckets"] == expected).all()


def test_mean_returns_by_quantile(golden: dict[str, Any], ours: dict[str, Any]) -> None:
    for position, returns in enumerate(ours["returns"]):
        found = quantile_returns(ours["buckets"], returns.values, quantiles=golden["quantiles"])
        by_day = array(golden["excess_by_session"])[:, :, position].T
        assert np.abs(found.excess - by_day).max() < TOLERANCE
        assert np.abs(found.mean_excess - array(golden["excess"])[:, position]).max() < TOLERANCE


def test_turnover_of_quantiles(golden: dict[str, Any], ours: dict[str, Any]) -> None:
    expected = array(golden["turnover"])
    for quantile in range(golden["quantiles"]):
        found = quantile_turnover(ours["buckets"], quantile)
        assert np.isnan(found[0])
        assert np.abs(found[1:] - expected[1:, quantile]).max() < TOLERANCE


def test_rank_autocorrelation(golden: dict[str, Any], ours: dict[str, Any]) -> None:
    found = rank_autocorrelation(ours["factor"])
    assert np.isnan(found[0])
    assert np.abs(found[1:] - array(golden["rank_autocorrelation"])[1:]).max() < TOLERANCE
