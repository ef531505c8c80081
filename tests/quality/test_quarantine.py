"""Rows in quarantine are out until released, a release passes one check only, and too many of a session block."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.quality.quarantine import REASONS, RELEASES, release, split
from ljwx_pipeline.quality.results import CheckResult
from ljwx_pipeline.quality.run import checked, run_checks
from tests.fakes.bars import random_bars
from tests.quality.test_run import description

AT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


@pytest.fixture
def bars() -> pd.DataFrame:
    return random_bars(symbols=10, sessions=80, suspended_frac=0.0)


def results_of(bars: pd.DataFrame) -> list[CheckResult]:
    return run_checks({"bars": bars}, description(), pd.DatetimeIndex(sorted(bars["session_date"].unique())))


def test_clean_rows_are_kept_as_they_are(bars: pd.DataFrame) -> None:
    parted = split("bars", bars, results_of(bars), at=AT)
    assert parted.kept is bars
    assert parted.quarantined.empty
    assert list(parted.quarantined.columns) == [*bars.columns, *REASONS]
    assert parted.session_share.passed


def test_each_breach_of_a_row_is_written_down_with_reason_remedy_and_instant(bars: pd.DataFrame) -> None:
    bars.loc[200, "volume_shares"] = 0.0
    bars.loc[300, "close_cny"] = np.nan
    parted = split("bars", bars, results_of(bars), at=AT)
    assert sorted(parted.quarantined["check"]) == [
        "bars.average_price_in_range",
        "bars.schema",
        "bars.volume_where_prices_moved",
    ]
    assert len(parted.kept) == len(bars) - 2
    assert not {200, 300} & set(parted.kept.index)
    assert (parted.quarantined["quarantined_at"] == pd.Timestamp(AT)).all()
    assert (parted.quarantined[["reason", "repair"]] != "").all(axis=None)
    assert {str(dtype) for dtype in parted.quarantined.dtypes[["quarantined_at"]]} == {"datetime64[ns, UTC]"}


def test_a_release_passes_that_row_for_that_check_and_no_other(bars: pd.DataFrame) -> None:
    bars.loc[[200, 250], "volume_shares"] = 0.0
    results = results_of(bars)
    held = split("bars", bars, results, at=AT).quarantined
    mine = held[(held["symbol"] == bars.loc[200, "symbol"]) & (held["session_date"] == bars.loc[200, "session_date"])]
    first = release(mine[mine["check"] == "bars.average_price_in_range"], reason="odd lot", released_by="an", at=AT)
    assert list(first.columns) == list(RELEASES)
    still = split("bars", bars, results, at=AT, releases=first)
    assert len(still.kept) == len(bars) - 2
    assert len(still.quarantined) == len(held) - 1
    both = release(mine, reason="odd lot", released_by="an", at=AT)
    freed = split("bars", bars, results, at=AT, releases=both)
    assert set(bars.index) - set(freed.kept.index) == {250}
    assert len(checked("bars", bars, results, releases=both)) == len(bars) - 1


def test_a_release_lapses_when_its_row_is_restated(bars: pd.DataFrame) -> None:
    bars.loc[200, "volume_shares"] = 0.0
    made = release(split("bars", bars, results_of(bars), at=AT).quarantined, reason="odd lot", released_by="an", at=AT)
    assert len(split("bars", bars, results_of(bars), at=AT, releases=made).kept) == len(bars)
    bars.loc[200, "amount_cny"] *= 2
    assert len(split("bars", bars, results_of(bars), at=AT, releases=made).kept) == len(bars) - 1


def test_a_release_is_answered_for(bars: pd.DataFrame) -> None:
    with pytest.raises(DataQualityError, match="nobody's name"):
        release(bars.assign(check="bars.schema"), reason="true", released_by=" ", at=AT)
    with pytest.raises(DataQualityError, match="no timezone"):
        release(bars.assign(check="bars.schema"), reason="true", released_by="an", at=datetime(2026, 1, 5))  # noqa: DTZ001


def test_too_large_a_share_of_a_session_blocks_and_the_share_can_be_set(bars: pd.DataFrame) -> None:
    day = bars["session_date"].iloc[400]
    rows = bars.index[bars["session_date"] == day][:4]
    bars.loc[rows, "close_cny"] = np.nan
    results = results_of(bars)
    share = split("bars", bars, results, at=AT).session_share
    assert share.blocks
    assert f"40% of the rows of {day:%Y-%m-%d}" in share.message
    assert split("bars", bars, results, at=AT, max_session_frac=0.5).session_share.passed
    with pytest.raises(DataQualityError, match="quarantine_share"):
        checked("bars", bars, results)


def test_results_of_another_frame_are_refused(bars: pd.DataFrame) -> None:
    with pytest.raises(DataQualityError, match="split the very frame"):
        split("bars", bars.head(10), results_of(bars), at=AT)
