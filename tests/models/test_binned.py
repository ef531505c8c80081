"""Binned rows: what a subset learns from, and that kept bins give the bits that binning anew gives."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.models import kept_bins
from ljwx_pipeline.models.binned import Binned, bin_rows
from ljwx_pipeline.models.train import train
from tests.fakes.model_settings import model_settings
from tests.fakes.planted import planted_dataset

TUNED = {"learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 20}
MODEL = model_settings(
    max_rounds=20,
    early_stopping_rounds=5,
    early_stopping_tail_sessions=40,
)
WINDOW = slice(0, 200 * 30)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return replace(planted_dataset(), kept_in=tmp_path / "binned")


def binned(dataset: Dataset, model: ModelSettings = MODEL, edges: slice = WINDOW) -> Binned:
    return bin_rows(dataset, edges=edges, stop=len(dataset.label), settings=model)


def files(dataset: Dataset) -> list[Path]:
    assert dataset.kept_in is not None
    return sorted(dataset.kept_in.iterdir())


def texts(dataset: Dataset, bins: Binned) -> dict[str, str]:
    return dict(train(dataset, slice(0, 300 * 30), TUNED, MODEL, binned=bins).model.texts)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by one for each dataset that is made of numbers rather than read from a file."""
    made: list[str] = []
    construct = lgb.Dataset.construct

    def noted(self: lgb.Dataset) -> lgb.Dataset:
        if self._handle is None and isinstance(self.data, np.ndarray):
            made.append("numbers")
        return construct(self)

    monkeypatch.setattr(lgb.Dataset, "construct", noted)
    return made


def test_a_model_from_kept_bins_has_the_bytes_of_one_without(dataset: Dataset) -> None:
    unkept = texts(dataset, binned(replace(dataset, kept_in=None)))
    first = texts(dataset, binned(dataset))
    assert len(files(dataset)) == 1
    assert texts(dataset, binned(dataset)) == first == unkept


def test_the_second_training_bins_nothing(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    made = counted(monkeypatch)
    binned(dataset)
    assert made == ["numbers", "numbers"]
    binned(dataset, MODEL.model_copy(update={"threads": 2, "max_rounds": 7}))
    assert made == ["numbers", "numbers"], "neither threads nor rounds decide bins"


def test_edges_on_all_rows_are_binned_in_one_pass(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    made = counted(monkeypatch)
    binned(dataset, edges=slice(0, len(dataset.label)))
    assert made == ["numbers"]


@pytest.mark.parametrize("changed", ["hash", "edges", "max_bin", "seed", "rows"])
def test_whatever_decides_bins_gives_others(dataset: Dataset, changed: str) -> None:
    binned(dataset)
    if changed == "hash":
        binned(replace(dataset, hash="another"))
    elif changed == "edges":
        binned(dataset, edges=slice(0, 100 * 30))
    elif changed == "rows":
        bin_rows(dataset, edges=WINDOW, stop=300 * 30, settings=MODEL)
    else:
        binned(dataset, MODEL.model_copy(update={changed: 31}))
    assert len({path.name.split(".")[0] for path in files(dataset)}) == 2


@pytest.mark.parametrize("damage", ["flipped", "cut", "foreign", "empty"])
def test_damaged_or_foreign_bins_are_made_anew(dataset: Dataset, damage: str) -> None:
    before = texts(dataset, binned(dataset))
    (path,) = files(dataset)
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[:-9], "foreign": b"PK\x03\x04", "empty": b""}.get(damage, content))
    assert texts(dataset, binned(dataset)) == before
    (again,) = files(dataset)
    assert kept_bins._name(again.name.split(".")[0], again) == again.name


def test_bins_that_hold_to_their_name_and_are_none_are_made_anew(dataset: Dataset) -> None:
    before = texts(dataset, binned(dataset))
    (path,) = files(dataset)
    path.write_bytes(b"not LightGBM's")
    path.rename(path.with_name(kept_bins._name(path.name.split(".")[0], path)))
    assert texts(dataset, binned(dataset)) == before
    assert len(files(dataset)) == 1


def test_those_used_last_are_kept(dataset: Dataset) -> None:
    first = binned(dataset)
    (oldest,) = files(dataset)
    assert oldest.parent == dataset.kept_in
    for number in range(kept_bins.KEPT_FILES - 1):
        kept_bins.keep_bins(oldest.parent, f"{number}", first.handle)
    os.utime(oldest, (1, 1))
    unused = next(path for path in files(dataset) if path.name.startswith("0."))
    os.utime(unused, (2, 2))
    binned(dataset)  # a use
    kept_bins.keep_bins(oldest.parent, "one more", first.handle)
    left = files(dataset)
    assert len(left) == kept_bins.KEPT_FILES
    assert oldest in left
    assert unused not in left


def test_what_a_killed_process_left_is_removed_in_time(dataset: Dataset) -> None:
    assert dataset.kept_in is not None
    dataset.kept_in.mkdir()
    left, at_work = dataset.kept_in / ".a.0.part", dataset.kept_in / ".b.0.part"
    left.touch()
    at_work.touch()
    os.utime(left, (1, 1))
    binned(dataset)
    assert not left.exists()
    assert at_work.exists()


def test_a_folder_that_cannot_be_written_keeps_nothing_and_stops_nothing(dataset: Dataset) -> None:
    assert dataset.kept_in is not None
    dataset.kept_in.write_text("a file where the folder should be")
    assert texts(dataset, binned(dataset)) == texts(dataset, binned(replace(dataset, kept_in=None)))


def test_a_disk_without_room_keeps_nothing(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_bins, "_ROOM_BYTES", 1 << 60)
    binned(dataset)
    assert files(dataset) == []


def test_a_subset_learns_the_label_weight_and_queries_it_is_given(dataset: Dataset) -> None:
    bins, rows = binned(dataset), slice(30, 120)
    label = np.arange(90, dtype=np.float32)
    label[5] = np.nan
    weight = np.full(90, 2, dtype=np.float32)
    weight[5] = np.nan  # of a row without a label nobody asks
    found = bins.subset(rows, label=label, weight=weight, group=dataset.session_index[rows])
    assert np.array_equal(found.get_label(), np.delete(label, 5))
    assert np.array_equal(found.get_weight(), np.full(89, 2))
    assert np.array_equal(found.get_group(), [29, 30, 30])
    for anew_or_read in (bins, binned(dataset)):
        assert np.array_equal(anew_or_read.subset(rows).get_label(), dataset.label[rows])


def test_subsets_of_row_numbers_leave_out_what_the_universe_does(dataset: Dataset) -> None:
    scorable = dataset.scorable.copy()
    scorable[3] = False
    bins = binned(replace(dataset, scorable=scorable))
    assert np.array_equal(bins.subset(np.array([1, 3, 5])).get_label(), dataset.label[[1, 5]])


def test_what_cannot_be_learned_from_is_refused(dataset: Dataset) -> None:
    bins = binned(dataset)
    with pytest.raises(ModelError, match="rows 0 to 30 hold no known label"):
        bins.subset(slice(0, 30), label=np.full(30, np.nan, dtype=np.float32))
    with pytest.raises(ModelError, match="an empty window holds no known label"):
        bins.subset(slice(5, 5))
    with pytest.raises(ModelError, match="29 values of weight for 30 rows"):
        bins.subset(slice(0, 30), weight=np.ones(29, dtype=np.float32))
    with pytest.raises(ModelError, match="a weight is negative or no number"):
        bins.subset(slice(0, 30), weight=np.full(30, -1, dtype=np.float32))
