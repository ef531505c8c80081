"""Scores that were given beforehand, the bundle they are said to be of, and limits under which the gate never binds."""

from __future__ import annotations

from datetime import date

import numpy as np

from ljwx_pipeline.config import Settings
from ljwx_pipeline.live.decision import RunnerSettings
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.intervals import IntervalEnds
from ljwx_pipeline.live.journal import DeployedBundle

BUNDLE = DeployedBundle("b" * 64, "1", date(2018, 1, 31))


class GivenScores:
    """A scorer that was told its answers."""

    def __init__(self, feed: ReplayFeed, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.table = rng.normal(size=feed.market.close_e4.shape)
        self.table[rng.uniform(size=self.table.shape) < 0.1] = np.nan
        self._feed = feed

    def scores(self, session: date) -> np.ndarray:
        return self.table[:, self._feed.column(session)].copy()

    def interval_ends(self, session: date) -> IntervalEnds:
        raise AssertionError(f"nobody abstains, and still the intervals of {session} were asked for")


def wide_open(settings: Settings, **strategy: object) -> RunnerSettings:
    """Settings under which the risk gate never binds."""
    risk = settings.risk.model_copy(
        update={
            "max_order_cny": 1e12,
            "max_orders_per_session": 10_000,
            "max_weight_per_name_frac": 1.0,
            "max_gross_exposure_frac": 1.0,
            "max_price_deviation_frac": 1.0,
            "max_day_loss_frac": 1.0,
        }
    )
    chosen = settings.strategy.model_copy(update={"top_k": 6, "n_drop": 2, "min_hold_sessions": 2, **strategy})
    live = settings.live.model_copy(update={"max_bundle_age_days": 3650})
    return RunnerSettings(chosen, risk, live, settings.uncertainty)
