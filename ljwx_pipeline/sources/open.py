"""Which source a configuration means.

Not here: anything about a source's data; each source has its own module, imported only when it is asked for.
"""

from __future__ import annotations

from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.sources.base import MarketSource


def open_source(settings: Settings) -> MarketSource:
    """Return the source that ``settings.source.kind`` names.

    Raises
    ------
    SourceError
        When the source has no adapter in this release, or its own settings cannot be honoured.
    """
    kind = settings.source.kind
    if kind == "simulated":
        from ljwx_pipeline.sources.simulated.source import SimulatedMarket  # scipy.signal: only for this source

        return SimulatedMarket(settings.simulated)
    if kind == "folder":
        from ljwx_pipeline.sources.folder import FolderSource  # its file readers: only for this source

        return FolderSource(settings.folder, required_indices=settings.evaluation.indices)
    raise SourceError(
        f"the adapter for source {kind!r} is not part of this release",
        "download the bars with the provider's own client and use the folder profile: "
        "ljwx run --profile folder --data PATH --index-data PATH --adjustment raw",
    )
