"""What a bundle keeps to be watched by: made of a long history, told as too short of a short one, read back whole."""

from __future__ import annotations

import numpy as np
import pytest

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.monitoring.cross_section import profile_of
from ljwx_pipeline.monitoring.drift import judge_drift
from ljwx_pipeline.monitoring.reference import Reference, inputs_reference, skill_chart

SYMBOLS = 40


def inputs(sessions: int, *, shifted: int = 0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows of three factors, the last never known; the newest ``shifted`` sessions have the first moved."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((sessions, SYMBOLS, 3)).astype(np.float32)
    values[:, :, 0] += 0.1 * rng.standard_normal((sessions, 1))
    values[sessions - shifted :, :, 0] += 3
    values[:, :, 2] = np.nan
    rows = values.reshape(-1, 3)
    session = np.repeat(np.arange(70, 70 + sessions, dtype=np.int32), SYMBOLS)
    return rows, session, np.tile(np.arange(SYMBOLS, dtype=np.int32), sessions)


def test_inputs_of_three_years_and_a_month_are_a_reference_and_like_the_rest() -> None:
    found, reason, newest = inputs_reference(("A", "B", "C"), *inputs(780), threads=2)
    assert (reason, newest.reason, newest.factors) == ("", None, ())
    assert found is not None
    assert found.names == ("A", "B"), "a factor that is never known is left out"
    assert found.sessions == 780
    assert newest.ratio is not None
    assert 0 < newest.ratio < 1
    assert newest.sessions == (830, 849), "rows of sessions 70 to 849: the newest twenty are judged"


def test_inputs_whose_newest_month_moved_are_told_with_the_factor() -> None:
    _, _, newest = inputs_reference(("A", "B", "C"), *inputs(780, shifted=20))
    assert newest.factors == ("A",)
    assert newest.ratio is not None
    assert newest.ratio > 1


def test_a_short_history_says_how_many_sessions_it_takes() -> None:
    found, reason, newest = inputs_reference(("A", "B", "C"), *inputs(300))
    assert found is None
    assert "300 sessions" in reason
    assert "756" in reason
    assert newest.ratio is None
    assert "756" in str(newest.reason)
    of_rest, _, newest = inputs_reference(("A", "B", "C"), *inputs(760))
    assert of_rest is not None, "long enough to be watched by, not to set the newest month apart"
    assert newest.ratio is newest.sessions is None
    assert "740 sessions" in str(newest.reason)


def test_no_rows_at_all_are_no_reference() -> None:
    found, reason, newest = inputs_reference(("A", "B", "C"), *(part[:0] for part in inputs(1)))
    assert found is None
    assert "0 sessions" in reason
    assert newest.reason == reason


def test_a_short_walk_forward_says_how_many_sessions_the_alarm_takes() -> None:
    chart, reason = skill_chart(np.full(300, 0.05), reach_sessions=6, false_alarms_per_year=0.75)
    assert chart is None
    assert "300 sessions" in reason
    assert "480" in reason


def test_a_reference_reads_back_from_its_text_to_the_same_judgements() -> None:
    rows, session, symbol = inputs(780)
    rng = np.random.default_rng(1)
    chart, chart_reason = skill_chart(
        0.05 + 0.05 * rng.standard_normal(500), reach_sessions=6, false_alarms_per_year=0.75
    )
    drift, drift_reason, _ = inputs_reference(("A", "B", "C"), rows, session, symbol)
    text = Reference(chart, chart_reason, drift, drift_reason).to_json()
    again = Reference.of(text)
    assert again.chart == chart
    assert again.to_json() == text
    assert again.drift is not None
    assert drift is not None
    now, before = (rows[session == at][:, :2] for at in (849, 848))
    names = np.arange(SYMBOLS)
    profile = profile_of(again.drift.edges, names, 100 * now, (names, before))
    assert judge_drift(again.drift, [profile]).findings == judge_drift(drift, [profile]).findings
    assert {finding.kind for finding in judge_drift(drift, [profile]).findings} == {"scaled"}


def test_a_bundle_without_a_reference_says_so_and_a_damaged_one_is_refused() -> None:
    none = Reference.of(None)
    assert none.chart is None
    assert "before there was one" in none.drift_reason
    for text in ("", "[]", "{}", '{"chart": {}, "chart_reason": "", "drift": null, "drift_reason": ""}'):
        with pytest.raises(DataQualityError):
            Reference.of(text)
