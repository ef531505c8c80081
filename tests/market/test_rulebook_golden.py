"""Dated golden cases of the rulebook: a literal table each, every case beside the notice it follows.

Limit prices were reckoned by hand (decimal, half up); those marked "published" are from tushare's documented example of
``stk_limit`` for 2019-06-25, those marked "traded" are prices at which limit-up stocks were seen to close.
"""

from __future__ import annotations

from datetime import date, time

import numpy as np
import pytest

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market.rulebook import (
    NO_LIMIT_DOWN_E4,
    NO_LIMIT_UP_E4,
    OrderKind,
    commission_rule,
    limit_bps,
    limit_prices_e4,
    lot_sizes,
    max_order_shares,
    risk_warning_buy_cap,
    session_phases,
    settlement_sessions,
    statutory_fees,
    worst_order_price_e4,
)
from ljwx_pipeline.market.rulebook_rows import rules_in_force
from ljwx_pipeline.market.symbols import Board

MAIN, CHINEXT, STAR, BEIJING = Board
FREE = (NO_LIMIT_UP_E4 / 1e4, NO_LIMIT_DOWN_E4 / 1e4)
OLD = "2000-01-04"  # listed long ago

#: board, ST, listed on, sessions since, session, reference price, (limit up, limit down), words of the notice
EVERYDAY = [
    (MAIN, False, OLD, 1800, "2007-05-30", 10.05, (11.06, 9.05), "in force 2006-07-01"),
    (MAIN, True, OLD, 1800, "2007-05-30", 6.15, (6.46, 5.84), "in force 2006-07-01"),
    (MAIN, False, OLD, 2100, "2008-04-24", 8.88, (9.77, 7.99), "in force 2006-07-01"),
    (MAIN, False, OLD, 4700, "2019-06-25", 13.69, (15.06, 12.32), "in force 2006-07-01"),  # published
    (MAIN, True, OLD, 4700, "2019-06-25", 1.37, (1.44, 1.30), "in force 2006-07-01"),  # published
    (MAIN, True, OLD, 4700, "2019-06-25", 3.34, (3.51, 3.17), "in force 2006-07-01"),  # published
    (MAIN, True, OLD, 6300, "2026-07-03", 25.30, (26.57, 24.04), "in force 2006-07-01"),
    (MAIN, True, OLD, 6301, "2026-07-06", 25.30, (27.83, 22.77), "[2026] 41"),
    (MAIN, False, OLD, 6301, "2026-07-06", 25.30, (27.83, 22.77), "in force 2006-07-01"),
    (MAIN, False, OLD, 6000, "2025-09-05", 1690.00, (1859.00, 1521.00), "in force 2006-07-01"),
    (MAIN, True, OLD, 4000, "2016-03-01", 0.30, (0.32, 0.29), "in force 2006-07-01"),
    (CHINEXT, False, "2009-10-30", 1, "2009-11-02", 45.55, (50.11, 41.00), "2009-09-24"),
    (CHINEXT, False, "2010-01-08", 2500, "2020-08-21", 18.45, (20.30, 16.61), "2009-09-24"),
    (CHINEXT, False, "2010-01-08", 2501, "2020-08-24", 18.45, (22.14, 14.76), "[2020] 515"),
    (CHINEXT, True, "2010-01-08", 2400, "2020-06-11", 6.15, (6.77, 5.54), "2009-09-24"),
    (CHINEXT, True, "2010-01-08", 2450, "2020-08-21", 6.15, (6.46, 5.84), "[2020] 620"),
    (CHINEXT, True, "2010-01-08", 2501, "2020-08-24", 6.15, (7.38, 4.92), "[2020] 620"),
    (STAR, False, "2019-07-22", 5, "2019-07-29", 102.33, (122.80, 81.86), "[2019] 23"),
    (STAR, True, "2019-07-22", 1700, "2026-06-11", 33.33, (40.00, 26.66), "[2019] 23"),
    (BEIJING, False, "2021-11-15", 1, "2021-11-16", 2.85, (3.70, 2.00), "[2021] 15"),  # traded; half up were 3.71
    (BEIJING, False, "2021-11-15", 900, "2026-09-15", 84.63, (110.01, 59.25), "[2021] 15"),  # traded
    (BEIJING, False, "2021-11-15", 900, "2026-09-15", 17.09, (22.21, 11.97), "[2021] 15"),  # traded
    (BEIJING, True, "2021-11-15", 900, "2026-09-15", 31.46, (40.89, 22.03), "[2021] 15"),  # traded; ST too
]

