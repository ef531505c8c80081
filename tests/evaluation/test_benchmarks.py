"""Against an index: by empyrical's measures, and with no gap filled."""

from __future__ import annotations

import math

import empyrical
import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.evaluation.benchmarks import (
    against_index,
    alpha,
    beta,
    index_close,
    monthly_excess,
    session_excess,
)
from ljwx_pipeline.evaluation.metrics import returns_of

DAYS = pd.bdate_range("2020-01-02", periods=300, name="session_date")
CODES = ("000300.SH", "000905.SH")


@pytest.fixture(scope="module")
def index_bars() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    frames = [
        pd.DataFrame(
            {
                "index_code": code,
                "session_date": DAYS,
                "close_points": 4000 * np.cumprod(1 + rng.normal(0.0002, 0.011, len(DAYS))),
            }
        )
        for code in CODES
    ]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def equity(index_bars: pd.DataFrame) -> pd.Series:
    market = index_close(index_bars, CODES[0], DAYS).pct_change().fillna(0.0)
    own = 0.8 * market + np.random.default_rng(3).normal(0.0005, 0.006, len(DAYS))
    own.iloc[0] = 0.0
    return 1e7 * (1 + own).cumprod()


def test_agrees_with_empyrical(equity: pd.Series, index_bars: pd.DataFrame) -> None:
    close = index_close(index_bars, CODES[0], DAYS)
    own, other = returns_of(equity), returns_of(close)
    assert beta(own, other) == pytest.approx(empyrical.beta(own, other), rel=1e-10)
    assert alpha(own, other) == pytest.approx(empyrical.alpha(own, other), rel=1e-9)
    measured = against_index(equity, close)
    excess = empyrical.annual_return(own) - empyrical.annual_return(other)
    assert measured["excess_annual_return"] == pytest.approx(excess, rel=1e-10)
    assert measured["information_ratio"] == pytest.approx(
        empyrical.excess_sharpe(own, other) * math.sqrt(252), rel=1e-10
    )


def test_the_index_against_itself_is_nothing(index_bars: pd.DataFrame) -> None:
    close = index_close(index_bars, CODES[1], DAYS)
    measured = against_index(close, close)
    assert measured["beta"] == pytest.approx(1.0)
    assert measured["alpha"] == pytest.approx(0.0, abs=1e-12)
    assert measured["excess_annual_return"] == 0.0
    assert measured["information_ratio"] is None
    assert monthly_excess(close, close).abs().max() == 0.0


def test_monthly_excess_is_month_minus_month(equity: pd.Series, index_bars: pd.DataFrame) -> None:
    close = index_close(index_bars, CODES[0], DAYS)
    february = monthly_excess(equity, close).loc["2020-02"]
    january_end, february_end = pd.Timestamp("2020-01-31"), pd.Timestamp("2020-02-28")
    expected = equity[february_end] / equity[january_end] - close[february_end] / close[january_end]
    assert february == pytest.approx(expected, rel=1e-12)
    assert len(session_excess(equity, close)) == len(DAYS) - 1


def test_the_comparison_of_the_summary_has_four_measures(equity: pd.Series, index_bars: pd.DataFrame) -> None:
    compared = against_index(equity, index_close(index_bars, CODES[0], DAYS))
    assert list(compared) == ["excess_annual_return", "information_ratio", "beta", "alpha"]


def test_a_gap_names_the_index_and_the_session(equity: pd.Series, index_bars: pd.DataFrame) -> None:
    gap = index_bars.drop(index=7)
    with pytest.raises(DataQualityError, match=r"000300\.SH has no close on 2020-01-13 \(1 sessions so\)"):
        index_close(gap, CODES[0], DAYS)
    with pytest.raises(DataQualityError, match=r"index 399006\.SZ has no bar.*000300\.SH, 000905\.SH"):
        index_close(index_bars, "399006.SZ", DAYS)
    with pytest.raises(DataQualityError, match=r"000300\.SH has two bars on 2020-01-13"):
        index_close(pd.concat([index_bars, index_bars.iloc[[7]]]), CODES[0], DAYS)
    close = index_close(index_bars, CODES[0], DAYS)
    with pytest.raises(DataQualityError, match="no close on 2020-01-02"):
        monthly_excess(equity, close.iloc[1:])


def test_an_index_that_never_moves_has_no_beta(equity: pd.Series) -> None:
    measured = against_index(equity, pd.Series(3000.0, index=DAYS))
    assert measured["beta"] is None
    assert measured["alpha"] is None
