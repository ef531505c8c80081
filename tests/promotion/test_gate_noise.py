"""The gate lets hardly any noise pass and a planted alpha through: smaller versions of the two benchmarks, by seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import gate_log, gate_noise, gate_planted
from benchmarks.gate_log import Line, Run
from benchmarks.gate_models import seeded_market
from tests.fakes.gate_lines import never, told_number

NOISE = {
    "simulated__symbols": 40,
    "tune__trials": 10,
    "tune__rounds": 8,
    "model__max_rounds": 15,
    "model__early_stopping_rounds": 10,
}
PLANTED = {
    "simulated__symbols": 60,
    "simulated__oracle_rank_ic": 0.15,
    "tune__rounds": 40,
    "model__max_rounds": 80,
}


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> list[Line]:
    def one(number: int) -> Line:
        market = seeded_market(gate_noise.noise_settings(number, **NOISE))
        return gate_noise.searched(market, tmp_path_factory.mktemp("noise"))

    return [gate_log.measured(one, number) for number in range(12)]


@pytest.mark.slow
def test_of_twelve_models_from_noise_none_passes(noise: list[Line]):
    assert [line["seed"] for line in noise if line["gate"]["decision"] == "promoted"] == []


@pytest.mark.slow
def test_the_search_presents_what_looks_good_and_counts_every_trial(noise: list[Line]):
    for line in noise:
        assert line["gate"]["measured"]["trials"] == 10 + 4 * 10
        assert line["alone"]["measured"]["trials"] == 1
        assert line["session_sharpe"] > line["session_sharpe_mean"]
    looks_good = [line for line in noise if line["gate"]["checks"]["net_excess_annual_return"]]
    assert len(looks_good) >= 6  # without any cost, the best of 40 backtests is mostly ahead of the index
    for line in looks_good:
        alone, all_counted = (line[whose]["measured"]["deflated_sharpe_probability"] for whose in ("alone", "gate"))
        assert all_counted < alone


@pytest.mark.slow
def test_what_was_tried_on_noise_earns_nothing_on_average(noise: list[Line]):
    found = gate_noise.summary(noise)
    assert abs(found["mean_annual_sharpe_of_all_tried"]) < 0.3
    assert found["models"] == 12
    assert found["passed_frac_below_95"] == pytest.approx(1 - 0.05 ** (1 / 12), abs=1e-4)


@pytest.mark.slow
def test_a_model_is_the_same_for_the_same_number(noise: list[Line], tmp_path: Path):
    again = gate_noise.searched(seeded_market(gate_noise.noise_settings(0, **NOISE)), tmp_path)
    assert again == {name: value for name, value in noise[0].items() if name in again}


@pytest.mark.slow
def test_a_planted_alpha_passes_the_whole_gate_with_costs(tmp_path: Path):
    lines = []
    for number in range(4):
        market = seeded_market(gate_planted.planted_settings(number, **PLANTED))
        lines.append(gate_planted.learned(market, tmp_path / str(number)))
    assert [line["oracle"]["decision"] for line in lines] == ["promoted"] * 4
    assert [line["gate"]["decision"] for line in lines] == ["promoted"] * 4
    assert all(line["gate"]["measured"]["trials"] == 13 for line in lines)
    assert all({"sharpe", "max_drawdown", "win_rate", "profit_factor"} <= set(line["gate"]["checks"]) for line in lines)


def test_the_bound_of_the_share_that_passes_is_clopper_and_pearsons():
    assert gate_noise.upper_bound(0, 200) == pytest.approx(1 - 0.05 ** (1 / 200))
    assert gate_noise.upper_bound(10, 200) == pytest.approx(0.0834, abs=5e-4)
    assert gate_noise.upper_bound(3, 3) == 1.0


def run_of(one: object, key: str = "code") -> Run:
    return Run("some_bench", one, key, lambda lines: f"{len(lines)} done")


def test_a_killed_run_goes_on_with_its_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    log = tmp_path / "log.jsonl"
    first = gate_log.all_lines(run_of(told_number), range(2), log)
    with log.open("a", encoding="utf-8") as file:
        file.write('{"bench": "some_bench", "key": "co')  # killed while it wrote
    lines = gate_log.all_lines(run_of(told_number), range(3), log)
    assert lines[:2] == first
    assert [line["seed"] for line in lines] == [0, 7, 14]
    assert "2 of 3 are in log.jsonl" in capsys.readouterr().out
    assert gate_log.all_lines(run_of(never), range(3), log) == lines


def test_lines_made_with_other_code_count_for_nothing(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    gate_log.all_lines(run_of(told_number), range(2), log)
    assert gate_log.kept(log, "other code") == {}
    gate_log.all_lines(run_of(told_number, "other code"), range(1), log)
    assert [json.loads(text)["key"] for text in log.read_text(encoding="utf-8").splitlines()] == [
        "code",
        "code",
        "other code",
    ]


def test_other_settings_are_another_run():
    assert gate_log.made_with(gate_noise.noise_settings()) == gate_log.made_with(gate_noise.noise_settings())
    assert gate_log.made_with(gate_noise.noise_settings()) != gate_log.made_with(gate_planted.planted_settings())


def test_a_slice_is_the_same_models_as_the_whole_run():
    slices = [gate_noise.noise_settings(number).simulated.seed for number in (40, 41)]
    assert slices == [gate_noise.FIRST_SEED + 40, gate_noise.FIRST_SEED + 41]
    gate = gate_noise.noise_settings(3).gate
    assert not gate.kpi_enabled
    assert set(gate.left_out) == {"leak_checks", "drift", "calibration", "champion"}, "none of them is about luck"
    whole = gate.model_copy(update={"kpi_enabled": True, "left_out": ()})
    assert whole == gate_planted.planted_settings().gate
