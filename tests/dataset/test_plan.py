"""What cannot work is refused before the first step, with a value that does."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ljwx_pipeline.config import Settings, load_settings, parse_value
from ljwx_pipeline.dataset import RunPlan, plan_on_lake, plan_run
from ljwx_pipeline.dataset.plan import _months
from ljwx_pipeline.errors import ConfigError, DatasetError, LakeError, SourceError
from ljwx_pipeline.evaluation.metrics import monthly_returns
from ljwx_pipeline.sources.folder import FolderSource
from ljwx_pipeline.sources.open import open_source
from tests.fakes.provider_files import tushare_daily, tushare_index

BASE = Path(__file__).resolve().parents[2] / "ljwx.toml"
SHORT = {
    "walk_forward.min_train_sessions": 60,
    "evaluation.indices": ["000905.SH"],
    "strategy.top_k": 2,
    "risk.max_weight_per_name_frac": 0.5,
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    tushare_daily(sessions=600).to_csv(tmp_path / "bars.csv", index=False)
    tushare_index(sessions=600).to_csv(tmp_path / "index.csv", index=False)
    return {"folder.data": str(tmp_path / "bars.csv"), "folder.index_data": [str(tmp_path / "index.csv")]}


def settings_of(*layers: dict[str, Any], profile: str = "folder") -> Settings:
    given = {key: value for layer in layers for key, value in layer.items()}
    return load_settings(profile=profile, config_file=BASE, overrides=given, environ={})


def plan(*layers: dict[str, Any], job: str = "main") -> RunPlan:
    settings = settings_of(*layers)
    return plan_run(settings, open_source(settings), job=job)


def test_the_plan_is_what_the_data_hold(files: dict[str, Any]) -> None:
    found = plan(files, SHORT)
    assert (found.symbols, found.sessions, found.first_session) == (3, 600, "2018-01-02")
    assert found.first_test_year == 2019
    assert "testing from 2019" in found.sentence()
    assert found.as_dict()["profile"] == "folder"


def test_a_refusal_for_too_few_months_is_foreseen_and_no_other(files: dict[str, Any]) -> None:
    found = plan(files, SHORT, {"gate.min_months": 24})
    assert found.months is not None
    assert found.sentence().endswith(f"\nthe gate will refuse: {found.months} of 24 months (gate.min_months)")
    enough = plan(files, SHORT, {"gate.min_months": found.months})
    assert "refuse" not in enough.sentence()
    daily = plan(files, SHORT, {"gate.min_months": 24}, job="daily_pipeline")
    assert (daily.months, "refuse" in daily.sentence()) == (None, False)


def test_the_months_foreseen_are_those_that_returns_make() -> None:
    for first in ("2024-01-31", "2024-02-01", "2024-02-15"):
        sessions = pd.bdate_range(first, "2024-06-10")
        assert _months(sessions) == len(monthly_returns(pd.Series(1.0, index=sessions)))


def test_history_too_short_to_test_is_refused_by_what_trains_only(files: dict[str, Any]) -> None:
    short = {**SHORT, "walk_forward.min_train_sessions": 5000}
    for job in ("main", "research"):
        with pytest.raises(DatasetError, match="no year can be tested"):
            plan(files, short, job=job)
    assert plan(files, short, job="daily_pipeline").first_test_year is None


def test_a_strategy_that_would_hold_every_symbol_is_refused_and_the_values_named_work(files: dict[str, Any]) -> None:
    given = {**SHORT, "strategy.top_k": 20}
    with pytest.raises(ConfigError, match=r"holds 3 symbols and strategy\.top_k = 20: all would be held") as caught:
        plan(files, given)
    named = {key: parse_value(value) for key, value in re.findall(r"--set ([\w.]+)=(\S+)", caught.value.remedy)}
    assert named["strategy.top_k"] == 1
    assert plan(files, {**given, **named}).symbols == 3
    settings = settings_of(files, given, named)
    assert settings.risk.max_order_cny >= settings.strategy.capital_cny * (1 - settings.strategy.cash_reserve_frac)
    assert plan(files, given, job="daily_pipeline").symbols == 3


def test_a_strategy_for_research_only_is_refused_before_the_first_step(files: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"long_short is a calculation for research: no account can trade it"):
        plan(files, SHORT, {"strategy.kind": "long_short"})


def test_what_an_earlier_run_left_is_planned_as_it_is(files: dict[str, Any]) -> None:
    settings, sessions = settings_of(files, SHORT), pd.bdate_range("2018-01-02", periods=600)
    found = plan_on_lake(settings, sessions, 3, job="research")
    assert (found.symbols, found.sessions, found.read_from, found.first_test_year) == (3, 600, "lake", 2019)
    assert "on folder data as the lake holds them" in found.sentence()
    with pytest.raises(LakeError, match=r"holds no session of .*: run `ljwx run` over this range first"):
        plan_on_lake(settings, sessions[:0], 0, job="research")
    with pytest.raises(ConfigError, match="all would be held"):
        plan_on_lake(settings, sessions, 2, job="research")


def test_a_missing_index_file_is_found_before_the_first_step(files: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="--index-data"):
        plan(files, SHORT, {"folder.index_data": []})


@pytest.mark.real_data
def test_the_real_panel_is_tested_from_2014(real_data_dir: Path) -> None:
    bars = real_data_dir / "licensed" / "qbot" / "daily_qfq_2010_2020.parquet"
    settings = settings_of({"folder.data": str(bars), "folder.adjustment": "forward"})
    sessions = FolderSource(settings.folder).sessions(date(2010, 1, 1), date(2026, 12, 31))
    assert (sessions[0].year, len(sessions)) == (2010, 2597)
    indices = real_data_dir / "nolicence"
    files = [indices / "nymath" / "index_daily_2005_2022.parquet", indices / "sunday2018" / "399006.csv"]
    given = {"folder.data": str(bars), "folder.adjustment": "forward", "folder.index_data": [str(f) for f in files]}
    assert plan(given).first_test_year == 2014
