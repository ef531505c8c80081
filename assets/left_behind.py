"""What an asset leaves beside its document, by hash in it: halves of two materialisations are never joined.

A step that is killed has written some of its files; what reads them asks that each is the one its document tells of.
Not here: what a result was made from (``origin.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from assets.io_managers import read_json
from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.lake.atomic_parquet import file_sha256
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.tracking import stable_id

#: Key of a document: SHA-256 by file below ``tables``; None: it left no such file.
FILES = "files_sha256"
#: Key of ``backtest_summary``: content hash of the table that ``net_backtest`` returns, which is stored after it.
TABLE = "net_backtest_hash"
#: Key of a decision: the backtest that it judged.
BACKTEST = "backtest_mark"
#: What ``net_backtest`` leaves beside its table.
BACKTEST_FILES = (
    "lint_evidence.json",
    "backtest_orders.parquet",
    "backtest_names.parquet",
    "closed_trades.parquet",
    "backtest_comparison.parquet",
    "backtest_figures/performance.parquet",
)


def files_left(tables: Path, names: Sequence[str]) -> dict[str, str | None]:
    """Return the SHA-256 of each file; None where there is none."""
    return {name: file_sha256(tables / name) if (tables / name).exists() else None for name in names}


def require_files_of(tables: Path, name: str, document: Mapping[str, Any], *needed: str) -> None:
    """Refuse a document whose files are another materialisation's, or which does not tell of those needed.

    Raises
    ------
    PromotionError
        Naming the first file.
    """
    told = document.get(FILES) or {}
    there = files_left(tables, sorted({*told, *needed}))
    for file, found in there.items():
        if file not in told or told[file] != found:
            raise PromotionError(
                f"{file} is not the one that {name} left: it was stopped half-way, or the file was changed",
                "run the research whole: `ljwx run --job research`",
            )


def backtest_mark(tables: Path, backtest: pd.DataFrame) -> dict[str, str]:
    """Return what names the backtest in hand with all it left.

    Parameters
    ----------
    backtest
        ``net_backtest``.

    Raises
    ------
    PromotionError
        When its table and its files are not of one materialisation.
    """
    summary = read_json(tables, "backtest_summary")
    require_files_of(tables, "net_backtest", summary, *BACKTEST_FILES)
    if summary.get(TABLE) != content_hash(backtest):
        raise PromotionError(
            "net_backtest is not the table that backtest_summary tells of: it was stopped half-way, or one was changed",
            "run the research whole: `ljwx run --job research`",
        )
    return {BACKTEST: stable_id("backtest", summary)}
