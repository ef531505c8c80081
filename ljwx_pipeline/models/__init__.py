"""Producing models: train, tune, walk forward, explain. What comes out is text and tables, ready for a bundle.

Not here: serving (``scoring/``), the rows learned from (``dataset/``), money (``backtest/``,
passed in as a callable).
"""
