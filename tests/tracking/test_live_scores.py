"""First scores stay as they were first made, whatever is scored later over the same sessions."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import DataQualityError, LakeError
from ljwx_pipeline.tracking import LiveScores

SESSIONS = pd.bdate_range("2026-03-02", periods=5)
BUNDLE = "a" * 64
EVENING = datetime(2026, 3, 4, 10, tzinfo=UTC)


def scores(stop: int = 3, *, value: float = 0.0, bundle: str = BUNDLE, symbols: str = "ABC") -> pd.DataFrame:
    frame = pd.DataFrame(
        {"symbol": np.tile(list(symbols), stop), "session_date": np.repeat(SESSIONS[:stop], len(symbols))}
    )
    return frame.assign(score=value, scorable=True, version="1", bundle_hash=bundle)


def test_a_session_scored_again_keeps_its_first_scores(tmp_path: Path) -> None:
    kept = LiveScores(tmp_path)
    assert kept.record(scores(), now=EVENING) == 3
    before = {path.name: path.read_bytes() for path in kept.folder.rglob("*.parquet")}
    assert kept.record(scores(value=9, symbols="ABCD"), now=datetime(2026, 3, 5, 10, tzinfo=UTC)) == 0
    assert {path.name: path.read_bytes() for path in kept.folder.rglob("*.parquet")} == before
    assert kept.record(scores(4, value=9, symbols="ABCD"), now=datetime(2026, 3, 5, 10, tzinfo=UTC)) == 1
    found = kept.of(BUNDLE)
    assert list(found["score"]) == [0.0] * 9 + [9.0] * 4
    assert str(found["scored_at"].dtype) == "datetime64[us, UTC]"
    assert list(found["scored_at"].drop_duplicates()) == [pd.Timestamp(EVENING), pd.Timestamp("2026-03-05 10:00Z")]


def test_each_bundle_has_its_own_and_one_never_scored_has_none(tmp_path: Path) -> None:
    kept = LiveScores(tmp_path)
    kept.record(scores().assign(interval_lower=-0.1, interval_upper=0.1), now=EVENING)
    kept.record(scores(value=2, bundle="b" * 64), now=EVENING)
    assert set(kept.of("b" * 64)["score"]) == {2.0}
    assert {"interval_lower", "interval_upper"} <= set(kept.of(BUNDLE))
    none = kept.of("c" * 64)
    assert none.empty
    assert {"symbol", "session_date", "score", "scorable", "scored_at"} <= set(none)


def test_a_session_that_has_not_begun_by_the_clock_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    kept = LiveScores(tmp_path)
    with pytest.raises(DataQualityError, match=r"session 2026-03-06 is scored while the clock says 2026-03-04 18:00"):
        kept.record(scores(5), now=EVENING)
    assert kept.of(BUNDLE).empty


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    kept = LiveScores(tmp_path)
    kept.record(scores(), now=EVENING)
    next(kept.folder.rglob("*.parquet")).write_bytes(b"torn")
    with pytest.raises(LakeError, match=r"2026-03-0\d\.parquet"):
        kept.of(BUNDLE)
