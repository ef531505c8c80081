"""Single answers turned into canonical rows: codes, blanks, units, hindsight."""

from __future__ import annotations

import pandas as pd
import pytest

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.sources.baostock import tables


def test_codes_translate_both_ways_and_only_a_shares_pass() -> None:
    assert tables.provider_code("600519.SH") == "sh.600519"
    assert [tables.symbol_of(code) for code in ("sh.600519", "sz.300750", "s2.s00001")] == [
        "600519.SH",
        "300750.SZ",
        "S00001.SIM",
    ]
    assert [tables.symbol_of(code) for code in ("sh.000300", "sz.200002", "sh.900901", "sh.510300", "600519")] == [
        None
    ] * 5


def test_an_empty_cell_is_missing_and_a_day_without_volume_not_traded() -> None:
    rows = pd.DataFrame(
        [
            ["2024-01-02", "9.5", "100", "1", "1"],
            ["2024-01-03", "9.5", "", "0", ""],
            ["2024-01-04", "9.5", "0", "1", "0"],
        ],
        columns=["date", "close", "volume", "tradestatus", "isST"],
    )
    found = tables.days(rows, ("date", "close", "volume", "tradestatus", "isST"), "q").frame
    assert list(found["traded"]) == [True, False, False]
    assert list(found["is_st"]) == [True, True, False]
    assert pd.isna(found["volume"].iloc[1])


def test_text_that_is_no_number_is_refused_by_column() -> None:
    rows = pd.DataFrame([["2024-01-02", "abc", "1", "0"]], columns=list(tables.STATUS_FIELDS))
    with pytest.raises(SourceError, match="'abc' in column volume"):
        tables.days(rows, tables.STATUS_FIELDS, "q")


def test_the_factor_is_carried_forward_from_the_ex_date_and_is_one_before_the_first() -> None:
    factors = pd.DataFrame({"ex_date": pd.to_datetime(["2024-06-03", "2023-06-01"]), "factor": [1.3, 1.1]})
    days = pd.DataFrame({"session_date": pd.to_datetime(["2023-05-31", "2023-06-01", "2024-06-02", "2024-06-03"])})
    for column in ("open", "high", "low", "close", "preclose", "volume", "amount"):
        days[column] = 1.0
    assert list(tables.bars("600519.SH", days, factors)["adj_factor"]) == [1.0, 1.1, 1.1, 1.3]


def test_an_industry_set_after_the_day_asked_about_is_hindsight() -> None:
    rows = pd.DataFrame(
        [["2024-01-02", "sh.600519", "C15"], ["2024-02-05", "sz.000001", "J66"], ["2024-01-02", "sh.600000", ""]],
        columns=["updateDate", "code", "industry"],
    )
    assert tables.industries(rows, pd.Timestamp("2024-01-10"), "q") == {"600519.SH": "C15"}


def test_bonus_shares_are_given_and_transferred_ones_together() -> None:
    rows = pd.DataFrame(
        [["2024-06-03", "0.5", "0.2", "0.3"], ["", "0.1", "", ""]],
        columns=["dividOperateDate", "dividCashPsBeforeTax", "dividStocksPs", "dividReserveToStockPs"],
    )
    found = tables.corporate_actions("600519.SH", rows, "q")
    assert found[["cash_cny_per_share", "bonus_shares_per_share"]].to_numpy().tolist() == [[0.5, 0.5]]
