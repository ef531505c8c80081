"""Who is abstained from, and for which reason: the limits themselves may be traded, the unknown may not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.uncertainty.abstain import Abstention, abstentions
from ljwx_pipeline.uncertainty.conformal import intervals
from ljwx_pipeline.uncertainty.state import IntervalParams, IntervalState

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("lower", "upper", "reason"),
    [
        (-0.10, 0.10, Abstention.NONE),
        (-0.05, 0.15, Abstention.NONE),
        (-0.05, 0.16, Abstention.TOO_WIDE),
        (-0.11, 0.05, Abstention.TOO_DEEP),
        (-0.50, 0.50, Abstention.TOO_WIDE),
        (NAN, 0.1, Abstention.NO_INTERVAL),
        (-0.1, NAN, Abstention.NO_INTERVAL),
        (-INF, 0.1, Abstention.NO_INTERVAL),
        (-0.1, INF, Abstention.NO_INTERVAL),
        (0.1, -0.1, Abstention.NO_INTERVAL),
        (INF, INF, Abstention.NO_INTERVAL),
    ],
)
def test_the_rule(lower: float, upper: float, reason: Abstention):
    # room for the rounding of 0.15 + 0.05
    told = abstentions(np.array([lower]), np.array([upper]), max_width=0.2 + 1e-12, max_loss=0.1)
    assert told.dtype == np.int8
    assert Abstention(told[0]) is reason


def test_without_limits_an_interval_is_enough():
    told = abstentions(np.array([[-9.0, NAN]]), np.array([[9.0, 9.0]]), max_width=INF, max_loss=INF)
    np.testing.assert_array_equal(told, [[Abstention.NONE, Abstention.NO_INTERVAL]])


def test_a_state_that_knows_nothing_abstains_from_all():
    params = IntervalParams(0.9, 6, 250.0, 60, 0.1, 0.1, 5.0)
    said = intervals(IntervalState.begin(params), 0, np.zeros(3), np.full(3, 0.02), {})
    told = abstentions(said.lower, said.upper, max_width=INF, max_loss=INF)
    np.testing.assert_array_equal(told, Abstention.NO_INTERVAL)


@pytest.mark.parametrize(("width", "loss"), [(0.0, 0.1), (-1.0, 0.1), (NAN, 0.1), (0.1, 0.0), (0.1, NAN)])
def test_a_limit_that_makes_no_sense_is_refused(width: float, loss: float):
    with pytest.raises(ModelError, match="choose a limit above 0"):
        abstentions(np.zeros(1), np.ones(1), max_width=width, max_loss=loss)


def test_ends_of_two_shapes_are_refused():
    with pytest.raises(ModelError, match="shapes"):
        abstentions(np.zeros(2), np.ones(3), max_width=1.0, max_loss=1.0)