LISTING = [
    (MAIN, False, "2007-06-12", 0, "2007-06-12", 12.00, FREE, "in force 2006-07-01"),
    (MAIN, False, "2007-06-12", 1, "2007-06-13", 25.30, (27.83, 22.77), None),
    (MAIN, False, "2013-12-12", 0, "2013-12-12", 12.00, FREE, "in force 2006-07-01"),
    (MAIN, False, "2014-01-17", 0, "2014-01-17", 17.66, (25.43, 11.30), "[2013] 47"),
    (MAIN, False, "2019-03-01", 0, "2019-03-01", 7.47, (10.76, 4.78), "[2013] 47"),
    (MAIN, False, "2019-03-01", 1, "2019-03-04", 10.76, (11.84, 9.68), None),
    (MAIN, False, "2023-04-07", 0, "2023-04-07", 21.88, (31.51, 14.00), "[2013] 47"),
    (MAIN, False, "2023-04-10", 0, "2023-04-10", 21.88, FREE, "[2023] 32"),
    (MAIN, False, "2023-04-10", 4, "2023-04-14", 21.88, FREE, "[2023] 32"),
    (MAIN, False, "2023-04-10", 5, "2023-04-17", 18.45, (20.30, 16.61), None),
    (CHINEXT, False, "2009-10-30", 0, "2009-10-30", 15.00, FREE, "2009-09-24"),
    (CHINEXT, False, "2014-06-12", 0, "2014-06-12", 15.00, FREE, "2009-09-24"),
    (CHINEXT, False, "2014-06-26", 0, "2014-06-26", 21.88, (31.51, 14.00), "[2014] 54"),
    (CHINEXT, False, "2020-08-21", 0, "2020-08-21", 7.47, (10.76, 4.78), "[2014] 54"),
    (CHINEXT, False, "2020-08-24", 0, "2020-08-24", 7.47, FREE, "[2020] 515"),
    (CHINEXT, False, "2020-08-24", 4, "2020-08-28", 18.45, FREE, "[2020] 515"),
    (CHINEXT, False, "2020-08-24", 5, "2020-08-31", 18.45, (22.14, 14.76), None),
    (STAR, False, "2019-07-22", 0, "2019-07-22", 24.26, FREE, "[2019] 23"),
    (STAR, False, "2019-07-22", 4, "2019-07-26", 102.33, FREE, "[2019] 23"),
    (BEIJING, False, "2021-11-15", 0, "2021-11-15", 2.85, FREE, "[2021] 15"),
    (BEIJING, False, "2026-06-29", 1, "2026-06-30", 2.85, (3.70, 2.00), None),
    (MAIN, False, "NaT", -1, "2024-01-02", 18.45, (20.30, 16.61), None),
]

