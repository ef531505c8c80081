"""What a newer version restates, and how late rows came."""

from __future__ import annotations

import pandas as pd
import pytest

from ljwx_pipeline.quality.history import feed_on_time, lag_hours, restated, symbols_still_given
from tests.fakes.bars import random_bars

BARS = random_bars(symbols=5, sessions=60, suspended_frac=0.0)
KEYS = ["symbol", "session_date"]
DAYS = pd.DatetimeIndex(sorted(BARS["session_date"].unique()))


def test_new_rows_restate_nothing() -> None:
    found = restated("bars", BARS.iloc[:-5], BARS.sample(frac=1, random_state=1), keys=KEYS)
    assert found.result.passed
    assert (found.added, found.removed, len(found.changed)) == (5, 0, 0)


def test_changed_numbers_are_listed_with_before_after_and_the_largest_change() -> None:
    newer = BARS.copy()
    newer.loc[7, ["close_cny", "amount_cny"]] *= [1.02, 0.9]
    found = restated("bars", BARS, newer.drop(index=[9]), keys=KEYS)
    assert (found.result.severity, found.result.measured["bad"], found.removed) == ("warn", 1, 1)
    assert found.result.measured["largest_change_frac"] == pytest.approx(0.1)
    assert found.changed["column"].tolist() == ["amount_cny", "close_cny"]
    assert found.changed["after"].iloc[1] == pytest.approx(BARS.loc[7, "close_cny"] * 1.02)


def test_a_rewritten_or_shrunken_history_blocks() -> None:
    assert restated("bars", BARS, BARS.assign(close_cny=BARS["close_cny"] * 0.9), keys=KEYS).result.blocks
    assert restated("bars", BARS, BARS.iloc[:100], keys=KEYS).result.blocks
    appeared = BARS.copy()
    appeared.loc[3, "amount_cny"] = float("nan")
    assert restated("bars", appeared, BARS, keys=KEYS).result.measured["bad"] == 1


def test_symbols_that_vanish_are_named() -> None:
    symbols = sorted(BARS["symbol"].unique())
    found = restated("bars", BARS, BARS[~BARS["symbol"].isin(symbols[:2])], keys=KEYS).result
    assert f"120 are gone, with all rows of 2 symbols ({symbols[0]}, {symbols[1]})" in found.message
    assert found.measured["symbols_gone"] == 2


def test_the_first_ten_of_many_vanished_symbols_are_named_with_the_total() -> None:
    many = [f"{600000 + number}.SH" for number in range(12)]
    found = symbols_still_given(many[::-1], 300)
    assert (found.passed, found.severity, found.measured["bad"]) == (False, "warn", 12)
    assert "12 symbols (600000.SH, " in found.message
    assert "600009.SH, ...)" in found.message
    assert "600010.SH" not in found.message
    assert "put their files back" in found.repair
    assert symbols_still_given([], 300).passed


def known(hours: float) -> pd.Series:
    closed = (DAYS + pd.Timedelta(hours=15)).tz_localize("Asia/Shanghai").tz_convert("UTC")
    return pd.Series(closed + pd.Timedelta(hours=hours), index=DAYS)


def test_lag_counts_from_the_close_in_shanghai() -> None:
    assert lag_hours(DAYS, known(3.5)).tolist() == [3.5] * len(DAYS)
    assert lag_hours(DAYS, None).isna().all()
    assert lag_hours(DAYS, known(1.0).iloc[5:]).isna().sum() == 5


def test_rows_before_the_close_block_and_late_ones_warn() -> None:
    assert feed_on_time(DAYS, known(2.0)).passed
    early, late = feed_on_time(DAYS, known(-0.5)), feed_on_time(DAYS, known(30.0))
    assert early.blocks
    assert (late.passed, late.severity) == (False, "warn")
    assert f"{DAYS[0]:%Y-%m-%d} (+30.0 h)" in late.message
    assert feed_on_time(DAYS, known(30.0), late_hours=48).passed
