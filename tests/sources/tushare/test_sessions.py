"""The provider's calendar over the exchange's."""

from __future__ import annotations

from datetime import date, datetime

import pandas as pd
import pytest

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.market.calendar import last_known_session, sessions_between
from tests.fakes.provider_stubs.tushare import Fault, TushareStub
from tests.fakes.provider_stubs.tushare_source import tushare_source
from tests.fakes.provider_stubs.waits import Waits


def test_sessions_are_those_of_the_exchange(stub: TushareStub, waits: Waits) -> None:
    found = tushare_source(stub, waits).sessions(date(2019, 1, 1), date(2020, 8, 31))
    wanted = sessions_between(date(2019, 1, 1), date(2020, 8, 31))
    pd.testing.assert_index_equal(found, wanted)


def test_a_range_may_begin_with_the_calendar(stub: TushareStub, waits: Waits) -> None:
    found = tushare_source(stub, waits).sessions(date(1999, 1, 4), date(1999, 1, 8))
    assert len(found) == 5


@pytest.mark.parametrize("moved", [date(2020, 6, 8), date(2020, 6, 6)])
def test_a_day_on_which_the_calendars_disagree_is_named(moved: date, stub: TushareStub, waits: Waits) -> None:
    stub.moved_holidays.add(moved)
    with pytest.raises(
        SourceError, match=f"tushare's trade_cal calls {moved} {'closed' if moved.day == 8 else 'open'}"
    ):
        tushare_source(stub, waits).sessions(date(2020, 6, 1), date(2020, 6, 12))


def test_a_calendar_with_holes_is_refused(stub: TushareStub, waits: Waits) -> None:
    stub.faults.append(Fault("silent_half", None, "trade_cal"))
    with pytest.raises(SourceError, match="says nothing about 2020-06-01"):
        tushare_source(stub, waits).sessions(date(2020, 6, 1), date(2020, 6, 12))


@pytest.mark.parametrize(("hour", "last"), [(17, 5), (18, 8)])
def test_a_session_counts_from_its_publication_on(hour: int, last: int, stub: TushareStub, waits: Waits) -> None:
    waits.clock.set(datetime(2020, 6, 8, hour, tzinfo=SHANGHAI))
    found = tushare_source(stub, waits).sessions(date(2020, 6, 1), date(2020, 6, 30))
    assert found[-1] == pd.Timestamp(2020, 6, last)


def test_a_range_in_the_future_says_what_to_do(stub: TushareStub, waits: Waits) -> None:
    with pytest.raises(SourceError, match="published yet"):
        tushare_source(stub, waits).sessions(date(2020, 9, 2), date(2020, 9, 30))


def test_a_range_of_closed_days_holds_no_session(stub: TushareStub, waits: Waits) -> None:
    with pytest.raises(SourceError, match="no trading session"):
        tushare_source(stub, waits).sessions(date(2020, 6, 6), date(2020, 6, 7))


def test_past_the_librarys_horizon_the_providers_calendar_counts(stub: TushareStub, waits: Waits) -> None:
    horizon = last_known_session()
    waits.clock.set(datetime(horizon.year + 1, 2, 1, 9, tzinfo=SHANGHAI))
    found = tushare_source(stub, waits).sessions(horizon, date(horizon.year + 1, 1, 15))
    assert found[0] == pd.Timestamp(horizon)
    assert len(found) > 8
    assert (found.weekday < 5).all()
