"""Scores are live by when they were made, alarms stand whatever labels become, intervals are held to their coverage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.calendar import session_closes
from ljwx_pipeline.monitoring.cusum import CusumChart, watch
from ljwx_pipeline.monitoring.decay import LabelTiming
from ljwx_pipeline.monitoring.live import Fared, fared, scored_in_time

TIMING = LabelTiming(entry_lag_sessions=1, horizon_sessions=5)
CALENDAR = pd.bdate_range("2026-03-02", periods=120)
SYMBOLS = 100
CHART = CusumChart(0.1, 0.1, 0.5, 6.0, 0.75, 336.0, 0.5, 600, 48, 0)


def tables(sessions: int, skill: float, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return scores of the first ``sessions``, made on their evenings, and their labels, half of them matured."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "symbol": np.tile([f"{at:06d}.SZ" for at in range(SYMBOLS)], sessions),
            "session_date": np.repeat(CALENDAR[:sessions], SYMBOLS),
        }
    )
    score = rng.standard_normal(len(rows))
    evenings = (session_closes(CALENDAR[:sessions]) + pd.Timedelta(hours=3)).tz_convert("UTC")
    scores = rows.assign(score=score, scorable=True, scored_at=np.repeat(evenings, SYMBOLS))
    forward = 0.03 * (skill * score + rng.standard_normal(len(rows)))
    labels = rows.assign(forward_return=forward, matured_date=np.repeat(CALENDAR[6 : sessions + 6], SYMBOLS))
    return scores, labels


def judged(scores: pd.DataFrame, labels: pd.DataFrame, settings: Settings, **changes: Any) -> Fared:
    asked: dict[str, Any] = {"timing": TIMING, "chart": CHART, "raised": (), "settings": settings.monitoring} | changes
    stop = CALENDAR.get_loc(scores["session_date"].max()) + 7
    return fared(scores, labels, CALENDAR[:stop], **asked)


def test_a_score_made_before_the_close_of_its_entry_is_live_and_a_later_one_is_counted_apart(
    settings: Settings,
) -> None:
    scores, labels = tables(30, 0.1)
    closes = session_closes(CALENDAR)
    second, third = (scores["session_date"] == CALENDAR[at] for at in (1, 2))
    scores.loc[second, "scored_at"] = closes[2] - pd.Timedelta(seconds=1)
    scores.loc[third, "scored_at"] = closes[3]
    in_time = scored_in_time(scores, CALENDAR, TIMING)
    assert list(scores.loc[~in_time, "session_date"].unique()) == [CALENDAR[2]]
    found = judged(scores, labels, settings)
    assert (len(found.skill), found.live_sessions) == (30, 29)
    assert list(found.skill.loc[~found.skill["live"], "session_date"]) == [CALENDAR[2]]
    assert found.skill["rank_ic"].notna().all(), "what was scored afterwards is out of sample too, and watched"


def test_who_was_not_in_the_universe_is_not_judged(settings: Settings) -> None:
    scores, labels = tables(30, 0.1)
    without = scores["symbol"].isin(scores["symbol"].unique()[:40])
    assert set(judged(scores.assign(scorable=~without), labels, settings).skill["rows"]) == {60}


def test_lost_skill_is_alarmed_on_the_session_that_the_chart_says(settings: Settings) -> None:
    scores, labels = tables(40, -0.1)
    found = judged(scores, labels, settings)
    expected = watch(CHART, found.skill["rank_ic"].to_numpy())
    assert expected.alarms
    assert found.alarms == tuple(found.skill["matured_date"].iloc[at].date() for at in expected.alarms)
    np.testing.assert_array_equal(found.skill["statistic"], expected.statistic)


def test_an_alarm_that_was_raised_stands_when_labels_are_restated_and_watching_begins_anew_after_it(
    settings: Settings,
) -> None:
    scores, labels = tables(40, -0.1)
    first = judged(scores, labels, settings).alarms[0]
    before = labels["matured_date"] <= pd.Timestamp(first)
    restated = labels.assign(forward_return=labels["forward_return"].where(~before, -labels["forward_return"]))
    again = judged(scores, restated, settings, raised=[first])
    assert all(at > first for at in again.alarms)
    after = again.skill["matured_date"] > pd.Timestamp(first)
    np.testing.assert_array_equal(
        again.skill.loc[after, "statistic"], watch(CHART, again.skill.loc[after, "rank_ic"].to_numpy()).statistic
    )
    assert judged(scores, labels, settings, raised=judged(scores, labels, settings).alarms).alarms == ()


def test_without_an_alarm_level_nothing_is_alarmed_and_skill_is_told_all_the_same(settings: Settings) -> None:
    found = judged(*tables(40, -0.1), settings, chart=None)
    assert found.alarms == ()
    assert found.skill["statistic"].isna().all()
    assert found.skill["rank_ic"].mean() < 0


@pytest.mark.parametrize(("width", "miscalibrated"), [(1.96, False), (0.8, True)])
def test_intervals_are_held_to_the_least_coverage_over_a_full_window(
    settings: Settings, width: float, miscalibrated: bool
) -> None:
    scores, labels = tables(70, 0.0)
    ends = scores.assign(interval_lower=-0.03 * width, interval_upper=0.03 * width)
    found = judged(ends, labels, settings)
    assert found.miscalibrated is miscalibrated
    assert found.calibration is not None
    assert found.calibration.sessions == settings.monitoring.coverage_window_sessions
    short = ends["session_date"] < CALENDAR[30]
    assert judged(ends[short], labels[short], settings).miscalibrated is None, "half a window tells nothing"
    assert judged(scores, labels, settings).miscalibrated is None, "there is no interval"


def test_before_the_first_label_matures_it_is_said_how_long_that_takes(settings: Settings) -> None:
    scores, labels = tables(3, 0.1)
    unknown = labels.assign(matured_date=pd.NaT, forward_return=np.nan)
    found = fared(scores, unknown, CALENDAR[:3], timing=TIMING, chart=CHART, raised=(), settings=settings.monitoring)
    assert (len(found.skill), found.calibration, found.alarms) == (0, None, ())
    assert found.sessions_to_next == 4
    gap = fared(
        scores[scores["session_date"] != CALENDAR[1]], unknown, CALENDAR[:3], timing=TIMING, chart=CHART, raised=(),
        settings=settings.monitoring,
    )  # fmt: skip
    assert gap.unscored_sessions == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"matured_date": CALENDAR[5]}, "sessions after its score, not 6"),
        ({"scored_at": pd.Timestamp("2026-02-01", tz="UTC")}, "was made before its session"),
        ({"session_date": pd.Timestamp("2026-03-07")}, "is no session of the calendar"),
    ],
    ids=["label", "clock", "calendar"],
)
def test_clock_calendar_and_labels_that_do_not_fit_are_refused_by_name(
    settings: Settings, change: dict[str, Any], said: str
) -> None:
    scores, labels = tables(30, 0.1)
    changed = labels if "matured_date" in change else scores
    for column, value in change.items():
        changed.loc[0, column] = value
    with pytest.raises(DataQualityError, match=said):
        fared(scores, labels, CALENDAR[:36], timing=TIMING, chart=CHART, raised=(), settings=settings.monitoring)