#: board, ST, delisting period from, session, reference price, (limit up, limit down), words of the notice
DELISTING = [
    (MAIN, True, "2013-04-01", "2013-04-01", 1.37, (1.51, 1.23), "in force 2013-01-01"),  # 10 % though ST
    (MAIN, True, "2020-12-30", "2020-12-30", 1.37, (1.51, 1.23), "in force 2013-01-01"),
    (MAIN, True, "2020-12-31", "2020-12-31", 1.37, FREE, "2020-12-31"),
    (MAIN, True, "2022-05-20", "2022-05-23", 1.37, (1.51, 1.23), "2020-12-31"),
    (MAIN, True, "2022-05-20", "2022-05-19", 1.37, (1.44, 1.30), None),  # the day before: ST as ever
    (MAIN, False, "2026-08-03", "2026-08-03", 0.55, FREE, "2020-12-31"),
    (CHINEXT, False, "2020-08-05", "2020-08-25", 0.55, (0.61, 0.50), "in force 2013-01-01"),  # begun before: 10 % stays
    (CHINEXT, False, "2020-08-26", "2020-08-26", 0.55, (0.66, 0.44), "[2020] 620"),
    (CHINEXT, True, "2021-06-01", "2021-06-01", 0.55, FREE, "2020-12-31"),
    (CHINEXT, True, "2021-06-01", "2021-06-02", 0.55, (0.66, 0.44), "2020-12-31"),
    (STAR, True, "2023-06-01", "2023-06-01", 1.37, FREE, "2020-12-31"),
    (STAR, True, "2023-06-01", "2023-06-02", 1.37, (1.64, 1.10), "2020-12-31"),
    (BEIJING, True, "2024-06-03", "2024-06-03", 2.85, FREE, "[2021] 15"),
    (BEIJING, True, "2024-06-03", "2024-06-04", 2.85, (3.70, 2.00), "[2021] 15"),
    (MAIN, True, "2012-12-14", "2012-12-14", 1.37, (1.44, 1.30), None),  # no such period yet: everyday
]


def limits(
    board: Board, is_st: bool, listed: str, age: int, session: str, reference: float, **special: object
) -> tuple[float, float]:
    up_bps, down_bps = limit_bps(
        board=[board],
        is_st=[is_st],
        session=np.array([session], "datetime64[D]"),
        list_date=np.array([listed], "datetime64[D]"),
        listed_sessions=[age],
        **special,  # type: ignore[arg-type]
    )
    up, down = limit_prices_e4([round(reference * 1e4)], up_bps, down_bps, board=[board])
    return up.item() / 1e4, down.item() / 1e4


def cites(topic: str, day: str, board: Board, words: str, is_st: bool | None = None) -> bool:
    rows = rules_in_force(date.fromisoformat(day), board=board, is_st=is_st)
    return any(words in row.notice.title for row in rows if row.topic == topic)


@pytest.mark.parametrize(("board", "is_st", "listed", "age", "session", "reference", "expected", "notice"), EVERYDAY)
def test_everyday_limits(
    board: Board,
    is_st: bool,
    listed: str,
    age: int,
    session: str,
    reference: float,
    expected: tuple[float, float],
    notice: str,
) -> None:
    assert limits(board, is_st, listed, age, session, reference) == expected
    assert cites("price limit", session, board, notice, is_st)


@pytest.mark.parametrize(("board", "is_st", "listed", "age", "session", "reference", "expected", "notice"), LISTING)
def test_listing_days(
    board: Board,
    is_st: bool,
    listed: str,
    age: int,
    session: str,
    reference: float,
    expected: tuple[float, float],
    notice: str | None,
) -> None:
    assert limits(board, is_st, listed, age, session, reference) == expected
    assert notice is None or cites("new listing", listed, board, notice)


@pytest.mark.parametrize(("board", "is_st", "start", "session", "reference", "expected", "notice"), DELISTING)
def test_delisting_periods(
    board: Board,
    is_st: bool,
    start: str,
    session: str,
    reference: float,
    expected: tuple[float, float],
    notice: str | None,
) -> None:
    period = np.array([start], "datetime64[D]")
    assert limits(board, is_st, OLD, 999, session, reference, delisting_period_start=period) == expected
    assert notice is None or cites("delisting period", start, board, notice)


@pytest.mark.parametrize(
    ("board", "session", "expected", "notice"),
    [
        (MAIN, "2013-02-08", FREE, "as revised 2012"),
        (CHINEXT, "2013-02-08", FREE, "as revised 2012"),
        (STAR, "2022-02-08", (22.14, 14.76), None),  # no such rule
        (BEIJING, "2022-02-08", (23.98, 12.92), None),
    ],
)
def test_the_first_session_after_a_suspended_listing(
    board: Board, session: str, expected: tuple[float, float], notice: str | None
) -> None:
    day = np.array([session], "datetime64[D]")
    assert limits(board, False, OLD, 999, session, 18.45, relisted_on=day) == expected
    assert notice is None or cites("relisting", session, board, notice)
    other = limits(board, False, OLD, 999, session, 18.45, relisted_on=day - 1)
    assert other == limits(board, False, OLD, 999, session, 18.45)


