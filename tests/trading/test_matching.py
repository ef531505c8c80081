"""Matching and settlement obey the rules, and agree with the plain ledger to the fen."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.trading.account import Account
from ljwx_pipeline.trading.costs import CostRates
from ljwx_pipeline.trading.matching import Reject, SessionQuotes, affordable_shares, floor_to_lot, match
from ljwx_pipeline.units import E8
from tests.trading import reference_ledger as ref

NAMES = 5
RATES = CostRates(25_000, 500, 20_000, 5_000_000, 0, 50_000, 1_000)


def as_reference(rates: CostRates) -> object:
    return ref.Rates(
        commission=Fraction(rates.commission_e8, E8),
        commission_min_fen=rates.commission_min_fen,
        slippage=Fraction(rates.slippage_e8, E8),
        participation=Fraction(rates.max_participation_e8, E8),
        stamp_buy=Fraction(rates.stamp_buy_e8, E8),
        stamp_sell=Fraction(rates.stamp_sell_e8, E8),
        transfer=Fraction(rates.transfer_e8, E8),
    )


def quotes(**over: object) -> SessionQuotes:
    base = {
        "close_e4": [100_000] * NAMES,
        "limit_up_e4": [110_000] * NAMES,
        "limit_down_e4": [90_000] * NAMES,
        "volume_shares": [1_000_000] * NAMES,
        "lot_min": [100] * NAMES,
        "lot_step": [100] * NAMES,
    }
    return SessionQuotes(**{name: np.array(value, dtype=np.int64) for name, value in {**base, **over}.items()})


def one_order(shares: int, *, cash: int = 10**9, sellable: int = 0, rates: CostRates = RATES, **over: object):
    order, rank = np.zeros(NAMES, np.int64), np.full(NAMES, -1)
    order[0], rank[0] = shares, 0
    free = np.zeros(NAMES, np.int64)
    free[0] = sellable
    fills = match(
        order_shares=order,
        order_rank=rank,
        quotes=quotes(**over),
        sellable_shares=free,
        cash_fen=cash,
        rates=rates,
    )
    return int(fills.shares[0]), Reject(int(fills.reject[0])), fills


def test_a_buy_pays_slippage_commission_and_transfer_fee_but_no_stamp_duty() -> None:
    shares, reject, fills = one_order(1_000)
    assert (shares, reject) == (1_000, Reject.NONE)
    assert fills.price_e4[0] == 100_020  # 10.00 CNY plus 2 bps
    assert fills.value_fen[0] == 1_000_200
    assert fills.commission_fen[0] == 500  # 250.05 fen is below the five-yuan minimum
    assert fills.stamp_duty_fen[0] == 0
    assert fills.transfer_fee_fen[0] == 10
    assert fills.cash_after_fen == 10**9 - 1_000_200 - 510


def test_a_sale_pays_stamp_duty_and_slippage_the_other_way() -> None:
    shares, _, fills = one_order(-20_000, sellable=20_000)
    assert shares == -20_000
    assert fills.price_e4[0] == 99_980
    assert fills.value_fen[0] == 19_996_000
    assert (fills.commission_fen[0], fills.stamp_duty_fen[0], fills.transfer_fee_fen[0]) == (4_999, 9_998, 200)


def test_slippage_never_carries_a_fill_past_the_limit() -> None:
    _, _, fills = one_order(100, close_e4=[109_990] * NAMES)
    assert fills.price_e4[0] == 110_000
    _, _, fills = one_order(-100, sellable=100, close_e4=[90_010] * NAMES)
    assert fills.price_e4[0] == 90_000


@pytest.mark.parametrize(
    ("order", "expected", "reason", "over"),
    [
        (100, 0, Reject.SUSPENDED, {"close_e4": [0] * NAMES}),
        (-100, 0, Reject.SUSPENDED, {"close_e4": [0] * NAMES}),
        (100, 0, Reject.LIMIT_UP, {"close_e4": [110_000] * NAMES}),
        (-100, -100, Reject.NONE, {"close_e4": [110_000] * NAMES}),
        (-100, 0, Reject.LIMIT_DOWN, {"close_e4": [90_000] * NAMES}),
        (100, 100, Reject.NONE, {"close_e4": [90_000] * NAMES}),
        (-800, -500, Reject.T_PLUS_1, {}),
        (-250, -200, Reject.LOT, {}),
        (99, 0, Reject.LOT, {}),
        (250, 200, Reject.LOT, {}),
        (50_000, 300, Reject.PARTICIPATION, {"volume_shares": [7_999] * NAMES}),
        (-500, -200, Reject.PARTICIPATION, {"volume_shares": [5_000] * NAMES}),
        (199, 0, Reject.LOT, {"lot_min": [200] * NAMES, "lot_step": [1] * NAMES}),
        (257, 257, Reject.NONE, {"lot_min": [200] * NAMES, "lot_step": [1] * NAMES}),
    ],
)
def test_rule(order: int, expected: int, reason: Reject, over: dict[str, object]) -> None:
    shares, reject, _ = one_order(order, sellable=500, **over)
    assert (shares, reject) == (expected, reason)


def test_the_odd_rest_goes_with_the_whole_position() -> None:
    shares, reject, _ = one_order(-537, sellable=537)
    assert (shares, reject) == (-537, Reject.NONE)


def test_a_buy_is_cut_to_the_cash_fees_included() -> None:
    exactly = 1_000_200 + 510
    assert one_order(1_000, cash=exactly)[:2] == (1_000, Reject.NONE)
    assert one_order(1_000, cash=exactly - 1)[:2] == (900, Reject.CASH)
    assert one_order(1_000, cash=0)[:2] == (0, Reject.CASH)


def test_proceeds_of_a_sale_buy_on_the_same_session_whatever_the_symbol_order() -> None:
    order, rank = np.zeros(NAMES, np.int64), np.full(NAMES, -1)
    order[0], rank[0] = 500, 1
    order[4], rank[4] = -1_000, 0
    free = np.array([0, 0, 0, 0, 1_000])
    fills = match(order_shares=order, order_rank=rank, quotes=quotes(), sellable_shares=free, cash_fen=0, rates=RATES)
    assert fills.shares.tolist() == [500, 0, 0, 0, -1_000]


def test_a_sale_worth_less_than_its_fees_is_left_when_cash_cannot_pay_them() -> None:
    shares, reject, fills = one_order(-1, sellable=1, cash=0, close_e4=[10_000] * NAMES, limit_down_e4=[9_000] * NAMES)
    assert (shares, reject, fills.cash_after_fen) == (0, Reject.CASH, 0)


def test_orders_that_share_a_rank_are_refused() -> None:
    with pytest.raises(TradingError, match="share a rank"):
        match(
            order_shares=np.full(NAMES, 100),
            order_rank=np.zeros(NAMES, np.int64),
            quotes=quotes(),
            sellable_shares=np.zeros(NAMES, np.int64),
            cash_fen=10**9,
            rates=RATES,
        )


def test_settling_fills_of_another_account_is_refused() -> None:
    _, _, fills = one_order(1_000)
    with pytest.raises(TradingError, match="after settlement"):
        Account.opened(5 * 10**8, NAMES).settle(fills)


@given(
    wanted=st.integers(0, 5_000),
    price=st.integers(100, 3_000_000),
    cash=st.integers(0, 10**7),
    lot=st.sampled_from([(100, 100), (200, 1), (100, 1)]),
)
@settings(max_examples=300, deadline=None)
def test_affordable_is_the_most_that_fits(wanted: int, price: int, cash: int, lot: tuple[int, int]) -> None:
    rates = as_reference(RATES)

    def cost(shares: int) -> int:
        return ref.ReferenceLedger._cost(shares, price, rates)

    got = affordable_shares(wanted, price, cash, *lot, RATES.as_array())
    valid = [n for n in range(lot[0], wanted + 1, lot[1]) if cost(n) <= cash]
    assert got == (valid[-1] if valid else 0)


@given(shares=st.integers(0, 3_000), lot=st.sampled_from([(100, 100), (200, 1), (100, 1)]))
def test_floor_to_lot_is_the_largest_valid_order(shares: int, lot: tuple[int, int]) -> None:
    valid = range(lot[0], shares + 1, lot[1])
    assert floor_to_lot(shares, *lot) == (valid[-1] if valid else 0)


rates_st = st.builds(
    CostRates,
    commission_e8=st.integers(0, 1_000_000),
    commission_min_fen=st.sampled_from([0, 500]),
    slippage_e8=st.integers(0, 2_000_000),
    max_participation_e8=st.integers(100_000, E8),
    stamp_buy_e8=st.sampled_from([0, 100_000]),
    stamp_sell_e8=st.sampled_from([0, 50_000, 100_000]),
    transfer_e8=st.sampled_from([0, 1_000, 2_550]),
)


@st.composite
def session_st(draw: st.DrawFn) -> dict[str, list[int]]:
    def column(strategy: st.SearchStrategy[int]) -> list[int]:
        return draw(st.lists(strategy, min_size=NAMES, max_size=NAMES))

    close = column(st.one_of(st.just(0), st.integers(5_000, 400_000)))
    room_up, room_down = column(st.integers(0, 20_000)), column(st.integers(0, 4_000))
    return {
        "close_e4": close,
        "limit_up_e4": [c + r for c, r in zip(close, room_up, strict=True)],
        "limit_down_e4": [max(0, c - r) for c, r in zip(close, room_down, strict=True)],
        "volume_shares": column(st.integers(0, 60_000)),
        "orders": column(st.one_of(st.just(0), st.integers(-4_000, 4_000))),
        "rank": draw(st.permutations(range(NAMES))),
        "cash_e4": column(st.sampled_from([0, 0, 0, 1_234])),
        "bonus_e4": column(st.sampled_from([0, 0, 0, 3_000])),
    }


@given(
    sessions=st.lists(session_st(), min_size=1, max_size=6),
    cash=st.integers(0, 5 * 10**7),
    rates=rates_st,
    lots=st.lists(st.sampled_from([(100, 100), (200, 1), (100, 1)]), min_size=NAMES, max_size=NAMES),
)
@settings(max_examples=150, deadline=None)
def test_account_agrees_with_the_plain_ledger_over_any_history(
    sessions: list[dict[str, list[int]]], cash: int, rates: CostRates, lots: list[tuple[int, int]]
) -> None:
    account, ledger = Account.opened(cash, NAMES), ref.ReferenceLedger(cash)
    plain = as_reference(rates)
    marks = dict.fromkeys(range(NAMES), 0)
    spent = 0  # everything that ever left or entered cash through trades, fees and dividends
    for day, session in enumerate(sessions):
        column = {name: np.array(values, dtype=np.int64) for name, values in session.items()}
        nothing = np.zeros(NAMES, dtype=np.int64)
        actions = np.stack([np.arange(NAMES), column["cash_e4"], column["bonus_e4"], nothing, nothing], axis=1)
        dividends, _, _ = account.open_session(actions=actions, listed=np.ones(NAMES, dtype=bool))
        expected = sum(ledger.corporate_action(i, session["cash_e4"][i], session["bonus_e4"][i]) for i in range(NAMES))
        assert dividends == expected
        sellable = account.sellable_shares.copy()
        assert sellable.tolist() == [ledger.sellable(i, day) for i in range(NAMES)]
        fills = match(
            order_shares=column["orders"],
            order_rank=column["rank"],
            quotes=SessionQuotes(
                column["close_e4"],
                column["limit_up_e4"],
                column["limit_down_e4"],
                column["volume_shares"],
                np.array([low for low, _ in lots]),
                np.array([step for _, step in lots]),
            ),
            sellable_shares=account.sellable_shares,
            cash_fen=account.cash_fen,
            rates=rates,
        )
        for side in (ref.SELL, ref.BUY):
            for i in sorted(range(NAMES), key=lambda name: session["rank"][name]):
                order = session["orders"][i]
                if order == 0 or (order > 0) != (side == ref.BUY):
                    continue
                quote = ref.Quote(
                    *(session[f][i] for f in ("close_e4", "limit_up_e4", "limit_down_e4", "volume_shares")), *lots[i]
                )
                act = ledger.buy if side == ref.BUY else ledger.sell
                fill = act(i, abs(order), quote, day, plain)
                assert abs(int(fills.shares[i])) == fill.shares
                assert (fills.price_e4[i], fills.value_fen[i], fills.fees_fen[i]) == (
                    fill.price_e4,
                    fill.value_fen,
                    fill.fees_fen,
                )
                assert Reject(int(fills.reject[i])).name == fill.reason
        bought, sold = fills.shares > 0, fills.shares < 0
        assert (-fills.shares[sold] <= sellable[sold]).all()  # T+1
        assert not (bought & (column["close_e4"] >= column["limit_up_e4"])).any()
        assert not (sold & (column["close_e4"] <= column["limit_down_e4"])).any()
        assert not ((fills.shares != 0) & (column["close_e4"] == 0)).any()
        account.settle(fills)
        spent += fills.value_fen[bought].sum() - fills.value_fen[sold].sum() + fills.fees_fen.sum() - dividends
        assert account.cash_fen == ledger.cash_fen == cash - spent >= 0
        assert account.shares.tolist() == [ledger.held(i) for i in range(NAMES)]
        for i in range(NAMES):
            if session["cash_e4"][i] or session["bonus_e4"][i]:
                marks[i] = max(0, (marks[i] - session["cash_e4"][i]) * 10_000 // (10_000 + session["bonus_e4"][i]))
            marks[i] = session["close_e4"][i] or marks[i]
        equity = account.mark(column["close_e4"])
        held = {i: marks[i] for i in range(NAMES)}
        assert equity == account.equity_fen
        assert equity == ledger.equity_fen(held)
