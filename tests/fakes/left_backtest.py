"""What a net backtest leaves below ``tables``, its files nothing but names: for tests of what is joined with what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from assets.io_managers import write_json, write_table
from assets.left_behind import BACKTEST_FILES, FILES, TABLE, files_left
from ljwx_pipeline.lake.content_hash import content_hash

TOLD = pd.DataFrame({"session_date": pd.to_datetime(["2024-01-02", "2024-01-03"]), "equity_cny": [1.0, 1.5]})


def leave_backtest(tables: Path, origin: Mapping[str, Any], *, frame: pd.DataFrame = TOLD, said: str = "one") -> None:
    """Leave a backtest of this origin, each of its files told ``said``."""
    for name in BACKTEST_FILES:
        (tables / name).parent.mkdir(parents=True, exist_ok=True)
        (tables / name).write_text(f"{name} {said}")
    left = {FILES: files_left(tables, BACKTEST_FILES), TABLE: content_hash(frame)}
    write_json(tables, "backtest_summary", {"backtest": {"sharpe": 1.0}, **origin, **left})
    write_table(tables, "net_backtest", frame)
