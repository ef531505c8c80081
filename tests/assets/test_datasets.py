"""A dataset comes back from disk as it was saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assets.datasets import dataset_dtypes, load_dataset, save_dataset
from tests.fakes.datasets import random_dataset


@pytest.mark.parametrize("horizons", [(), (2, 20)])
def test_a_dataset_is_read_as_it_was_saved_with_the_returns_it_holds(tmp_path: Path, horizons: tuple[int, ...]) -> None:
    saved = random_dataset(symbols=3)
    saved = replace(saved, further_returns={held: saved.forward_return * held for held in horizons})
    save_dataset(tmp_path, saved)
    loaded = load_dataset(tmp_path)
    for name in ("features", "forward_return", "label", "session_index", "symbol_index", "enterable", "scorable"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
    assert (loaded.hash, loaded.purge_sessions, loaded.symbols) == (saved.hash, saved.purge_sessions, saved.symbols)
    assert loaded.sessions.equals(saved.sessions)
    assert list(loaded.further_returns) == list(horizons)
    for held in horizons:
        np.testing.assert_array_equal(loaded.further_returns[held], saved.further_returns[held])
        assert dataset_dtypes(tmp_path)[f"forward_return_{held}"] == "double"
