"""Information coefficients against scipy, session by session."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr

from ljwx_pipeline.evaluation.ic import ic_by_session, ic_summary, quantile_returns

SESSIONS = pd.bdate_range("2020-01-02", periods=12, name="session_date")


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    session = rng.permutation(np.repeat(np.arange(12), 40))
    score = np.round(rng.normal(size=480), 1)
    forward = 0.1 * score + rng.normal(size=480)
    score[rng.uniform(size=480) < 0.05] = np.nan
    forward[rng.uniform(size=480) < 0.05] = np.nan
    return score, forward, session


def test_agrees_with_scipy(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    score, forward, session = rows
    table = ic_by_session(score, forward, session, SESSIONS)
    assert table["session_date"].tolist() == list(SESSIONS)
    for t in range(12):
        kept = (session == t) & np.isfinite(score) & np.isfinite(forward)
        assert table["rank_ic"][t] == pytest.approx(spearmanr(score[kept], forward[kept]).statistic, abs=1e-12)
        assert table["ic"][t] == pytest.approx(pearsonr(score[kept], forward[kept]).statistic, abs=1e-12)
        assert table["rows"][t] == kept.sum()
    summary = ic_summary(table)
    assert summary["rank_ic_mean"] == pytest.approx(table["rank_ic"].mean())
    assert summary["rank_icir"] == pytest.approx(table["rank_ic"].mean() / table["rank_ic"].std())


def test_small_and_constant_sessions_are_absent() -> None:
    session = np.repeat([0, 1, 2], [4, 10, 10])
    score = np.r_[np.arange(4.0), np.full(10, 0.3), np.arange(10.0)]
    table = ic_by_session(score, np.r_[np.arange(4.0), np.arange(10.0), -np.arange(10.0)], session, SESSIONS)
    assert table["session_date"].tolist() == [SESSIONS[2]]
    assert table["rank_ic"].tolist() == pytest.approx([-1.0])
    assert ic_summary(table)["rank_icir"] is None


def test_no_row_gives_an_empty_table() -> None:
    table = ic_by_session(np.array([]), np.array([]), np.array([], dtype=np.int64), SESSIONS)
    assert len(table) == 0
    assert ic_summary(table) == {"rank_ic_mean": None, "rank_icir": None, "ic_mean": None}


def test_quantile_returns_average_session_excesses() -> None:
    session = np.repeat([0, 1, 2], [10, 10, 3])
    score = np.r_[np.arange(10.0), np.arange(10.0), np.arange(3.0)]
    forward = np.r_[np.arange(10.0), 2 * np.arange(10.0) + 100, [1e6, 2e6, 3e6]]
    quintiles = quantile_returns(score, forward, session, quantiles=5)
    assert quintiles.tolist() == pytest.approx([-6.0, -3.0, 0.0, 3.0, 6.0])
