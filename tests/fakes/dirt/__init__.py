"""Dirt as data: the mistakes seen in real A-share files, put into clean tables, and the check that must find each.

A kind changes tables (``TABLE_KINDS``, a module for each sort of table or mistake) or the files the folder source reads
(``FILE_KINDS``). Not here: what is made of the judging (``tests/quality/test_dirt.py``, ``benchmarks/dirt_corpus.py``).
"""

from tests.fakes.dirt import bars, files, history, indices, prices, reference, sessions, units
from tests.fakes.dirt.files import file_outcome
from tests.fakes.dirt.judging import all_results, came_again, clean_market, judged
from tests.fakes.dirt.kind import FIRST, LAST, FileDirt, TableDirt, Tables

TABLE_KINDS = (
    *bars.KINDS,
    *prices.KINDS,
    *units.KINDS,
    *sessions.KINDS,
    *indices.KINDS,
    *reference.KINDS,
    *history.KINDS,
)
FILE_KINDS = files.KINDS

__all__ = [
    "FILE_KINDS",
    "FIRST",
    "LAST",
    "TABLE_KINDS",
    "FileDirt",
    "TableDirt",
    "Tables",
    "all_results",
    "came_again",
    "clean_market",
    "file_outcome",
    "judged",
]
