"""The label: what it reads, and how it is ranked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ljwx_pipeline.config import LabelSettings
from ljwx_pipeline.errors import DatasetError
from ljwx_pipeline.label import forward_return, label_hash, label_values, purge_sessions, rank_label
from ljwx_pipeline.market.panel import Panel
from tests.fakes.panels import random_panel

LABEL = LabelSettings(entry_lag_sessions=1, horizon_sessions=5)


def test_the_label_is_the_return_from_the_entry_close_to_the_exit_close() -> None:
    panel = random_panel(symbols=3, sessions=40, suspended=0.0)
    got = label_values(panel, LABEL)
    close = panel.fields["close"]
    assert got[1, 10] == close[1, 16] / close[1, 11] - 1
    assert got.dtype == np.float64


def test_the_purge_is_read_from_the_labels_expression() -> None:
    assert purge_sessions(LABEL) == 6
    assert purge_sessions(LabelSettings(entry_lag_sessions=2, horizon_sessions=10)) == 12
    assert forward_return(LABEL).horizon == 6


def test_it_is_unknown_where_entry_or_exit_has_no_bar_or_lies_past_the_end() -> None:
    panel = random_panel(symbols=2, sessions=40, suspended=0.0)
    panel.fields["close"][1, 20] = np.nan
    got = label_values(panel, LABEL)[1]
    unknown = np.flatnonzero(np.isnan(got[:34]) & (np.arange(34) >= 14))
    assert unknown.tolist() == [14, 19]
    assert np.isnan(got[34:]).all()


def test_a_panel_too_short_for_one_label_is_refused() -> None:
    with pytest.raises(DatasetError, match="6 sessions ahead"):
        label_values(random_panel(symbols=2, sessions=6, suspended=0.0), LABEL)


def test_ranks_run_from_minus_a_half_to_a_half() -> None:
    forward = np.array([[0.3, np.nan], [0.1, 0.5], [0.2, np.nan], [0.1, np.nan]])
    got = rank_label(forward)
    np.testing.assert_allclose(got[:, 0], [0.5, -1 / 3, 1 / 6, -1 / 3], rtol=1e-6)
    np.testing.assert_array_equal(got[:, 1], np.array([np.nan, 0.0, np.nan, np.nan], dtype=np.float32))
    assert got.dtype == np.float32


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(
        np.float64,
        st.tuples(st.integers(1, 12), st.integers(1, 4)),
        elements=st.one_of(st.just(np.nan), st.integers(-4, 4).map(lambda k: k / 8)),
    )
)
def test_ranks_equal_pandas_mean_ranks_and_sum_to_zero(forward: np.ndarray) -> None:
    got = rank_label(forward)
    ranks = pd.DataFrame(forward).rank(axis=0).to_numpy()
    count = np.maximum((~np.isnan(forward)).sum(axis=0), 2)
    known = ~np.isnan(forward)
    want = np.where(known.sum(axis=0) > 1, (ranks - 1) / (count - 1) - 0.5, np.where(known, 0.0, np.nan))
    np.testing.assert_allclose(got, want, atol=1e-6)
    np.testing.assert_allclose(np.nansum(got, axis=0), 0.0, atol=1e-5)


def test_the_hash_follows_the_settings() -> None:
    assert label_hash(LABEL) == label_hash(LabelSettings(entry_lag_sessions=1, horizon_sessions=5))
    assert label_hash(LABEL) != label_hash(LabelSettings(entry_lag_sessions=1, horizon_sessions=6))
    assert label_hash(LABEL) != label_hash(LabelSettings(entry_lag_sessions=2, horizon_sessions=5))


def test_the_label_reads_nothing_but_the_close() -> None:
    panel = random_panel(symbols=2, sessions=30)
    only = Panel(panel.symbols, panel.sessions, {"close": panel.fields["close"]})
    np.testing.assert_array_equal(label_values(only, LABEL), label_values(panel, LABEL))
