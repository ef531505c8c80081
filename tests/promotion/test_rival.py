"""A candidate is compared with the champion, a research that is run again with the rival of the first time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.promotion.rival import Named, ReturnsOfBundles, against, choose_rival

SESSIONS = pd.bdate_range("2024-01-02", periods=300)


def series(seed: int, first: int = 0) -> pd.Series:
    values = 0.01 * np.random.default_rng(seed).standard_normal(len(SESSIONS) - first)
    return pd.Series(values, SESSIONS[first:], name="returns")


def untouched(_rival: Named) -> str:
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
    revised = against(series(2), champion, kept, restated=lambda named: f"3 rows of version {named.version}")
    assert revised is not None
    assert "revised since (3 rows of version 1)" in revised.reason
    assert "ljwx demote" in revised.reason


def changed(kept: ReturnsOfBundles, tmp_path: Path, **fields: Any) -> Named:
    """Keep a champion's returns and change fields of the file; one that is None is left out."""
    champion = Named("1", "a" * 64)
    kept.keep(champion.bundle_hash, series(1, first=297), None)
    path = tmp_path / "returns" / f"{champion.bundle_hash}.json"
    tree = {**json.loads(path.read_bytes()), **fields}
    path.write_text(json.dumps({name: value for name, value in tree.items() if value is not None or name == "rival"}))
    return champion


DAYS = [f"{day:%Y-%m-%d}" for day in SESSIONS[297:]]


@pytest.mark.parametrize(
    "fields",
    [
        {"bundle_hash": "b" * 64},
        {"bundle_hash": None},
        {"more": 1},
        {"sessions": ["x", *DAYS[1:]]},
        {"sessions": [5, *DAYS[1:]]},
        {"sessions": None},
        {"sessions": DAYS[:2]},
        {"sessions": [DAYS[0], DAYS[0], DAYS[2]]},
        {"sessions": [DAYS[1], DAYS[0], DAYS[2]]},
        {"sessions": ["2024-02-30", *DAYS[1:]]},
        {"net_return": [0.0, math.nan, 0.0]},
        {"net_return": [0.0, math.inf, 0.0]},
        {"net_return": ["0", 0.0, 0.0]},
        {"net_return": [0.0, 0.0]},
        {"net_return": 5},
        {"rival": {"version": "1"}},
        {"rival": {"version": 1, "bundle_hash": "c" * 64}},
        {"rival": "c"},
    ],
)
def test_returns_that_were_changed_are_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    kept = ReturnsOfBundles(tmp_path)
    champion = changed(kept, tmp_path, **fields)
    with pytest.raises(PromotionError, match=r"is damaged .*") as told:
        choose_rival(series(2), champion, kept)
    assert "ljwx demote" in told.value.remedy


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"net_return": [1e999]}'])
def test_a_file_that_is_no_such_document_is_refused(tmp_path: Path, content: bytes) -> None:
    kept, champion = ReturnsOfBundles(tmp_path), Named("1", "a" * 64)
    kept.keep(champion.bundle_hash, series(1), None)
    (tmp_path / "returns" / f"{champion.bundle_hash}.json").write_bytes(content)
    with pytest.raises(PromotionError, match="is damaged"):
        choose_rival(series(2), champion, kept)


def test_returns_too_large_for_a_number_are_refused(tmp_path: Path) -> None:
    kept, champion = ReturnsOfBundles(tmp_path), Named("1", "a" * 64)
    kept.keep(champion.bundle_hash, series(1, first=298), None)
    path = tmp_path / "returns" / f"{champion.bundle_hash}.json"
    tree = {**json.loads(path.read_bytes()), "net_return": ["large", "large"]}
    path.write_text(json.dumps(tree).replace('"large"', "1e999"))
    with pytest.raises(PromotionError, match="a return is not finite"):
        choose_rival(series(2), champion, kept)


def test_a_whole_file_that_the_record_does_not_tell_of_is_refused(tmp_path: Path) -> None:
    kept, champion = ReturnsOfBundles(tmp_path), Named("1", "a" * 64)
    told = kept.keep(champion.bundle_hash, series(1), None)
    recorded = ReturnsOfBundles(tmp_path, {champion.bundle_hash: {told}})
    assert choose_rival(series(2), champion, recorded) == champion
    kept.keep(champion.bundle_hash, series(1) - 0.01, None)
    with pytest.raises(PromotionError, match="the record tells of another file"):
        choose_rival(series(2), champion, recorded)


def test_a_bundle_that_was_judged_is_found_by_what_it_showed(tmp_path: Path) -> None:
    kept, rival = ReturnsOfBundles(tmp_path), Named("1", "a" * 64)
    kept.keep("b" * 64, series(1), rival)
    kept.keep("c" * 64, series(2), None)
    found = kept.judged(series(1))
    assert found is not None
    assert found.rival == rival
    assert kept.judged(series(3)) is None
    assert kept.judged(series(1, first=1)) is None
