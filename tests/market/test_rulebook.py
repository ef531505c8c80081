"""Dated golden cases of the rulebook."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market.rulebook import (
    BOOK_FIRST,
    BOOK_LAST,
    LIMIT_RULES,
    LISTING_RULES,
    LOT_RULES,
    NO_LIMIT_DOWN_E4,
    NO_LIMIT_UP_E4,
    STATUTORY_FEES,
    limit_bps,
    limit_prices_e4,
    lot_sizes,
    price_limit_bps,
    price_limit_frac,
    statutory_fees,
)
from ljwx_pipeline.market.symbols import Board


@pytest.mark.parametrize(
    ("board", "is_st", "session", "bps"),
    [
        (Board.MAIN, False, "2010-01-04", 1000),
        (Board.MAIN, True, "2010-01-04", 500),
        (Board.MAIN, True, "2026-07-03", 500),
        (Board.MAIN, True, "2026-07-06", 1000),
        (Board.MAIN, False, "2026-07-06", 1000),
        (Board.CHINEXT, False, "2020-08-21", 1000),
        (Board.CHINEXT, True, "2020-06-11", 1000),  # ChiNext knew no special treatment until the day after
        (Board.CHINEXT, True, "2020-08-21", 500),
        (Board.CHINEXT, False, "2020-08-24", 2000),
        (Board.CHINEXT, True, "2020-08-24", 2000),
        (Board.STAR, False, "2019-07-22", 2000),
        (Board.STAR, True, "2024-01-02", 2000),
        (Board.BEIJING, False, "2021-11-15", 3000),
        (Board.STAR, False, "2019-07-19", 0),
        (Board.BEIJING, False, "2021-11-12", 0),
        (Board.CHINEXT, False, "2009-10-29", 0),
    ],
)
def test_everyday_limit_follows_board_status_and_date(board: Board, is_st: bool, session: str, bps: int) -> None:
    assert price_limit_bps(board, is_st, np.datetime64(session)).item() == bps
    assert price_limit_frac(board, is_st, np.datetime64(session)).item() == pytest.approx(bps / 10_000)


def test_limits_broadcast_symbols_against_sessions() -> None:
    boards = np.array([[Board.MAIN], [Board.CHINEXT]])
    days = np.array([["2020-08-21", "2020-08-24"]], dtype="datetime64[D]")
    assert price_limit_bps(boards, False, days).tolist() == [[1000, 1000], [1000, 2000]]


@pytest.mark.parametrize(
    ("pre_close_cny", "bps", "up_cny", "down_cny"),
    [
        (10.00, 1000, 11.00, 9.00),
        (10.05, 1000, 11.06, 9.05),  # 11.055 half up; 9.045 half up
        (8.88, 1000, 9.77, 7.99),  # 9.768, 7.992
        (3.33, 500, 3.50, 3.16),  # 3.4965, 3.1635
        (16.73, 2000, 20.08, 13.38),  # 20.076, 13.384
        (7.77, 3000, 10.10, 5.44),  # 10.101, 5.439
        (0.09, 500, 0.10, 0.08),  # both round back onto the price: one tick away instead
        (1690.00, 1000, 1859.00, 1521.00),
    ],
)
def test_limit_prices_round_half_up_to_the_tick(pre_close_cny: float, bps: int, up_cny: float, down_cny: float) -> None:
    up, down = limit_prices_e4(round(pre_close_cny * 10_000), bps, bps)
    assert (up.item(), down.item()) == (round(up_cny * 10_000), round(down_cny * 10_000))


@pytest.mark.parametrize(
    ("board", "listed", "age", "up", "down"),
    [
        (Board.MAIN, "2012-05-03", 0, -1, -1),
        (Board.MAIN, "2012-05-03", 1, 1000, 1000),
        (Board.MAIN, "2019-03-01", 0, 4400, 3600),
        (Board.MAIN, "2019-03-01", 1, 1000, 1000),
        (Board.CHINEXT, "2020-08-21", 0, 4400, 3600),
        (Board.CHINEXT, "2020-08-24", 4, -1, -1),
        (Board.CHINEXT, "2020-08-24", 5, 2000, 2000),
        (Board.STAR, "2019-07-22", 4, -1, -1),
        (Board.STAR, "2019-07-22", 5, 2000, 2000),
        (Board.MAIN, "2023-04-07", 0, 4400, 3600),
        (Board.MAIN, "2023-04-10", 4, -1, -1),
        (Board.MAIN, "2023-04-10", 5, 1000, 1000),
        (Board.BEIJING, "2022-03-01", 0, -1, -1),
        (Board.BEIJING, "2022-03-01", 1, 3000, 3000),
        (Board.MAIN, "NaT", 0, 1000, 1000),
    ],
)
def test_listing_days_have_their_own_limits(board: Board, listed: str, age: int, up: int, down: int) -> None:
    known = np.datetime64("2024-01-02" if listed == "NaT" else listed, "D")
    got = limit_bps(
        board=np.array([board]),
        is_st=np.array([False]),
        session=np.array([known + age]),
        list_date=np.array([listed], dtype="datetime64[D]"),
        listed_sessions=np.array([age]),
    )
    assert (got[0].item(), got[1].item()) == (up, down)


def test_a_session_without_limit_has_unreachable_limit_prices() -> None:
    up, down = limit_prices_e4([100_000, 100_000], [-1, 4400], [-1, 3600])
    assert up.tolist() == [NO_LIMIT_UP_E4, 144_000]
    assert down.tolist() == [NO_LIMIT_DOWN_E4, 64_000]


@pytest.mark.parametrize(
    ("session", "buy", "sell", "transfer"),
    [
        (date(2008, 4, 24), 100_000, 100_000, 2_550),
        (date(2008, 9, 18), 100_000, 100_000, 2_550),
        (date(2008, 9, 19), 0, 100_000, 2_550),
        (date(2015, 7, 31), 0, 100_000, 2_550),
        (date(2015, 8, 3), 0, 100_000, 2_000),
        (date(2022, 4, 28), 0, 100_000, 2_000),
        (date(2022, 4, 29), 0, 100_000, 1_000),
        (date(2023, 8, 25), 0, 100_000, 1_000),
        (date(2023, 8, 28), 0, 50_000, 1_000),
    ],
)
def test_statutory_fees_by_date(session: date, buy: int, sell: int, transfer: int) -> None:
    fees = statutory_fees(session)
    assert (fees.stamp_duty_buy_e8, fees.stamp_duty_sell_e8, fees.transfer_fee_e8) == (buy, sell, transfer)


@pytest.mark.parametrize("day", [date(2007, 5, 29), date(2027, 1, 4)])
def test_a_date_outside_the_book_is_refused(day: date) -> None:
    with pytest.raises(TradingError, match="outside the rulebook"):
        statutory_fees(day)
    with pytest.raises(TradingError, match="outside the rulebook"):
        price_limit_bps(Board.MAIN, False, np.datetime64(day))


def test_lots_by_board() -> None:
    minimum, step = lot_sizes([Board.MAIN, Board.CHINEXT, Board.STAR, Board.BEIJING])
    assert minimum.tolist() == [100, 100, 200, 100]
    assert step.tolist() == [100, 100, 1, 1]


def test_every_rule_cites_its_notice_and_lies_in_the_book() -> None:
    assert all(rule.notice for rule in (*LIMIT_RULES, *LISTING_RULES, *LOT_RULES, *STATUTORY_FEES))
    assert all(BOOK_FIRST <= rule.first <= BOOK_LAST for rule in (*LIMIT_RULES, *STATUTORY_FEES))
    assert [rule.board for rule in LOT_RULES] == list(Board)  # lot_sizes looks rules up by board code
