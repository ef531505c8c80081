"""Ranges by date become arrays by session: inclusive ends, lasting ones, silence as unknown, overlaps refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.ranges import UNKNOWN, index_member_mask, range_labels, range_mask

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


def test_a_label_is_the_one_that_held_and_unknown_where_nobody_said() -> None:
    stated = ranges(("a", "bank", "2024-01-02", "2024-01-03"), ("a", "steel", "2024-01-05", None))
    got = range_labels(stated, "industry", SYMBOLS, SESSIONS)
    assert got[0].tolist() == ["bank", "bank", UNKNOWN, "steel", "steel"]
    assert set(got[1:].ravel()) == {UNKNOWN}


def test_two_labels_at_once_are_refused() -> None:
    stated = ranges(("a", "bank", "2024-01-02", "2024-01-04"), ("a", "steel", "2024-01-04", None))
    with pytest.raises(DataQualityError, match="a has two values of industry on 2024-01-04"):
        range_labels(stated, "industry", SYMBOLS, SESSIONS)


def test_no_session_tells_of_a_later_range() -> None:
    stated = ranges(("a", "bank", "2024-01-02", "2024-01-03"), ("a", "steel", "2024-01-05", None))
    whole = range_labels(stated, "industry", SYMBOLS, SESSIONS)
    for cut in range(1, len(SESSIONS)):
        known = stated[stated["start_date"] <= SESSIONS[cut - 1]]
        np.testing.assert_array_equal(range_labels(known, "industry", SYMBOLS, SESSIONS[:cut]), whole[:, :cut])


def test_index_members_are_those_of_that_index_on_that_session() -> None:
    members = ranges(("a", "", "2024-01-02", "2024-01-03"), ("b", "", "2024-01-04", None)).assign(
        index_code="000300.SH"
    )
    got = index_member_mask(members, "000300.SH", SYMBOLS, SESSIONS)
    assert got.sum(axis=0).tolist() == [1, 1, 1, 1, 1]
    with pytest.raises(DataQualityError, match=r"no member of index 000905.SH.*000300\.SH"):
        index_member_mask(members, "000905.SH", SYMBOLS, SESSIONS)


def members(*rows: tuple[str, str, str, str | None]) -> pd.DataFrame:
    return ranges(*rows).assign(index_code="000300.SH")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [("b", "", "2024-01-02", None), ("a", "", "2024-01-04", None), ("a", "", "2024-01-02", "2024-01-04")],
            "a 2024-01-04 to open begins while a 2024-01-02 to 2024-01-04 lasts",
        ),
        ([("a", "", "2024-01-02", None), ("a", "", "2024-01-03", "2024-01-03")], "a 2024-01-03 to 2024-01-03 begins"),
        (
            [("a", "", "2024-01-02", "2024-01-08"), ("a", "", "2024-01-03", None)],
            "a 2024-01-03 to open begins while a 2024-01-02 to 2024-01-08 lasts",
        ),
        ([("a", "", "2024-01-02", None), ("a", "", "2024-01-02", None)], "twice member of 000300.SH at once (1 such"),
        ([("z", "", "2024-01-02", None), ("z", "", "2024-01-02", None)], "z 2024-01-02 to open begins while"),
    ],
)
def test_overlapping_memberships_are_refused(rows: list[tuple[str, str, str, str | None]], said: str) -> None:
    with pytest.raises(DataQualityError) as caught:
        index_member_mask(members(*rows), "000300.SH", SYMBOLS, SESSIONS)
    assert said in str(caught.value)
    assert "close the earlier range" in caught.value.remedy


def test_memberships_that_meet_or_are_of_another_index_do_not_overlap() -> None:
    stated = members(("a", "", "2024-01-02", "2024-01-03"), ("a", "", "2024-01-04", None))
    other = stated.assign(index_code="000905.SH")
    got = index_member_mask(pd.concat([stated, other]), "000300.SH", SYMBOLS, SESSIONS)
    assert got[0].all()


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("2024-01-05", "2024-01-03", "range 2: b 2024-01-05 to 2024-01-03 ends before it starts"),
        (None, "2024-01-03", "range 2: b has no start_date"),
    ],
)
def test_a_range_that_runs_backwards_is_refused(start: str | None, end: str, said: str) -> None:
    stated = ranges(("a", "bank", "2024-01-02", None), ("b", "steel", start, end))  # type: ignore[arg-type]
    for use in (
        lambda: range_mask(stated, SYMBOLS, SESSIONS),
        lambda: range_labels(stated, "industry", SYMBOLS, SESSIONS),
    ):
        with pytest.raises(DataQualityError) as caught:
            use()
        assert said in str(caught.value)