def test_the_opening_of_a_first_day_is_bounded_more_narrowly() -> None:
    assert limits(MAIN, False, "2019-03-01", 0, "2019-03-01", 7.47, at_open=True) == (8.96, 5.98)
    assert limits(MAIN, False, "2023-04-10", 0, "2023-04-10", 7.47, at_open=True) == FREE
    assert limits(MAIN, False, OLD, 999, "2019-03-01", 18.45, at_open=True) == (20.30, 16.61)


@pytest.mark.parametrize(
    ("session", "board", "buy_percent", "sell_percent", "transfer_percent", "notice"),
    [
        ("2007-05-30", MAIN, 0.3, 0.3, 0.00255, "[2007] 84"),
        ("2008-04-23", MAIN, 0.3, 0.3, 0.00255, "[2007] 84"),
        ("2008-04-24", MAIN, 0.1, 0.1, 0.00255, "2008-04-24"),
        ("2008-09-18", MAIN, 0.1, 0.1, 0.00255, "2008-04-24"),
        ("2008-09-19", MAIN, 0, 0.1, 0.00255, "[2008] 2"),
        ("2015-07-31", CHINEXT, 0, 0.1, 0.00255, "[2008] 2"),
        ("2015-08-03", CHINEXT, 0, 0.1, 0.002, "2015-07-09"),
        ("2021-11-15", BEIJING, 0, 0.1, 0.0025, "Beijing had 0.0025 %"),
        ("2022-04-28", BEIJING, 0, 0.1, 0.0025, "Beijing had 0.0025 %"),
        ("2022-04-28", STAR, 0, 0.1, 0.002, "2015-07-09"),
        ("2022-04-29", STAR, 0, 0.1, 0.001, "in force 2022-04-29"),
        ("2022-04-29", BEIJING, 0, 0.1, 0.001, "in force 2022-04-29"),
        ("2023-08-25", MAIN, 0, 0.1, 0.001, "in force 2022-04-29"),
        ("2023-08-28", MAIN, 0, 0.05, 0.001, "No. 39"),
        ("2026-12-31", BEIJING, 0, 0.05, 0.001, "No. 39"),
    ],
)
def test_fees_around_every_step(
    session: str, board: Board, buy_percent: float, sell_percent: float, transfer_percent: float, notice: str
) -> None:
    fees = statutory_fees(date.fromisoformat(session), board=board)
    got = (fees.stamp_duty_buy_e8, fees.stamp_duty_sell_e8, fees.transfer_fee_e8)
    assert got == tuple(round(percent * 1e6) for percent in (buy_percent, sell_percent, transfer_percent))
    assert notice in fees.notice.title


def test_only_the_transfer_fee_of_beijing_differs_by_board() -> None:
    assert {statutory_fees(date(2015, 1, 5), board=board).transfer_fee_e8 for board in (MAIN, CHINEXT)} == {2_550}
    assert statutory_fees(date(2022, 1, 4)).transfer_fee_e8 == 2_000


def test_commissions_are_bounded_since_2002() -> None:
    rule = commission_rule(date(2010, 1, 4))
    assert (rule.max_e8, rule.min_fen) == (300_000, 500)
    assert "[2002] 21" in rule.notice.title


