"""Files as people really have them: read as the clean file's rows, or refused with the file, the value and a remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ljwx_pipeline.sources.folder import FolderSource
from tests.fakes.provider_files import FIRST, LAST, bars_of, folder_settings, refused, tushare_daily

Write = Callable[[pd.DataFrame, Path], object]
PREFIXES = {"SH": "SHSE", "SZ": "SZSE"}
FULL_WIDTH = str.maketrans("0123456789.", "０１２３４５６７８９．")


def csv(change: Callable[[pd.DataFrame], pd.DataFrame], **options: object) -> Write:
    return lambda frame, folder: change(frame).to_csv(folder / "a.csv", index=False, **options)


def parquet(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Write:
    return lambda frame, folder: change(frame).to_parquet(folder / "a.parquet")


def codes(spell: Callable[[str], str]) -> Write:
    return csv(lambda frame: frame.assign(ts_code=frame["ts_code"].map(spell)))


def dates(spell: Callable[[pd.Series], pd.Series]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.assign(trade_date=spell(pd.to_datetime(frame["trade_date"])))


def midnight_in_utc(days: pd.Series) -> pd.Series:
    return days.dt.tz_localize("Asia/Shanghai").dt.tz_convert("UTC")


def mixed(frame: pd.DataFrame) -> pd.DataFrame:
    spellings = [
        lambda code: code[-2:].lower() + code[:6],
        lambda code: code,
        lambda code: code[:6],
        lambda code: f"{PREFIXES[code[-2:]]}.{code[:6]}",
    ]
    return frame.assign(ts_code=[spellings[row % 4](code) for row, code in enumerate(frame["ts_code"])])


def beside(write: Callable[[Path], object]) -> Write:
    """Write the clean file and something beside it."""

    def both(frame: pd.DataFrame, folder: Path) -> None:
        frame.to_csv(folder / "a.csv", index=False)
        write(folder)

    return both


READ = {
    "excel's byte order mark": csv(lambda frame: frame, encoding="utf-8-sig"),
    "semicolons": csv(lambda frame: frame, sep=";"),
    "shares for lots": csv(lambda frame: frame.assign(vol=frame["vol"] * 100)),
    "CNY for thousands": csv(lambda frame: frame.assign(amount=frame["amount"] * 1000)),
    "percent signs in a column nobody needs": csv(lambda frame: frame.assign(pct_chg="1.2%")),
    "SHSE.600001": codes(lambda code: f"{PREFIXES[code[-2:]]}.{code[:6]}"),
    "600001.SSE": codes(lambda code: f"{code[:6]}.{PREFIXES[code[-2:]].replace('SHSE', 'SSE')}"),
    "a code quoted for a spreadsheet": codes(lambda code: f'="{code[:6]}"'),
    "full-width codes": codes(lambda code: code.translate(FULL_WIDTH)),
    "codes in four spellings": csv(mixed),
    "instants in UTC": csv(dates(lambda days: midnight_in_utc(days).dt.strftime("%Y-%m-%dT%H:%M:%SZ"))),
    "instants with an offset": csv(dates(lambda days: days.dt.strftime("%Y-%m-%d 00:00:00+08:00"))),
    "typed instants in UTC": parquet(dates(midnight_in_utc)),
    "keys as the index of a frame": parquet(lambda frame: frame.set_index(["ts_code", "trade_date"])),
    "a link to the folder itself": beside(lambda folder: (folder / "loop").symlink_to(folder)),
    "a folder called like a file": beside(lambda folder: (folder / "x.csv").mkdir()),
    "a download under way and a spreadsheet's lock": beside(
        lambda folder: [(folder / name).write_bytes(b"\0half") for name in ("b.csv.part", "~$a.csv")]
    ),
}


@pytest.mark.parametrize("write", READ.values(), ids=[name.replace(" ", "-") for name in READ])
def test_is_read_as_the_clean_file(write: Write, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    write(tushare_daily(), folder)
    got = FolderSource(folder_settings(folder)).bars(FIRST, LAST)
    pd.testing.assert_frame_equal(got, bars_of(tushare_daily(), tmp_path))


def copied_by_half(frame: pd.DataFrame, folder: Path) -> None:
    whole = frame.to_csv(index=False).splitlines(keepends=True)
    (folder / "a.csv").write_text("".join(whole[:120]) + whole[120][:15])


def two_columns_of_one_name(frame: pd.DataFrame, folder: Path) -> None:
    frame.assign(again=frame["close"] * 2).rename(columns={"again": "close"}).to_csv(folder / "a.csv", index=False)


def two_typed_columns_of_one_name(frame: pd.DataFrame, folder: Path) -> None:
    table = pa.Table.from_pandas(frame)
    pq.write_table(table.append_column("close", table["open"]), folder / "a.parquet")


REFUSED: dict[str, tuple[Write, tuple[str, ...]]] = {
    "thousands separators": (
        csv(lambda frame: frame.assign(vol=frame["vol"].map("{:,.2f}".format))),
        ("a.csv data row 1, column vol: '2,732.00' is not a number", "without separators"),
    ),
    "decimal commas": (csv(lambda frame: frame, sep=";", decimal=","), ("column open: '10,01'", "plain numbers")),
    "percent signs": (
        csv(lambda frame: frame.assign(close=frame["close"].map("{}%".format))),
        ("column close: '10.03%' is not a number", "or units"),
    ),
    "spreadsheet serials": (
        csv(dates(lambda days: (days - pd.Timestamp("1899-12-30")).dt.days)),
        ("column trade_date: '43102' is not a date", "in a spreadsheet, format the column as a date"),
    ),
    "typed spreadsheet serials": (
        parquet(dates(lambda days: (days - pd.Timestamp("1899-12-30")).dt.days)),
        ("a.parquet data row 1, column trade_date: 43102 is not a date",),
    ),
    "amounts in ten thousand CNY": (
        csv(lambda frame: frame.assign(amount=frame["amount"] / 10)),
        ("amount / volume", "must be converted first"),
    ),
    "one stock in two spellings": (
        csv(lambda frame: pd.concat([frame, frame.head(1).assign(ts_code="sh600001")])),
        ("data row 181 (600001.SH 2018-01-02) repeats", "data row 1 (600001.SH 2018-01-02)"),
    ),
    "a file of no bytes": (beside(lambda folder: (folder / "b.csv").touch()), ("b.csv is empty",)),
    "a file copied twice": (
        beside(lambda folder: (folder / "a (1).csv").write_bytes((folder / "a.csv").read_bytes())),
        ("a.csv data row", "repeats", "a (1).csv data row", "180 such rows"),
    ),
    "a file copied by half": (copied_by_half, ("a.csv data row 120, column trade_date", "is not a date")),
    "a link to nothing": (
        beside(lambda folder: (folder / "b.csv").symlink_to(folder / "gone.csv")),
        ("b.csv cannot be read", "delete or repair the link"),
    ),
    "a link to itself": (
        beside(lambda folder: (folder / "b.csv").symlink_to(folder / "b.csv")),
        ("b.csv cannot be read", "delete or repair the link"),
    ),
    "two columns of one name": (two_columns_of_one_name, ("a.csv has more than one column called close", "rename")),
    "two typed columns of one name": (two_typed_columns_of_one_name, ("more than one column called close",)),
    "a flag that is neither yes nor no": (
        csv(lambda frame: frame.assign(isST=2)),
        ("data row 1, column isST: 2 is neither 1 nor 0", "write flags as 1 and 0"),
    ),
    "a flag in words": (csv(lambda frame: frame.assign(isST="是")), ("'是' is not a number", "flags as 1 or 0")),
    "a flag left out": (
        csv(lambda frame: frame.assign(isST=np.where(np.arange(len(frame)) == 4, np.nan, 0))),
        ("data row 5", "is_st is empty"),
    ),
}


@pytest.mark.parametrize(("write", "parts"), REFUSED.values(), ids=[name.replace(" ", "-") for name in REFUSED])
def test_is_refused_with_what_to_do(write: Write, parts: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    write(tushare_daily(), folder)
    refused(lambda: FolderSource(folder_settings(folder)).bars(FIRST, LAST), *parts)


@pytest.mark.parametrize("given", ["~nobody-of-that-name/x", "x" * 5000])
def test_a_path_that_cannot_be_looked_up_is_refused(given: str) -> None:
    refused(lambda: FolderSource(folder_settings(given)).bars(FIRST, LAST), "folder.data = ", "cannot be read")


def test_a_linked_folder_of_data_is_read(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir()
    elsewhere.mkdir()
    tushare_daily().to_csv(elsewhere / "a.csv", index=False)
    for name in ("one", "two"):  # the same folder twice is read once
        (data / name).symlink_to(elsewhere)
    assert len(FolderSource(folder_settings(data)).bars(FIRST, LAST)) == 180


def test_a_file_that_does_not_end_with_a_line_is_read_and_said(tmp_path: Path, index_file: Path) -> None:
    path = tmp_path / "a.csv"
    tushare_daily().to_csv(path, index=False)
    path.write_bytes(path.read_bytes().rstrip())
    source = FolderSource(folder_settings(path, index_file))
    assert len(source.bars(FIRST, LAST)) == 180
    assert any("may be cut off" in item.consequence for item in source.describe().unknown)
