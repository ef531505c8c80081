"""All that is opened to trade one session pack: the market, its factors, the decision, and the model of the moment.

Not here: the broker and the stream (``follower.py``), tasks and processes (``process.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ljwx_pipeline.config import CostSettings, UniverseSettings
from ljwx_pipeline.factors.catalogue import Catalogue
from ljwx_pipeline.live.decision import Decider, RunnerSettings
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.inbox import Inbox
from ljwx_pipeline.live.journal import Journal
from ljwx_pipeline.live.model import Model, SilentScorer
from ljwx_pipeline.live.scorer import BundleScorer, FactorHistory
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
        self.decider = Decider(self.feed, settings.runner)
        self._model: Model | None = None

    def model(self, journal: Journal, inbox: Inbox) -> Model | None:
        """Return what scores now: the newest bundle that can, a withdrawn one without its voice, None before the first.

        A change of model is noted in ``journal``.
        """
        newest = next(reversed(journal.tradable_bundles()), None)
        if newest is None:
            self._model = None
            return self._silent_model(journal)
        if self._model is None or self._model.deployed.bundle_hash != newest:
            self._load(journal, inbox)
        return self._model

    @property
    def trades(self) -> str | None:
        """Hash of the bundle that trades; None while none does."""
        return None if self._model is None else self._model.deployed.bundle_hash

    def _load(self, journal: Journal, inbox: Inbox) -> None:
        current = inbox.current()
        if current is None or current[0].bundle_hash == self.trades:
            return
        deployed, bundle = current
        scorer = BundleScorer(bundle, self.factors)
        self._model = Model(deployed, scorer)
        named = f"version {deployed.model_version}, bundle {deployed.bundle_hash[:12]}"
        journal.record_event("model_trades", named)
        if scorer.interval_fault:
            journal.record_event("no_intervals", f"{named}: {scorer.interval_fault}")

    def _silent_model(self, journal: Journal) -> Model | None:
        if journal.withdrawn() is None:
            return None
        last = next(reversed(journal.bundles().values()), None)
        return None if last is None else Model(last, SilentScorer(len(self.feed.symbols)))
