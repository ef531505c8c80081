"""How late rows came."""

from __future__ import annotations

import pandas as pd

from ljwx_pipeline.quality.history import feed_on_time, lag_hours, symbols_still_given
from tests.fakes.bars import random_bars

BARS = random_bars(symbols=5, sessions=60, suspended_frac=0.0)
DAYS = pd.DatetimeIndex(sorted(BARS["session_date"].unique()))


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
