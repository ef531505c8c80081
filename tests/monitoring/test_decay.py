"""Live scores are judged by the right label, equal a plain reckoning, and what cannot be true is refused."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.evaluation.ic import ic_by_session, ic_summary, quantile_returns
from ljwx_pipeline.label import rank_label
from ljwx_pipeline.monitoring.decay import LabelTiming, calibration, matured_rows, skill_by_session

TIMING = LabelTiming(entry_lag_sessions=1, horizon_sessions=5)
CALENDAR = pd.bdate_range("2026-03-02", periods=40)
TODAY = CALENDAR[30].date()


def tables(
    *, sessions: int = 20, symbols: int = 30, seed: int = 0, skill: float = 0.1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    rows = pd.MultiIndex.from_product(
        [[f"{at:06d}.SZ" for at in range(symbols)], CALENDAR[:sessions]], names=["symbol", "session_date"]
    )
    frame = rows.to_frame(index=False)
    score = rng.standard_normal(len(frame))
    predictions = frame.assign(score=score)
    forward = 0.03 * (skill * score + rng.standard_normal(len(frame)))
    matured = CALENDAR[CALENDAR.get_indexer(pd.DatetimeIndex(frame["session_date"])) + 6]
    return predictions, frame.assign(matured_date=matured, forward_return=forward)


def join(predictions: pd.DataFrame, labels: pd.DataFrame, **changes: Any) -> pd.DataFrame:
    settings: dict[str, Any] = {"timing": TIMING, "today": TODAY} | changes
    return matured_rows(predictions, labels, CALENDAR, **settings)


def small() -> pd.DataFrame:
    """Two sessions of six symbols whose figures are reckoned by hand below."""
    score = [1.0, 2, 3, 4, 5, 6, 6, 5, 4, 3, 2, 1]
    forward = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.01, 0.03, 0.02, 0.04, 0.05, 0.06]
    return pd.DataFrame(
        {
            "symbol": list("abcdef") * 2,
            "session_date": np.repeat(CALENDAR[:2], 6),
            "matured_date": np.repeat(CALENDAR[6:8], 6),
            "score": score,
            "forward_return": forward,
        }
    )


def test_scores_stand_beside_the_label_that_matured_and_unknown_ones_are_left_out() -> None:
    predictions, labels = tables()
    predictions.loc[3, "score"] = np.nan
    labels.loc[5, "forward_return"] = np.nan
    found = join(predictions.sample(frac=1, random_state=1), labels[labels["session_date"] < CALENDAR[15]])
    assert len(found) == 15 * 30 - 2
    assert found["session_date"].is_monotonic_increasing
    assert (found["matured_date"] == CALENDAR[CALENDAR.get_indexer(pd.DatetimeIndex(found["session_date"])) + 6]).all()
    wanted = labels.set_index(["symbol", "session_date"])["forward_return"]
    assert (found.set_index(["symbol", "session_date"])["forward_return"] == wanted.reindex(
        pd.MultiIndex.from_frame(found[["symbol", "session_date"]])
    )).all()  # fmt: skip


def test_skill_by_hand() -> None:
    found = skill_by_session(small(), window_sessions=2)
    # second session: ranks 6..1 against 1, 3, 2, 4, 5, 6: 1 - 6 * (25 + 4 + 4 + 1 + 9 + 25) / 210
    assert found["rank_ic"].tolist() == pytest.approx([1.0, 1 - 6 * 68 / 210])
    assert found["hit_frac"].tolist() == pytest.approx([1.0, 0.0])
    assert found["rows"].tolist() == [6, 6]
    assert np.isnan(found["rolling_rank_ic"][0])
    mean = (1.0 + 1 - 6 * 68 / 210) / 2
    assert found["rolling_rank_ic"][1] == pytest.approx(mean)
    assert found["rolling_hit_frac"][1] == 0.5
    assert found["rolling_rank_icir"][1] == pytest.approx(mean / np.std(found["rank_ic"], ddof=1))


def test_rank_ic_is_scipys_and_the_houses_own() -> None:
    predictions, labels = tables(skill=0.3)
    matured = join(predictions, labels)
    found = skill_by_session(matured, window_sessions=20)
    for session, rows in matured.groupby("session_date"):
        wanted = spearmanr(rows["score"], rows["forward_return"]).statistic
        assert found.set_index("session_date")["rank_ic"][session] == pytest.approx(wanted, abs=1e-12)
    index = CALENDAR.get_indexer(pd.DatetimeIndex(matured["session_date"]))
    table = ic_by_session(matured["score"].to_numpy(), matured["forward_return"].to_numpy(), index, CALENDAR)
    summary = ic_summary(table)
    assert found["rolling_rank_ic"].iloc[-1] == pytest.approx(summary["rank_ic_mean"])
    assert found["rolling_rank_icir"].iloc[-1] == pytest.approx(summary["rank_icir"])


def test_a_session_whose_scores_are_one_number_has_no_rank_ic_and_is_still_told() -> None:
    matured = small()
    matured.loc[:5, "score"] = 1.0
    found = skill_by_session(matured, window_sessions=2)
    assert np.isnan(found["rank_ic"][0])
    assert np.isnan(found["hit_frac"][0])
    assert len(found) == 2
    assert skill_by_session(matured.iloc[:0]).empty
    with pytest.raises(DataQualityError, match="window of 1"):
        skill_by_session(matured, window_sessions=1)


def test_scores_without_skill_hit_half_the_time_and_inverted_ones_mirror() -> None:
    matured = join(*tables(symbols=500, skill=0.0))
    luck = skill_by_session(matured)["hit_frac"].mean()
    assert luck == pytest.approx(0.5, abs=0.02)
    skilled = join(*tables(symbols=500, skill=1.0))
    good, bad = (skill_by_session(skilled.assign(score=sign * skilled["score"])) for sign in (1, -1))
    assert good["hit_frac"].mean() > 0.7
    assert (bad["hit_frac"] + good["hit_frac"]).tolist() == pytest.approx([1.0] * len(good))
    assert (bad["rank_ic"] + good["rank_ic"]).tolist() == pytest.approx([0.0] * len(good))


def test_calibration_by_hand_and_by_the_houses_quantiles() -> None:
    found = calibration(small())
    # within the sessions: scores (-2.5 .. 2.5), returns 0.01 apart; sums of products 0.175 and -0.165 over 35
    assert found.slope == pytest.approx((0.175 - 0.165) / 35)
    assert (found.rows, found.sessions, found.coverage_frac, found.mean_width) == (12, 2, None, None)
    assert np.isnan(found.decile_returns).all()
    matured = join(*tables(skill=0.5))
    index = CALENDAR.get_indexer(pd.DatetimeIndex(matured["session_date"]))
    wanted = quantile_returns(matured["score"].to_numpy(), matured["forward_return"].to_numpy(), index)
    assert calibration(matured).decile_returns == pytest.approx(wanted)


def test_the_slope_is_what_a_unit_of_score_earns() -> None:
    matured = join(*tables(symbols=400, skill=0.4))
    assert calibration(matured).slope == pytest.approx(0.03 * 0.4, rel=0.1)
    assert np.isnan(calibration(matured.assign(score=1.0)).slope)


def test_coverage_counts_the_intervals_that_hold_the_return_ends_included() -> None:
    matured = small().assign(lower=0.02, upper=0.05)
    found = calibration(matured)
    assert found.coverage_frac == pytest.approx(8 / 12)
    assert found.mean_width == pytest.approx(0.03)
    matured.loc[0, ["lower", "upper"]] = np.nan  # one without an interval, which 0.01 would have missed
    assert calibration(matured).coverage_frac == pytest.approx(8 / 11)


def test_intervals_of_ranks_are_held_against_the_label_as_it_is_trained() -> None:
    matured = small()
    ranks = np.concatenate([rank_label(matured["forward_return"].to_numpy()[at : at + 6, None])[:, 0] for at in (0, 6)])
    exact = matured.assign(lower=ranks - 1e-6, upper=ranks + 1e-6)
    assert calibration(exact, band_of="rank").coverage_frac == 1.0
    assert calibration(exact.assign(lower=ranks + 0.01, upper=0.6), band_of="rank").coverage_frac == 0.0


def test_intervals_cover_what_they_promise_on_normal_returns() -> None:
    predictions, labels = tables(symbols=500, skill=0.3)
    half = 1.645 * 0.03
    banded = predictions.assign(lower=0.009 * predictions["score"] - half, upper=0.009 * predictions["score"] + half)
    assert calibration(join(banded, labels)).coverage_frac == pytest.approx(0.9, abs=0.01)


def test_nothing_matured_is_no_calibration() -> None:
    with pytest.raises(DataQualityError, match="no live label has matured"):
        calibration(small().iloc[:0])


def shifted(labels: pd.DataFrame, sessions: int) -> pd.DataFrame:
    at = CALENDAR.get_indexer(pd.DatetimeIndex(labels["session_date"])) + sessions
    return labels.assign(matured_date=CALENDAR[at])


@pytest.mark.parametrize(("sessions", "told"), [(0, "0 sessions after its score, not 6"), (5, "5 sessions after")])
def test_a_label_of_another_session_than_its_score_asks_for_is_refused(sessions: int, told: str) -> None:
    predictions, labels = tables()
    with pytest.raises(DataQualityError, match=told):
        join(predictions, shifted(labels, sessions))


def test_a_label_from_before_its_score_is_refused() -> None:
    predictions, labels = tables()
    labels = labels[labels["session_date"] > CALENDAR[2]]
    with pytest.raises(DataQualityError, match="-1 sessions after its score"):
        join(predictions, shifted(labels, -1))


def test_labels_known_before_they_can_be_and_scores_of_the_future_are_refused() -> None:
    predictions, labels = tables()
    with pytest.raises(DataQualityError, match="is known before its session"):
        join(predictions, labels, today=CALENDAR[20].date())
    with pytest.raises(DataQualityError, match=r"predictions hold .* after the last finished session"):
        join(predictions, labels, today=CALENDAR[10].date())
    unknown = labels["matured_date"] > CALENDAR[20]
    assert len(join(predictions, labels.assign(forward_return=labels["forward_return"].mask(unknown)),
                    today=CALENDAR[20].date())) == 15 * 30  # fmt: skip


@pytest.mark.parametrize("name", ["predictions", "labels"])
def test_a_key_given_twice_and_a_day_off_the_calendar_are_refused(name: str) -> None:
    given = dict(zip(("predictions", "labels"), tables(), strict=True))
    once = given[name]
    with pytest.raises(DataQualityError, match=f"{name} hold 000000.SZ on 2026-03-02 more than once"):
        join(**given | {name: pd.concat([once, once[:1]])})
    saturday = once.copy()
    saturday.loc[4, "session_date"] = pd.Timestamp("2026-03-07")
    with pytest.raises(DataQualityError, match=f"session_date 000000.SZ on 2026-03-07 of {name} is no session"):
        join(**given | {name: saturday})


def test_a_missing_column_an_infinite_value_and_half_an_interval_are_refused() -> None:
    predictions, labels = tables()
    for changed, told in (
        ((predictions.drop(columns="score"), labels), "predictions lack the column score"),
        ((predictions, labels.drop(columns="matured_date")), "labels lack the column matured_date"),
        ((predictions.assign(score=np.inf), labels), "score of 000000.SZ on 2026-03-02 is infinite"),
        ((predictions, labels.assign(forward_return=-np.inf)), "forward_return of 000000.SZ"),
        ((predictions.assign(lower=0.0), labels), "lower and not the interval's other end"),
        ((predictions.assign(lower=1.0, upper=0.0), labels), "ends before it begins"),
    ):
        with pytest.raises(DataQualityError, match=told):
            join(*changed)


def test_a_calendar_or_a_timing_that_cannot_be_is_refused() -> None:
    predictions, labels = tables()
    with pytest.raises(DataQualityError, match="has no session 2026-03-07"):
        join(predictions, labels, today=date(2026, 3, 7))
    with pytest.raises(DataQualityError, match="not ascending"):
        matured_rows(predictions, labels, CALENDAR[::-1], timing=TIMING, today=TODAY)
    with pytest.raises(DataQualityError, match="a price already seen"):
        join(predictions, labels, timing=LabelTiming(0, 5))


def test_scores_made_outside_their_time_are_refused() -> None:
    predictions, labels = tables()
    close = pd.DatetimeIndex(predictions["session_date"]).tz_localize("Asia/Shanghai") + pd.Timedelta(hours=15)
    live = predictions.assign(scored_at=close + pd.Timedelta(minutes=20))
    assert len(join(live, labels)) == len(predictions)
    assert len(join(live.assign(scored_at=live["scored_at"].dt.tz_convert("UTC")), labels)) == len(predictions)
    for wrong, told in (
        (live.assign(scored_at=close + pd.Timedelta(days=7)), "after the close at which its trade is entered"),
        (live.assign(scored_at=close - pd.Timedelta(hours=16)), "before its session"),
        (live.assign(scored_at=close.tz_localize(None)), "no time zone"),
        (live.assign(scored_at=live["scored_at"].where(live.index > 3)), "or gaps"),
    ):
        with pytest.raises(DataQualityError, match=told):
            join(wrong, labels)
