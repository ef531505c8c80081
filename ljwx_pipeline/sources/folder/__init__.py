"""The user's own CSV and Parquet files as a market source: spellings recognised, units settled, dirt refused.

``FolderSource`` is the face. Not here: downloading anything.
"""

from ljwx_pipeline.sources.folder.source import FolderSource

__all__ = ["FolderSource"]
