"""A champion that decays is noticed within days of its first matured label, and a training is asked for once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets.monitoring import alarms_of
from jobs.definitions import build_definitions
from jobs.retraining import REQUEST_TAG, SENSOR_NAME, WILL_RETRY_TAG, retraining_journal
from ljwx_pipeline.config import Settings
from ljwx_pipeline.lake.locking import exclusive
from tests.fakes.watched_home import SESSIONS, TRAINED, WatchedHome

REACH = 6
FIRST_MATURED = TRAINED + 1 + REACH


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WatchedHome:
    return WatchedHome(tmp_path, monkeypatch)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    folder = tmp_path / "dagster"
    folder.mkdir()
    with dg.instance_for_test(temp_dir=str(folder)) as found:
        yield found


def tick(home: WatchedHome, instance: dg.DagsterInstance) -> dg.RunRequest | str:
    """Evaluate the line's own sensor; return the run it asks for, or why it asks for none."""
    line = home.line()
    sensor = build_definitions(line.settings, line).get_sensor_def(SENSOR_NAME)
    with dg.build_sensor_context(instance=instance, resources={"line": line}) as context:
        answer = sensor.evaluate_tick(context)
    if answer.run_requests:
        (request,) = answer.run_requests
        return request
    return str(answer.skip_message)


def started(instance: dg.DagsterInstance, request: dg.RunRequest, **tags: str) -> dg.DagsterRun:
    run = dg.DagsterRun(job_name="research", status=dg.DagsterRunStatus.STARTED, tags={**request.tags, **tags})
    return instance.add_run(run)


def succeeded(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    event = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_SUCCESS.value, job_name=run.job_name)
    instance.report_dagster_event(event, run.run_id)


def alarmed(home: WatchedHome) -> int:
    """Let an inverted champion trade until its alarm; return how many labels had matured by then."""
    champion = home.promoted()
    home.skill[TRAINED + 1 :] *= -1
    for position in range(FIRST_MATURED, FIRST_MATURED + 40):
        home.at(position)
        home.monitored(champion)  # the sessions before the first evening were scored afterwards, and count too
        if alarms_of(home.line()).records():
            return position - FIRST_MATURED + 1
    raise AssertionError("no alarm within 40 sessions")


def test_an_inverted_champion_is_alarmed_and_a_training_asked_for_within_ten_sessions_of_the_first_matured_label(
    home: WatchedHome, instance: dg.DagsterInstance
) -> None:
    champion = home.promoted()
    home.skill[TRAINED + 1 :] *= -1
    for position in range(TRAINED + 1, FIRST_MATURED + 10):
        home.at(position)
        found, matured = home.monitored(champion), max(0, position - FIRST_MATURED + 1)
        assert found["matured_sessions"] == found["live_sessions"] == matured
        asked = tick(home, instance)
        if isinstance(asked, dg.RunRequest):
            break
        assert asked == "no alarm about the champion is unanswered"
    assert isinstance(asked, dg.RunRequest)
    assert matured <= 10
    (alarm,) = alarms_of(home.line()).lines()
    assert (alarm.kind, alarm.version, alarm.session) == (
        "skill_lost", champion.version, str(SESSIONS[home.position].date()),
    )  # fmt: skip
    registry = home.line().registry()
    assert registry.version_tags(champion)["last_alarm"].startswith(f"skill_lost on {alarm.session}: lost skill: ")
    assert build_definitions(home.line().settings).get_sensor_def(SENSOR_NAME).job_name == "research"


def test_a_champion_that_keeps_its_skill_asks_for_nothing(home: WatchedHome, instance: dg.DagsterInstance) -> None:
    champion = home.promoted()
    home.at(FIRST_MATURED + 40)
    assert home.monitored(champion)["alarms"] == []
    assert tick(home, instance) == "no alarm about the champion is unanswered"


def test_a_request_killed_before_dagster_heard_of_it_is_made_again_as_the_same_one_and_ends_with_its_run(
    home: WatchedHome, instance: dg.DagsterInstance
) -> None:
    alarmed(home)
    first = tick(home, instance)
    assert isinstance(first, dg.RunRequest)
    again = tick(home, instance)
    assert isinstance(again, dg.RunRequest)
    assert again.run_key == first.run_key
    assert len(retraining_journal(home.line()).lines()) == 1

    run = started(instance, first)
    assert tick(home, instance) == f"the training asked for on {SESSIONS[home.position].date()} has not ended"
    assert len(retraining_journal(home.line()).open_requests()) == 1
    instance.report_run_failed(run)
    tick(home, instance)
    ended = retraining_journal(home.line()).lines()[-1]
    assert (ended.what, ended.run_id, ended.status) == ("ended", run.run_id, "FAILURE")