@pytest.mark.parametrize(
    ("board", "kind", "session", "shares"),
    [
        (MAIN, OrderKind.LIMIT, "2010-01-04", 1_000_000),
        (MAIN, OrderKind.MARKET, "2026-11-20", 1_000_000),
        (MAIN, OrderKind.AFTER_HOURS, "2026-07-06", 1_000_000),
        (CHINEXT, OrderKind.LIMIT, "2020-08-21", 1_000_000),
        (CHINEXT, OrderKind.LIMIT, "2020-08-24", 300_000),
        (CHINEXT, OrderKind.MARKET, "2020-08-24", 150_000),
        (CHINEXT, OrderKind.AFTER_HOURS, "2020-08-24", 1_000_000),
        (STAR, OrderKind.LIMIT, "2019-07-22", 100_000),
        (STAR, OrderKind.MARKET, "2019-07-22", 50_000),
        (STAR, OrderKind.AFTER_HOURS, "2019-07-22", 1_000_000),
        (BEIJING, OrderKind.LIMIT, "2021-11-15", 1_000_000),
    ],
)
def test_the_most_one_order_may_be_for(board: Board, kind: OrderKind, session: str, shares: int) -> None:
    assert max_order_shares(board, kind, date.fromisoformat(session)) == shares


@pytest.mark.parametrize(
    ("board", "kind", "session"),
    [
        (MAIN, OrderKind.AFTER_HOURS, "2026-07-03"),
        (CHINEXT, OrderKind.AFTER_HOURS, "2020-08-21"),
        (BEIJING, OrderKind.AFTER_HOURS, "2026-07-06"),
        (STAR, OrderKind.LIMIT, "2019-07-19"),
    ],
)
def test_an_order_of_a_kind_that_was_not_taken_is_refused(board: Board, kind: OrderKind, session: str) -> None:
    with pytest.raises(TradingError, match=f"no {kind} order was taken for a {board.name} stock on {session}"):
        max_order_shares(board, kind, date.fromisoformat(session))


def test_lots_and_settlement() -> None:
    minimum, step = lot_sizes([MAIN, CHINEXT, STAR, BEIJING])
    assert (minimum.tolist(), step.tolist()) == ([100, 100, 200, 100], [100, 100, 1, 1])
    assert settlement_sessions(date(2007, 5, 30)) == settlement_sessions(date(2026, 11, 20)) == 1


@pytest.mark.parametrize(
    ("board", "exchange", "session", "cap"),
    [
        (MAIN, "SH", "2012-12-31", None),
        (MAIN, "SH", "2013-01-04", 500_000),
        (MAIN, "SZ", "2024-01-02", None),
        (STAR, "SH", "2024-01-02", None),
        (BEIJING, "BJ", "2026-08-28", None),
        (BEIJING, "BJ", "2026-08-31", 200_000),
    ],
)
def test_buys_of_a_stock_under_special_treatment_are_capped(
    board: Board, exchange: str, session: str, cap: int | None
) -> None:
    assert risk_warning_buy_cap(board, exchange, date.fromisoformat(session)) == cap


@pytest.mark.parametrize(
    ("board", "session", "base", "highest_bid", "lowest_ask"),
    [
        (STAR, "2019-07-22", 100.01, 102.01, 98.01),
        (STAR, "2026-11-20", 3.00, 3.06, 2.94),  # two per cent, however small
        (STAR, "2026-11-20", 0.20, 0.21, 0.19),  # one tick at least
        (CHINEXT, "2020-08-21", 3.00, *FREE),
        (CHINEXT, "2020-08-24", 3.00, 3.06, 2.94),
        (CHINEXT, "2023-04-10", 3.00, 3.10, 2.90),  # ten ticks are more
        (CHINEXT, "2023-04-10", 18.45, 18.82, 18.08),
        (MAIN, "2023-04-07", 3.00, *FREE),
        (MAIN, "2023-04-10", 3.00, 3.10, 2.90),
        (MAIN, "2023-04-10", 18.45, 18.82, 18.08),
        (MAIN, "2023-04-10", 0.05, 0.15, 0.01),
        (BEIJING, "2021-11-15", 18.45, 19.37, 17.53),
        (BEIJING, "2021-11-15", 1.00, 1.10, 0.90),
    ],
)
def test_what_an_order_in_continuous_trading_may_ask(
    board: Board, session: str, base: float, highest_bid: float, lowest_ask: float
) -> None:
    day, base_e4 = date.fromisoformat(session), round(base * 1e4)
    assert worst_order_price_e4(board, day, base_e4, buying=True).item() == round(highest_bid * 1e4)
    assert worst_order_price_e4(board, day, base_e4, buying=False).item() == round(lowest_ask * 1e4)


