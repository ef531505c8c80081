"""Tushare Pro behind the market-source port: its HTTPS form, its tables in canonical units, its silences questioned."""

from ljwx_pipeline.sources.tushare.source import TushareSource

__all__ = ["TushareSource"]
