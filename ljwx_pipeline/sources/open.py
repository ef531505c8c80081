"""Which source a configuration means.

Not here: anything about a source's data; each source has its own module, imported only when it is asked for.
"""

from __future__ import annotations

from ljwx_pipeline.config import Settings, market_home, replayed
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.sources.base import MarketSource
from ljwx_pipeline.sources.replay import ReplaySource


def open_source(settings: Settings) -> MarketSource:
    """Return the source that ``settings.source`` names: a provider, files, or the lake as it was at an instant.

    Raises
    ------
    SourceError
        When the source's own settings cannot be honoured, or the package it needs is not installed.
    """
    kind, instant = settings.source.kind, settings.source.replayed_instant
    if instant is not None:
        return ReplaySource(Lake(market_home(replayed(settings)) / "lake"), instant)
    if kind == "simulated":
        from ljwx_pipeline.sources.simulated.source import SimulatedMarket  # scipy.signal: only for this source

        return SimulatedMarket(settings.simulated)
    if kind == "folder":
        from ljwx_pipeline.sources.folder import FolderSource  # its file readers: only for this source

        return FolderSource(settings.folder, required_indices=settings.evaluation.indices)
    chosen, indices = settings.source, settings.evaluation.indices
    if kind == "tushare":
        from ljwx_pipeline.sources.tushare.source import TushareSource  # its HTTP client: only for this source

        return TushareSource(settings.tushare, chosen, indices=indices)
    if kind == "akshare":
        from ljwx_pipeline.sources.akshare.source import AkshareSource  # an optional package: only for this source

        return AkshareSource(settings.akshare, chosen, indices=indices)
    from ljwx_pipeline.sources.baostock.source import BaostockSource  # an optional package: only for this source

    return BaostockSource(settings.baostock, chosen, indices=indices)
