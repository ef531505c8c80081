"""Dirt in the files that the folder source reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from ljwx_pipeline.errors import LjwxError
from ljwx_pipeline.sources.folder.source import FolderSource
from tests.fakes.dirt.kind import FIRST, LAST, FileDirt
from tests.fakes.provider_files import folder_settings, tushare_daily, tushare_index


def _bars(
    folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame], encoding: str = "utf-8", **settings: object
) -> pd.DataFrame:
    path = folder / "daily.csv"
    change(tushare_daily()).to_csv(path, index=False, encoding=encoding)
    return FolderSource(folder_settings(path, **settings)).bars(FIRST, LAST)


def _index(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    bars, index = folder / "daily.csv", folder / "000905.SH.csv"
    tushare_daily().to_csv(bars, index=False)
    change(tushare_index()).to_csv(index, index=False)
    return FolderSource(folder_settings(bars, index)).index_bars(FIRST, LAST)


def _cell(column: str, text: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame[column] = frame[column].astype(object)
        frame.loc[5, column] = text
        return frame

    return change


def _stock_tail(frame: pd.DataFrame) -> pd.DataFrame:
    names = ["open", "high", "low", "close", "vol", "amount"]
    frame.loc[frame.index[-4:], names] = tushare_daily().loc[:3, names].to_numpy()
    return frame


def _is_stock(frame: pd.DataFrame) -> pd.DataFrame:
    stock = tushare_daily()
    return stock[stock["ts_code"] == "600001.SH"].assign(ts_code="000905.SH").drop(columns="pre_close")


def _adjusted(frame: pd.DataFrame) -> pd.DataFrame:
    frame[["open", "high", "low", "close", "pre_close"]] *= 8.3
    return frame


def _chinese(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(
        columns={
            "ts_code": "股票代码",
            "trade_date": "日期",
            "open": "开盘价",
            "high": "最高价",
            "low": "最低价",
            "close": "收盘价",
            "pre_close": "前收盘",
            "vol": "成交量",
            "amount": "成交额",
        }
    )


def _apostrophes(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(ts_code="'" + frame["ts_code"].str[:6])


KINDS = (
    FileDirt("the word None in a price", lambda folder: _bars(folder, _cell("close", "None")), "close is empty"),
    FileDirt("a word in a price", lambda folder: _bars(folder, _cell("close", "halted")), "is not a number"),
    FileDirt("a date that is none", lambda folder: _bars(folder, _cell("trade_date", "20180231")), "is not a date"),
    FileDirt("apostrophes before codes", lambda folder: _bars(folder, _apostrophes), ""),
    FileDirt(
        "Chinese columns in GBK",
        lambda folder: _bars(folder, _chinese, "gbk", volume_unit="lots", amount_unit="thousand_cny"),
        "",
    ),
    FileDirt("newest rows first", lambda folder: _bars(folder, lambda frame: frame.iloc[::-1]), ""),
    FileDirt(
        "two date columns",
        lambda folder: _bars(folder, lambda f: f.assign(date=f["trade_date"])),
        "both look like session_date",
    ),
    FileDirt(
        "declared units are wrong", lambda folder: _bars(folder, lambda f: f, volume_unit="shares"), "volume_unit"
    ),
    FileDirt("adjusted prices named like raw ones", lambda folder: _bars(folder, _adjusted), "not raw"),
    FileDirt("an index among the bars", lambda folder: _bars(folder, _cell("ts_code", "399986.SZ")), "399986.SZ"),
    FileDirt("an index file ends as a stock", lambda folder: _index(folder, _stock_tail), "the level jumps"),
    FileDirt("an index file is a stock", lambda folder: _index(folder, _is_stock), "is no index"),
)


def file_outcome(kind: FileDirt, folder: Path) -> str:
    """Return what the folder source says of a dirty file; empty where it reads the clean rows out of it."""
    try:
        frame = kind.load(folder)
    except LjwxError as error:
        return str(error)
    clean = _bars(folder, lambda frame: frame)
    same = frame.equals(clean) or (
        len(frame) == len(clean)
        and np.allclose(frame["close_cny"], clean["close_cny"])
        and (frame["symbol"] == clean["symbol"]).all()
    )
    return "" if same else "other rows than the clean file's"
