"""What trading cost and whether it went as meant: pure functions of the journal's tables and the pack's bars.

Nothing here writes to the journal or asks a broker. Definitions: ``docs/trade-analysis.md``. Not here: how a strategy
earned (``evaluation/``), whether books and broker agree (``order_desk.py``).
"""
