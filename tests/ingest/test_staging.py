"""What is kept of a download that was killed, and for how long."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.ingest.plan import BarPlan
from ljwx_pipeline.ingest.staging import Staging
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.sources.base import BarUnit

NOW = datetime(2024, 3, 1, tzinfo=UTC)
UNITS = tuple(BarUnit(symbol, date(2024, 1, 2), date(2024, 1, 4), symbol) for symbol in ("600000.SH", "600001.SH"))


@pytest.fixture
def plan() -> BarPlan:
    sessions = pd.DatetimeIndex(["2024-01-02", "2024-01-03", "2024-01-04"], name="session_date")
    return BarPlan(sessions, sessions[:2], sessions[2:], UNITS)


@pytest.fixture
def staged(tmp_path: Path, plan: BarPlan) -> Staging:
    staging = Staging(tmp_path / "staging")
    staging.begin(plan, NOW)
    staging.keep(UNITS[0], empty_table("bars"))
    return staging


def test_the_plan_comes_back_as_it_was_begun(staged: Staging, plan: BarPlan) -> None:
    left = staged.unfinished(NOW + timedelta(days=6))
    assert left is not None
    assert left.started_at == NOW
    assert left.plan.units == plan.units
    for name in ("wanted", "missing", "again", "fetched"):
        pd.testing.assert_index_equal(getattr(left.plan, name), getattr(plan, name))


def test_after_a_week_nothing_is_left(staged: Staging) -> None:
    assert staged.unfinished(NOW + timedelta(days=7, seconds=1)) is None
    assert not staged.holds(UNITS[0])


def test_units_without_a_plan_are_forgotten(tmp_path: Path) -> None:
    staging = Staging(tmp_path / "staging")
    staging.keep(UNITS[0], empty_table("bars"))
    assert staging.unfinished(NOW) is None
    assert not staging.holds(UNITS[0])


def test_a_plan_of_which_nothing_was_fetched_is_no_download(tmp_path: Path, plan: BarPlan) -> None:
    staging = Staging(tmp_path / "staging")
    staging.begin(plan, NOW)
    assert staging.unfinished(NOW) is None


def test_a_damaged_plan_is_set_aside_and_its_units_are_forgotten(plan: BarPlan, tmp_path: Path) -> None:
    said: list[str] = []
    staged = Staging(tmp_path / "staging", said.append)
    staged.begin(plan, NOW)
    staged.keep(UNITS[0], empty_table("bars"))
    (tmp_path / "staging" / "plan.json").write_text("{}")
    assert staged.unfinished(NOW) is None
    assert not staged.holds(UNITS[0])
    assert (tmp_path / "staging-plan.json.damaged").read_text() == "{}"
    (sentence,) = said
    assert "plan.json is damaged (KeyError: 'wanted'): kept as staging-plan.json.damaged" in sentence


def test_a_damaged_unit_is_set_aside_and_counts_as_not_fetched(plan: BarPlan, tmp_path: Path) -> None:
    said: list[str] = []
    staged = Staging(tmp_path / "staging", said.append)
    for unit in UNITS:
        staged.keep(unit, empty_table("bars"))
    (first, second) = sorted((tmp_path / "staging" / "units").iterdir())
    first.write_bytes(first.read_bytes()[:-100])
    assert [staged.holds_whole(unit) for unit in UNITS] == [False, True]
    assert sorted(path.name for path in first.parent.iterdir()) == [f"{first.name}.damaged", second.name]
    assert "its unit is fetched again" in said[0]


def test_units_that_cannot_be_removed_are_told_and_not_taken_up(
    staged: Staging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", refused)
        with pytest.raises(LakeError, match=r"staging cannot be removed \(Permission denied\): .* make it writable"):
            staged.clear()
    assert staged.holds(UNITS[0])
    assert staged.unfinished(NOW) is None
    assert not (tmp_path / "staging").exists()
