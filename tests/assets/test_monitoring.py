"""The daily job tells how the champion fares, writes an alarm down at its onset, and stops at broken input."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from assets.monitoring import (
    alarms_of,
    inputs_not_drifted,
    inputs_unbroken,
    intervals_calibrated,
    model_monitoring,
    newest_told,
    skill_kept,
)
from assets.panels import save_factors
from jobs.definitions import build_definitions
from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.expressions.evaluate import FactorValues
from ljwx_pipeline.lake import split_by_month
from ljwx_pipeline.monitoring.drift import DriftReference
from ljwx_pipeline.monitoring.reference import NewestDrift, inputs_reference
from tests.fakes.watched_home import SESSIONS, SYMBOLS, TRAINED, WatchedHome

NAMES = ("A", "B", "C")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WatchedHome:
    return WatchedHome(tmp_path, monkeypatch)


def factors(sessions: int, seed: int) -> np.ndarray:
    """Return factors whose cross-sections wander a little, of shape (sessions, symbols, factors)."""
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal((sessions, len(SYMBOLS), len(NAMES)))
    return (drawn + 0.05 * rng.standard_normal((sessions, 1, len(NAMES)))).astype(np.float32)


def trained_inputs() -> DriftReference:
    sessions = 760
    rows = factors(sessions, seed=1).reshape(-1, len(NAMES))
    session = np.repeat(np.arange(sessions, dtype=np.int32), len(SYMBOLS))
    found, reason, _ = inputs_reference(NAMES, rows, session, np.tile(np.arange(len(SYMBOLS)), sessions))
    assert found is not None, reason
    return found


def stored(home: WatchedHome, values: np.ndarray, *, missing: int = 0) -> None:
    """Store factors of the newest sessions, and bars of every symbol but the first ``missing`` on the last of them."""
    line, sessions = home.line(), SESSIONS[home.position + 1 - len(values) : home.position + 1]
    stack = np.ascontiguousarray(values.transpose(2, 1, 0))
    save_factors(
        line.tables, FactorValues(NAMES, tuple(SYMBOLS), sessions, stack), factor_hash=line.catalogue.version_hash
    )
    bars = pd.DataFrame({"symbol": np.tile(SYMBOLS, len(sessions)), "session_date": np.repeat(sessions, len(SYMBOLS))})
    gone = (bars["session_date"] == sessions[-1]) & bars["symbol"].isin(SYMBOLS[:missing])
    line.checked_lake().write_partitions("bars", split_by_month(bars[~gone]), known_at=datetime.now(UTC))


def unbroken(home: WatchedHome) -> dg.AssetCheckResult:
    found = inputs_unbroken(dg.build_asset_check_context(), line=home.line())
    assert isinstance(found, dg.AssetCheckResult)
    return found


def check(function: Any, document: dict[str, Any]) -> dg.AssetCheckResult:
    found = function(document)
    assert isinstance(found, dg.AssetCheckResult)
    return found


def test_inputs_like_training_s_pass(home: WatchedHome) -> None:
    home.promoted(drift=trained_inputs())
    stored(home, factors(21, seed=2))
    found = unbroken(home)
    assert found.passed
    assert "3 factors of" in str(found.description)
    assert alarms_of(home.line()).lines() == []


def test_broken_input_fails_the_check_that_blocks_and_is_alarmed_once(home: WatchedHome) -> None:
    champion, values = home.promoted(drift=trained_inputs()), factors(21, seed=2)
    values[-1, :, 1] *= 100
    stored(home, values)
    unbroken(home)
    found = unbroken(home)
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.ERROR
    assert [spec.blocking for spec in inputs_unbroken.check_specs] == [True]
    assert "B has typical size" in str(found.description)
    assert "monitoring.accepted_inputs" in str(found.description)
    (alarm,) = alarms_of(home.line()).lines()
    assert (alarm.kind, alarm.session) == ("broken_input", str(SESSIONS[TRAINED].date()))
    assert home.line().registry().version_tags(champion)["last_alarm"].startswith("broken_input on ")

    values[-1, :, 1] /= 100
    stored(home, values)
    assert unbroken(home).passed
    assert [one.what for one in alarms_of(home.line()).lines()] == ["raised", "cleared"]


def test_the_research_does_not_begin_on_broken_input(home: WatchedHome) -> None:
    check_step = "feature_table_inputs_unbroken"

    def begun() -> set[str]:
        """Run the line's research as far as its dataset, whose tables are not there; return the steps that began."""
        line = home.line()
        job = build_definitions(line.settings, line).resolve_job_def("research")
        with dg.instance_for_test() as instance:
            run = job.execute_in_process(
                instance=instance, raise_on_error=False, op_selection=[check_step, "training_dataset"]
            )
        return {str(event.step_key) for event in run.all_events if event.is_step_start}

    home.promoted(drift=trained_inputs())
    values = factors(21, seed=2)
    values[-1, :, 1] *= 100
    stored(home, values)
    assert begun() == {check_step}
    assert [one.kind for one in alarms_of(home.line()).lines()] == ["broken_input"]
    values[-1, :, 1] /= 100
    stored(home, values)
    assert begun() == {check_step, "training_dataset"}


