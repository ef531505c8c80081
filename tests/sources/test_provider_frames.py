"""What the adapters share: published days, runs, ranges from samples, distributions, typed cells."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.sources.provider_frames import (
    dates,
    distributions,
    is_a_share,
    last_published_day,
    numbers,
    ranges_of,
    sampled,
    true_runs,
)

SESSIONS = pd.bdate_range("2024-01-01", "2024-03-29")


def test_a_days_figures_are_out_in_the_evening_of_shanghai() -> None:
    assert last_published_day(datetime(2024, 1, 3, 9, 59, tzinfo=UTC)) == date(2024, 1, 2)
    assert last_published_day(datetime(2024, 1, 3, 10, 0, tzinfo=UTC)) == date(2024, 1, 3)


def test_a_share_codes_are_told_from_indices_funds_and_b_shares() -> None:
    shares = ("600519.SH", "688981.SH", "000001.SZ", "300750.SZ", "301236.SZ", "830799.BJ", "920002.BJ", "S00001.SIM")
    others = ("000300.SH", "399006.SZ", "510300.SH", "900901.SH", "200002.SZ", "159915.SZ", "600519.SZ", "sh.600519")
    assert all(map(is_a_share, shares))
    assert not any(map(is_a_share, others))


def test_a_run_at_the_end_is_open_or_closed_as_told() -> None:
    days, flags = pd.Series(SESSIONS[:4]), np.array([True, False, True, True])
    assert true_runs(days, flags, open_end=False) == [(SESSIONS[0], SESSIONS[0]), (SESSIONS[2], SESSIONS[3])]
    start, end = true_runs(days, flags, open_end=True)[-1]
    assert (start, end is pd.NaT) == (SESSIONS[2], True)
    assert true_runs(days, np.zeros(4, dtype=bool), open_end=True) == []


def test_a_change_between_two_months_is_found_to_the_session_with_few_questions() -> None:
    asked: list[pd.Timestamp] = []

    def ask(day: pd.Timestamp) -> str:
        asked.append(day)
        return "new" if day >= pd.Timestamp("2024-02-14") else "old"

    found = sampled(SESSIONS, ask, exact=True, what="x")
    assert min(day for day, answer in found if answer == "new") == pd.Timestamp("2024-02-14")
    assert len(asked) < 12


def test_ranges_end_on_the_session_before_the_sample_that_shows_the_change() -> None:
    samples = [
        (SESSIONS[0], {"a": "x", "b": "x"}),
        (SESSIONS[5], {"a": "y"}),
        (SESSIONS[10], {"a": "y", "b": "x"}),
    ]
    found = ranges_of(samples, SESSIONS).sort_values(["key", "start_date"]).to_numpy().tolist()
    assert [row[:3] for row in found] == [
        ["a", "x", SESSIONS[0]],
        ["a", "y", SESSIONS[5]],
        ["b", "x", SESSIONS[0]],
        ["b", "x", SESSIONS[10]],
    ]
    assert [row[3] for row in found if not pd.isna(row[3])] == [SESSIONS[4], SESSIONS[4]]


def test_distributions_of_one_ex_date_add_up_and_a_repeated_row_counts_once() -> None:
    rows = [["a", SESSIONS[0], 0.1, 0.0], ["a", SESSIONS[0], 0.1, 0.0], ["a", SESSIONS[0], 0.2, 0.5]]
    frame = pd.DataFrame(rows, columns=["symbol", "ex_date", "cash_cny_per_share", "bonus_shares_per_share"])
    found = distributions(frame)
    assert found["cash_cny_per_share"].tolist() == [pytest.approx(0.3)]
    assert found["bonus_shares_per_share"].tolist() == [0.5]


def test_blank_cells_are_missing_and_nonsense_is_refused() -> None:
    cells = pd.Series(["1.5", "", None, "-"], name="c")
    assert numbers(cells, "q").isna().tolist() == [False, True, True, True]
    days = pd.Series(["2024-01-02", "", date(2024, 1, 3), None], name="d")
    assert dates(days, "q").isna().tolist() == [False, True, False, True]
    with pytest.raises(SourceError, match="'soon' in column d, which is no date"):
        dates(pd.Series(["soon"], name="d"), "q")
