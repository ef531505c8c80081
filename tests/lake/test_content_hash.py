"""The content hash sees values, not storage."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.lake.content_hash import combined_hash, content_hash

columns = st.fixed_dictionaries(
    {
        "text": st.lists(
            st.one_of(st.none(), st.text(alphabet=st.characters(exclude_categories=["Cs"]))), min_size=4, max_size=4
        ),
        "number": st.lists(st.floats(), min_size=4, max_size=4),
        "count": st.lists(st.integers(-(2**62), 2**62), min_size=4, max_size=4),
        "flag": st.lists(st.booleans(), min_size=4, max_size=4),
        "day": st.lists(st.dates(datetime(1990, 1, 1).date(), datetime(2100, 1, 1).date()), min_size=4, max_size=4),  # noqa: DTZ001
    }
)


def as_frame(values: dict[str, list[object]]) -> pd.DataFrame:
    frame = pd.DataFrame(values)
    frame["text"] = frame["text"].astype(object)
    frame["day"] = pd.to_datetime(frame["day"]).astype("datetime64[ns]")
    return frame.assign(instant=frame["day"].dt.tz_localize(UTC))


@given(values=columns)
@settings(max_examples=60, deadline=None)
def test_a_parquet_round_trip_keeps_the_hash(values: dict[str, list[object]]) -> None:
    frame = as_frame(values)
    stored = io.BytesIO()
    frame.to_parquet(stored)
    assert content_hash(pd.read_parquet(stored)) == content_hash(frame)


@given(values=columns, row=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_a_changed_value_changes_the_hash(values: dict[str, list[object]], row: int) -> None:
    frame = as_frame(values)
    number = frame["number"].iloc[row]
    changes = {
        "text": f"{frame['text'].iloc[row] or ''}x",
        "number": 0.5 if np.isnan(number) or number != 0.5 else 0.25,
        "count": frame["count"].iloc[row] + 1,
        "flag": not frame["flag"].iloc[row],
        "day": frame["day"].iloc[row] + pd.Timedelta(days=1),
    }
    for column, value in changes.items():
        other = frame.copy()
        other.loc[row, column] = value
        assert content_hash(other) != content_hash(frame), column


def test_text_does_not_end_at_a_nul_character() -> None:
    words = ["", "\x00", "\x00x"]
    assert len({content_hash(pd.DataFrame({"s": [word]})) for word in words}) == len(words)


def test_the_hash_is_the_same_on_every_machine() -> None:
    frame = pd.DataFrame({"symbol": ["600519.SH", None], "close_cny": [1.5, np.nan], "n": [1, 2]})
    assert content_hash(frame) == "ae8fb42ef11766458e0c6eae35b70b79d98bb0edae260ba7694bfbf2d1b70cfb"


def test_storage_choices_do_not_matter() -> None:
    frame = pd.DataFrame({"s": ["b", "a", "b"], "x": [0.0, np.nan, 1.0]}, index=[7, 8, 9])
    assert content_hash(frame.astype({"s": "category"})) == content_hash(frame)
    assert content_hash(frame.astype({"s": "string"})) == content_hash(frame)
    assert content_hash(frame.reset_index(drop=True)) == content_hash(frame)
    assert content_hash(frame.assign(x=[-0.0, np.nan, 1.0])) == content_hash(frame)


def test_boundaries_between_words_and_columns_count() -> None:
    def hashed(**data: list[object]) -> str:
        return content_hash(pd.DataFrame(data))

    assert hashed(s=["ab", "c"]) != hashed(s=["a", "bc"])
    assert hashed(s=["", "a"]) != hashed(s=[None, "a"])
    assert hashed(a=[1], b=[2]) != hashed(a=[2], b=[1])
    assert hashed(a=[1], b=[2]) != hashed(b=[2], a=[1])
    assert hashed(a=[1]) != hashed(a=[1.0])
    assert content_hash(pd.DataFrame({"a": pd.Series(dtype=float)})) != content_hash(pd.DataFrame())


def test_objects_and_repeated_names_are_refused_by_name() -> None:
    with pytest.raises(LakeError, match="column mixed holds 1 of type int"):
        content_hash(pd.DataFrame({"mixed": ["a", 1]}))
    with pytest.raises(LakeError, match="repeat a name"):
        content_hash(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_parts_combine_by_name_not_by_order() -> None:
    assert combined_hash({"a": "1", "b": "2"}) == combined_hash({"b": "2", "a": "1"})
    assert combined_hash({"a": "1", "b": "2"}) != combined_hash({"a": "2", "b": "1"})
