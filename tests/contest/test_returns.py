"""Which returns of a contest are judged: all until a challenger left, and none may be missing before."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.contest.record import Course
from ljwx_pipeline.contest.returns import paired_returns, standings
from ljwx_pipeline.errors import DataQualityError
from tests.contest.contests import challenger, contest


def table(other: list[float]) -> pd.DataFrame:
    days = pd.bdate_range("2026-01-07", periods=len(other))
    return pd.DataFrame({"session_date": days, "champion": 0.001, "version_2": other})


def test_a_challenger_that_left_is_judged_up_to_its_last_return() -> None:
    returns = table([0.002, 0.001, np.nan, np.nan])
    paired = paired_returns(returns, challenger())
    assert paired["challenger"].tolist() == [0.002, 0.001]
    assert paired["session_date"].tolist() == returns["session_date"].tolist()[:2]
    (found,) = standings(Course(contest(), ()), returns)
    assert found.comparison.sessions == 2


def test_without_a_return_there_is_no_standing() -> None:
    course = Course(contest(), ())
    assert standings(course, table([np.nan, np.nan])) == []
    assert standings(course, table([]).drop(columns="version_2")) == []


@pytest.mark.parametrize("broken", ["champion", "version_2"])
def test_a_missing_day_between_is_refused_and_not_left_out(broken: str) -> None:
    returns = table([0.002, 0.001, 0.003])
    returns.loc[1, broken] = np.nan
    with pytest.raises(DataQualityError):
        standings(Course(contest(), ()), returns)
