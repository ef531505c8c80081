"""Ranges by date become arrays by session: inclusive ends, lasting ones, nothing of later ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.ranges import index_member_mask, range_mask

SYMBOLS = ("a", "b", "c")
SESSIONS = pd.DatetimeIndex(["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08"])


def ranges(*rows: tuple[str, str, str, str | None]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["symbol", "industry", "start_date", "end_date"])
    return frame.astype({"start_date": "datetime64[ns]", "end_date": "datetime64[ns]"})


def test_both_ends_belong_to_a_range_and_one_without_an_end_lasts() -> None:
    got = range_mask(ranges(("a", "", "2024-01-03", "2024-01-04"), ("b", "", "2024-01-05", None)), SYMBOLS, SESSIONS)
    assert got.astype(int).tolist() == [[0, 1, 1, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]


def test_days_off_and_foreign_symbols_do_no_harm() -> None:
    got = range_mask(ranges(("a", "", "2024-01-06", "2024-01-07"), ("z", "", "2024-01-02", None)), SYMBOLS, SESSIONS)
    assert not got.any()


def test_no_session_tells_of_a_later_range() -> None:
    stated = ranges(("a", "", "2024-01-02", "2024-01-03"), ("a", "", "2024-01-05", None))
    whole = range_mask(stated, SYMBOLS, SESSIONS)
    for cut in range(1, len(SESSIONS)):
        known = stated[stated["start_date"] <= SESSIONS[cut - 1]]
        np.testing.assert_array_equal(range_mask(known, SYMBOLS, SESSIONS[:cut]), whole[:, :cut])


def test_index_members_are_those_of_that_index_on_that_session() -> None:
    members = ranges(("a", "", "2024-01-02", "2024-01-03"), ("b", "", "2024-01-04", None)).assign(
        index_code="000300.SH"
    )
    got = index_member_mask(members, "000300.SH", SYMBOLS, SESSIONS)
    assert got.sum(axis=0).tolist() == [1, 1, 1, 1, 1]
    with pytest.raises(DataQualityError, match=r"no member of index 000905.SH.*000300\.SH"):
        index_member_mask(members, "000905.SH", SYMBOLS, SESSIONS)
