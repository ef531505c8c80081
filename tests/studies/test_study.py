"""A study proposes by number alone, resumes as if undisturbed, and refuses what it cannot trust."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from ljwx_pipeline.errors import ConfigError, EnvironmentFault, LakeError, ModelError
from ljwx_pipeline.lake.locking import exclusive
from ljwx_pipeline.studies import Axis, Params, Place, Space, Study, StudyPlan, opened_study
from ljwx_pipeline.studies.importance import importances
from ljwx_pipeline.studies.summaries import study_summaries

SPACE = Space(
    (
        Axis("rate", "float", 0.01, 1.0, log=True, levels=(0.1, 0.5)),
        Axis("leaves", "int", 2, 64, log=True, levels=(8, 16, 32)),
        Axis("fixed", "int", 1, 1, log=False, levels=(1,)),
    )
)
PLAN = StudyPlan(
    kind="test",
    inputs={"data": "aaaa", "costs": {"slippage_bps": 2.0, "fee": 1}},
    space=SPACE,
    seed=4,
    batch=4,
    random_trials=4,
    given=({"rate": 0.1, "leaves": 8, "fixed": 1},),
)


def worth(params: Params) -> float:
    return -((params["rate"] - 0.3) ** 2) - ((params["leaves"] - 20) / 50) ** 2


def run(study: Study, trials: int, stop_after: int | None = None) -> None:
    """Run the study's trials one by one, as ``models.tune`` does; stop where a process would be killed."""
    made = 0
    while (asked := study.claim(trials)) is not None:
        if made == stop_after:
            raise KeyboardInterrupt
        study.tell(asked, [worth(asked.params)], kept={"seen": asked.number})
        made += 1


def params_of(study: Study) -> list[dict[str, float | int]]:
    return [told.params for told in study.told()]


def whole(trials: int = 14, plan: StudyPlan = PLAN) -> list[dict[str, float | int]]:
    with opened_study(Place(), plan) as study:
        run(study, trials)
        return params_of(study)


def test_the_given_come_first_and_the_sampler_learns() -> None:
    tried = whole(40)
    assert tried[0] == PLAN.given[0]
    values = [worth(params) for params in tried]
    assert sum(values[20:]) / 20 > sum(values[:20]) / 20
    assert all(0.01 <= params["rate"] <= 1 and 2 <= params["leaves"] <= 64 for params in tried)


@pytest.mark.parametrize("stop_after", [0, 3, 4, 6])
def test_a_study_interrupted_anywhere_makes_the_trials_it_would_have_made(tmp_path: Path, stop_after: int) -> None:
    place = Place(tmp_path / "journal.log")
    with pytest.raises(KeyboardInterrupt), opened_study(place, PLAN) as study:
        run(study, 14, stop_after)
    with opened_study(place, PLAN) as study:
        assert len(study.told()) == stop_after
        run(study, 14)
        assert params_of(study) == whole()
        assert [told.kept["seen"] for told in study.told()] == list(range(14))


def test_a_study_made_in_two_goes_is_the_one_made_in_one(tmp_path: Path) -> None:
    place = Place(tmp_path / "journal.log")
    for trials in (6, 14):
        with opened_study(place, PLAN) as study:
            run(study, trials)
    assert params_of(study) == whole()


