"""The alarm keeps its false-alarm rate on fresh series with overlapping labels, and its delays are those promised."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR
from ljwx_pipeline.monitoring.cusum import (
    CusumChart,
    CusumParams,
    calibrated_chart,
    chart_of,
    delay_curve,
    delay_of,
    watch,
)

REACH = 6


def rank_ic(rng: np.random.Generator, sessions: int, *, mean: float = 0.1, spread: float = 0.1) -> np.ndarray:
    """Rank ICs of five-session labels: their noise is a moving sum of five independent shocks."""
    shocks = rng.standard_normal(sessions + 4)
    return mean + spread * np.convolve(shocks, np.ones(5), mode="valid") / math.sqrt(5)


def chart(**changes: float) -> CusumChart:
    made = {
        "mean": 0.1,
        "deviation": 0.1,
        "reference": 0.5,
        "level": 2.0,
        "false_alarms_per_year": 1.0,
        "run_length_sessions": 252.0,
        "alarm_within_year": 0.6,
        "sessions": 1000,
        "block_sessions": 48,
        "seed": 0,
    }
    return CusumChart(**(made | changes))


@pytest.fixture(scope="module")
def in_control() -> np.ndarray:
    drawn = rank_ic(np.random.default_rng(7), 1200)
    return 0.1 + 0.1 * (drawn - drawn.mean()) / drawn.std(ddof=1)  # an ICIR of exactly 1


@pytest.fixture(scope="module")
def calibrated(in_control: np.ndarray) -> CusumChart:
    return calibrated_chart(in_control, reach_sessions=REACH, params=CusumParams(paths=400))


def test_the_statistic_is_pages_by_hand_and_begins_again_after_an_alarm() -> None:
    # z = 1, 2, -3, 2, 1, 1, 2 less k = 0.5
    seen = watch(chart(), np.array([0.0, -0.1, 0.4, -0.1, 0.0, 0.0, -0.1]))
    assert seen.statistic == pytest.approx([0.5, 2.0, 0.0, 1.5, 2.0, 2.5, 1.5])
    assert seen.alarms == (5,)


def test_a_session_that_ranks_nothing_counts_as_one_without_skill() -> None:
    gaps = watch(chart(), np.array([math.nan, 0.1, math.nan]))
    assert gaps.statistic == pytest.approx([0.5, 0.0, 0.5])
    assert watch(chart(), np.full(5, math.nan)).alarms == (4,)


def test_a_rank_ic_beyond_one_is_refused() -> None:
    with pytest.raises(DataQualityError, match=r"number 1 is 1\.5, beyond 1"):
        watch(chart(), np.array([0.1, 1.5]))
    with pytest.raises(DataQualityError, match="inf"):
        watch(chart(), np.array([-math.inf]))


@given(st.lists(st.floats(-1, 1), max_size=60), st.floats(0.01, 2), st.floats(0.1, 5))
@settings(max_examples=60, deadline=None)
def test_the_alarm_equals_the_largest_fall_since_the_last_alarm(
    values: list[float], reference: float, level: float
) -> None:
    # an independent form: S_t is the cumulated sum less its running minimum
    seen = watch(chart(reference=reference, level=level), np.array(values))
    expected, start = [], 0
    z = [(0.1 - value) / 0.1 - reference for value in values]
    for at in range(len(z)):
        tails = [sum(z[begin : at + 1]) for begin in range(start, at + 1)]
        if max(0.0, *tails) > level + 1e-9:
            expected.append(at)
            start = at + 1
        elif max(0.0, *tails) > level - 1e-9:
            return  # rounding decides: nothing to compare
    assert list(seen.alarms) == expected


def test_resampled_paths_alarm_as_often_as_asked_and_no_more(calibrated: CusumChart) -> None:
    assert 0.7 < calibrated.false_alarms_per_year <= 0.75
    assert calibrated.run_length_sessions == pytest.approx(SESSIONS_PER_YEAR / calibrated.false_alarms_per_year)
    assert calibrated.run_length_sessions >= SESSIONS_PER_YEAR
    # alarms that came as those of a Poisson process would: 1 - exp(-0.75) = 0.53
    assert 0.4 < calibrated.alarm_within_year < 0.6


def test_independent_observations_give_the_published_run_length() -> None:
    # Siegmund (1985): ARL = (exp(2 k b) - 1 - 2 k b) / (2 k^2), b = h + 1.166; k = 0.5, h = 4: 338 (exact: 336)
    level, reference = 4.0, 0.5
    b = level + 1.166
    siegmund = (math.exp(2 * reference * b) - 1 - 2 * reference * b) / (2 * reference**2)
    noise = np.random.default_rng(3).standard_normal(400_000)
    seen = watch(chart(mean=0.0001, deviation=0.1, level=level), np.clip(0.0001 - 0.1 * noise, -1, 1))
    assert len(noise) / len(seen.alarms) == pytest.approx(siegmund, rel=0.06)


def test_fresh_series_alarm_at_most_once_a_year_though_mean_and_deviation_are_estimates() -> None:
    # 30 models of their own, 60 live years each
    rng, alarms = np.random.default_rng(11), []
    for seed in range(30):
        params = CusumParams(paths=150, years=8, seed=seed)
        made = calibrated_chart(rank_ic(rng, 1000), reach_sessions=REACH, params=params)
        live = np.clip(rank_ic(rng, 60 * SESSIONS_PER_YEAR), -1, 1)
        alarms.append(len(watch(made, live).alarms) / 60)
    assert np.mean(alarms) <= 1.0
    assert np.mean(alarms) >= 0.5


def test_a_level_for_independent_observations_would_alarm_many_times_a_year(calibrated: CusumChart) -> None:
    live = np.clip(rank_ic(np.random.default_rng(5), 100 * SESSIONS_PER_YEAR), -1, 1)
    tabled = chart(reference=0.5, level=3.72)  # once a year of independent observations
    assert len(watch(tabled, live).alarms) / 100 > 5 > 2 * len(watch(calibrated, live).alarms) / 100


def test_inversion_is_alarmed_within_10_sessions_and_loss_of_all_skill_within_25(
    calibrated: CusumChart, in_control: np.ndarray
) -> None:
    assert calibrated.icir == pytest.approx(1.0)
    half, loss, inversion = delay_curve(calibrated, in_control, (0.5, 1.0, 2.0), paths=600)
    assert inversion.median <= 10
    assert loss.median <= 25
    assert loss.mean <= 25
    assert (loss.alarmed_frac, inversion.alarmed_frac) == (1.0, 1.0)
    assert inversion.median < loss.median < half.median


def test_a_fresh_series_whose_sign_inverts_is_alarmed_as_soon(calibrated: CusumChart) -> None:
    rng, delays = np.random.default_rng(13), []
    for _ in range(300):
        live = np.clip(rank_ic(rng, 400), -1, 1)
        live[100:] *= -1
        late = [at - 99 for at in watch(calibrated, live).alarms if at >= 100]
        delays.append(late[0])
    assert np.median(delays) <= 10


def test_the_same_seed_gives_the_same_bits_and_another_nearly_the_same_level(in_control: np.ndarray) -> None:
    one, again, other = (
        calibrated_chart(in_control, reach_sessions=REACH, params=CusumParams(paths=200, seed=seed))
        for seed in (1, 1, 2)
    )
    assert one == again
    assert other.level != one.level
    assert other.level == pytest.approx(one.level, rel=0.1)


def test_fewer_false_alarms_cost_a_higher_level(in_control: np.ndarray) -> None:
    levels = [
        calibrated_chart(
            in_control, reach_sessions=REACH, params=CusumParams(paths=100, false_alarms_per_year=allowed)
        ).level
        for allowed in (2.0, 1.0, 0.25)
    ]
    assert levels == sorted(levels)
    assert levels[0] < levels[-1]


@pytest.mark.parametrize(
    ("series", "told"),
    [
        (np.full(400, 0.1), "too few for an alarm level: walk forward over at least 480"),
        (np.full(600, 0.1), "deviation 0: no skill to lose"),
        (-rank_ic(np.random.default_rng(0), 600), "no skill to lose"),
        (np.append(rank_ic(np.random.default_rng(0), 600), np.nan), "number 600 of 601 is nan"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(series: np.ndarray, told: str) -> None:
    with pytest.raises(DataQualityError, match=told):
        calibrated_chart(series, reach_sessions=REACH)


def test_senseless_parameters_are_refused(in_control: np.ndarray) -> None:
    for params in (CusumParams(false_alarms_per_year=0), CusumParams(lost_frac=0), CusumParams(paths=0)):
        with pytest.raises(DataQualityError, match="cannot be calibrated"):
            calibrated_chart(in_control, reach_sessions=REACH, params=params)


def test_delays_without_an_alarm_are_told_and_not_left_out() -> None:
    found = delay_of(np.array([1.0, 2.0, 3.0, np.inf]), lost_frac=1.0, horizon=100)
    assert (found.median, found.mean, found.p90, found.alarmed_frac) == (2.0, 26.5, math.inf, 0.75)


def test_a_kept_chart_is_read_back_as_it_was_and_a_damaged_one_is_refused(calibrated: CusumChart) -> None:
    kept = json.loads(json.dumps(calibrated.as_dict()))
    assert chart_of(kept) == calibrated
    for damage in ({"level": math.nan}, {"level": -1.0}, {"mean": "0.1"}, {"deviation": 0.0}, {"more": 1}):
        with pytest.raises(DataQualityError, match="kept alarm"):
            chart_of(kept | damage)
    with pytest.raises(DataQualityError, match="level"):
        chart_of({name: value for name, value in kept.items() if name != "level"})
