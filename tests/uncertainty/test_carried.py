"""Intervals carried on: in one piece, in pieces over JSON and over other symbols the same bits as the walk's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.uncertainty.carried import CarriedIntervals, ScaleParams, SessionArrays, walked_on
from ljwx_pipeline.uncertainty.scale import MOST_GAP_SESSIONS, daily_returns, return_scale, terciles
from ljwx_pipeline.uncertainty.state import IntervalParams
from ljwx_pipeline.uncertainty.walk import walk

PARAMS = IntervalParams(
    coverage=0.7,
    reach_sessions=4,
    half_life_sessions=20.0,
    least_sessions=8,
    step=0.1,
    group_step=0.1,
    group_prior_rows=5.0,
)
NEWCOMER = 5
SCALES = ScaleParams(horizon=3, floor=0.005, least_returns=5)


def panel(symbols: int = 12, sessions: int = 90, seed: int = 1) -> SessionArrays:
    """A market with suspensions and a newcomer; outcomes of a session are known four sessions later."""
    rng = np.random.default_rng(seed)
    shape = (symbols, sessions)
    daily = 0.02 * rng.standard_t(4, shape)
    close = 10 * np.cumprod(1 + np.clip(daily, -0.2, 0.2), axis=1)
    close[rng.uniform(size=shape) < 0.08] = np.nan
    close[NEWCOMER, :50] = np.nan
    scores = np.where(np.isfinite(close), rng.integers(0, 6, shape).astype(float), np.nan)
    outcomes = np.full(shape, np.nan)
    outcomes[:, :-4] = close[:, 4:] / close[:, 1:-3] - 1
    outcomes[rng.uniform(size=shape) < 0.1] = np.nan
    industries = np.broadcast_to(np.arange(symbols)[:, None] % 3, shape).astype(np.int64)
    names = tuple(f"{600000 + row}.SH" for row in range(symbols))
    return SessionArrays(
        names, pd.bdate_range("2020-01-01", periods=sessions), scores, daily_returns(close), outcomes, industries
    )


def cut(arrays: SessionArrays, start: int, stop: int, rows: list[int] | None = None) -> SessionArrays:
    """The sessions ``[start, stop)``; outcomes that mature later are hidden, rows may be chosen."""
    at = list(range(len(arrays.symbols))) if rows is None else rows
    outcomes = arrays.outcomes.copy()
    outcomes[:, max(0, stop - PARAMS.reach_sessions) :] = np.nan
    parts = {
        name: values[at, start:stop]
        for name, values in {**vars(arrays), "outcomes": outcomes}.items()
        if name not in ("symbols", "sessions")
    }
    return SessionArrays(tuple(arrays.symbols[row] for row in at), arrays.sessions[start:stop], **parts)


def begun(arrays: SessionArrays, *, industries: bool = True) -> CarriedIntervals:
    return CarriedIntervals.begin(PARAMS, SCALES, arrays.symbols, industries=industries)


def test_one_piece_is_the_walk_of_the_arrays() -> None:
    arrays = panel()
    ours = walked_on(begun(arrays), arrays)
    scales = return_scale(arrays.returns, horizon=3, floor=0.005, least_returns=5)
    scales = np.where(np.isfinite(arrays.scores), scales, np.nan)
    groups = {"industry": arrays.industries, "volatility": terciles(scales)}
    whole = walk(PARAMS, arrays.scores, scales, arrays.outcomes, groups)
    assert np.isfinite(whole.lower).sum() > 400
    np.testing.assert_array_equal(ours.lower, whole.lower)
    np.testing.assert_array_equal(ours.upper, whole.upper)
    assert ours.carried.state.to_json() == whole.state.to_json()
    assert ours.carried.number == len(arrays.sessions) - 1


@pytest.mark.parametrize("industries", [True, False])
@pytest.mark.parametrize("cuts", [[40, 41, 44, 70, 90], [60, 90]])
def test_pieces_over_json_that_know_no_later_outcome_are_the_same_bits(cuts: list[int], industries: bool) -> None:
    arrays = panel()
    whole = walked_on(begun(arrays, industries=industries), arrays)
    carried, start = begun(arrays, industries=industries), 0
    for stop in cuts:
        reach = PARAMS.reach_sessions
        piece = walked_on(carried, cut(arrays, max(0, start - reach), stop))
        behind = start - max(0, start - reach)
        np.testing.assert_array_equal(piece.lower[:, behind:], whole.lower[:, start:stop])
        np.testing.assert_array_equal(piece.upper[:, behind:], whole.upper[:, start:stop])
        assert np.isnan(piece.lower[:, :behind]).all(), "told before"
        carried, start = CarriedIntervals.of_json(piece.carried.to_json()), stop
    assert carried.to_json() == whole.carried.to_json()


def test_other_symbols_change_nothing_but_their_own_rows() -> None:
    arrays = panel()
    known = [row for row in range(12) if row != NEWCOMER]
    first = walked_on(begun(cut(arrays, 0, 50, known)), cut(arrays, 0, 50, known)).carried
    more = walked_on(first, cut(arrays, 40, 90))
    # the newcomer was never there before session 50: the whole walk says the same
    whole = walked_on(begun(arrays), arrays)
    np.testing.assert_array_equal(more.lower[:, 10:], whole.lower[:, 50:])
    assert np.isfinite(whole.lower[NEWCOMER]).any()


def test_nothing_new_is_the_same_document() -> None:
    arrays = panel()
    carried = walked_on(begun(arrays), arrays).carried
    assert walked_on(carried, arrays).carried.to_json() == carried.to_json()


def test_sessions_that_do_not_reach_back_far_enough_are_refused() -> None:
    arrays = panel()
    carried = walked_on(begun(arrays), cut(arrays, 0, 50)).carried
    for start in (48, 60):
        with pytest.raises(ModelError, match="wait for the outcomes of 4 sessions"):
            walked_on(carried, cut(arrays, start, 90))
    assert walked_on(carried, cut(arrays, 46, 90)).carried.session == arrays.sessions[-1].date()
    with pytest.raises(ModelError, match="no industry is told"):
        walked_on(carried, replace(cut(arrays, 46, 90), industries=None))
    with pytest.raises(ModelError, match="nothing to carry on"):
        begun(arrays).to_json()
    with pytest.raises(ModelError, match="same axes"):
        replace(arrays, scores=arrays.scores[:, :-1])


@pytest.mark.parametrize(
    "damage",
    [
        {"format": 2},
        {"symbols": ["600000.SH"]},
        {"pending": [{"session": 3}]},
        {"number": 0},
        {"session": "yesterday"},
        {"scale": [[], [], []]},
        {"state": {}},
    ],
)
def test_a_damaged_document_is_told(damage: dict[str, Any]) -> None:
    arrays = panel()
    tree = json.loads(walked_on(begun(arrays), arrays).carried.to_json())
    with pytest.raises(ModelError, match="cannot be read"):
        CarriedIntervals.of_json(json.dumps({**tree, **damage}))
    with pytest.raises(ModelError, match="cannot be read"):
        CarriedIntervals.of_json("{")


def test_a_daily_return_is_counted_over_suspensions_but_not_over_long_ones() -> None:
    close = np.full((2, MOST_GAP_SESSIONS + 3), np.nan)
    close[0, [0, 2, 3]] = [10.0, 11.0, 12.1]
    close[0, 3 + MOST_GAP_SESSIONS - 1] = 24.2
    close[1, [0, MOST_GAP_SESSIONS + 1]] = [10.0, 20.0]
    found = daily_returns(close)
    np.testing.assert_allclose(found[0, [2, 3]], 0.1)
    assert found[0, -1] == pytest.approx(1.0)
    assert np.isfinite(found[0]).sum() == 3
    assert np.isnan(found[1]).all()
