"""Every canonical table has a strict schema that names the first offending row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.lake.keys import SORT_KEYS
from ljwx_pipeline.market.tables import TABLES, empty_table
from ljwx_pipeline.quality.schemas import schema, validate
from tests.fakes.bars import random_bars


@pytest.mark.parametrize("name", sorted(TABLES))
def test_the_empty_table_holds_its_schema(name: str) -> None:
    assert validate(name, empty_table(name)).passed


def test_good_bars_hold_the_schema_in_any_column_order() -> None:
    bars = random_bars(symbols=3, sessions=20)
    result = validate("bars", bars[sorted(bars.columns)])
    assert result.passed
    assert result.measured == {"rows": len(bars), "failures": 0}


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("close_cny", -1.0, "close_cny is above zero is broken at S00001.SIM"),
        ("close_cny", np.nan, "close_cny"),
        ("volume_shares", -1.0, "volume_shares is not below zero"),
        ("adj_factor", 0.0, "adj_factor is above zero"),
        ("low_cny", 1e6, "high is not below low"),
        ("open_cny", 1e6, "open lies within"),
    ],
)
def test_a_broken_row_is_named(column: str, value: object, said: str) -> None:
    bars = random_bars(symbols=3, sessions=20, suspended_frac=0.0)
    bars.loc[4, column] = value
    result = validate("bars", bars)
    assert result.quarantines
    assert result.rows.tolist() == [4]
    assert said in result.message


def test_a_symbol_that_is_no_text_blocks_as_no_row_can_be_named() -> None:
    bars = random_bars(symbols=3, sessions=20)
    bars.loc[4, "symbol"] = ""
    result = validate("bars", bars)
    assert result.blocks
    assert "symbol is text" in result.message


def test_more_than_single_rows_and_rows_of_tables_that_hang_together_block() -> None:
    bars = random_bars(symbols=3, sessions=20, suspended_frac=0.0)
    bars.loc[:8, "close_cny"] = -1.0
    assert validate("bars", bars).blocks


def test_rounding_of_adjusted_prices_is_tolerated() -> None:
    bars = random_bars(symbols=3, sessions=20)
    bars["high_cny"] = bars[["open_cny", "close_cny", "high_cny"]].max(axis=1)
    bars.loc[4, "close_cny"] = bars.loc[4, "high_cny"] * 1.00005
    assert validate("bars", bars).passed


def test_missing_extra_and_mistyped_columns_are_named() -> None:
    bars = random_bars(symbols=3, sessions=20)
    assert "close_cny" in validate("bars", bars.drop(columns="close_cny")).message
    assert "turnover" in validate("bars", bars.assign(turnover=1.0)).message
    assert "session_date" in validate("bars", bars.assign(session_date=bars["session_date"].astype(str))).message


def test_repeated_keys_are_refused() -> None:
    bars = random_bars(symbols=3, sessions=20)
    twice = validate("bars", pd.concat([bars, bars.iloc[[0]]], ignore_index=True))
    assert twice.quarantines
    assert len(bars) in twice.rows


def day(text: str) -> pd.Timestamp:
    return pd.Timestamp(text)


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        (
            "securities",
            {"symbol": "A", "name": "A", "board": 9, "list_date": day("2020-01-02"), "delist_date": pd.NaT},
            "board",
        ),
        (
            "securities",
            {"symbol": "A", "name": "A", "board": 0, "list_date": day("2020-01-02"), "delist_date": day("2019-01-02")},
            "delist_date is after list_date",
        ),
        (
            "st_spells",
            {"symbol": "A", "start_date": day("2020-01-02"), "end_date": day("2019-01-02")},
            "end_date is not before start_date",
        ),
        (
            "macro",
            {
                "series": "cpi",
                "reference_month": day("2020-02-01"),
                "released_at": pd.Timestamp("2020-01-15", tz="UTC"),
                "value": 1.0,
            },
            "released_at is after the reference month",
        ),
        (
            "financial_indicators",
            {
                "symbol": "A",
                "report_period": day("2020-03-31"),
                "announced_date": day("2020-03-01"),
                "indicator": "roe_percent",
                "value": 1.0,
            },
            "announced_date is not before the report period ends",
        ),
        (
            "price_limits",
            {"symbol": "A", "session_date": day("2020-01-02"), "limit_up_cny": np.nan, "limit_down_cny": -1.0},
            "limit_down_cny",
        ),
        (
            "price_limits",
            {"symbol": "A", "session_date": day("2020-01-02"), "limit_up_cny": np.inf, "limit_down_cny": np.nan},
            "limit_up_cny is not infinite",
        ),
        (
            "market_values",
            {"symbol": "A", "session_date": day("2020-01-02"), "market_value_cny": np.inf},
            "market_value_cny is not infinite",
        ),
        (
            "corporate_actions",
            {"symbol": "A", "ex_date": day("2020-01-02"), "cash_cny_per_share": -1.0, "bonus_shares_per_share": 0.0},
            "cash_cny_per_share",
        ),
    ],
)
def test_rules_of_the_other_tables(name: str, row: dict[str, object], said: str) -> None:
    dtypes = {column: object if dtype == "str" else dtype for column, dtype in TABLES[name].items()}
    result = validate(name, pd.DataFrame([row]).astype(dtypes))
    assert result.blocks
    assert said in result.message


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(DataQualityError, match="'prices' is not a canonical table"):
        validate("prices", pd.DataFrame())


@pytest.mark.parametrize("table", sorted(TABLES.keys() & SORT_KEYS.keys()))
def test_what_the_lake_sorts_rows_by_is_what_identifies_them(table: str) -> None:
    unique = schema(table).unique
    assert unique == (None if table == "news" else SORT_KEYS[table])


def test_one_release_may_speak_of_two_months() -> None:
    released = pd.Timestamp("2024-02-08 01:30", tz="UTC")
    rows = pd.DataFrame(
        {
            "series": ["cpi_yoy", "cpi_yoy"],
            "reference_month": pd.DatetimeIndex(["2023-12-01", "2024-01-01"]),
            "released_at": [released, released],
            "value": [0.1, 0.2],
        }
    ).astype(TABLES["macro"] | {"series": object})[list(TABLES["macro"])]
    assert validate("macro", rows).passed
    assert not validate("macro", pd.concat([rows, rows])).passed
