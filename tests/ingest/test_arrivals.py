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
    came = arrivals(lake, REMOTE, DAYS)
    assert pd.isna(came.iloc[0])  # over before the market's first load
    assert came.iloc[1:].tolist() == [EVENING + timedelta(days=day) for day in (1, 2)]


def test_history_was_not_waited_for(lake: Lake) -> None:
    first = pd.DataFrame({"symbol": "000001.SZ", "session_date": [pd.Timestamp("2024-02-01")], "close_cny": 1.0})
    lake.write("raw_bars", first, partition="2024-02-01", known_at=EVENING + timedelta(days=8))
    assert arrivals(lake, REMOTE, pd.DatetimeIndex(first["session_date"])).isna().all()


def test_what_the_first_load_brings_is_history_and_what_comes_after_it_is_judged(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("raw_bars", rows(0, 1), partition="2024-03-01", known_at=EVENING + timedelta(days=1))
    assert arrivals(lake, REMOTE, DAYS).isna().all()
    late = EVENING + timedelta(days=8)
    lake.append("raw_bars", rows(2), partition="2024-03-01", known_at=late, keys=["symbol", "session_date"])
    assert arrivals(lake, REMOTE, DAYS).isna().tolist() == [True, True, False]
    assert arrivals(lake, REMOTE, DAYS).iloc[2] == late


def test_a_session_that_was_loaded_while_it_ran_is_no_history(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    noon = EVENING + timedelta(days=1, hours=-6)
    lake.write("raw_bars", rows(0, 1), partition="2024-03-01", known_at=noon)
    assert arrivals(lake, REMOTE, DAYS).isna().tolist() == [True, False, True]


def test_the_first_load_counts_even_where_retention_removed_it(lake: Lake) -> None:
    retain(lake, keep_days=0, dry_run=False, now=EVENING + timedelta(days=9))
    april = pd.DatetimeIndex(["2024-04-01"])
    later = pd.DataFrame({"symbol": "000001.SZ", "session_date": april, "close_cny": 1.0})
    lake.write("raw_bars", later, partition="2024-04-01", known_at=datetime(2024, 4, 5, 10, tzinfo=UTC))
    assert arrivals(lake, REMOTE, april).notna().all()


def test_what_is_at_hand_is_never_late(lake: Lake) -> None:
    assert arrivals(lake, replace(REMOTE, fetches="at_hand"), DAYS).isna().all()


def test_a_session_whose_first_version_was_removed_is_not_judged(lake: Lake) -> None:
    retain(lake, keep_days=0, dry_run=False, now=EVENING + timedelta(days=9))
    assert arrivals(lake, REMOTE, DAYS).isna().all()


def test_a_late_session_costs_score(tmp_path: Path) -> None:
    raw, checked, bars = Lake(tmp_path / "lake"), Lake(tmp_path / "checked"), random_bars(symbols=3, sessions=15)
    sessions = pd.DatetimeIndex(bars["session_date"].unique())
    closed = (sessions[-1] + pd.Timedelta(hours=15)).tz_localize("Asia/Shanghai")
    for held, came in ((bars[bars["session_date"] < sessions[-1]], -1), (bars, 72)):
        at = (closed + pd.Timedelta(hours=came)).to_pydatetime()
        raw.write_partitions("raw_bars", split_by_month(held), known_at=at)
    judgement = Judgement(REMOTE, sessions, read_releases(raw), 1.0, rules_hash="")
    judge_bars(raw, checked, judgement, as_of=None, known_at=datetime.now(UTC))
    last = checked.read("quality_scores").iloc[-1]
    assert last["lag_hours"] == 72.0
    assert last["score"] <= 90.0
    assert checked.read("quality_scores")["lag_hours"].iloc[:-1].isna().all()