def test_a_batch_is_told_in_any_order() -> None:
    with opened_study(Place(), PLAN) as study:
        while batch := list(iter(lambda: study.claim(14), None)):
            assert len({asked.number // 4 for asked in batch}) == 1
            for asked in reversed(batch):
                study.tell(asked, [worth(asked.params)])
        assert params_of(study) == whole()


def test_the_next_batch_waits_for_the_last_of_the_one_before() -> None:
    with opened_study(Place(), PLAN) as study:
        batch = [study.claim(14) for _ in range(4)]
        assert [asked.number for asked in batch if asked] == [0, 1, 2, 3]
        assert study.claim(14) is None
        assert not study.is_finished(14)


def test_another_seed_or_batch_or_input_is_another_study() -> None:
    others = [replace(PLAN, seed=5), replace(PLAN, batch=1), replace(PLAN, inputs={"data": "bbbb"})]
    assert len({plan.name() for plan in [PLAN, *others]}) == 4
    assert whole(plan=others[0])[1:] != whole()[1:]


def test_a_pruned_trial_is_kept_with_its_steps_and_learned_from(tmp_path: Path) -> None:
    with opened_study(Place(tmp_path / "j.log"), PLAN) as study:
        while (asked := study.claim(9)) is not None:
            study.tell(asked, [worth(asked.params)], steps={0: 0.5, 1: 0.25}, pruned=asked.number % 3 == 1)
        assert [told.number for told in study.told() if told.pruned] == [1, 4, 7]
        assert study.told()[1].steps == {0: 0.5, 1: 0.25}
        assert study.before_batch_of(6) == study.told()[:4]


def test_a_grid_is_tried_in_order_and_ends(tmp_path: Path) -> None:
    plan = replace(PLAN, sampler="grid", given=(), accepts=lambda params: params["leaves"] != 16)
    with opened_study(Place(tmp_path / "j.log"), plan) as study:
        run(study, 3)
        assert not study.is_finished(4)
        run(study, 100)
        assert study.is_finished(100)
    assert [(told["rate"], told["leaves"]) for told in params_of(study)] == [(0.1, 8), (0.1, 32), (0.5, 8), (0.5, 32)]


def test_a_space_that_hardly_holds_anything_valid_is_refused() -> None:
    with pytest.raises(ConfigError, match="no valid variants"):
        whole(plan=replace(PLAN, given=(), accepts=lambda _: False))


def test_two_objectives_are_searched_at_once() -> None:
    plan = replace(PLAN, directions=("maximize", "minimize"))
    with opened_study(Place(), plan) as study:
        while (asked := study.claim(20)) is not None:
            study.tell(asked, [worth(asked.params), float(asked.params["leaves"])])
        assert [len(told.values) for told in study.told()] == [2] * 20
        once = params_of(study)
    with opened_study(Place(), plan) as study:
        while (asked := study.claim(20)) is not None:
            study.tell(asked, [worth(asked.params), float(asked.params["leaves"])])
        assert params_of(study) == once


def test_a_study_asked_for_by_name_is_refused_under_other_inputs_and_says_which(tmp_path: Path) -> None:
    place = Place(tmp_path / "journal.log")
    with opened_study(place, PLAN, name="mine") as study:
        run(study, 2)
    changed = replace(PLAN, inputs={"data": "bbbb", "costs": {"slippage_bps": 5.0, "fee": 1}})
    before = (tmp_path / "journal.log").read_bytes()
    with pytest.raises(ModelError) as refused, opened_study(place, changed, name="mine"):
        raise AssertionError
    assert "costs.slippage_bps was 2.0 and is 5.0; data was aaaa and is bbbb" in refused.value.fact
    assert "tune.study" in refused.value.remedy
    assert (tmp_path / "journal.log").read_bytes() == before
    with opened_study(place, PLAN, name="mine") as study:
        assert len(study.told()) == 2


def test_a_warm_start_is_the_best_of_the_latest_finished_study_and_stays_what_it_was(tmp_path: Path) -> None:
    place, best = Place(tmp_path / "journal.log"), {"rate": 0.3, "leaves": 20, "fixed": 1}
    until = date(2020, 12, 31)

    def finished(data: str, at: str, *, until: date, params: Params) -> str:
        with opened_study(place, replace(PLAN, inputs={"data": data})) as study:
            run(study, 2)
            study.mark_finished(params, until=until, at=at)
            return study.name

    finished("old", "2026-01-01", until=until, params=PLAN.given[0])
    name = finished("newer", "2026-01-02", until=until, params=best)
    finished("knows too much", "2026-01-03", until=date(2021, 6, 30), params=PLAN.given[0])
    warm = replace(PLAN, warm_until=until)
    with opened_study(place, warm) as study:
        assert study.warm_start is not None
        assert (study.warm_start.study, study.warm_start.params) == (name, best)
        run(study, 3)
        assert params_of(study)[:2] == [PLAN.given[0], best]
    finished("newest", "2026-01-04", until=until, params=PLAN.given[0])
    with opened_study(place, warm) as study:
        assert study.warm_start is not None
        assert study.warm_start.study == name
    narrow = replace(warm, space=Space(SPACE.axes[:2]), given=())
    with opened_study(place, narrow) as study:
        assert study.warm_start is None


def test_a_warm_start_crosses_neither_markets_nor_labels_nor_models(tmp_path: Path) -> None:
    place, until = Place(tmp_path / "journal.log"), date(2020, 12, 31)
    alike = {"market": "a", "label_hash": "1", "model_kind": "rank"}
    with opened_study(place, replace(PLAN, alike=alike)) as study:
        run(study, 2)
        study.mark_finished(PLAN.given[0], until=until, at="2026-01-01")
        first = study.name
    warm = replace(PLAN, warm_until=until, alike=alike)
    for changed in ({"market": "b"}, {"label_hash": "2"}, {"model_kind": "regression"}):
        with opened_study(place, replace(warm, alike={**alike, **changed})) as study:
            assert study.warm_start is None
    with opened_study(place, warm) as study:
        assert study.warm_start is not None
        assert study.warm_start.study == first


def test_a_warm_started_study_tells_the_trials_of_the_whole_chain(tmp_path: Path) -> None:
    place, until, names = Place(tmp_path / "journal.log"), date(2020, 12, 31), []
    for step, plan in enumerate([PLAN, *(replace(PLAN, warm_until=until, seed=seed) for seed in (5, 6))]):
        with opened_study(place, plan) as study:
            run(study, 2 + step)
            study.mark_finished(PLAN.given[0], until=until, at=f"2026-01-0{step + 1}")
            names.append(study.name)
            told = study.earlier()
    assert {name: len(trials) for name, trials in told.items()} == {names[1]: 3, names[0]: 2}
    assert list(told) == [names[1], names[0]]


def test_half_a_line_left_by_a_killed_process_is_cut_off(tmp_path: Path) -> None:
    place = Place(tmp_path / "journal.log")
    with opened_study(place, PLAN) as study:
        run(study, 5)
    with (tmp_path / "journal.log").open("a") as file:
        file.write('{"op_code": 5, "half')
    with opened_study(place, PLAN) as study:
        assert len(study.told()) == 5
        run(study, 14)
    with opened_study(place, PLAN) as study:
        assert params_of(study) == whole()


@pytest.mark.parametrize("empty", ["\n", "\n\n\n", '\n\n{"op_code": 5, "half'])
def test_empty_lines_at_the_end_are_cut_off(tmp_path: Path, empty: str) -> None:
    place = Place(tmp_path / "journal.log")
    with opened_study(place, PLAN) as study:
        run(study, 5)
    with (tmp_path / "journal.log").open("a") as file:
        file.write(empty)
    if empty == "\n":
        assert [len(held.trials) for held in study_summaries(place)] == [5]
    with opened_study(place, PLAN) as study:
        run(study, 14)
    with opened_study(place, PLAN) as study:
        assert params_of(study) == whole()


#: Lines that are JSON and no operation of a study, the last ones but for a type.
FOREIGN = [
    "[]",
    "null",
    "1",
    '"x"',
    "{}",
    '{"op_code":99,"worker_id":"x"}',
    '{"op_code":4,"worker_id":"x","study_id":[]}',
    '{"op_code":2,"worker_id":"x","study_id":0,"user_attr":{"decided":3}}',
    '{"op_code":2,"worker_id":"x","study_id":0,"user_attr":{"finished":3}}',
]


@pytest.mark.parametrize("line", FOREIGN)
def test_a_foreign_line_is_a_damaged_journal_whoever_reads_it(tmp_path: Path, line: str) -> None:
    journal = tmp_path / "journal.log"
    with opened_study(Place(journal), PLAN) as study:
        run(study, 1)
    with journal.open("a") as file:
        file.write(line + "\n")
    before = journal.read_bytes()
    with (
        pytest.raises(ModelError, match=r"journal .* is damaged \(.|made under other inputs"),
        opened_study(Place(journal), PLAN) as study,
    ):
        study.mark_finished({}, until=date(2025, 1, 2), at="2025-01-03T00:00:00Z")
    assert journal.read_bytes() == before
    with pytest.raises(ModelError, match=r"journal .* is damaged"):
        study_summaries(Place(journal))


@pytest.mark.parametrize("damage", [lambda lines: [*lines[:3], "no json", *lines[3:]], lambda lines: [*lines, "{"]])
def test_a_damaged_journal_is_refused_and_not_written_on(
    tmp_path: Path, damage: Callable[[list[str]], list[str]]
) -> None:
    journal = tmp_path / "journal.log"
    with opened_study(Place(journal), PLAN) as study:
        run(study, 3)
    journal.write_text("\n".join(damage(journal.read_text().splitlines())) + "\n")
    before = journal.read_bytes()
    with pytest.raises(ModelError, match=r"journal .* is damaged"), opened_study(Place(journal), PLAN):
        raise AssertionError
    assert journal.read_bytes() == before


def test_a_mistake_of_who_proposes_is_not_taken_for_a_damaged_journal(tmp_path: Path) -> None:
    plan = replace(PLAN, given=(), accepts=lambda params: params["no such axis"] > 0)
    with pytest.raises(KeyError, match="no such axis"), opened_study(Place(tmp_path / "j.log"), plan) as study:
        study.claim(4)


def test_a_journal_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "journal.log").mkdir()
    with (
        pytest.raises(EnvironmentFault, match="cannot be read or written"),
        opened_study(Place(tmp_path / "journal.log"), PLAN),
    ):
        raise AssertionError


def test_one_process_at_a_time_works_on_a_journal(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / ".journal.log.lock", timeout_s=1),
        pytest.raises(LakeError, match="another process"),
        opened_study(Place(tmp_path / "journal.log"), PLAN),
    ):
        raise AssertionError


