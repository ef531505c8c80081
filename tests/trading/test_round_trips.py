"""A trade is a sell order with all it sold, first in, first out, after fees; no fen is lost on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.exchange_wire import Booking, BookingKind, FillReport, Side
from ljwx_pipeline.trading.round_trips import ClosedTrade, LotBook
from ljwx_pipeline.trading.strict_json import from_json, to_json

DAY = date(2025, 3, 3)


def fill(side: Side, shares: int, value_fen: int, fees_fen: int = 0, order: str = "o", symbol: str = "A") -> FillReport:
    return FillReport(
        0, "x", "e", order, DAY, symbol, side, shares, 0, value_fen, fees_fen, 0, 0, 0, 0, 0
    )  # fmt: skip


def buy(shares: int, value_fen: int, fees_fen: int = 0, symbol: str = "A") -> FillReport:
    return fill(Side.BUY, shares, value_fen, fees_fen, symbol=symbol)


def sell(shares: int, value_fen: int, fees_fen: int = 0, order: str = "s", symbol: str = "A") -> FillReport:
    return fill(Side.SELL, shares, value_fen, fees_fen, order, symbol)


def booking(kind: BookingKind, cash_fen: int, shares: int) -> Booking:
    return Booking(0, DAY, "A", kind, cash_fen, shares, 0)


def book(*fills: FillReport) -> LotBook:
    made = LotBook()
    for one in fills:
        made = made.filled(one)
    return made


def trade_of(made: LotBook, order: str = "s") -> ClosedTrade:
    _, trade = made.finished(order)
    assert trade is not None
    return trade


def test_fees_of_both_sides_make_a_sale_at_cost_a_losing_trade() -> None:
    trade = trade_of(book(buy(100, 100_000, 500), sell(100, 100_000, 550)))
    assert (trade.profit_fen, trade.is_loss) == (-1_050, True)


def test_a_trade_that_earned_exactly_nothing_is_no_loss() -> None:
    assert not trade_of(book(buy(100, 100_000), sell(100, 100_000))).is_loss


def test_the_oldest_shares_are_sold_first() -> None:
    made = book(buy(100, 100_000), buy(100, 120_000), sell(100, 110_000))
    assert trade_of(made).profit_fen == 10_000
    assert trade_of(made.filled(sell(100, 110_000, order="t")), "t").profit_fen == -10_000


def test_the_partial_fills_of_one_order_are_one_trade() -> None:
    made = book(buy(300, 300_000), sell(100, 90_000, 10), sell(100, 90_000, 10), sell(100, 90_000, 10))
    after, trade = made.finished("s")
    assert trade == ClosedTrade("s", "A", DAY, 300, 269_970, 300_000)
    assert after.finished("s") == (after, None)


def test_a_purchase_that_is_final_is_no_trade() -> None:
    made = book(buy(100, 100_000))
    assert made.finished("o") == (made, None)


def test_a_dividend_is_part_of_what_the_shares_earned() -> None:
    made, none = book(buy(100, 100_000)).booked(booking(BookingKind.DIVIDEND, 5_000, 0))
    assert none is None
    assert trade_of(made.filled(sell(100, 96_000))).profit_fen == 1_000


def test_bonus_shares_cost_nothing_and_rights_what_was_paid() -> None:
    made, _ = book(buy(100, 100_000)).booked(booking(BookingKind.BONUS_SHARES, 0, 100))
    assert trade_of(made.filled(sell(100, 60_000))).profit_fen == 10_000
    made, _ = book(buy(100, 100_000)).booked(booking(BookingKind.RIGHTS, -50_000, 100))
    assert trade_of(made.filled(sell(200, 150_000))).profit_fen == 0


def test_what_is_written_off_is_a_losing_trade() -> None:
    made, trade = book(buy(100, 100_000)).booked(booking(BookingKind.WRITE_OFF, 0, -100))
    assert trade is not None
    assert (trade.profit_fen, trade.is_loss, made.shares_of("A")) == (-100_000, True, 0)


def test_a_fill_of_another_s_position_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(TradingError, match="200 shares of A leave a strategy that holds 100: reconcile"):
        book(buy(100, 100_000)).filled(sell(200, 200_000))
    with pytest.raises(TradingError, match="a strategy that holds none"):
        book(buy(100, 100_000, symbol="B")).booked(booking(BookingKind.DIVIDEND, 5_000, 0))


@dataclass
class Naive:
    """The same, share by share, in fractions of a fen."""

    costs: list[float] = field(default_factory=list)

    def sold(self, shares: int, proceeds: float) -> float:
        cost = sum(self.costs[:shares])
        del self.costs[:shares]
        return proceeds - cost


moves = st.lists(
    st.tuples(st.booleans(), st.integers(1, 40), st.integers(900, 1_100), st.integers(0, 20)), min_size=1, max_size=30
)


@given(moves)
def test_profits_are_those_of_share_by_share_reckoning_and_no_fen_is_lost(
    steps: list[tuple[bool, int, int, int]],
) -> None:
    made, naive, cash, profits = LotBook(), Naive(), 0, 0
    for k, (buying, shares, price, fees) in enumerate(steps):
        if buying:
            made = made.filled(buy(shares, shares * price, fees))
            naive.costs += [price + fees / shares] * shares
            cash -= shares * price + fees
            continue
        sold = min(shares, made.shares_of("A"))
        if sold == 0:
            continue
        made, trade = made.filled(sell(sold, sold * price, fees, order=str(k))).finished(str(k))
        assert trade is not None
        cash += sold * price - fees
        profits += trade.profit_fen
        assert abs(trade.profit_fen - naive.sold(sold, sold * price - fees)) <= len(steps)
    held = sum(lot.cost_fen for lot in made.lots)
    assert profits == cash + held
    assert made.shares_of("A") == len(naive.costs)
    assert from_json(LotBook, to_json(made)) == made


@given(st.lists(st.integers(1, 1_000), min_size=1, max_size=8), st.integers(0, 10_000), st.integers(0, 5_000))
def test_a_booking_reaches_the_lots_whole(held: list[int], cash_fen: int, shares: int) -> None:
    before = book(*(buy(each, each * 1_000) for each in held))
    after, _ = before.booked(booking(BookingKind.BONUS_SHARES, cash_fen, shares))
    assert after.shares_of("A") == sum(held) + shares
    assert sum(lot.cost_fen for lot in before.lots) - sum(lot.cost_fen for lot in after.lots) == cash_fen
