"""What holds of every limit price: it brackets the reference, rounds as decimals do, and needs no loop to be right."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.market.rulebook import (
    BOOK_FIRST,
    BOOK_LAST,
    DELISTING_RULES,
    LIMIT_RULES,
    LISTING_RULES,
    NO_LIMIT_DOWN_E4,
    NO_LIMIT_UP_E4,
    TICK_E4,
    limit_bps,
    limit_prices_e4,
    price_limit_bps,
)
from ljwx_pipeline.market.symbols import Board

CENT = Decimal("0.01")
FIRST, LAST = np.datetime64(BOOK_FIRST), np.datetime64(BOOK_LAST)
#: Every date of a rule and the day before: where an off-by-one would show.
EDGES = sorted(
    {
        np.datetime64(first) - back
        for first in (
            *(rule.first for rule in LIMIT_RULES),
            *(rule.listed_from for rule in LISTING_RULES),
            *(rule.started_from for rule in DELISTING_RULES),
        )
        for back in (0, 1)
    }
)
days = st.one_of(
    st.sampled_from([day for day in EDGES if FIRST <= day <= LAST]),
    st.integers(0, int((LAST - FIRST).astype(int))).map(lambda offset: FIRST + offset),
)
boards = st.sampled_from(list(Board))
cents = st.integers(1, 500_000)
widths = st.sampled_from([500, 1000, 2000, 3000, 3600, 4400])


@given(board=boards, cent=cents, up=widths, down=widths)
def test_limits_equal_the_decimal_ones_and_bracket_the_reference(board: Board, cent: int, up: int, down: int) -> None:
    got = limit_prices_e4([cent * TICK_E4], [up], [down], board=[board])
    got_up, got_down = (Decimal(int(price.item())) / 10_000 for price in got)
    reference = Decimal(cent) * CENT
    rounding = (ROUND_FLOOR, ROUND_CEILING) if board is Board.BEIJING else (ROUND_HALF_UP, ROUND_HALF_UP)
    want_up = (reference * (10_000 + up) / 10_000).quantize(CENT, rounding[0])
    want_down = (reference * (10_000 - down) / 10_000).quantize(CENT, rounding[1])
    assert got_up == max(want_up, reference + CENT)
    assert got_down == max(min(want_down, reference - CENT), CENT)
    assert got_down < reference < got_up or (cent == 1 and got_down == reference)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, np.ndarray]:
    n = draw(st.integers(1, 12))

    def column(values: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(values, min_size=n, max_size=n))

    maybe = st.one_of(st.just(np.datetime64("NaT", "D")), days)
    return {
        "board": np.array(column(boards), dtype=np.int8),
        "is_st": np.array(column(st.booleans())),
        "session": np.array(column(days), dtype="datetime64[D]"),
        "list_date": np.array(column(maybe), dtype="datetime64[D]"),
        "listed_sessions": np.array(column(st.integers(-1, 8)), dtype=np.int64),
        "delisting_period_start": np.array(column(maybe), dtype="datetime64[D]"),
        "relisted_on": np.array(column(maybe), dtype="datetime64[D]"),
    }


@given(table=rows(), at_open=st.booleans())
def test_many_rows_at_once_equal_one_at_a_time(table: dict[str, np.ndarray], at_open: bool) -> None:
    together = np.array(limit_bps(**table, at_open=at_open))
    for at in range(len(table["board"])):
        alone = limit_bps(**{name: values[at] for name, values in table.items()}, at_open=at_open)
        assert tuple(together[:, at]) == (alone[0].item(), alone[1].item())


@given(table=rows())
def test_an_unknown_special_day_changes_nothing(table: dict[str, np.ndarray]) -> None:
    plain = {name: table[name] for name in ("board", "is_st", "session", "list_date", "listed_sessions")}
    nat = np.full(len(table["board"]), np.datetime64("NaT", "D"))
    with_nat = limit_bps(**plain, delisting_period_start=nat, relisted_on=nat)
    assert np.array_equal(np.array(limit_bps(**plain)), np.array(with_nat))


@given(board=boards, is_st=st.booleans(), session=days)
def test_the_everyday_limit_is_the_last_rule_in_force(board: Board, is_st: bool, session: np.datetime64) -> None:
    mine = [rule for rule in LIMIT_RULES if (rule.board, rule.is_st) == (board, is_st) and rule.first <= session.item()]
    assert price_limit_bps(board, is_st, session).item() == (mine[-1].bps if mine else 0)


def test_symbols_broadcast_against_sessions_on_special_days_too() -> None:
    sessions = np.array(["2023-04-10", "2023-04-11", "2023-04-17"], dtype="datetime64[D]")
    up, down = limit_bps(
        board=np.array([[Board.MAIN], [Board.CHINEXT]]),
        is_st=False,
        session=sessions[None, :],
        list_date=np.array([["2023-04-10"], ["NaT"]], dtype="datetime64[D]"),
        listed_sessions=np.array([[0, 1, 5]]),
        delisting_period_start=np.array([["NaT"], ["2023-04-11"]], dtype="datetime64[D]"),
    )
    assert up.tolist() == [[-1, -1, 1000], [2000, -1, 2000]]
    assert np.array_equal(up, down)


def test_more_rows_than_a_block_are_worked_on_whole() -> None:
    n = 200_003
    up, down = limit_prices_e4(np.full(n, 100_000), np.where(np.arange(n) % 2, 1000, -1), 1000)
    assert np.array_equal(up, np.where(np.arange(n) % 2, 110_000, NO_LIMIT_UP_E4))
    assert (down == 90_000).all()
    assert limit_prices_e4(100_000, 1000, -1)[1].item() == NO_LIMIT_DOWN_E4
    assert limit_prices_e4([], [], [])[0].shape == (0,)
