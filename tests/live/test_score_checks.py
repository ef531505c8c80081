"""A model's answer is taken in time, for enough names, with finite numbers that differ, or not at all."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.coefficients import MIN_PAIRS
from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.score_checks import (
    MAX_SCORE,
    ModelFailed,
    in_time,
    rank_correlation,
    require_alike,
    unscored_frac,
)

SCORES = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=12)


def test_an_answer_comes_with_the_seconds_it_took() -> None:
    answer, seconds = in_time(5.0, lambda: "here", SystemClock())
    assert answer == "here"
    assert 0 <= seconds < 5


def test_what_takes_too_long_is_left_behind_and_the_caller_goes_on() -> None:
    never = threading.Event()
    with pytest.raises(ModelFailed, match=r"no answer within 0\.05 s"):
        in_time(0.05, never.wait, SystemClock())
    never.set()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ZeroDivisionError("by zero"), "ZeroDivisionError('by zero')"),
        (SystemExit(1), "SystemExit(1)"),
        (LiveError("the fact", "the remedy"), "the fact"),
    ],
)
def test_whatever_is_raised_is_one_failure_that_says_it(error: BaseException, said: str) -> None:
    def raises() -> None:
        raise error

    with pytest.raises(ModelFailed) as caught:
        in_time(5.0, raises, SystemClock())
    assert caught.value.fact == f"it raised an error: {said}"
    assert caught.value.__cause__ is error


@given(SCORES, st.data())
def test_scores_that_pass_are_finite_differ_and_leave_few_out(values: list[float], data: st.DataObject) -> None:
    scores = np.array(values, dtype=np.float64)
    scorable = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))), dtype=bool)
    limit = data.draw(st.sampled_from([0.0, 0.2, 0.5]))
    given_to = scores[scorable]
    known = given_to[~np.isnan(given_to)]
    share = 1 - len(known) / len(given_to) if len(given_to) else 0.0
    wrong = (np.abs(known) > MAX_SCORE).any() or share > limit
    wrong = wrong or (len(known) >= MIN_PAIRS and len(np.unique(known)) == 1)
    if wrong:
        with pytest.raises(ModelFailed):
            unscored_frac(scores, scorable, limit=limit)
    else:
        assert unscored_frac(scores, scorable, limit=limit) == share


def test_scores_of_other_symbols_are_refused() -> None:
    with pytest.raises(ModelFailed, match=r"\(3,\) scores came for \(4,\) symbols"):
        unscored_frac(np.zeros(3), np.ones(4, dtype=bool), limit=0.5)


def test_a_correlation_is_of_the_names_known_in_both() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=30)
    other = np.exp(one)
    other[:5], one[5:10] = np.nan, np.nan
    assert rank_correlation(one, other) == pytest.approx(1.0)
    assert rank_correlation(one, -other) == pytest.approx(-1.0)
    assert rank_correlation(one[:14], other[:14]) is None, "four names say nothing"
    assert rank_correlation(one, np.zeros(30)) is None
    assert rank_correlation(np.zeros(0), np.zeros(0)) is None


def test_minus_one_asks_for_nothing_and_anything_else_for_a_correlation() -> None:
    require_alike(None, -1.0)
    require_alike(0.5, 0.5)
    with pytest.raises(ModelFailed, match=r"is 0\.49, limit 0\.50"):
        require_alike(0.49, 0.5)
    with pytest.raises(ModelFailed, match="cannot be told"):
        require_alike(None, 0.5)
