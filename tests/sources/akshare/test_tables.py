"""Single frames of akshare turned into canonical rows: codes, lots, missing columns, halts within a session."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.sources.akshare import tables

HIST = pd.DataFrame(
    {
        "日期": [date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4)],
        "开盘": [10.0, 9.0, 9.1],
        "收盘": [10.0, 9.0, 9.2],
        "最高": [10.0, 9.0, 9.2],
        "最低": [10.0, 9.0, 9.0],
        "成交量": [5, 6, 7],
        "成交额": [5000.0, 5400.0, 6400.0],
        "涨跌额": [0.5, -1.0, 0.2],
    }
)
FACTORS = pd.DataFrame({"ex_date": pd.to_datetime(["2024-01-03", "1900-01-01"]), "factor": [1.25, 1.0]})


def test_codes_of_a_page_become_symbols_and_only_a_shares_pass() -> None:
    assert tables.symbol_of("519", "SZ") == "000519.SZ"
    assert tables.symbol_of("S00001", "SH") == "S00001.SIM"
    others = (("200002", "SZ"), ("900901", "SH"), ("600519", "?"), ("", "SZ"))
    assert [tables.symbol_of(code, exchange) for code, exchange in others] == [None] * 4
    assert tables.provider_code("600519.SH") == "sh600519"


def test_lots_become_shares_and_the_ex_date_lowers_the_reference_price() -> None:
    found = tables.bars("600519.SH", HIST, FACTORS, "q")
    assert list(found["volume_shares"]) == [500.0, 600.0, 700.0]
    assert list(found["pre_close_cny"]) == [9.5, 8.0, 9.0]  # 10.00 / 1.25 on the ex-date
    assert list(found["adj_factor"]) == [1.0, 1.25, 1.25]


def test_a_missing_column_is_named_and_one_more_is_not_looked_at() -> None:
    with pytest.raises(SourceError, match=r"akshare 9 answered without 成交量; it has 日期"):
        tables.bars("600519.SH", HIST.drop(columns="成交量"), FACTORS, "akshare 9")
    assert len(tables.bars("600519.SH", HIST.assign(新=1), FACTORS, "q")) == 3


def test_the_range_of_a_real_code_decides_its_board_whatever_the_page() -> None:
    page = pd.DataFrame({"c": ["688001", "600000"], "n": ["甲", "乙"], "d": ["2019-07-22", "1999-11-10"]})
    found = tables.listed(page, ("c", "n", "d", None), ("SH", Board.MAIN), "q")
    assert list(found["board"]) == [int(Board.STAR), int(Board.MAIN)]


def test_a_halt_within_the_session_is_no_suspension() -> None:
    page = pd.DataFrame(
        {
            "代码": ["600000", "600001", "600002"],
            "停牌时间": [date(2024, 1, 2)] * 3,
            "停牌截止时间": [None, date(2024, 1, 2), None],
            "停牌期限": ["连续停牌", "停牌一天", "盘中停牌"],
        }
    )
    names = {code: f"{code}.SH" for code in page["代码"]}
    assert tables.suspended(page, pd.Timestamp("2024-01-02"), names, "q") == {"600000.SH", "600001.SH"}
    assert tables.suspended(page, pd.Timestamp("2024-01-03"), names, "q") == {"600000.SH"}


def test_industries_of_one_level_run_on_and_end_on_the_session_before_the_next() -> None:
    page = pd.DataFrame(
        {
            "symbol": ["600000"] * 3,
            "start_date": [date(2020, 1, 2), date(2021, 1, 4), date(2021, 8, 2)],
            "industry_code": ["480301", "480401", "490101"],
        }
    )
    sessions = pd.bdate_range("2020-01-01", "2022-01-01")
    found = tables.industries(page, {"600000": "600000.SH"}, sessions, "q")
    assert list(found["industry"]) == ["480000", "490000"]
    assert found["end_date"].iloc[0] == pd.Timestamp("2021-07-30")
    assert pd.isna(found["end_date"].iloc[1])
