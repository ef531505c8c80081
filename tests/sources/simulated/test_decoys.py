"""Decoys look like strong factors while they look ahead, and are worthless once they are given when they were known."""

from __future__ import annotations

import pandas as pd
import pytest

from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.sources.simulated.source import SimulatedMarket
from tests.sources.simulated.measures import WHOLE, five_session_return, rank_ic, wide

#: Sessions each decoy sees ahead.
AHEAD = {"decoy_misfiled_gap": 2, "decoy_centred_mean": 5, "decoy_restated_figure": 6}


@pytest.fixture(scope="module")
def noise() -> SimulatedMarket:
    """A world without alpha: nothing honest predicts in it."""
    return SimulatedMarket(SimulatedSettings(seed=5, symbols=120, oracle_rank_ic=0.0))


@pytest.fixture(scope="module")
def forward(noise: SimulatedMarket) -> pd.DataFrame:
    return five_session_return(noise.bars(*WHOLE))


def test_all_decoys_are_known_here(noise: SimulatedMarket) -> None:
    assert set(AHEAD) == set(noise.decoys().columns) - {"symbol", "session_date"}


@pytest.mark.parametrize("name", list(AHEAD))
def test_a_decoy_predicts_only_while_it_looks_ahead(noise: SimulatedMarket, forward: pd.DataFrame, name: str) -> None:
    column = wide(noise.decoys(), name)
    assert rank_ic(column, forward).mean() > 0.15
    when_known = column.shift(AHEAD[name])
    assert abs(rank_ic(when_known, forward).mean()) < 0.02


@pytest.mark.parametrize("name", list(AHEAD))
def test_a_decoy_has_no_value_where_the_world_ends_before_it_could_see(noise: SimulatedMarket, name: str) -> None:
    column = wide(noise.decoys(), name).reindex(noise.sessions(*WHOLE))
    assert column.iloc[-AHEAD[name] :].isna().all(axis=None)
    assert column.iloc[-AHEAD[name] - 1].notna().any()
