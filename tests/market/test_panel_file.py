"""A panel read from a Parquet file of bars: the same arrays whatever the order of the rows, and no row lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.market.panel_file import read_panel
from tests.fakes.panels import random_panel

FIELDS = ("open", "close", "volume")


def bars_of(panel: Panel) -> pd.DataFrame:
    symbol, session = np.nonzero(~np.isnan(panel.fields["close"]))
    keys = {"symbol": np.array(panel.symbols, dtype=object)[symbol], "session_date": panel.sessions[session]}
    return pd.DataFrame(keys | {name: panel.fields[name][symbol, session] for name in FIELDS})


@pytest.fixture
def panel() -> Panel:
    return random_panel(symbols=9, sessions=70)


@pytest.mark.parametrize("by", [["symbol", "session_date"], ["session_date", "symbol"], ["volume"]])
def test_the_panel_is_what_the_rows_were_made_of(by: list[str], panel: Panel, tmp_path: Path) -> None:
    bars_of(panel).sort_values(by).to_parquet(tmp_path / "bars.parquet", row_group_size=97, index=False)
    read = read_panel(tmp_path / "bars.parquet", FIELDS)
    assert read.symbols == panel.symbols
    assert read.sessions.equals(panel.sessions)
    assert read.sessions.name == "session_date"
    assert tuple(read.fields) == FIELDS
    for name in FIELDS:
        np.testing.assert_array_equal(read.fields[name], panel.fields[name])
        assert read.fields[name].dtype == np.float64


def test_dates_and_float32_and_null_are_read_as_what_they_mean(panel: Panel, tmp_path: Path) -> None:
    bars = bars_of(panel)
    table = pa.table(
        {
            "symbol": pa.array(bars["symbol"]),
            "session_date": pa.array(bars["session_date"].dt.date),
            "close": pa.array([None, *bars["close"].to_numpy()[1:]], type=pa.float32()),
        }
    )
    pq.write_table(table, tmp_path / "bars.parquet")
    read = read_panel(tmp_path / "bars.parquet", ["close"])
    want = panel.fields["close"].astype(np.float32).astype(np.float64)
    want[tuple(np.argwhere(~np.isnan(want))[0])] = np.nan
    np.testing.assert_array_equal(read.fields["close"], want)
    assert read.sessions.equals(panel.sessions)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda bars: pd.concat([bars, bars.iloc[[3]]]), "two rows .* share a symbol and session"),
        (lambda bars: bars.iloc[:0], "holds no row"),
        (lambda bars: bars.drop(columns="volume"), "has no column volume"),
        (lambda bars: bars.assign(symbol=bars["symbol"].where(bars.index > 1)), "2 rows have no symbol"),
        (lambda bars: bars.assign(session_date=bars["session_date"].where(bars.index > 0)), "1 rows have no session"),
        (
            lambda bars: bars.assign(session_date=bars["session_date"] + pd.Timedelta("15h")),
            "session_date .* is no date",
        ),
        (lambda bars: bars.assign(close=bars["close"].astype(str)), "column close of .* is .*string, not a number"),
    ],
)
def test_a_file_that_is_no_panel_is_refused(change, said: str, panel: Panel, tmp_path: Path) -> None:
    change(bars_of(panel)).to_parquet(tmp_path / "bars.parquet", index=False)
    with pytest.raises(DataQualityError, match=said):
        read_panel(tmp_path / "bars.parquet", FIELDS)
