"""The port: whatever a source yields has the columns, order and dtypes of the canonical tables."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from ljwx_pipeline.config import SimulatedSettings
from ljwx_pipeline.market.tables import TABLES
from ljwx_pipeline.sources.base import MarketSource
from ljwx_pipeline.sources.simulated.source import SimulatedMarket

BY_RANGE = ("bars", "index_bars", "market_values", "news", "macro")


@pytest.fixture(scope="module")
def source() -> MarketSource:
    return SimulatedMarket(SimulatedSettings(seed=3, symbols=20, oracle_rank_ic=0.11))


def table(source: MarketSource, name: str) -> pd.DataFrame:
    method = getattr(source, name)
    frame = method(date(2020, 1, 1), date(2020, 12, 31)) if name in BY_RANGE else method()
    assert isinstance(frame, pd.DataFrame)
    return frame


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_has_the_canonical_columns_and_dtypes(source: MarketSource, name: str) -> None:
    frame = table(source, name)
    assert len(frame) > 0
    assert list(frame.columns) == list(TABLES[name])
    wanted = {column: ("object" if dtype == "str" else dtype) for column, dtype in TABLES[name].items()}
    assert frame.dtypes.astype(str).to_dict() == wanted


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_is_indexed_from_zero_and_without_duplicate_rows(source: MarketSource, name: str) -> None:
    frame = table(source, name)
    assert frame.index.equals(pd.RangeIndex(len(frame)))
    assert not frame.duplicated().any()
