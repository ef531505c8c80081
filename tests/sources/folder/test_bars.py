"""Canonical bars: columns, order, what is left out, what follows from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.tables import BARS, SECURITIES
from ljwx_pipeline.sources.folder import FolderSource
from tests.fakes.provider_files import CODES, FIRST, LAST, baostock, bars_of, folder_settings, refused, tushare_daily


def test_tushare_bars_become_canonical(tmp_path: Path) -> None:
    given = tushare_daily()
    bars = bars_of(given, tmp_path)
    assert list(bars.columns) == list(BARS)
    assert bars["session_date"].dtype == "datetime64[ns]"
    assert bars[["session_date", "symbol"]].equals(
        bars[["session_date", "symbol"]].sort_values(["session_date", "symbol"])
    )
    wanted = given.sort_values(["trade_date", "ts_code"], ignore_index=True)
    assert bars["symbol"].tolist() == wanted["ts_code"].tolist()
    np.testing.assert_allclose(bars["volume_shares"], wanted["vol"] * 100)
    np.testing.assert_allclose(bars["amount_cny"], wanted["amount"] * 1000)
    np.testing.assert_array_equal(bars["close_cny"], wanted["close"])


def test_newest_first_and_unsorted_files_are_sorted(tmp_path: Path) -> None:
    given = tushare_daily()
    shuffled = given.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(bars_of(shuffled, tmp_path), bars_of(given, tmp_path))


def test_sessions_without_trading_are_absent_and_st_flags_become_spells(tmp_path: Path, index_file: Path) -> None:
    given = baostock(tushare_daily(sessions=40))
    days = sorted(given["date"].unique())
    st = given["code"].eq("sz.000002") & given["date"].between(days[5], days[9])
    open_ended = given["code"].eq("sz.300003") & (given["date"] >= days[30])
    halted = given["code"].eq("sh.600001") & given["date"].isin(days[10:12])
    given.loc[st | open_ended, "isST"] = 1
    given.loc[halted, "tradestatus"] = 0
    given.loc[halted, ["volume", "amount"]] = np.nan
    path = tmp_path / "given.csv"
    given.to_csv(path, index=False)
    source = FolderSource(folder_settings(path, index_file))
    assert len(source.bars(FIRST, LAST)) == len(given) - 2
    spells = source.st_spells(FIRST, LAST)
    assert spells["symbol"].tolist() == ["000002.SZ", "300003.SZ"]
    assert spells["start_date"].tolist() == [pd.Timestamp(days[5]), pd.Timestamp(days[30])]
    assert spells["end_date"].iloc[0] == pd.Timestamp(days[9])
    assert pd.isna(spells["end_date"].iloc[1])
    said = [item.what for item in source.describe().unknown]
    assert "ST spells" not in said
    assert "2 rows without trading" in said


def test_securities_stand_on_the_board_of_their_code_and_are_never_delisted(data_file: Path) -> None:
    securities = FolderSource(folder_settings(data_file)).securities()
    assert list(securities.columns) == list(SECURITIES)
    assert dict(zip(securities["symbol"], securities["board"], strict=True)) == {
        "000002.SZ": 0,
        "300003.SZ": 1,
        "600001.SH": 0,
    }
    assert securities["delist_date"].isna().all()


def test_a_stock_is_listed_on_its_first_bar_unless_the_files_begin_with_it(tmp_path: Path) -> None:
    given = tushare_daily()
    tenth = sorted(given["trade_date"].unique())[9]
    path = tmp_path / "given.csv"
    given[(given["ts_code"] != CODES[0]) | (given["trade_date"] >= tenth)].to_csv(path, index=False)
    listed = FolderSource(folder_settings(path)).securities().set_index("symbol")["list_date"]
    assert listed[CODES[0]] == pd.Timestamp(tenth)
    assert listed.drop(CODES[0]).isna().all()


def test_a_repeated_row_names_both_places(tmp_path: Path) -> None:
    frame = tushare_daily()
    error = refused(
        lambda: bars_of(pd.concat([frame, frame.iloc[[4]]]), tmp_path),
        f"data row {len(frame) + 1}",
        "repeats",
        "data row 5",
        "keep one row",
    )
    assert isinstance(error, DataQualityError)


def test_only_silent_rows_are_refused(tmp_path: Path) -> None:
    refused(lambda: bars_of(tushare_daily().assign(vol=0.0, amount=0.0), tmp_path), "no bar with any trading")
