"""Index bars are canonical, and a stock in an index's place is found out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.market.tables import INDEX_BARS
from ljwx_pipeline.sources.folder import FolderSource
from tests.fakes.provider_files import FIRST, LAST, adjusted, folder_settings, refused, tushare_daily, tushare_index


def test_index_bars_are_canonical_with_plausible_turnover(data_file: Path, index_file: Path) -> None:
    index = FolderSource(folder_settings(data_file, index_file)).index_bars(FIRST, LAST)
    assert list(index.columns) == list(INDEX_BARS)
    assert set(index["index_code"]) == {"000905.SH"}
    assert (index["amount_cny"] / index["volume_shares"]).between(8.9, 11.1).all()


def test_an_index_of_closes_only_is_enough(data_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "399006.csv"
    tushare_index()[["trade_date", "close"]].to_csv(path, index=False)
    index = FolderSource(folder_settings(data_file, path)).index_bars(FIRST, LAST)
    assert set(index["index_code"]) == {"399006.SZ"}
    assert (index["open_points"] == index["close_points"]).all()
    assert index["amount_cny"].isna().all()


def test_netease_history_with_apostrophes_none_and_gbk_is_read(data_file: Path, tmp_path: Path) -> None:
    given = tushare_index("399006.SZ").iloc[::-1]
    path = tmp_path / "x.csv"
    pd.DataFrame(
        {
            "日期": pd.to_datetime(given["trade_date"]).dt.strftime("%Y-%m-%d"),
            "股票代码": "'399006",
            "名称": "创业板指",
            "收盘价": given["close"],
            "前收盘": [*given["close"].iloc[1:].astype(str), "None"],
            "成交量": given["vol"] * 100,
            "成交金额": given["amount"] * 1000,
        }
    ).to_csv(path, index=False, encoding="gbk")
    index = FolderSource(folder_settings(data_file, path)).index_bars(FIRST, LAST)
    assert set(index["index_code"]) == {"399006.SZ"}
    np.testing.assert_allclose(index["close_points"], given["close"].iloc[::-1])


def test_a_missing_index_is_named(data_file: Path, index_file: Path, tmp_path: Path) -> None:
    refused(
        lambda: FolderSource(folder_settings(data_file)).index_bars(FIRST, LAST), "folder.index_data", "--index-data"
    )
    refused(
        lambda: FolderSource(folder_settings(data_file, tmp_path / "no.csv")).index_bars(FIRST, LAST),
        "folder.index_data",
        "does not exist",
    )
    source = FolderSource(folder_settings(data_file, index_file), required_indices=("000905.SH", "399006.SZ"))
    refused(lambda: source.index_bars(FIRST, LAST), "holds 000905.SH but not 399006.SZ", "gate.benchmark")

    refused(lambda: source.index_bars(FIRST, LAST), "--index-data", "evaluation.indices")


def index_of(frame: pd.DataFrame, data_file: Path, tmp_path: Path) -> pd.DataFrame:
    path = tmp_path / "000016.SH.csv"
    frame.to_csv(path, index=False)
    return FolderSource(folder_settings(data_file, path)).index_bars(FIRST, LAST)


def test_an_index_that_turns_into_a_stock_is_found_out(data_file: Path, tmp_path: Path) -> None:
    frame = tushare_index("000016.SH")
    frame.loc[56:, ["open", "high", "low", "close"]] /= 600
    frame.loc[56:, "ts_code"] = np.nan
    refused(lambda: index_of(frame, data_file, tmp_path), "data row 57", "level jumps", "perhaps a stock")


def test_a_stock_under_an_index_code_is_found_out_raw_or_adjusted(data_file: Path, tmp_path: Path) -> None:
    stock = tushare_daily().query("ts_code == '000002.SZ'").drop(columns="ts_code")
    refused(lambda: index_of(stock, data_file, tmp_path), "000016.SH is no index", "[low, high]")
    refused(lambda: index_of(adjusted(stock, 0.9), data_file, tmp_path), "000016.SH is no index", "costs")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda f: pd.concat([f, f.iloc[[3]]]), "given twice"),
        (lambda f: f.assign(close=f["close"].where(f.index != 5, 0.0)), "close is 0"),
        (lambda f: f.assign(trade_date=f["trade_date"].where(f.index != 5, "20180106")), "no session"),
        (lambda f: f.assign(trade_date="1995" + f["trade_date"].str[4:]), "ends before"),
    ],
)
def test_dirt_in_an_index_is_named(
    change: Callable[[pd.DataFrame], pd.DataFrame], part: str, data_file: Path, tmp_path: Path
) -> None:
    refused(lambda: index_of(change(tushare_index("000016.SH")), data_file, tmp_path), "000016.SH.csv", part)


def test_one_index_from_two_files_is_refused(data_file: Path, index_file: Path, tmp_path: Path) -> None:
    second = tmp_path / "again.csv"
    second.write_bytes(index_file.read_bytes())
    source = FolderSource(folder_settings(data_file, index_file, second))
    refused(lambda: source.index_bars(FIRST, LAST), "000905.SH is given twice", "one file")


def test_an_index_with_implausible_turnover_keeps_its_levels_and_says_so(data_file: Path, tmp_path: Path) -> None:
    frame = tushare_index("000016.SH")
    path = tmp_path / "000016.SH.csv"
    frame.assign(amount=frame["amount"] * 1e9).to_csv(path, index=False)
    source = FolderSource(folder_settings(data_file, path))
    index = source.index_bars(FIRST, LAST)
    assert index["amount_cny"].isna().all()
    assert index["close_points"].notna().all()
    assert any("left out" in item.consequence for item in source.describe().unknown)
