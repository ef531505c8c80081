"""The public pages that akshare reads as a market source: asked gently, checked by column, honest about gaps.

``AkshareSource`` is the face. Needs the ``akshare`` extra.
"""

from ljwx_pipeline.sources.akshare.source import AkshareSource

__all__ = ["AkshareSource"]
