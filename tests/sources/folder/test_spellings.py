"""Providers' column names are recognised; what is unclear is a question, not a guess."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from ljwx_pipeline.errors import SourceError
from tests.fakes.provider_files import akshare_daily, akshare_hist, baostock, bars_of, refused, tushare_daily


@pytest.mark.parametrize("spelling", [akshare_hist, akshare_daily, baostock])
def test_other_providers_say_the_same_thing(spelling: Callable[[pd.DataFrame], pd.DataFrame], tmp_path: Path) -> None:
    given = tushare_daily(sessions=120)
    pd.testing.assert_frame_equal(bars_of(spelling(given), tmp_path), bars_of(given, tmp_path))


def test_declared_columns_win_over_spellings(tmp_path: Path) -> None:
    given = tushare_daily()
    renamed = given.rename(columns={"close": "px_last", "vol": "qty"})
    declared = {"close": "px_last", "volume": "qty"}
    pd.testing.assert_frame_equal(bars_of(renamed, tmp_path, columns=declared), bars_of(given, tmp_path))


def test_a_misspelt_column_suggests_the_close_match(tmp_path: Path) -> None:
    error = refused(
        lambda: bars_of(tushare_daily().rename(columns={"close": "clsoe"}), tmp_path),
        "given.csv",
        "no column for close",
        "did you mean 'clsoe'",
        "folder.columns = { close",
    )
    assert isinstance(error, SourceError)


def test_a_missing_column_and_a_wrong_declaration_are_named(tmp_path: Path) -> None:
    refused(lambda: bars_of(tushare_daily().drop(columns="vol"), tmp_path), "no column for volume", "成交量")
    refused(
        lambda: bars_of(tushare_daily(), tmp_path, columns={"close": "last"}),
        "no column 'last'",
        "folder.columns.close",
    )


def test_two_columns_for_one_role_are_a_question_not_a_guess(tmp_path: Path) -> None:
    frame = tushare_daily()
    refused(
        lambda: bars_of(frame.assign(volume=frame["vol"]), tmp_path),
        "vol and volume",
        'folder.columns = { volume = "vol" }',
    )
    assert len(bars_of(frame.assign(volume=frame["vol"]), tmp_path, columns={"volume": "vol"})) == len(frame)


def test_every_unclear_column_is_told_in_one_message(tmp_path: Path) -> None:
    frame = tushare_daily()
    twice = frame.assign(volume=frame["vol"], date=frame["trade_date"], 收盘=frame["close"])
    refused(
        lambda: bars_of(twice, tmp_path),
        "trade_date and date, which both look like session_date",
        "close and 收盘, which both look like close",
        "vol and volume, which both look like volume",
        'folder.columns = { session_date = "trade_date", close = "close", volume = "vol" }',
    )
    declared = {"session_date": "trade_date", "close": "close", "volume": "vol"}
    pd.testing.assert_frame_equal(bars_of(twice, tmp_path, columns=declared), bars_of(frame, tmp_path))


def test_every_missing_column_is_told_in_one_message(tmp_path: Path) -> None:
    refused(
        lambda: bars_of(tushare_daily().drop(columns=["vol", "high"]), tmp_path),
        "no column for high, volume",
        "最高",
        "成交量",
        'folder.columns = { high = "NAME IN THE FILE", volume = "NAME IN THE FILE" }',
    )
