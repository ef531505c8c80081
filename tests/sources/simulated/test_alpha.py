"""The oracle score: causal, recomputable from published bars, deaf to units, moving in the direction it says."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ljwx_pipeline.sources.simulated.alpha import WINDOW, oracle_score
from ljwx_pipeline.sources.simulated.source import SimulatedMarket
from tests.sources.simulated.measures import wide

RNG = np.random.default_rng(5)


def window(n: int = 30) -> list[np.ndarray]:
    close = 20 * np.exp(np.cumsum(RNG.normal(0, 0.02, (WINDOW, n)), axis=0))
    return [close, close * 1.01, close * 0.99, RNG.lognormal(13, 0.4, (WINDOW, n))]


def test_the_score_follows_from_published_bars_up_to_its_session(market: SimulatedMarket, bars: pd.DataFrame) -> None:
    truth = wide(market.truth(), "oracle_score")
    securities = market.securities().set_index("symbol")
    for session in ("2018-02-22", "2019-11-07", "2022-04-29", "2025-12-31"):
        day = pd.Timestamp(session)
        known = bars[bars["session_date"] <= day]
        close = wide(known, known["close_cny"] * known["adj_factor"]).ffill()
        high = wide(known, known["high_cny"] * known["adj_factor"]).reindex_like(close).fillna(close)
        low = wide(known, known["low_cny"] * known["adj_factor"]).reindex_like(close).fillna(close)
        volume = wide(known, known["volume_shares"] / known["adj_factor"]).reindex_like(close).fillna(0.0)
        gone = securities.loc[close.columns, "delist_date"] <= day
        fields = [frame.iloc[-WINDOW:].loc[:, ~gone.to_numpy()] for frame in (close, high, low, volume)]
        score = pd.Series(oracle_score(*(frame.to_numpy() for frame in fields)), index=fields[0].columns)
        published = truth.loc[day].dropna()
        traded = known.loc[known["session_date"] == day, "symbol"]
        assert set(published.index) == set(score.dropna().index.intersection(traded))
        np.testing.assert_allclose(score[published.index], published, rtol=0, atol=1e-9)


def test_the_score_is_deaf_to_the_unit_of_price_and_volume() -> None:
    close, high, low, volume = window()
    score = oracle_score(close, high, low, volume)
    np.testing.assert_allclose(oracle_score(3 * close, 3 * high, 3 * low, 100 * volume), score, atol=1e-9)


def test_the_score_is_centred_over_the_stocks_with_a_whole_window() -> None:
    fields = window()
    for field in fields:
        field[:5, 0] = np.nan
    score = oracle_score(*fields)
    assert np.isnan(score[0])
    assert abs(np.mean(score[1:])) < 1e-12


def test_without_any_whole_window_nobody_has_a_score() -> None:
    assert np.isnan(oracle_score(*(np.full((WINDOW, 3), np.nan) for _ in range(4)))).all()


def test_a_fallen_stock_scores_above_a_risen_one_and_a_quiet_one_above_a_busy_one() -> None:
    flat = np.full((WINDOW, 4), 10.0)
    flat[-1, 0], flat[-1, 1] = 9.0, 11.0
    volume = np.full((WINDOW, 4), 1e6)
    volume[-1, 2], volume[-1, 3] = 4e5, 3e6
    score = oracle_score(flat, flat * 1.01, flat * 0.99, volume)
    assert score[0] > score[1]
    assert score[2] > score[3]