@pytest.mark.parametrize(
    ("exchange", "board", "session", "continuous_until", "closing_call", "after_hours"),
    [
        ("SH", MAIN, "2007-05-30", "15:00", False, False),
        ("SH", MAIN, "2018-08-17", "15:00", False, False),
        ("SH", MAIN, "2018-08-20", "14:57", True, False),
        ("SH", MAIN, "2026-07-03", "14:57", True, False),
        ("SH", MAIN, "2026-07-06", "14:57", True, True),
        ("SZ", MAIN, "2007-05-30", "14:57", True, False),
        ("SZ", MAIN, "2026-07-06", "14:57", True, True),
        ("SZ", CHINEXT, "2020-08-21", "14:57", True, False),
        ("SZ", CHINEXT, "2020-08-24", "14:57", True, True),
        ("SH", STAR, "2019-07-22", "14:57", True, True),
        ("BJ", BEIJING, "2021-11-15", "14:57", True, False),
        ("BJ", BEIJING, "2026-07-06", "14:57", True, False),
    ],
)
def test_the_phases_of_a_session(
    exchange: str, board: Board, session: str, continuous_until: str, closing_call: bool, after_hours: bool
) -> None:
    phases = session_phases(date.fromisoformat(session), board, exchange)
    kinds = [phase.kind.name for phase in phases]
    assert kinds[:3] == ["OPENING_CALL", "CONTINUOUS", "CONTINUOUS"]
    assert (phases[0].start, phases[0].end) == (time(9, 15), time(9, 25))
    assert (phases[1].start, phases[1].end) == (time(9, 30), time(11, 30))
    assert (phases[2].start, phases[2].end) == (time(13), time.fromisoformat(continuous_until))
    assert ("CLOSING_CALL" in kinds, "AFTER_HOURS" in kinds) == (closing_call, after_hours)
    if after_hours:
        assert (phases[-1].start, phases[-1].end) == (time(15, 5), time(15, 30))


def test_the_circuit_breaker_ended_two_sessions_early() -> None:
    morning = session_phases(date(2016, 1, 7), MAIN, "SZ")
    assert [str(phase) for phase in morning] == ["opening call auction 09:15-09:25", "continuous 09:30-09:59"]
    assert session_phases(date(2016, 1, 4), MAIN, "SH")[-1].end == time(13, 33)
    assert session_phases(date(2016, 1, 8), MAIN, "SH")[-1].end == time(15)


@pytest.mark.parametrize(("exchange", "board"), [("SZ", STAR), ("BJ", MAIN), ("HK", MAIN)])
def test_a_board_that_an_exchange_has_not_is_refused(exchange: str, board: Board) -> None:
    with pytest.raises(TradingError, match=f"{exchange} had no session of the {board.name} board"):
        session_phases(date(2024, 1, 2), board, exchange)


@pytest.mark.parametrize("day", [date(2007, 5, 29), date(2027, 1, 4)])
def test_every_question_about_a_date_outside_the_book_is_refused(day: date) -> None:
    questions = (
        lambda: statutory_fees(day),
        lambda: commission_rule(day),
        lambda: settlement_sessions(day),
        lambda: max_order_shares(MAIN, OrderKind.LIMIT, day),
        lambda: risk_warning_buy_cap(MAIN, "SH", day),
        lambda: worst_order_price_e4(MAIN, day, 10_000, buying=True),
        lambda: session_phases(day, MAIN, "SH"),
        lambda: rules_in_force(day),
        lambda: limits(MAIN, False, OLD, 999, day.isoformat(), 10.0),
    )
    for question in questions:
        with pytest.raises(TradingError, match=r"outside the rulebook .*: narrow the date range"):
            question()
