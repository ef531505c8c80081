"""A replay is compared with the run it replays, and with no other."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ljwx_pipeline.evaluation.replayed_run import compare_with_replayed, differing_artifacts

MARKET = "tushare-0a1b2c3d"
KNOWN = datetime(2026, 1, 5, 10, tzinfo=UTC)
MADE = {"model": "aa", "feature_table": "bb"}


def summary(known_at: datetime = KNOWN, *, artifacts: dict[str, str] | None = None, **lineage: str) -> dict[str, Any]:
    whole = {"config_hash": "c", "data_hash": "d", "git_revision": "g", "factor_hash": "f", **lineage}
    whole["known_at"] = known_at.isoformat()
    return {"lineage": whole, "artifacts": MADE if artifacts is None else artifacts}


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    keep(tmp_path, f"{MARKET}-run1", summary())
    return tmp_path


def keep(reports: Path, name: str, found: dict[str, Any], *, age_s: int = 0) -> None:
    (reports / name).mkdir()
    path = reports / name / "summary.json"
    path.write_text(json.dumps(found))
    at = path.stat().st_mtime - age_s
    os.utime(path, (at, at))


def compared(found: dict[str, Any], reports: Path, instant: datetime = KNOWN) -> Any:
    return compare_with_replayed(found, reports, market=MARKET, instant=instant)


def test_two_summaries_are_equal_when_every_hash_is() -> None:
    assert differing_artifacts(summary(), summary()) == ()
    assert differing_artifacts(summary(), summary(artifacts={"model": "zz", "feature_table": "bb"})) == ("model",)
    assert differing_artifacts(summary(), summary(artifacts={"model": "aa", "shap": "q"})) == ("feature_table", "shap")


def test_a_replay_that_made_the_same_is_equal(reports: Path) -> None:
    verdict = compared(summary(), reports)
    assert (verdict.equal, verdict.run, verdict.artifacts) == (True, f"{MARKET}-run1", 2)
    assert "all 2 artefacts" in verdict.sentence()


def test_what_differs_is_named_with_what_explains_it(reports: Path) -> None:
    verdict = compared(summary(artifacts={"model": "zz", "feature_table": "bb"}, git_revision="h"), reports)
    assert (verdict.equal, verdict.differ, verdict.made_from_other) == (False, ("model",), ("code",))
    assert "DIFFERS" in verdict.sentence()
    assert "made from other code" in verdict.sentence()


def test_the_run_replayed_is_the_newest_that_knew_no_more(reports: Path) -> None:
    keep(reports, f"{MARKET}-run2", summary(KNOWN + timedelta(days=1)))
    assert compared(summary(), reports).run == f"{MARKET}-run1"
    assert compared(summary(), reports, KNOWN + timedelta(days=2)).run == f"{MARKET}-run2"
    assert compared(summary(), reports, KNOWN - timedelta(days=1)) is None


def test_a_run_under_the_same_settings_comes_first(reports: Path) -> None:
    keep(reports, f"{MARKET}-run2", summary(KNOWN + timedelta(hours=1), config_hash="other"))
    assert compared(summary(), reports, KNOWN + timedelta(days=1)).run == f"{MARKET}-run1"
    asked = summary(config_hash="nobody's", artifacts={"model": "zz"})
    assert "settings" in compared(asked, reports).made_from_other


def test_other_replays_other_markets_and_damaged_summaries_are_no_run_to_compare_with(tmp_path: Path) -> None:
    keep(tmp_path, f"{MARKET}-as-of-20260105T100000000000Z-run3", summary())
    keep(tmp_path, "tushare-ffffffff-run4", summary())
    keep(tmp_path, f"{MARKET}-run5", {"lineage": {"config_hash": "c"}})
    keep(tmp_path, f"{MARKET}-run6", summary(artifacts={}))
    (tmp_path / f"{MARKET}-run7").mkdir()
    (tmp_path / f"{MARKET}-run7" / "summary.json").write_text("{half")
    assert compared(summary(), tmp_path) is None
    assert compared({"lineage": {"config_hash": "c"}}, tmp_path) is None
