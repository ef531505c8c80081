"""A candidate is compared with the champion, a research that is run again with the rival of the first time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.promotion.rival import Named, ReturnsOfBundles, against, choose_rival

SESSIONS = pd.bdate_range("2024-01-02", periods=300)


def series(seed: int, first: int = 0) -> pd.Series:
    values = 0.01 * np.random.default_rng(seed).standard_normal(len(SESSIONS) - first)
    return pd.Series(values, SESSIONS[first:], name="returns")


def untouched(_version: str) -> str:
    return ""


def test_what_is_kept_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    kept, rival = ReturnsOfBundles(tmp_path), Named("1", "a" * 64)
    kept.keep("b" * 64, series(1), rival)
    read = kept.of("b" * 64)
    assert read is not None
    assert read.rival == rival
    assert read.returns.to_numpy().tobytes() == series(1).to_numpy().tobytes()
    assert list(read.returns.index) == list(SESSIONS)
    assert kept.of("c" * 64) is None


def test_the_champion_is_the_rival_and_common_sessions_are_compared(tmp_path: Path) -> None:
    kept, champion = ReturnsOfBundles(tmp_path), Named("1", "a" * 64)
    kept.keep(champion.bundle_hash, series(1, first=100), None)
    assert choose_rival(series(2), champion, kept) == champion
    rival = against(series(2), champion, kept, restated=untouched)
    assert rival is not None
    expected = series(2)[SESSIONS[100:]] - series(1, first=100)
    assert np.array_equal(rival.differences, expected.to_numpy())
    assert choose_rival(series(2), None, kept) is None
    assert against(series(2), None, kept, restated=untouched) is None


def test_a_research_run_again_has_the_rival_of_the_first_time(tmp_path: Path) -> None:
    kept, first, second = ReturnsOfBundles(tmp_path), Named("1", "a" * 64), Named("2", "b" * 64)
    kept.keep(first.bundle_hash, series(1), None)
    assert choose_rival(series(1), first, kept) is None, "the champion is the candidate itself"
    kept.keep(second.bundle_hash, series(2), first)
    assert choose_rival(series(2), second, kept) == first
    kept.keep(first.bundle_hash, series(1), second)
    assert choose_rival(series(3), second, kept) == second


def test_two_that_are_each_others_rivals_end(tmp_path: Path) -> None:
    kept, first, second = ReturnsOfBundles(tmp_path), Named("1", "a" * 64), Named("2", "b" * 64)
    kept.keep(first.bundle_hash, series(1), second)
    kept.keep(second.bundle_hash, series(1), first)
    assert choose_rival(series(1), first, kept) is None


def test_a_champion_of_revised_data_or_unknown_returns_cannot_be_compared(tmp_path: Path) -> None:
    kept, champion = ReturnsOfBundles(tmp_path), Named("1", "a" * 64)
    unknown = against(series(2), champion, kept, restated=untouched)
    assert unknown is not None
    assert "were not kept" in unknown.reason
    kept.keep(champion.bundle_hash, series(1), None)
    revised = against(series(2), champion, kept, restated=lambda version: f"3 rows of version {version}")
    assert revised is not None
    assert "revised since (3 rows of version 1)" in revised.reason
    assert "ljwx demote" in revised.reason


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"sessions": ["x"], "net_return": [1], "rival": null}'])
def test_damaged_returns_are_refused(tmp_path: Path, content: bytes) -> None:
    kept, champion = ReturnsOfBundles(tmp_path), Named("1", "a" * 64)
    kept.keep(champion.bundle_hash, series(1), None)
    (tmp_path / "returns" / f"{champion.bundle_hash}.json").write_bytes(content)
    with pytest.raises(PromotionError, match="is damaged"):
        choose_rival(series(2), champion, kept)


def test_a_bundle_that_was_judged_is_found_by_what_it_showed(tmp_path: Path) -> None:
    kept, rival = ReturnsOfBundles(tmp_path), Named("1", "a" * 64)
    kept.keep("b" * 64, series(1), rival)
    kept.keep("c" * 64, series(2), None)
    found = kept.judged(series(1))
    assert found is not None
    assert found.rival == rival
    assert kept.judged(series(3)) is None
    assert kept.judged(series(1, first=1)) is None
