"""Fields from tables: each says of a session what was known at its close, and what nobody said is not there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.expressions.evaluate import MEMBERSHIP
from ljwx_pipeline.expressions.fields import FIELDS
from ljwx_pipeline.market.adjustment import FACTOR_FIELDS
from ljwx_pipeline.market.panel_fields import as_of_field, listed_sessions, panel_fields
from ljwx_pipeline.market.tables import empty_table

SESSIONS = pd.DatetimeIndex(["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"], name="session_date")
SYMBOLS = ("600000.SH", "600001.SH")
A, B = SYMBOLS
NAN = float("nan")


def by_session(symbol: str, **columns: list[float]) -> pd.DataFrame:
    """Rows of one symbol, a session each, from the first on."""
    count = len(next(iter(columns.values())))
    return pd.DataFrame({"symbol": symbol, "session_date": SESSIONS[:count], **columns})


def bars(symbol: str, close: list[float]) -> pd.DataFrame:
    prices = dict.fromkeys(("open_cny", "high_cny", "low_cny", "close_cny", "pre_close_cny"), close)
    frame = by_session(symbol, **prices, volume_shares=[1e4] * len(close), amount_cny=[1e5] * len(close))
    return frame.assign(adj_factor=2.0)


def built(adjustment: str = "raw", benchmark: str = "", **tables: pd.DataFrame) -> dict[str, np.ndarray]:
    return panel_fields(tables, symbols=SYMBOLS, sessions=SESSIONS, adjustment=adjustment, benchmark=benchmark)


def test_every_field_built_is_one_that_factors_may_read() -> None:
    fields = panel_fields(
        {
            "bars": bars(A, [10.0, 11.0]),
            "market_values": by_session(A, market_value_cny=[2e9], float_market_value_cny=[1e9]),
            "price_limits": by_session(A, limit_up_cny=[11.0], limit_down_cny=[9.0]),
            "st_spells": ranges(A, "2024-01-02", None),
            "suspensions": by_session(B, x=[0.0]),
            "industries": ranges(A, "2024-01-02", None).assign(industry="banks"),
            "securities": pd.DataFrame({"symbol": [A], "list_date": SESSIONS[:1]}),
            "index_bars": pd.DataFrame({"index_code": "000300.SH", "session_date": SESSIONS, "close_points": 4e3}),
        },
        symbols=SYMBOLS,
        sessions=SESSIONS,
        adjustment="raw",
        benchmark="000300.SH",
    )
    assert set(fields) | {*FACTOR_FIELDS, MEMBERSHIP} == set(FIELDS)
    assert {values.shape for values in fields.values()} == {(2, 4)}
    assert {values.dtype for values in fields.values()} == {np.dtype(float)}


def ranges(symbol: str, start: str, end: str | None) -> pd.DataFrame:
    return pd.DataFrame({"symbol": [symbol], "start_date": [pd.Timestamp(start)], "end_date": [pd.Timestamp(end)]})


def test_what_nobody_said_is_no_field() -> None:
    assert built(**{name: empty_table(name) for name in ("bars", "st_spells", "market_values", "industries")}) == {}
    assert "float_market_value_cny" not in built(market_values=by_session(A, market_value_cny=[1e9]))


def test_prices_as_traded_are_not_adjusted_and_absent_where_the_source_adjusts() -> None:
    tables = {"bars": bars(A, [10.0, 11.0]), "price_limits": by_session(A, limit_up_cny=[11.0], limit_down_cny=[9.0])}
    np.testing.assert_array_equal(built(**tables)["raw_close_cny"][0], [10, 11, NAN, NAN])
    assert built("forward", **tables) == {}


def test_turnover_is_shares_traded_over_free_shares() -> None:
    fields = built(
        bars=bars(A, [10.0, 11.0, 12.0]),
        market_values=by_session(A, market_value_cny=[2e7] * 3, float_market_value_cny=[1e7, 0.0, 1.2e7]),
    )
    np.testing.assert_allclose(fields["turnover_frac"][0], [0.01, NAN, 0.01, NAN])


def test_a_close_within_half_a_tick_of_its_limit_is_at_it_and_a_day_without_limits_is_not() -> None:
    fields = built(
        bars=bars(A, [11.0, 9.0, 30.0, 11.0]),
        price_limits=by_session(A, limit_up_cny=[11.0001, 10.99, NAN], limit_down_cny=[9.0, 9.0001, NAN]),
    )
    np.testing.assert_array_equal(fields["limit_up"][0], [1, 0, 0, NAN])  # nobody told the last day's limits
    np.testing.assert_array_equal(fields["limit_down"][0], [0, 1, 0, NAN])
    np.testing.assert_array_equal(fields["limit_up_price_cny"][0], [11.0001, 10.99, NAN, NAN])
    assert np.isnan(fields["limit_up"][1]).all()


def test_spells_and_industries_hold_from_their_own_dates_on() -> None:
    moves = pd.concat(
        [
            ranges(A, "2023-01-03", "2024-01-03").assign(industry="banks"),
            ranges(A, "2024-01-04", None).assign(industry="steel"),
            ranges(B, "2024-01-03", None).assign(industry="steel"),
        ]
    )
    fields = built(st_spells=ranges(B, "2024-01-03", "2024-01-04"), industries=moves)
    np.testing.assert_array_equal(fields["is_st"], [[0, 0, 0, 0], [0, 1, 1, 0]])
    industry = fields["industry"]
    assert industry[0, 0] == industry[0, 1] != industry[0, 2]
    assert industry[0, 2] == industry[0, 3] == industry[1, 1] == industry[1, 3]
    assert np.isnan(industry[1, 0])


def test_suspended_is_a_listed_session_without_a_bar() -> None:
    fields = built(bars=bars(A, [10.0, 10.0]), suspensions=pd.DataFrame({"symbol": A, "session_date": SESSIONS[1:3]}))
    np.testing.assert_array_equal(fields["is_suspended"], [[0, 0, 1, NAN], [NAN] * 4])


def test_listed_sessions_count_from_the_first_and_are_unknown_without_a_date() -> None:
    securities = pd.DataFrame({"symbol": [A, B], "list_date": [SESSIONS[1], pd.NaT]})
    np.testing.assert_array_equal(listed_sessions(securities, SYMBOLS, SESSIONS), [[-1, 0, 1, 2], [NAN] * 4])
    np.testing.assert_array_equal(built(securities=securities)["listed_sessions"][0], [NAN, 0, 1, 2])
    earlier = securities.assign(list_date=pd.Timestamp("2023-12-28"))  # two sessions of 2023 before the panel
    np.testing.assert_array_equal(listed_sessions(earlier, SYMBOLS, SESSIONS)[0], [2, 3, 4, 5])


def test_the_benchmark_is_the_same_for_all_and_must_be_told() -> None:
    index = pd.DataFrame({"index_code": "000300.SH", "session_date": SESSIONS[:2], "close_points": [4e3, 4.1e3]})
    fields = built(benchmark="000300.SH", index_bars=index)
    np.testing.assert_array_equal(fields["index_close"], [[4e3, 4.1e3, NAN, NAN]] * 2)
    with pytest.raises(DataQualityError, match=r"no bar of index 000905\.SH.*000300\.SH"):
        built(benchmark="000905.SH", index_bars=index)
    assert built(index_bars=index) == {}


def test_a_value_that_became_known_in_the_evening_is_used_the_next_session() -> None:
    values = by_session(A, market_value_cny=[1e9, 2e9])
    evening = (values["session_date"] + pd.Timedelta(hours=18)).dt.tz_localize("Asia/Shanghai").dt.tz_convert("UTC")
    known = built(market_values=values.assign(known_at=evening))["market_value_cny"]
    np.testing.assert_array_equal(known[0], [NAN, 1e9, 2e9, 2e9])
    noon = evening - pd.Timedelta(hours=6)
    np.testing.assert_array_equal(
        built(market_values=values.assign(known_at=noon))["market_value_cny"][0], [1e9, 2e9, 2e9, 2e9]
    )


def told(*rows: tuple[str, str, float]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["symbol", "known_at", "value"])
    return frame.assign(known_at=pd.to_datetime(frame["known_at"], utc=True))


def as_of(rows: pd.DataFrame, days: float = 30) -> np.ndarray:
    return as_of_field(rows, symbols=SYMBOLS, sessions=SESSIONS, max_age=pd.Timedelta(days=days))


def test_the_close_is_three_in_the_afternoon_in_shanghai_to_the_second() -> None:
    at_close, after = "2024-01-03T07:00:00Z", "2024-01-03T07:00:01Z"
    np.testing.assert_array_equal(as_of(told((A, at_close, 1.0), (B, after, 2.0))), [[NAN, 1, 1, 1], [NAN, NAN, 2, 2]])


def test_a_value_too_old_is_unknown_and_a_row_without_a_value_says_nothing() -> None:
    rows = told((A, "2024-01-02T07:00Z", 1.0), (A, "2024-01-04T01:00Z", NAN), ("900000.SH", "2024-01-02T07:00Z", 5.0))
    np.testing.assert_array_equal(as_of(rows, days=2), [[1, 1, 1, NAN], [NAN] * 4])


def test_two_values_at_one_instant_and_instants_without_a_zone_are_refused() -> None:
    rows = told((A, "2024-01-02T07:00Z", 1.0), (A, "2024-01-02T07:00Z", 2.0))
    with pytest.raises(DataQualityError, match=f"{A} has two values"):
        as_of(rows)
    with pytest.raises(DataQualityError, match="no time zone"):
        as_of(rows.assign(known_at=rows["known_at"].dt.tz_localize(None)))


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from([A, B, "900000.SH"]), st.integers(0, 140), st.integers(0, 5)),
        unique_by=lambda row: row[:2],
        max_size=20,
    ),
    age_hours=st.integers(1, 80),
)
def test_each_cell_is_the_newest_row_known_and_fresh_at_its_close(
    rows: list[tuple[str, int, int]], age_hours: int
) -> None:
    start = pd.Timestamp("2024-01-01T00:00Z")
    hours = [(symbol, str(start + pd.Timedelta(hours=hour)), float(value)) for symbol, hour, value in rows]
    got = as_of(told(*hours) if hours else told((A, "2030-01-01T00:00Z", 1.0)), days=age_hours / 24)
    for row, symbol in enumerate(SYMBOLS):
        for column, session in enumerate(SESSIONS):
            close = int((session.tz_localize("UTC") + pd.Timedelta(hours=7) - start) / pd.Timedelta(hours=1))
            known = [(hour, value) for s, hour, value in rows if s == symbol and close - age_hours <= hour <= close]
            np.testing.assert_equal(got[row, column], float(max(known)[1]) if known else NAN)
