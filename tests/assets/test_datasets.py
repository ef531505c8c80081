"""The training dataset comes back from its files as it went in, with the arrays that only some settings ask for."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from assets import datasets
from assets.datasets import BINNED, dataset_dtypes, load_dataset, save_dataset
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.errors import LakeError
from tests.fakes.planted import planted_dataset


def assert_same(one: Dataset, two: Dataset) -> None:
    for field in fields(Dataset):
        left, right = getattr(one, field.name), getattr(two, field.name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype, field.name
            np.testing.assert_array_equal(left, right, err_msg=field.name)
        elif field.name == "further_returns":
            assert list(left) == list(right)
            for held, values in left.items():
                np.testing.assert_array_equal(values, right[held], err_msg=str(held))
        elif field.name == "sessions":
            assert (left == right).all()
        else:
            assert left == right, field.name


def test_a_dataset_comes_back_as_it_went_in(tmp_path: Path) -> None:
    dataset = planted_dataset(sessions=30)
    save_dataset(tmp_path, dataset)
    assert_same(load_dataset(tmp_path), replace(dataset, kept_in=tmp_path.parent / BINNED))
    assert "groups" not in dataset_dtypes(tmp_path)


def test_groups_and_amounts_come_back_too(tmp_path: Path) -> None:
    dataset = planted_dataset(sessions=30)
    dataset = replace(
        dataset,
        groups=(dataset.symbol_index % 3 - 1).astype(np.int32),
        group_names=((0, "银行"), (1, "steel")),
        group_measure="industry",
        mean_amount_cny=np.arange(len(dataset.label)) / 7,
    )
    save_dataset(tmp_path, dataset)
    assert_same(load_dataset(tmp_path), replace(dataset, kept_in=tmp_path.parent / BINNED))
    assert {"groups": "int32", "mean_amount_cny": "double"}.items() <= dataset_dtypes(tmp_path).items()


def test_the_returns_over_further_horizons_come_back_too(tmp_path: Path) -> None:
    dataset = planted_dataset(sessions=30)
    further = {held: dataset.forward_return * held for held in (2, 20)}
    save_dataset(tmp_path, replace(dataset, further_returns=further))
    assert_same(load_dataset(tmp_path), replace(dataset, further_returns=further, kept_in=tmp_path.parent / BINNED))
    assert dataset_dtypes(tmp_path)["forward_return_20"] == "double"


class Killed(BaseException):
    """Stands for the end of the process: nothing after it runs."""


@pytest.mark.parametrize("at", ["np.save", "write_table", "write_json"])
def test_a_dataset_that_was_half_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    save_dataset(tmp_path, planted_dataset(sessions=30))
    other = planted_dataset(sessions=30, seed=1)

    def killed(*_given: object) -> None:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(datasets.np if at == "np.save" else datasets, at.removeprefix("np."), killed)
        with pytest.raises(Killed):
            save_dataset(tmp_path, other)
    for read in (load_dataset, dataset_dtypes):
        with pytest.raises(LakeError, match=r"dataset_meta\.json was never made") as caught:
            read(tmp_path)
        assert "ljwx run" in caught.value.remedy
    save_dataset(tmp_path, other)
    assert load_dataset(tmp_path).hash == other.hash