def test_a_training_that_failed_leaves_its_alarms_unanswered_and_is_asked_for_again_after_a_week(
    home: WatchedHome, instance: dg.DagsterInstance
) -> None:
    alarmed(home)
    first, at = tick(home, instance), home.position
    assert isinstance(first, dg.RunRequest)
    instance.report_run_failed(started(instance, first))
    assert str(tick(home, instance)).endswith(f"0 sessions ago, cool-down 5; not before {SESSIONS[at + 5].date()}")
    home.at(at + 5)
    second = tick(home, instance)
    assert isinstance(second, dg.RunRequest)
    asked = [one for one in retraining_journal(home.line()).lines() if one.what == "requested"]
    assert asked[0].alarms == asked[1].alarms
    assert second.run_key == asked[1].key != first.run_key
    succeeded(instance, started(instance, second))
    assert tick(home, instance) == "no alarm about the champion is unanswered"


def test_a_failed_training_that_a_person_runs_again_counts_by_how_that_ends(
    home: WatchedHome, instance: dg.DagsterInstance
) -> None:
    alarmed(home)
    first, at = tick(home, instance), home.position
    assert isinstance(first, dg.RunRequest)
    instance.report_run_failed(started(instance, first))
    tick(home, instance)
    again = started(instance, first)
    home.at(at + 5)
    assert tick(home, instance) == f"the training asked for on {SESSIONS[at].date()} is run again"
    succeeded(instance, again)
    assert tick(home, instance) == "no alarm about the champion is unanswered"
    assert [one.status for one in retraining_journal(home.line()).lines()] == ["", "FAILURE", "SUCCESS"]


def test_a_run_that_dagster_retries_has_not_ended(home: WatchedHome, instance: dg.DagsterInstance) -> None:
    alarmed(home)
    asked = tick(home, instance)
    assert isinstance(asked, dg.RunRequest)
    run = started(instance, asked, **{WILL_RETRY_TAG: "true"})
    instance.report_run_failed(run)
    tick(home, instance)
    assert len(retraining_journal(home.line()).open_requests()) == 1


def test_the_next_training_waits_for_the_last_one_and_for_the_cool_down(
    home: WatchedHome, instance: dg.DagsterInstance
) -> None:
    alarmed(home)
    asked = tick(home, instance)
    assert isinstance(asked, dg.RunRequest)
    run, at = started(instance, asked), home.position
    journal, line = alarms_of(home.line()), home.line()
    champion = line.registry().champion(line.registered_model)
    assert champion is not None
    home.at(at + 1)
    journal.settle(
        "drift", champion.name, champion.version, champion.bundle_hash, now=True, session=SESSIONS[at + 1].date()
    )
    assert tick(home, instance) == f"the training asked for on {SESSIONS[at].date()} has not ended"
    succeeded(instance, run)
    waits = tick(home, instance)
    assert str(waits).endswith(f"1 sessions ago, cool-down 60; not before {SESSIONS[at + 60].date()}")
    home.at(at + 60)
    second = tick(home, instance)
    assert isinstance(second, dg.RunRequest)
    assert second.tags[REQUEST_TAG] != asked.tags[REQUEST_TAG]
    assert retraining_journal(home.line()).lines()[-1].alarms == (journal.lines()[-1].key,)


def test_a_training_is_asked_for_once_nobody_else_writes_the_market(
    home: WatchedHome, instance: dg.DagsterInstance
) -> None:
    alarmed(home)
    with exclusive(home.line().home / "run.lock", timeout_s=1):
        assert "asked for later: another process" in str(tick(home, instance))
        assert not retraining_journal(home.line()).lines()
    assert isinstance(tick(home, instance), dg.RunRequest)


def test_a_damaged_record_is_told_with_its_remedy_and_nothing_is_asked_for(
    home: WatchedHome, instance: dg.DagsterInstance
) -> None:
    alarmed(home)
    path = alarms_of(home.line()).path
    path.write_text(path.read_text() + "{}\n")
    said = tick(home, instance)
    assert "alarms.jsonl is damaged" in str(said)
    assert "restore it from a backup" in str(said)
    assert not retraining_journal(home.line()).lines()


@pytest.mark.parametrize(
    ("retrain", "status"), [(True, dg.DefaultSensorStatus.RUNNING), (False, dg.DefaultSensorStatus.STOPPED)]
)
def test_the_sensor_runs_by_default_where_the_settings_say_so(
    settings: Settings, retrain: bool, status: dg.DefaultSensorStatus
) -> None:
    asked = settings.model_copy(update={"monitoring": settings.monitoring.model_copy(update={"retrain": retrain})})
    assert build_definitions(asked).get_sensor_def(SENSOR_NAME).default_status == status
