"""Files are found and opened whatever their encoding; a damaged one is named."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.sources.folder import FolderSource
from tests.fakes.provider_files import FIRST, LAST, akshare_hist, bars_of, folder_settings, refused, tushare_daily


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_encodings_are_recognised(encoding: str, tmp_path: Path) -> None:
    given = tushare_daily()
    path = tmp_path / "given.csv"
    akshare_hist(given).assign(名称="浦发银行").to_csv(path, index=False, encoding=encoding)
    source = FolderSource(folder_settings(path))
    pd.testing.assert_frame_equal(source.bars(FIRST, LAST), bars_of(given, tmp_path))
    assert set(source.securities()["name"]) == {"浦发银行"}


def test_parquet_with_real_dates_reads_like_csv_with_text_dates(tmp_path: Path) -> None:
    given = tushare_daily()
    path = tmp_path / "given.parquet"
    given.assign(trade_date=pd.to_datetime(given["trade_date"])).to_parquet(path)
    pd.testing.assert_frame_equal(FolderSource(folder_settings(path)).bars(FIRST, LAST), bars_of(given, tmp_path))


def test_missing_paths_are_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for given, part in ((tmp_path / "nowhere", "does not exist"), ("", "names no file"), (empty, "holds no .csv")):
        refused(
            lambda given=given: FolderSource(folder_settings(given)).bars(FIRST, LAST),
            "folder.data" if given != empty else str(empty),
            part,
        )


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    cases = {
        "empty.csv": (b"", "is empty"),
        "header.csv": (b"ts_code,trade_date,open,high,low,close,vol,amount\n", "no rows"),
        "binary.csv": (bytes([0xFF, 0xFE, 0x80, 0x00, 0xFF, 0xFF]), "neither UTF-8 nor GBK"),
        "ragged.csv": (b"ts_code,trade_date\na,b\na,b,c,d\n", "no column for open"),
        "damaged.parquet": (b"PAR1 and then nothing PAR1", "damaged"),
    }
    for name, (data, part) in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        refused(lambda p=path: FolderSource(folder_settings(p)).bars(FIRST, LAST), name, part)


def test_a_parquet_damaged_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    tushare_daily().to_parquet(path)
    data = bytearray(path.read_bytes())
    data[40:400] = bytes(360)
    path.write_bytes(data)
    refused(lambda: FolderSource(folder_settings(path)).bars(FIRST, LAST), "bars.parquet", "damaged")


def test_a_line_with_too_many_cells_is_named(tmp_path: Path, data_file: Path) -> None:
    lines = data_file.read_text().splitlines()
    lines[3] += ",1,2,3"
    path = tmp_path / "ragged.csv"
    path.write_text("\n".join(lines))
    refused(lambda: FolderSource(folder_settings(path)).bars(FIRST, LAST), "ragged.csv", "line 4")


def test_rows_that_all_have_too_many_cells_are_refused(tmp_path: Path, data_file: Path) -> None:
    header, *lines = data_file.read_text().splitlines()
    path = tmp_path / "ragged.csv"
    path.write_text("\n".join([header, *(f"{line},1" for line in lines)]))
    refused(lambda: FolderSource(folder_settings(path)).bars(FIRST, LAST), "ragged.csv", "more cells than its header")
