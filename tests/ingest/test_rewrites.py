"""A rewritten history waits for a person, and for nothing less: not for an ingest that lived to note it, either."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.ingest.rewrites import (
    Rewrite,
    begin_ingest,
    history_not_restated,
    note_rewrites,
    read_rewrites,
    vanished_symbols,
)
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.lake.retention import retain
from tests.fakes.bars import random_bars
from tests.fakes.remote_source import RemoteSource
from tests.ingest.crashing import LAST, ingest, restating_source

ROOT = Path(__file__).resolve().parents[2]
MONTH = "2018-01-01"
BARS = random_bars(symbols=5, sessions=20, suspended_frac=0.0)
BARS = BARS[BARS["session_date"] < "2018-02-01"]
START = datetime(2024, 6, 3, tzinfo=UTC)


class Market:
    """A lake whose one month is ingested again and again."""

    def __init__(self, folder: Path) -> None:
        self.lake, self.path = Lake(folder / "lake"), folder / "ingest" / "rewrites.json"
        self.now = START

    def store(self, rows: pd.DataFrame) -> None:
        self.now += timedelta(days=1)
        self.lake.write("raw_bars", rows, partition=MONTH, known_at=self.now)

    def ingest(self, rows: pd.DataFrame = BARS, *, max_frac: float = 0.2) -> list[float]:
        begin_ingest(self.path, self.lake)
        self.store(rows)
        return self.note(max_frac=max_frac)

    def note(self, *, max_frac: float = 0.2) -> list[float]:
        return [rewrite.frac for rewrite in note_rewrites(self.path, self.lake, max_frac=max_frac)]


def restated(rows: int) -> pd.DataFrame:
    changed = BARS.copy()
    changed.loc[changed.index[:rows], "close_cny"] += 1.0
    return changed


@pytest.fixture
def market(tmp_path: Path) -> Market:
    held = Market(tmp_path)
    assert held.ingest() == []
    return held


def test_a_rewritten_month_waits_through_later_ingests_until_a_larger_limit_confirms_it(market: Market) -> None:
    wanted = len(BARS) * 9 // 10
    assert market.ingest(restated(wanted)) == [wanted / len(BARS)]
    assert market.note() == [wanted / len(BARS)]
    assert [rewrite.restated_rows for rewrite in read_rewrites(market.path, market.lake)] == [wanted]
    assert market.note(max_frac=1.0) == []
    assert read_rewrites(market.path, market.lake) == []


def test_single_rows_are_said_of_the_last_ingest_only(market: Market) -> None:
    assert market.ingest(restated(1)) == [1 / len(BARS)]
    assert market.note() == []


def test_a_rewrite_is_not_hidden_by_a_smaller_one_of_the_same_month(market: Market) -> None:
    market.ingest(restated(len(BARS)))
    assert market.ingest(restated(len(BARS) - 1)) == [1.0]


def test_rows_of_new_sessions_restate_nothing(tmp_path: Path) -> None:
    market, last = Market(tmp_path), BARS["session_date"].max()
    market.ingest(BARS[BARS["session_date"] < last])
    assert market.ingest(BARS) == []
    only = restated(len(BARS))
    assert market.ingest(only[only["session_date"] < last]) == [1.0]


def test_what_was_stored_and_never_noted_is_seen_by_whoever_looks_next(market: Market) -> None:
    market.store(restated(len(BARS)))
    (seen,) = read_rewrites(market.path, market.lake)
    assert (seen.month, seen.frac) == (MONTH, 1.0)
    assert market.ingest(restated(len(BARS))) == [1.0]


def test_what_cannot_be_compared_any_more_waits_whole(market: Market) -> None:
    market.store(restated(1))
    retain(market.lake, keep_days=0, dry_run=False, now=market.now + timedelta(days=1))
    assert market.note() == [1.0]


def test_a_lake_filled_before_there_was_a_record_is_taken_as_it_is(tmp_path: Path) -> None:
    market = Market(tmp_path)
    market.store(BARS)
    market.store(restated(len(BARS)))
    assert read_rewrites(market.path, market.lake) == []
    assert market.ingest(BARS) == [1.0]


def test_what_an_earlier_release_noted_still_waits(market: Market) -> None:
    earlier = {"month": MONTH, "restated_rows": 9, "held_rows": 10, "known_at": START.isoformat()}
    market.path.write_text(json.dumps([earlier]))
    assert read_rewrites(market.path, market.lake) == [Rewrite(**earlier)]
    assert market.ingest(BARS) == [0.9]


def test_a_rewritten_history_blocks_and_a_corrected_row_is_shown() -> None:
    assert history_not_restated([], max_frac=0.2).passed
    few = history_not_restated([Rewrite("2024-03-01", 3, 100, "")], max_frac=0.2)
    assert (few.passed, few.severity, few.measured["restated_rows"]) == (False, "warn", 3)
    many = history_not_restated([Rewrite(f"2024-{month:02d}-01", 90, 100, "") for month in range(1, 6)], max_frac=0.2)
    assert many.blocks
    assert many.message.startswith("90 of 100 rows of 2024-01, 90 of 100 rows of 2024-02")
    assert "and 2 more months came back different" in many.message
    assert "max_restated_frac=1" in many.repair


def test_a_damaged_record_is_named(market: Market) -> None:
    market.path.write_text("[")
    with pytest.raises(LakeError, match="damaged"):
        read_rewrites(market.path, market.lake)


@pytest.mark.slow
def test_killed_at_any_point_an_ingest_leaves_a_restatement_to_be_seen(tmp_path: Path) -> None:
    base, out, january = tmp_path / "base", tmp_path / "out", ["2024-01-01"]
    ingest(base, RemoteSource(LAST, fetches="at_hand"), day=1)
    command = [sys.executable, "-m", "tests.ingest.crashing", str(base), str(out)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    killed = sorted(out.iterdir())
    assert len(killed) > 10
    stored = []
    for home in killed:
        lake = Lake(home / "lake")
        stored.append(lake.current("raw_bars")[0].version > 1)
        seen = read_rewrites(home / "rewrites.json", lake)
        assert [item.month for item in seen] == january * stored[-1], home.name
    assert (stored[0], stored[-1]) == (False, True)
    for home in [killed[0], killed[stored.index(True)], killed[-2]]:
        ingest(home, restating_source(), day=3)
        (noted,) = read_rewrites(home / "rewrites.json", Lake(home / "lake"))
        assert (noted.month, noted.frac) == ("2024-01-01", 1.0), home.name


def test_symbols_without_a_bar_left_are_named_until_they_come_back(market: Market) -> None:
    symbols = sorted(BARS["symbol"].unique())
    assert vanished_symbols(market.lake, []) == (set(), 0)
    for rows, gone in ((BARS[BARS["symbol"] != symbols[1]], {symbols[1]}), (BARS, set())):
        market.ingest(rows.reset_index(drop=True))
        assert vanished_symbols(market.lake, read_rewrites(market.path, market.lake)) == (gone, len(symbols))
