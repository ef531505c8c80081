"""Baostock's own TCP service as a market source: one anonymous session a process, strings to typed tables.

``BaostockSource`` is the face. Needs the ``baostock`` extra.
"""

from ljwx_pipeline.sources.baostock.source import BaostockSource

__all__ = ["BaostockSource"]
