"""When a session's bars came, and that history loaded later is not late."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.ingest.arrivals import arrivals
from ljwx_pipeline.ingest.judged import Judgement, judge_bars
from ljwx_pipeline.ingest.released import read_releases
from ljwx_pipeline.lake import Lake, split_by_month
from ljwx_pipeline.lake.retention import retain
from ljwx_pipeline.market.tables import SourceDescription
from tests.fakes.bars import random_bars

DAYS = pd.DatetimeIndex(pd.to_datetime(["2024-03-04", "2024-03-05", "2024-03-06"]), name="session_date")
EVENING = datetime(2024, 3, 4, 10, tzinfo=UTC)
REMOTE = SourceDescription(name="x", simulated=False, adjustment="raw", unknown=(), fetches="by_session")


def rows(*days: int) -> pd.DataFrame:
    return pd.DataFrame({"symbol": "000001.SZ", "session_date": DAYS[list(days)], "close_cny": 1.0})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    for day in range(3):
        known = EVENING + timedelta(days=day)
        lake.append("raw_bars", rows(day), partition="2024-03-01", known_at=known, keys=["symbol", "session_date"])
    return lake


def test_a_session_came_with_the_first_version_that_held_it(lake: Lake) -> None:
    lake.write("raw_bars", rows(0, 1, 2).assign(close_cny=2.0), partition="2024-03-01", known_at=datetime.now(UTC))
    assert arrivals(lake, REMOTE, DAYS).tolist() == [EVENING + timedelta(days=day) for day in range(3)]


def test_history_was_not_waited_for(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("raw_bars", rows(0, 1, 2), partition="2024-03-01", known_at=EVENING + timedelta(days=11))
    assert arrivals(lake, REMOTE, DAYS).isna().tolist() == [True, True, False]


def test_what_is_at_hand_is_never_late(lake: Lake) -> None:
    assert arrivals(lake, replace(REMOTE, fetches="at_hand"), DAYS).isna().all()


def test_a_session_whose_first_version_was_removed_is_not_judged(lake: Lake) -> None:
    retain(lake, keep_days=0, dry_run=False, now=EVENING + timedelta(days=9))
    assert arrivals(lake, REMOTE, DAYS).isna().all()


def test_a_late_session_costs_score(tmp_path: Path) -> None:
    raw, checked, bars = Lake(tmp_path / "lake"), Lake(tmp_path / "checked"), random_bars(symbols=3, sessions=15)
    sessions = pd.DatetimeIndex(bars["session_date"].unique())
    closed = (sessions[-1] + pd.Timedelta(hours=15)).tz_localize("Asia/Shanghai")
    for month, rows in split_by_month(bars).items():
        raw.write("raw_bars", rows, partition=month, known_at=(closed + pd.Timedelta(days=3)).to_pydatetime())
    judgement = Judgement(REMOTE, sessions, read_releases(raw), 1.0, rules_hash="")
    judge_bars(raw, checked, judgement, as_of=None, known_at=datetime.now(UTC))
    last = checked.read("quality_scores").iloc[-1]
    assert last["lag_hours"] == 72.0
    assert last["score"] <= 90.0