def test_missing_symbols_are_broken_input(home: WatchedHome) -> None:
    home.promoted(drift=trained_inputs())
    stored(home, factors(21, seed=2), missing=60)
    assert "20.0% of the last session's symbols are missing" in str(unbroken(home).description)


def test_a_session_that_a_person_accepted_is_let_pass_with_a_warning(
    home: WatchedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.promoted(drift=trained_inputs())
    values = factors(21, seed=2)
    values[-1, :, 1] *= 100
    stored(home, values)
    unbroken(home)
    monkeypatch.setenv("LJWX_MONITORING__ACCEPTED_INPUTS", f'["{SESSIONS[TRAINED].date()}"]')
    found = unbroken(home)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "is accepted as true" in str(found.description)
    assert [one.what for one in alarms_of(home.line()).lines()] == ["raised", "cleared"]


@pytest.mark.parametrize("documents", [True, False], ids=["too short a history", "an older bundle"])
def test_what_cannot_be_judged_is_no_green_check_and_stops_nothing(home: WatchedHome, documents: bool) -> None:
    none = unbroken(home)
    assert (none.passed, none.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert none.description == "not judged: champion: none yet"
    home.promoted(documents=documents)
    found = unbroken(home)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert ("756 sessions" if documents else "before there was one") in str(found.description)


def test_inputs_that_drifted_warn_from_the_session_on_which_they_have(home: WatchedHome) -> None:
    champion, values = home.promoted(drift=trained_inputs()), factors(21, seed=2)
    values[1:, :, 0] += 2
    home.at(TRAINED + 1)
    stored(home, values)
    document = home.monitored(champion)
    assert document["drifted"] == ["A"]
    assert document["drift_ratio"] > 1
    found = check(inputs_not_drifted, document)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "A has PSI" in str(found.description)
    home.monitored(champion)
    assert [one.kind for one in alarms_of(home.line()).lines()] == ["drift"]


def test_scores_of_days_that_were_missed_are_told_apart_from_live_ones(home: WatchedHome) -> None:
    champion = home.promoted()
    home.at(TRAINED + 20)
    document = home.monitored(champion)
    assert document["matured_sessions"] == 14
    assert document["live_sessions"] == 0
    assert document["scored_afterwards_sessions"] == 14
    assert "after 14 matured sessions, alarm above" in str(check(skill_kept, document).description)
    for function, why in (
        (inputs_not_drifted, "756 sessions are needed"),
        (intervals_calibrated, "no interval has matured"),
    ):
        found = check(function, document)
        assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert found.description == f"not judged: {why}"
    for position in range(TRAINED + 21, TRAINED + 28):
        home.at(position)
        document = home.monitored(champion)
    # of the twenty sessions caught up with the last was scored on its own evening
    assert (document["matured_sessions"], document["live_sessions"]) == (21, 2)


def test_lost_skill_fails_its_check_until_another_model_trades_and_labels_restated_do_not_undo_it(
    home: WatchedHome,
) -> None:
    champion = home.promoted()
    home.skill[TRAINED + 1 :] = -3 * home.skill[0]
    home.at(TRAINED + 30)
    document = home.monitored(champion)
    found = check(skill_kept, document)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "lost skill" in str(found.description)
    alarms = alarms_of(home.line()).lines()
    assert alarms
    labels = home.labels()
    labels["forward_return"] *= -1
    again = home.monitored(champion, labels=labels)
    assert again["rank_ic_mean"] > 0
    assert not check(skill_kept, again).passed
    assert alarms_of(home.line()).lines() == alarms
    other = home.promoted(digit="e")
    assert check(skill_kept, home.monitored(other)).passed is False, "it is judged by its own scores"
    assert {one.bundle_hash for one in alarms_of(home.line()).lines()} == {champion.bundle_hash, other.bundle_hash}


def test_without_a_champion_there_is_nothing_to_watch(home: WatchedHome) -> None:
    made = model_monitoring(
        dg.build_asset_context(), line=home.line(), daily_scores=pd.DataFrame(),
        forward_return_label=pd.DataFrame(), calendar=pd.DataFrame({"session_date": SESSIONS[:1]}),
    )  # fmt: skip
    assert isinstance(made, dg.Output)
    for function in (skill_kept, inputs_not_drifted, intervals_calibrated):
        found = check(function, made.value)
        assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert found.description == "not judged: there is no champion to watch"


def test_the_verdict_on_the_newest_inputs_names_the_sessions_it_judged() -> None:
    told = newest_told(NewestDrift(0.4, (), None, (3, 22)), SESSIONS)
    assert (told["newest_first"], told["newest_last"]) == ("2024-01-05", "2024-02-01")
    told = newest_told(NewestDrift(None, (), "too short"), SESSIONS)
    assert (told["newest_first"], told["newest_last"], told["reason"]) == (None, None, "too short")


def test_intervals_are_not_called_calibrated_before_a_full_window_has_matured(home: WatchedHome) -> None:
    champion = home.promoted()
    window = home.line().settings.monitoring.coverage_window_sessions
    for matured, passed in ((window - 1, False), (window, True)):
        home.at(TRAINED + 6 + matured)
        scores = home.scores(champion).assign(interval_lower=-10.0, interval_upper=10.0)
        found = check(intervals_calibrated, home.monitored(champion, scores=scores))
        assert found.passed is passed, found.description
        said = (
            "100.0% covered"
            if passed
            else f"not judged: intervals of {matured} sessions have matured, {window} are needed"
        )
        assert found.description == said
    assert check(inputs_not_drifted, {"champion": True, "drift_ratio": 0.0, "drift_reason": None}).passed


def test_a_clock_that_stands_before_the_session_is_named_and_nothing_is_kept(home: WatchedHome) -> None:
    champion = home.promoted()
    home.at(TRAINED + 5)
    home.now = datetime(2024, 1, 5, 10, tzinfo=UTC)
    with pytest.raises(DataQualityError, match="set the clock"):
        home.monitored(champion)


def test_a_champion_of_another_label_is_not_held_to_its_alarm(
    home: WatchedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = home.promoted()
    home.skill[TRAINED + 1 :] = -3 * home.skill[0]
    home.at(TRAINED + 30)
    monkeypatch.setenv("LJWX_LABEL__HORIZON_SESSIONS", "5" if home.line().settings.label.horizon_sessions != 5 else "4")
    labels = home.labels()
    document = home.monitored(champion, labels=labels)
    assert document["cusum_reason"] == "it learned another label than the configured one"
    found = check(skill_kept, document)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "not judged: it learned another label" in str(found.description)
