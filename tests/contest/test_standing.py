"""A contest errs with at most its alpha however often one looks, waits for enough sessions, and sees a breach."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ljwx_pipeline.contest.standing import fallen_behind, interval_path, standing
from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.monitoring.sequential import compare_differences
from tests.contest.contests import challenger, contest

SPREAD = 0.004
Float = NDArray[np.float64]


def paired(champion: Float, other: Float) -> pd.DataFrame:
    days = pd.bdate_range("2026-01-07", periods=len(champion), name="session_date")
    return pd.DataFrame({"session_date": days, "champion": champion, "challenger": other})


def drawn(n: int, *, mean: float = 0.0, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    champion = rng.normal(0.0004, 0.012, n)
    return paired(champion, champion + mean + SPREAD * rng.standard_normal(n))


@pytest.mark.parametrize("kind", ["normal", "fat tails"])
def test_of_three_challengers_alike_any_is_named_in_at_most_alpha_of_contests_read_every_day(kind: str) -> None:
    rng, sessions, contests = np.random.default_rng(5), 250, 80
    three = contest(
        *(challenger(str(n), f"{n}" * 64, bound=3 * SPREAD) for n in (2, 3, 4)),
        alpha=0.3,
        min_sessions=20,
        max_behind_frac=0.9,
    )
    named = 0
    for _ in range(contests):
        noise = rng.standard_normal((4, sessions)) if kind == "normal" else rng.standard_t(3, (4, sessions)) / 3**0.5
        daily = 0.0004 + SPREAD / 2**0.5 * np.clip(noise, -50, 50)
        # decided_on is the first of all days on which somebody who looks every day would have been told
        named += any(
            standing(paired(daily[0], daily[i + 1]), three, one).decided_on is not None
            for i, one in enumerate(three.challengers)
        )
    assert 0 < named / contests <= 0.3, "at this alpha some luck is named: the bound can be missed"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 90))
def test_what_was_told_on_a_day_is_told_on_every_later_one(seed: int, cut: int) -> None:
    one = contest(challenger(bound=5 * SPREAD), min_sessions=10)
    table = drawn(120, mean=0.003, seed=seed)
    early, late = standing(table.iloc[:cut], one, one.challengers[0]), standing(table, one, one.challengers[0])
    for name in ("decided_on", "breached_on"):
        assert getattr(early, name) in (None, getattr(late, name))
    assert early.deepest_frac <= late.deepest_frac


def test_a_verdict_waits_for_enough_sessions_and_says_how_many_are_missing() -> None:
    one = contest(challenger(bound=5 * SPREAD), min_sessions=200)
    table = drawn(260, mean=0.002, seed=1)
    early = standing(table.iloc[:150], one, one.challengers[0])
    assert early.comparison.verdict == "challenger", "the evidence is there"
    assert (early.state, early.decided_on, early.missing_sessions) == ("early", None, 50)
    late = standing(table, one, one.challengers[0])
    assert (late.state, late.missing_sessions) == ("better", 0)
    assert late.decided_on == f"{table['session_date'].iloc[199]:%Y-%m-%d}"


def test_each_of_three_challengers_is_judged_at_a_third_of_alpha() -> None:
    three = contest(*(challenger(str(n), f"{n}" * 64, bound=5 * SPREAD) for n in (2, 3, 4)), alpha=0.06)
    table = drawn(80, mean=0.001, seed=6)
    found = standing(table, three, three.challengers[1])
    differences = (table["challenger"] - table["champion"]).to_numpy()
    assert found.comparison == compare_differences(differences, bound=5 * SPREAD, alpha=0.02)
    assert found.comparison.lower < compare_differences(differences, bound=5 * SPREAD, alpha=0.06).lower


def test_a_better_and_a_worse_challenger_are_told_apart_and_two_alike_are_not() -> None:
    one = contest(challenger(bound=5 * SPREAD), max_behind_frac=0.9)
    found = [standing(drawn(250, mean=mean, seed=3), one, one.challengers[0]).state for mean in (0.002, -0.002, 0.0)]
    assert found == ["better", "worse", "undecided"]


def test_behind_is_measured_from_the_best_relative_worth_since_the_start() -> None:
    returns = np.array([[0.0, 0.10], [0.0, -0.02], [0.01, 0.01], [-0.05, -0.10]])
    relative = np.cumprod(np.array([1.10, 0.98, 1.0, 0.90 / 0.95]))
    assert fallen_behind(returns) == pytest.approx(1 - relative / 1.10)
    assert fallen_behind(np.array([[0.02, 0.0]])) == pytest.approx([1 - 1 / 1.02]), "behind from the first session on"


def test_a_breach_is_dated_on_its_first_session_and_stays_when_the_challenger_recovers() -> None:
    other = np.array([0.0, -0.03, -0.03, 0.0, 0.08, 0.08])
    one = contest(challenger(), max_behind_frac=0.05, min_sessions=1)
    table = paired(np.zeros(6), other)
    found = standing(table, one, one.challengers[0])
    assert (found.state, found.breached_on) == ("breach", f"{table['session_date'].iloc[2]:%Y-%m-%d}")
    assert found.behind_frac == 0.0
    assert found.deepest_frac == pytest.approx(1 - 0.97**2)
    losing_together = paired(np.full(6, -0.05), np.full(6, -0.05))
    assert standing(losing_together, one, one.challengers[0]).breached_on is None, "a market's fall is no breach"


def test_the_path_of_the_interval_ends_outside_the_interval_of_the_comparison_and_close_to_it() -> None:
    differences = drawn(150, mean=0.001, seed=4).eval("challenger - champion").to_numpy()
    bound = 5 * SPREAD
    lower, upper = interval_path(differences, bound=bound, alpha=0.05)
    exact = compare_differences(differences, bound=bound, alpha=0.05)
    step = bound / 400
    assert exact.lower - step <= lower[-1] <= exact.lower
    assert exact.upper <= upper[-1] <= exact.upper + step
    assert (np.diff(lower) >= 0).all()
    assert (np.diff(upper) <= 0).all()
    middle = compare_differences(differences[:70], bound=bound, alpha=0.05)
    assert middle.lower - step <= lower[69] <= middle.lower


@pytest.mark.parametrize("broken", [[0.0, -1.0, 0.0], [0.0, np.nan, 0.0]])
def test_a_return_that_cannot_be_is_refused(broken: list[float]) -> None:
    one = contest()
    with pytest.raises(DataQualityError):
        standing(paired(np.zeros(3), np.array(broken)), one, one.challengers[0])
