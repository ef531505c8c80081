"""All that is opened to trade one session pack: the market, its factors and the decision.

Not here: models (``model_board.py``), the broker and the stream (``follower.py``), tasks (``process.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ljwx_pipeline.config import BreakerSettings, CostSettings, UniverseSettings
from ljwx_pipeline.factors.catalogue import Catalogue
from ljwx_pipeline.live.decision import Decider, RunnerSettings
from ljwx_pipeline.live.factor_history import FactorHistory
from ljwx_pipeline.live.feature_file import FEATURES_DIR, read_features
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.online.cross_check import features_alerts
from ljwx_pipeline.session_pack import MANIFEST
from ljwx_pipeline.trading.market_arrays import optional_columns

FEED_DIR = "feed"


@dataclass(frozen=True)
class TradingSettings:
    """What a pack is traded by, besides the runner's own settings."""

    runner: RunnerSettings
    costs: CostSettings
    universe: UniverseSettings
    catalogue: Catalogue
    benchmark: str


def pack_stamp(live_dir: Path) -> bytes:
    """Return what tells one pack from the next: its manifest's bytes, empty where there is none."""
    manifest = live_dir / FEED_DIR / MANIFEST
    return manifest.read_bytes() if manifest.is_file() else b""


class PackTrading:
    """What is open for the pack that lies there.

    Parameters
    ----------
    live_dir
        The runner's folder.
    settings
        Strategy, costs, universe, limits.

    Raises
    ------
    LjwxError
        When the pack is missing or damaged, its factors are not those of research, or the strategy cannot be traded.
    """

    def __init__(self, live_dir: Path, settings: TradingSettings) -> None:
        self.stamp = pack_stamp(live_dir)
        self.feed = ReplayFeed.open(live_dir / FEED_DIR, columns=optional_columns(settings.costs))
        self.factors = FactorHistory(self.feed, settings.catalogue, settings.universe, benchmark=settings.benchmark)
        self.factors.check_against_online_store()
        Decider(self.feed, settings.runner)  # refuses what no account can trade, before the first close

    def features_beside(self, live_dir: Path, settings: TradingSettings, breakers: BreakerSettings) -> tuple[str, ...]:
        """Return what the pipeline's features file says otherwise than the runner's own factors, if there is one."""
        folder = live_dir / FEATURES_DIR
        if not folder.is_dir():
            return ()
        reading = read_features(
            folder,
            decided=self.feed.pack.last_research_session,
            sessions=self.feed.sessions,
            factor_hash=settings.catalogue.version_hash,
            factors=settings.catalogue.names,
            settings=breakers,
        )
        if reading.features is None or reading.features.session != self.factors.at:
            return reading.notes
        return (*reading.notes, *features_alerts(reading.features, self.factors))
