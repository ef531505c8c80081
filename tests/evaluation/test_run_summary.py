from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ljwx_pipeline.errors import ConfigError
from ljwx_pipeline.evaluation.run_summary import KEYS, read_summary, summary_table

SUMMARY: dict[str, Any] = {
    "profile": "simulated",
    "simulated": True,
    "data": {"symbols": 156, "sessions": 1942, "rows": 268128, "first": "2018-01-02", "last": "2025-12-31"},
    "checks": {"passed": 26, "failed": 1, "blocked": 0},
    "factors": {"count": 158, "hash": "0103c755e43a99"},
    "mlflow": {"experiment": "ljwx", "run_id": "r", "tracked_runs": 18},
    "walk_forward": {"folds": 5, "rank_ic_mean": 0.09, "rank_icir": 1.1, "ic_mean": 0.08},
    "truth": {"oracle_rank_ic": 0.12},
    "backtest": {
        "annual_return": 0.147, "sharpe": 0.68, "sortino": 0.96, "calmar": 0.26, "max_drawdown": 0.57,
        "turnover": 9.0, "win_rate": 0.6, "profit_factor": 2.0, "fees_cny": 3198546.0,
    },
    "benchmarks": {
        "000905.SH": {"excess_annual_return": 0.23, "information_ratio": 3.0, "beta": 0.9, "alpha": 0.239}
    },
    "promotion": {"decision": "promoted", "reasons": ["rank IC is above zero"], "measured": {}},
    "model": {"name": "m", "version": "2", "alias": "champion"},
    "deployment": {"status": "spooled"},
    "account": {"equity_cny": 10597515.27, "positions": 20, "orders": 3, "orders_by_state": {"filled": 2, "denied": 1}},
    "lineage": {},
    "seconds": {"total": 68.2},
    "unknown": [{"what": "delistings", "consequence": "survivors only"}],
    "where": ["make up", "report"],
}  # fmt: skip


def test_the_table_says_what_a_person_asks_first() -> None:
    table = summary_table(SUMMARY)
    for words in (
        "SIMULATED MARKET", "156 symbols", "26 passed, 1 failed", "rank IC 0.0900", "75% of it", "+14.7% a year",
        "cannot know", "delistings: survivors only",
        "over 000905.SH", "PROMOTED", "rank IC is above zero", "alias champion", "1 denied, 2 filled", "make up",
    ):  # fmt: skip
        assert words in table, words


def test_what_could_not_be_measured_is_a_dash() -> None:
    flat = copy.deepcopy(SUMMARY)
    flat["backtest"] = dict.fromkeys(flat["backtest"])
    flat["walk_forward"] |= {"rank_ic_mean": None, "rank_icir": None}
    flat["truth"] = {"oracle_rank_ic": 0.001}
    table = summary_table(flat)
    assert "Sharpe -" in table
    assert "rank IC -" in table
    assert "of it" not in table


def test_the_example_has_every_key() -> None:
    assert set(KEYS) <= set(SUMMARY)


def test_a_stored_summary_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(SUMMARY))
    assert read_summary(path) == SUMMARY


@pytest.mark.parametrize(("content", "words"), [(None, "no finished run"), ("{", "is damaged")])
def test_a_missing_or_damaged_summary_is_told(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "summary.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=words):
        read_summary(path)
