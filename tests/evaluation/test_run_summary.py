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
    "checks": {"passed": 26, "warned": 1, "failed": 0, "blocked": 0},
    "factors": {"count": 158, "hash": "0103c755e43a99"},
    "mlflow": {"experiment": "ljwx", "run_id": "r", "tracked_runs": 18},
    "walk_forward": {
        "folds": 5, "rank_ic_mean": 0.09, "rank_icir": 1.1, "ic_mean": 0.08, "rank_ic_mean_enterable": 0.0931,
    },
    "truth": {"planted_rank_ic": 0.11, "oracle_rank_ic": 0.12},
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
UNOPENED = {"equity_cny": 1e7, "positions": 0, "orders": 0, "opened": False}
PARTLY = {"positions": 1, "orders": 1, "orders_by_state": {"partly_filled": 1}}


def test_the_table_says_what_a_person_asks_first() -> None:
    table = summary_table(SUMMARY)
    for words in (
        "SIMULATED MARKET", "156 symbols", "26 passed, 1 warned, 0 failed, 0 blocked",
        "rank IC 0.0900", "75% of it", "+14.7% a year",
        "cannot know", "delistings: survivors only",
        "over 000905.SH", "PROMOTED", "rank IC is above zero", "alias champion", "1 denied, 2 filled", "make up",
    ):  # fmt: skip
        assert words in table, words


def test_no_two_figures_share_a_name() -> None:
    table = summary_table(SUMMARY)
    for words in (
        "rank IC 0.0900, ICIR 1.10, IC 0.0800 (every scored row)",
        "rank IC 0.0931 (rows that could be bought: what the gate looks at)",
        "rank IC 0.1200 (the planted truth itself, every scored row; 75% of it is found)",
        "annual return minus the index's +23.0%",
        "drawdown of equity 57.0%",
        "fees 3,198,546 CNY, turnover 9.0 times equity a year, one way",
    ):
        assert words in table, words


def test_no_line_ends_in_blanks() -> None:
    assert [line for line in summary_table(SUMMARY).splitlines() if line != line.rstrip()] == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("spooled", "handed to the runner through its inbox (spooled"),
        ("accepted", "handed to the runner, which serves"),
        ("already", "the runner had this version already"),
    ],
)
def test_a_deployment_says_how_the_model_reached_the_runner(status: str, words: str) -> None:
    table = summary_table(SUMMARY | {"deployment": {"status": status}})
    assert words in table


def test_a_refused_model_is_not_deployed_and_opens_no_account() -> None:
    refused = {
        "promotion": {"decision": "refused", "reasons": ["too few months"]},
        "model": SUMMARY["model"] | {"alias": "none"},
        "deployment": {"status": "not requested: no champion"},
    }
    never = summary_table(SUMMARY | refused | {"account": UNOPENED})
    assert "deployment" not in never
    assert "version 2, without an alias: it does not trade; `ljwx models show 2` says more" in never
    assert "not opened: no model has been promoted yet" in never
    assert "the earlier champion trades it" in summary_table(SUMMARY | refused)


def test_a_model_that_waits_says_who_it_is_and_what_comes_next() -> None:
    waits = {
        "promotion": {"decision": "awaiting_approval", "reasons": ["six configurations"]},
        "model": SUMMARY["model"] | {"alias": "challenger"},
        "deployment": {"status": "not requested: no champion"},
    }
    table = summary_table(SUMMARY | waits)
    assert "AWAITING_APPROVAL" in table
    assert "version 2, alias challenger: it does not trade; `ljwx promote 2` approves it" in table


def test_limits_of_doubt_are_told_where_they_are_set() -> None:
    doubted = summary_table(SUMMARY | {"backtest": SUMMARY["backtest"] | {"abstained_frac": 0.34}})
    assert "34.0% of the scored rows were too unsure to be bought" in doubted
    assert "too unsure" not in summary_table(SUMMARY)


def test_a_market_without_alpha_has_nothing_to_find() -> None:
    table = summary_table(SUMMARY | {"truth": {"planted_rank_ic": 0.0, "oracle_rank_ic": -0.0021}})
    assert "there is nothing to find" in table
    assert "-0.002" not in table


def test_one_of_a_kind_is_singular() -> None:
    one = {"walk_forward": SUMMARY["walk_forward"] | {"folds": 1}, "account": UNOPENED | PARTLY | {"opened": True}}
    table = summary_table(SUMMARY | one)
    assert "1 fold;" in table
    assert "1 position, 1 order (1 partly filled)" in table


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


def test_a_command_to_copy_stands_on_one_line_however_long() -> None:
    command = "start the pages        .venv/bin/ljwx up --profile folder" + " --set gate.min_months=6" * 10
    assert f"   {command}" in summary_table({**SUMMARY, "where": [command, "report"]}).splitlines()
    assert "where to look" not in summary_table({**SUMMARY, "where": []})
