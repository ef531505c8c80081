"""What is handed to other processes is mapped, and a file that is mapped already is named rather than copied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ljwx_pipeline.errors import EnvironmentFault
from ljwx_pipeline.mapped_object import handed_over, taken_over


def test_a_mapped_file_is_named_and_other_arrays_are_written_once(tmp_path: Path) -> None:
    large = np.arange(100_000, dtype=np.float32).reshape(1000, 100)
    np.save(tmp_path / "large.npy", large)
    mapped, small = np.load(tmp_path / "large.npy", mmap_mode="r"), np.arange(7.0)
    with handed_over({"large": mapped, "part": mapped[10:20], "small": small}, below=tmp_path, what="it") as folder:
        assert (folder / "arrays.bin").stat().st_size < large.nbytes / 50
        assert (folder / "object.pickle").stat().st_size < large.nbytes / 50
        taken = taken_over(str(folder), "it")
        assert isinstance(taken["large"], np.memmap)
        np.testing.assert_array_equal(taken["large"], large)
        np.testing.assert_array_equal(taken["part"], large[10:20])
        np.testing.assert_array_equal(taken["small"], small)
    assert not folder.exists()


def test_an_object_without_arrays_is_handed_over_too(tmp_path: Path) -> None:
    with handed_over({"a": 1}, below=tmp_path, what="it") as folder:
        assert taken_over(str(folder), "it") == {"a": 1}


def test_a_mapped_file_that_was_replaced_meanwhile_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.npy"
    np.save(path, np.zeros(100))
    with handed_over(np.load(path, mmap_mode="r"), below=tmp_path, what="the rows") as folder:
        np.save(path, np.zeros(200))
        with pytest.raises(EnvironmentFault, match=r"cannot read the rows .*has been replaced"):
            taken_over(str(folder), "the rows")
