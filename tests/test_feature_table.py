"""The feature table: instants, refusals, questions that answer themselves, exact comparison."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.feature_table import (
    compare,
    feast_table,
    sample_questions,
    session_close,
    write_feature_table,
)

NAMES = ["A", "B"]
SYMBOLS = ["S00001.SIM", "S00002.SIM", "S00003.SIM"]
TTL = pd.Timedelta(days=14)


def features(sessions: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    days = pd.bdate_range("2024-03-01", periods=sessions)
    frame = pd.MultiIndex.from_product([days, SYMBOLS], names=["session_date", "symbol"]).to_frame(index=False)
    for name in NAMES:
        frame[name] = rng.standard_normal(len(frame)).astype(np.float32)
    frame.loc[2, "B"] = np.float32(np.nan)
    return frame[["symbol", "session_date", *NAMES]]


def as_of(table: pd.DataFrame, symbol: str, instant: pd.Timestamp) -> np.ndarray:
    """The plain answer: the symbol's last valid row at the instant, the later created of two."""
    rows = table[(table["symbol"] == symbol) & (table["event_timestamp"] <= instant)]
    rows = rows[rows["event_timestamp"] + TTL >= instant]
    if rows.empty:
        return np.full(len(NAMES), np.nan, dtype=np.float32)
    return rows.sort_values(["event_timestamp", "created_timestamp"]).iloc[-1][NAMES].to_numpy(dtype=np.float32)


def test_a_session_closes_at_three_in_shanghai_in_microseconds_of_utc():
    closes = session_close(pd.Series([pd.Timestamp("2024-03-01")]))
    assert closes.iloc[0] == pd.Timestamp("2024-03-01 07:00", tz="UTC")
    assert str(closes.dtype) == "datetime64[us, UTC]"


def test_feast_table_adds_the_two_instants_and_keeps_every_bit():
    frame = features()
    table = feast_table(frame, created_at=datetime(2024, 6, 1, tzinfo=UTC))
    assert list(table.columns[:4]) == ["symbol", "session_date", "event_timestamp", "created_timestamp"]
    assert (table["created_timestamp"] == pd.Timestamp("2024-06-01", tz="UTC")).all()
    assert (table["event_timestamp"] == session_close(frame["session_date"])).all()
    np.testing.assert_array_equal(table[NAMES].to_numpy().view(np.uint32), frame[NAMES].to_numpy().view(np.uint32))


def test_feast_table_refuses_doubled_rows_and_float64():
    frame = features()
    with pytest.raises(LakeError, match=r"S00001.SIM 2024-03-01"):
        feast_table(pd.concat([frame, frame.iloc[[0]]]))
    with pytest.raises(LakeError, match="B is float64"):
        feast_table(frame.astype({"B": np.float64}))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A table in no order, with a suspension and thirty rows computed a second time."""
    table = feast_table(features())
    suspended = (table["symbol"] == SYMBOLS[1]) & table["session_date"].between("2024-03-20", "2024-04-30")
    again = table.tail(30).assign(A=np.float32(9.0))
    again["created_timestamp"] += pd.Timedelta(days=1)
    path = tmp_path / "table.parquet"
    whole = pd.concat([again, table[~suspended]]).sample(frac=1.0, random_state=1)
    whole.to_parquet(path, index=False, row_group_size=37)
    return path


def test_every_question_is_answered_as_the_plain_reading_of_the_table_answers_it(stored: Path):
    table = pd.read_parquet(stored)
    sample = sample_questions(stored, NAMES, rows=10_000, seed=1, time_to_live=TTL)
    assert len(sample.questions) == len(table)
    plain = [as_of(table, q.symbol, q.event_timestamp) for q in sample.questions.itertuples()]
    np.testing.assert_array_equal(sample.expected, np.stack(plain))
    assert sample.unanswered_rows == sum(np.isnan(row).all() for row in plain)
    assert sample.unanswered_rows > 3


def test_a_sample_is_drawn_by_its_seed(stored: Path):
    first, same, other = (sample_questions(stored, NAMES, rows=50, seed=s, time_to_live=TTL) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first.questions, same.questions)
    assert not first.questions.equals(other.questions)
    assert first.expected.shape == (50, 2)


def test_one_bit_or_a_zero_for_a_missing_value_is_a_mismatch(stored: Path):
    sample = sample_questions(stored, NAMES, rows=10_000, seed=1, time_to_live=TTL)
    equal = compare(sample, sample.expected.copy(), NAMES, seconds=0.5)
    assert (equal.passed, equal.max_abs_diff, equal.first_mismatch, equal.seconds) == (True, 0.0, None, 0.5)
    row = int(np.flatnonzero(~np.isnan(sample.expected[:, 1]))[0])
    answers = sample.expected.copy()
    answers[row, 1] = np.nextafter(answers[row, 1], np.float32(np.inf))
    one_bit = compare(sample, answers, NAMES, seconds=0.5)
    assert (one_bit.passed, one_bit.mismatches) == (False, 1)
    assert 0 < one_bit.max_abs_diff < 1e-6
    assert one_bit.first_mismatch is not None
    assert one_bit.first_mismatch.endswith(" B")
    zeros = compare(sample, np.nan_to_num(sample.expected), NAMES, seconds=0.5)
    assert zeros.mismatches == np.isnan(sample.expected).sum()


def test_the_stored_table_gives_every_bit_back_and_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    table = feast_table(features())
    path = tmp_path / "feature_table" / "small.parquet"
    monkeypatch.setattr("ljwx_pipeline.feature_table._BLOCK_ROWS", 50)
    write_feature_table(table, path)
    first = path.read_bytes()
    back = pd.read_parquet(path)
    assert str(back["event_timestamp"].dtype) == "datetime64[us, UTC]"
    np.testing.assert_array_equal(back[NAMES].to_numpy().view(np.uint32), table[NAMES].to_numpy().view(np.uint32))
    pd.testing.assert_frame_equal(back[["symbol", "session_date"]], table[["symbol", "session_date"]])
    broken = table.copy()
    broken["symbol"] = broken["symbol"].astype(object)
    broken.loc[120, "symbol"] = 7
    with pytest.raises(pa.ArrowTypeError):
        write_feature_table(broken, path)
    assert path.read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == ["small.parquet"]
    write_feature_table(table, path)
    assert path.read_bytes() == first


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "feature_table").write_text("a file where the folder should be")
    with pytest.raises(LakeError, match=r"small.parquet cannot be written"):
        write_feature_table(feast_table(features()), tmp_path / "feature_table" / "small.parquet")