def test_a_database_that_cannot_be_reached_is_named_without_its_password() -> None:
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed: pip install psycopg2-binary")
    place = Place(url="postgresql+psycopg2://quant:secret@127.0.0.1:1/studies")
    with pytest.raises(EnvironmentFault) as refused, opened_study(place, PLAN):
        raise AssertionError
    assert "quant:***@127.0.0.1:1" in refused.value.fact
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["nonsense", "nosuchdatabase://host/name"])
def test_an_address_that_is_none_is_one_sentence(url: str) -> None:
    with pytest.raises(EnvironmentFault, match="cannot be reached"), opened_study(Place(url=url), PLAN):
        raise AssertionError


def test_what_decided_is_found_and_adds_up() -> None:
    tried = [(params, worth({**params, "leaves": 20})) for params in whole(60)]
    found = importances(SPACE, tried)
    assert max(found, key=lambda name: found[name]) == "rate"
    assert sum(found.values()) == pytest.approx(1)
    assert "fixed" not in found
    assert importances(SPACE, tried[:5]) == {}
    assert importances(SPACE, [(params, 1.0) for params, _ in tried]) == {}


def test_the_inputs_are_kept_as_they_were_given(tmp_path: Path) -> None:
    assert json.loads(json.dumps(PLAN.decided())) == PLAN.decided()
