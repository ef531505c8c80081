"""A market's home with a bundle that carries intervals, and research's walk over all of it, the feed's sessions too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ljwx_pipeline.config import Settings
from ljwx_pipeline.dataset import scorable_mask
from ljwx_pipeline.dataset.interval_inputs import begun_intervals, interval_arrays
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.live.factor_history import FactorHistory
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.scorer import BundleScorer
from ljwx_pipeline.market.adjustment import factor_panel
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.scoring.bundle import INTERVALS, ModelBundle, load_bundle
from ljwx_pipeline.scoring.signing import public_key, signing_key
from ljwx_pipeline.trading.market_arrays import market_arrays
from ljwx_pipeline.uncertainty.carried import WalkedOn, walked_on
from tests.fakes.live_home import Home, live_settings
from tests.fakes.live_market import live_tables

SESSIONS, FEED = 190, 30


class IntervalWorld:
    """What the daily job and the runner must agree with; the bundle was trained ``age`` sessions before the feed."""

    def __init__(self, folder: Path, settings: Settings, age: int) -> None:
        tables = live_tables(symbols=24, sessions=SESSIONS, feed_sessions=FEED, seed=2)
        self.home = Home(folder / "markets" / "test", folder / "keys", folder / "made", tables, FEED)
        signing_key(self.home.keys)
        symbols = sorted(tables.securities["symbol"])
        self.industries = pd.DataFrame(
            {
                "symbol": symbols,
                "industry": [f"industry {row % 3}" for row in range(len(symbols))],
                "start_date": pd.Timestamp("2010-01-04"),
                "end_date": pd.NaT,
            }
        ).astype({"end_date": "datetime64[ns]"})
        self.home.write_pack(beside={"industries": self.industries})
        shipped = live_settings(settings)
        self.settings = shipped.model_copy(
            update={"uncertainty": shipped.uncertainty.model_copy(update={"least_sessions": 10, "least_returns": 10})}
        )
        sessions = pd.DatetimeIndex(np.sort(tables.bars["session_date"].unique()), name="session_date")
        self.panel = factor_panel(tables.bars, symbols=tuple(symbols), sessions=sessions, adjustment="raw")
        self.market = market_arrays(
            tables.bars,
            tables.securities,
            tables.st_spells,
            tables.corporate_actions,
            symbols=tuple(symbols),
            sessions=sessions,
            adjustment="raw",
        )
        self.values = evaluate(alpha158().expressions, self.panel)
        self.trained_until = sessions[SESSIONS - FEED - 1 - age].date()
        plain = load_bundle(self.home.bundle(), factor_hash=alpha158().version_hash, public_key=self.key)
        self.scores = self._scores(plain)
        cut = sessions.get_loc(pd.Timestamp(self.trained_until)) + 1
        begun = begun_intervals(self.settings.uncertainty, settings.label, tuple(symbols), industries=True)
        whole = interval_arrays(begun, self.panel, self.scores, self.market.can_buy, self.industries)
        self.walked: WalkedOn = walked_on(begun, whole)
        known = self.panel.sessions_slice(0, cut)
        until = interval_arrays(begun, known, self.scores[:, :cut], self.market.can_buy[:, :cut], self.industries)
        document = walked_on(begun, until).carried.to_json()
        path = self.home.bundle(documents={INTERVALS: document})
        self.bundle = load_bundle(path, factor_hash=alpha158().version_hash, public_key=self.key)

    @property
    def key(self) -> str:
        return public_key(self.home.keys)

    def _scores(self, bundle: ModelBundle) -> np.ndarray:
        """The bundle's score of every session, as research would have it, NaN outside the universe."""
        tables = self.home.tables
        values = self.values
        mask = scorable_mask(
            self.panel, tables.securities, tables.st_spells, empty_table("index_members"), self.settings.universe
        )
        out = np.full(mask.shape, np.nan)
        for column in range(mask.shape[1]):
            rows = np.flatnonzero(mask[:, column])
            features = np.stack([values.of(name)[rows, column] for name in values.names], axis=1)
            out[rows, column] = bundle.predict(features).score
        return out

    def scorer(self, feed: ReplayFeed, bundle: ModelBundle | None = None) -> BundleScorer:
        factors = FactorHistory(feed, alpha158(), self.settings.universe, benchmark=self.settings.gate.benchmark)
        return BundleScorer(bundle or self.bundle, factors)

    def feed(self) -> ReplayFeed:
        return ReplayFeed.open(self.home.live / "feed")
