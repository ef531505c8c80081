"""The canonical tables exist once, with units in their names."""

from __future__ import annotations

import pandas as pd
import pytest

from ljwx_pipeline.market.tables import TABLES, empty_table

UNITS = ("_cny", "_shares", "_points", "_date", "_at", "_month", "_factor", "_per_share")
UNITLESS = {
    "report_period",
    "indicator",
    "symbol",
    "index_code",
    "name",
    "board",
    "industry",
    "title",
    "sentiment",
    "series",
    "value",
}


@pytest.mark.parametrize("name", sorted(TABLES))
def test_an_empty_table_has_every_column_with_its_dtype(name: str) -> None:
    table = empty_table(name)
    assert list(table.columns) == list(TABLES[name])
    assert len(table) == 0
    for column, dtype in TABLES[name].items():
        assert str(table[column].dtype) == ("object" if dtype == "str" else dtype), column


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_column_name_carries_its_unit(name: str) -> None:
    bare = [column for column in TABLES[name] if not column.endswith(UNITS) and column not in UNITLESS]
    assert bare == []


def test_empty_tables_are_independent() -> None:
    first = empty_table("bars")
    first.loc[0, "symbol"] = "600519.SH"
    pd.testing.assert_frame_equal(empty_table("bars"), empty_table("bars"))
    assert len(empty_table("bars")) == 0
