"""Rows keep the file and line they came from, and a bad one is named by both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.sources.folder import FolderSource
from tests.fakes.provider_files import FIRST, LAST, bars_of, folder_settings, refused, tushare_daily


def test_a_folder_of_files_named_by_code_is_one_panel(tmp_path: Path) -> None:
    given = tushare_daily()
    folder = tmp_path / "many"
    folder.mkdir()
    for code, part in given.groupby("ts_code"):
        path = folder / f"{code}.csv"
        part.drop(columns="ts_code").to_csv(path, index=False)
    (folder / ".hidden.csv").write_text("not data")
    (folder / "README.md").write_text("not data")
    pd.testing.assert_frame_equal(FolderSource(folder_settings(folder)).bars(FIRST, LAST), bars_of(given, tmp_path))


def test_a_file_without_any_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    tushare_daily().drop(columns="ts_code").to_csv(path, index=False)
    refused(lambda: FolderSource(folder_settings(path)).bars(FIRST, LAST), "prices.csv", "code", "name the file")


def spoil(column: str, value: object) -> pd.DataFrame:
    frame = tushare_daily().astype({column: object})
    frame.loc[7, column] = value
    return frame


@pytest.mark.parametrize(
    ("column", "value", "parts"),
    [
        ("close", "abc", ("data row 8, column close: 'abc' is not a number",)),
        ("close", np.nan, ("data row 8", "close is empty")),
        ("close", -1.0, ("data row 8", "close is -1")),
        ("low", 0.0, ("data row 8", "low is 0")),
        ("vol", -5.0, ("data row 8", "vol", "below zero")),
        ("amount", "inf", ("data row 8, column amount",)),
        ("high", 0.01, ("data row 8", "high 0.01 is below low")),
        ("pre_close", -3.0, ("data row 8", "reference price")),
        ("trade_date", "2018-13-45", ("data row 8, column trade_date: '2018-13-45' is not a date",)),
        ("trade_date", "9999-01-01", ("data row 8, column trade_date: '9999-01-01' is not a date",)),
        ("trade_date", "20180106", ("data row 8", "no session")),
        ("trade_date", "20991231", ("data row 8", "is dated after today", "correct the date")),
        ("ts_code", "399986.SZ", ("data row 8", "'399986.SZ'", "600519.SH")),
        ("ts_code", "AAPL", ("data row 8", "'AAPL'")),
        ("ts_code", np.nan, ("data row 8 has no code",)),
    ],
)
def test_a_bad_cell_is_named_by_file_and_row(
    column: str, value: object, parts: tuple[str, ...], tmp_path: Path
) -> None:
    refused(lambda: bars_of(spoil(column, value), tmp_path), "given.csv", *parts)
