"""Worlds the tests of the simulated market share: each is walked once a process."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.sources.simulated.source import WORLD_LAST, SimulatedMarket
from tests.sources.simulated.measures import WHOLE


@pytest.fixture(scope="session")
def market() -> SimulatedMarket:
    """The default world."""
    return SimulatedMarket(SimulatedSettings(seed=7, symbols=120, oracle_rank_ic=0.11))


@pytest.fixture(scope="session")
def small() -> SimulatedMarket:
    """A small world with an alpha, for tests that walk it again."""
    return SimulatedMarket(SimulatedSettings(seed=3, symbols=20, oracle_rank_ic=0.11))


@pytest.fixture(scope="session")
def bars(market: SimulatedMarket) -> pd.DataFrame:
    """Every bar of the default world."""
    return market.bars(*WHOLE)


@pytest.fixture(scope="session")
def all_sessions(market: SimulatedMarket) -> pd.DatetimeIndex:
    """Every session of the simulated world."""
    return market.sessions(date(2018, 1, 1), WORLD_LAST)
