"""The training table: rows, order, labels at the end, hash, refusals."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.config import LabelSettings
from ljwx_pipeline.dataset import Dataset, build_dataset, enterable_rows
from ljwx_pipeline.dataset.groups import Groups
from ljwx_pipeline.errors import DatasetError
from ljwx_pipeline.label import rank_label
from ljwx_pipeline.market.calendar import sessions_between
from tests.fakes.datasets import FACTORS, feature_frame, random_dataset, symbol_names

LABEL = LabelSettings(entry_lag_sessions=1, horizon_sessions=5)
SESSIONS = sessions_between(date(2020, 1, 2), date(2020, 4, 30))
SHAPE = (4, len(SESSIONS))
PRESENT = np.random.default_rng(1).random(SHAPE) > 0.1


def build(features: pd.DataFrame | Path | None = None, **changes: Any) -> Dataset:
    rng = np.random.default_rng(2)
    arguments: dict[str, Any] = {
        "forward_return": rng.normal(0, 0.03, SHAPE),
        "can_buy": rng.random(SHAPE) > 0.2,
        "scorable": rng.random(SHAPE) > 0.2,
        "symbols": symbol_names(4),
        "sessions": SESSIONS,
        "label": LABEL,
    }
    names = changes.pop("factor_names", FACTORS)
    frame = feature_frame(PRESENT, SESSIONS) if features is None else features
    return build_dataset(frame, names, **(arguments | changes))


def test_every_feature_row_is_kept_in_order_with_its_values() -> None:
    frame, dataset = feature_frame(PRESENT, SESSIONS), build()
    np.testing.assert_array_equal(dataset.features, frame[list(FACTORS)].to_numpy())
    assert dataset.features.dtype == np.float32
    assert dataset.features.flags.c_contiguous
    pd.testing.assert_frame_equal(
        dataset.keys(slice(0, len(frame))), frame[["symbol", "session_date"]], check_dtype=False
    )
    assert (np.diff(dataset.session_index) >= 0).all()


def test_factors_are_taken_by_name_in_the_order_asked() -> None:
    np.testing.assert_array_equal(build(factor_names=("C", "A")).features, build().features[:, [2, 0]])


def test_arrays_are_gathered_from_the_rows_own_symbol_and_session() -> None:
    forward, scorable = np.random.default_rng(3).normal(size=SHAPE), PRESENT.copy()
    scorable[2] = False
    dataset = build(forward_return=forward, scorable=scorable)
    row = 41
    at = dataset.symbol_index[row], dataset.session_index[row]
    assert dataset.forward_return[row] == forward[at]
    assert (dataset.scorable == (dataset.symbol_index != 2)).all()


def test_labels_are_ranked_among_the_rows_of_the_session() -> None:
    forward = np.random.default_rng(3).normal(size=SHAPE)
    dataset = build(forward_return=forward)
    in_session = dataset.session_index == 20
    column = np.where(PRESENT[:, 20], forward[:, 20], np.nan)[:, None]
    np.testing.assert_array_equal(dataset.label[in_session], rank_label(column)[PRESENT[:, 20], 0])
    assert dataset.label[in_session].min() == -0.5
    assert dataset.label[in_session].max() == 0.5


def test_a_label_that_reads_past_the_last_session_is_left_out_even_if_it_is_given() -> None:
    dataset = build(forward_return=np.random.default_rng(3).normal(size=SHAPE))
    reachable = dataset.session_index < len(SESSIONS) - 6
    assert np.isfinite(dataset.forward_return[reachable]).all()
    assert np.isnan(dataset.forward_return[~reachable]).all()
    assert np.isnan(dataset.label[~reachable]).all()


def test_held_out_rows_after_the_last_session_are_left_out() -> None:
    cut = len(SESSIONS) - 10
    held_out = {name: np.random.default_rng(4).random((4, cut)) > 0.5 for name in ("can_buy", "scorable")}
    dataset = build(forward_return=np.random.default_rng(3).normal(size=(4, cut)), sessions=SESSIONS[:cut], **held_out)
    assert len(dataset.label) == PRESENT[:, :cut].sum()


def test_a_parquet_file_gives_the_dataset_of_its_frame(tmp_path: Path) -> None:
    path = tmp_path / "features.parquet"
    feature_frame(PRESENT, SESSIONS).to_parquet(path, row_group_size=37, index=False)
    assert build(path).hash == build().hash
    np.testing.assert_array_equal(build(path).features, build().features)


def test_a_parquet_file_with_held_out_rows_is_cut_too(tmp_path: Path) -> None:
    path = tmp_path / "features.parquet"
    frame = feature_frame(PRESENT, SESSIONS)
    frame.to_parquet(path, row_group_size=37, index=False)
    cut = len(SESSIONS) - 10
    axes = {
        "forward_return": np.random.default_rng(3).normal(size=(4, cut)),
        "can_buy": PRESENT[:, :cut],
        "scorable": PRESENT[:, :cut],
        "sessions": SESSIONS[:cut],
    }
    np.testing.assert_array_equal(build(path, **axes).features, build(frame, **axes).features)


def test_entries_are_read_one_session_after_the_score() -> None:
    can_buy = np.array([[True, False, True, True]])
    assert enterable_rows(can_buy, LABEL).tolist() == [[False, True, True, False]]
    later = LabelSettings(entry_lag_sessions=2, horizon_sessions=5)
    assert enterable_rows(can_buy, later).tolist() == [[True, True, False, False]]


def test_the_hash_follows_every_part() -> None:
    base = build()
    assert build().hash == base.hash
    features = feature_frame(PRESENT, SESSIONS)
    features.loc[3, "B"] += np.float32(1e-3)
    changed = [
        build(features),
        build(factor_names=("A", "C", "B")),
        build(forward_return=np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) / 100),
        build(can_buy=np.ones(SHAPE, dtype=bool)),
        build(scorable=np.ones(SHAPE, dtype=bool)),
        build(label=LabelSettings(entry_lag_sessions=2, horizon_sessions=4)),
    ]
    assert len({base.hash, *(dataset.hash for dataset in changed)}) == 1 + len(changed)


def test_further_returns_are_cut_where_each_reads_past_the_end_and_the_longest_is_the_purge() -> None:
    returns = {held: np.random.default_rng(held).normal(size=SHAPE) for held in (20, 2)}
    dataset, plain = build(further_returns=returns), build()
    assert list(dataset.further_returns) == [2, 20]
    for held, values in returns.items():
        known = dataset.session_index < len(SESSIONS) - 1 - held
        found = dataset.further_returns[held]
        np.testing.assert_array_equal(found[known], values[dataset.symbol_index, dataset.session_index][known])
        assert np.isnan(found[~known]).all()
    assert (dataset.purge_sessions, plain.purge_sessions) == (21, 6)
    np.testing.assert_array_equal(dataset.forward_return, plain.forward_return)
    np.testing.assert_array_equal(dataset.label, plain.label)


def test_the_hash_covers_further_returns_only_where_there_are_any() -> None:
    returns = np.random.default_rng(5).normal(size=SHAPE)
    plain, one = build(), build(further_returns={2: returns})
    other = build(further_returns={2: returns + 1e-9})
    elsewhere = build(further_returns={3: returns})
    assert build(further_returns={}).hash == plain.hash
    assert len({plain.hash, one.hash, other.hash, elsewhere.hash}) == 4


def test_a_further_horizon_without_a_known_return_is_refused() -> None:
    with pytest.raises(DatasetError, match="it reads 61 sessions ahead"):
        build(further_returns={60: np.full(SHAPE, np.nan)})
    with pytest.raises(DatasetError, match="forward_return over 2 sessions has shape"):
        build(further_returns={2: np.zeros((3, 3))})


def test_groups_and_amounts_are_kept_by_row_and_hashed_only_where_they_are() -> None:
    base = build()
    assert base.groups is None
    assert base.mean_amount_cny is None
    codes = np.random.default_rng(5).integers(-1, 3, SHAPE).astype(np.int32)
    amount = np.random.default_rng(6).random(SHAPE)
    names = ((0, "small"), (1, "middle"), (2, "large"))
    grouped, weighted = build(groups=Groups(codes, names, "market value")), build(mean_amount_cny=amount)
    at = base.symbol_index, base.session_index
    np.testing.assert_array_equal(grouped.groups, codes[at])
    np.testing.assert_array_equal(weighted.mean_amount_cny, amount[at])
    assert (grouped.group_names, grouped.group_measure) == (names, "market value")
    assert base.group_measure == ""
    renamed = build(groups=Groups(codes, ((0, "tiny"), *names[1:]), "market value"))
    alike = build(groups=Groups(codes * 0, names, "market value"))
    otherwise = build(groups=Groups(codes, names, "mean amount"))
    assert len({one.hash for one in (base, grouped, weighted, renamed, alike, otherwise)}) == 6


def test_the_hash_of_a_dataset_without_groups_stays_what_it_was() -> None:
    assert build().hash == "2c6cb411360f490ed9840dae69ebd2c1081537c5973b4582bee6310d88b4d5e0"


def test_a_label_that_ranks_nobody_is_refused() -> None:
    with pytest.raises(DatasetError, match="no session holds two different forward returns, over 2"):
        build(forward_return=np.tile(np.arange(SHAPE[1]) / 100, (4, 1)))


def test_an_all_nan_label_is_refused() -> None:
    with pytest.raises(DatasetError, match="no row has a label"):
        build(forward_return=np.full(SHAPE, np.nan))


def test_an_empty_feature_set_is_refused() -> None:
    with pytest.raises(DatasetError, match="feature set is empty"):
        build(factor_names=())


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(DatasetError, match="no row"):
        build(feature_frame(PRESENT, SESSIONS).head(0))


def test_a_missing_factor_is_refused_by_name() -> None:
    with pytest.raises(DatasetError, match="no column KMID"):
        build(factor_names=("A", "KMID"))


def test_rows_out_of_order_doubled_or_off_the_axes_are_refused_with_the_row() -> None:
    frame = feature_frame(PRESENT, SESSIONS)
    with pytest.raises(DatasetError, match="doubled or out of order"):
        build(frame.sort_values(["symbol", "session_date"], ignore_index=True))
    with pytest.raises(DatasetError, match="doubled or out of order"):
        build(pd.concat([frame.iloc[:5], frame.iloc[4:]], ignore_index=True))
    with pytest.raises(DatasetError, match=r"600003\.SH .* off the axes"):
        build(frame, symbols=("600000.SH", "600001.SH", "600002.SH", "600009.SH"))


def test_arrays_of_another_shape_are_refused_by_name() -> None:
    with pytest.raises(DatasetError, match="can_buy has shape"):
        build(can_buy=np.ones((3, 3), dtype=bool))


def test_rows_between_are_those_of_the_sessions() -> None:
    dataset = random_dataset(symbols=3)
    rows = dataset.rows_between(10, 12)
    assert set(dataset.session_index[rows]) == {10, 11}
    assert (dataset.session_index == 10).sum() + (dataset.session_index == 11).sum() == rows.stop - rows.start
