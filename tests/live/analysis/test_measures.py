"""The measures against a ledger that was worked out by hand, and what holds for any ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.live.analysis.latency import BIN_ENDS_MS, latencies
from ljwx_pipeline.live.analysis.ledger import Instants, TradedFill, TradedOrder
from ljwx_pipeline.live.analysis.measures import (
    cost_splits,
    daily_costs,
    fill_ratios,
    order_cost,
    shortfalls,
    unmeasured,
)
from ljwx_pipeline.live.analysis.prices import BarPrices, Bars, decision_price_e4
from ljwx_pipeline.live.orders import OrderState
from ljwx_pipeline.trading.exchange_wire import Side

MONDAY, TUESDAY = date(2025, 11, 3), date(2025, 11, 4)


def fill(shares: int, price_cny: float, **changed: int) -> TradedFill:
    price_e4 = round(price_cny * 10_000)
    costs = {"commission_fen": 500, "stamp_duty_fen": 0, "transfer_fee_fen": 1, "slippage_fen": 0, "impact_fen": 0}
    return TradedFill(
        session=TUESDAY, shares=shares, price_e4=price_e4, value_fen=shares * price_e4 // 100, **{**costs, **changed}
    )


def order(
    name: str, side: Side, shares: int, decision_cny: float, *fills: TradedFill, **changed: object
) -> TradedOrder:
    done = sum(one.shares for one in fills)
    state = OrderState.FILLED if done == shares else OrderState.LAPSED
    values = {"strategy": "s", "session": MONDAY, "valid_session": TUESDAY, "state": state, "reason": "", **changed}
    return TradedOrder(
        client_order_id=name,
        symbol=name,
        side=side,
        shares=shares,
        decision_e4=round(decision_cny * 10_000),
        fills=fills,
        **values,
    )


def bar(pre_close: float, open_: float, close: float, vwap: float = 0.0) -> BarPrices:
    e4 = [round(price * 10_000) for price in (pre_close, open_, close)]
    return BarPrices(*e4, vwap * 10_000)


#: A buys 1000 decided at 10.00, opens 10.10, filled 600 at 10.20 and 400 at 10.30: value 10,240.
#: B sells 500 decided at 20.00, opens 19.80, filled 300 at 19.70 (PARTICIPATION), closes 19.00.
#: C buys 200 decided at 50.00, sealed at the limit, nothing filled, opens and closes at 55.00.
#: D sells 100 decided at 8.00 the day before a dividend of 0.40 (reference price 7.60), filled at 7.60.
#: E was denied. F was placed by hand, 100 at 10.20.
LEDGER = (
    order("A", Side.BUY, 1000, 10.00, fill(600, 10.20), fill(400, 10.30, commission_fen=0)),
    order("B", Side.SELL, 500, 20.00, fill(300, 19.70, stamp_duty_fen=296, slippage_fen=30), reason="PARTICIPATION"),
    order("C", Side.BUY, 200, 50.00, reason="LIMIT_UP"),
    order("D", Side.SELL, 100, 8.00, fill(100, 7.60, stamp_duty_fen=38)),
    order("E", Side.BUY, 300, 10.00, state=OrderState.DENIED, reason="FAT_FINGER"),
    order("F", Side.BUY, 100, 0.0, fill(100, 10.20)),
)
BARS: Bars = {
    (TUESDAY, "A"): bar(10.00, 10.10, 10.50, 10.20),
    (TUESDAY, "B"): bar(20.00, 19.80, 19.00, 19.60),
    (TUESDAY, "C"): bar(50.00, 55.00, 55.00, 55.00),
    (MONDAY, "D"): bar(7.90, 8.00, 8.00),
    (TUESDAY, "D"): bar(7.60, 7.60, 7.50, 7.60),
    (TUESDAY, "F"): bar(10.00, 10.10, 10.50, 10.20),
}


def costs_of(ledger: tuple[TradedOrder, ...]) -> dict[str, dict[str, float]]:
    found = [cost for one in ledger if (cost := order_cost(one, BARS)) is not None]
    return {
        one.order.symbol: {
            "delay": one.delay_e4 / 1e4,
            "trading": one.trading_e4 / 1e4,
            "opportunity": one.opportunity_e4 / 1e4,
            "fees": one.fees_e4 / 1e4,
            "total": one.shortfall_e4 / 1e4,
            "vwap": None if one.vwap_e4 is None else one.vwap_e4 / 1e4,
        }
        for one in found
    }


def test_each_order_costs_what_it_costs_by_hand() -> None:
    assert costs_of(LEDGER) == {
        # 1000 x 0.10; 10,240 - 10,100; nothing missed; 5.00 + 2 x 0.01; 10,240 - 10,200
        "A": {"delay": 100, "trading": 140, "opportunity": 0, "fees": 5.02, "total": 245.02, "vwap": 40},
        # 300 x 0.20; 300 x 0.10; 200 x 1.00; 5.00 + 2.96 + 0.01; 19.60 was less than was got
        "B": {"delay": 60, "trading": 30, "opportunity": 200, "fees": 7.97, "total": 297.97, "vwap": -30},
        "C": {"delay": 0, "trading": 0, "opportunity": 1000, "fees": 0, "total": 1000, "vwap": None},
        # the dividend is no slippage
        "D": {"delay": 0, "trading": 0, "opportunity": 0, "fees": 5.39, "total": 5.39, "vwap": 0},
    }


def test_who_cannot_be_measured_is_told_why() -> None:
    still = order("A", Side.BUY, 100, 10.0, state=OrderState.ACCEPTED, is_open=True)
    halted = order("Z", Side.BUY, 100, 10.0, reason="SUSPENDED")
    assert [unmeasured(one, BARS) for one in (*LEDGER, still, halted)] == [
        *("", "", "", "", "denied, never sent", "placed by somebody else", "still open", "no bar of the session")
    ]


def test_the_price_decided_on_is_carried_over_an_ex_date_alone() -> None:
    assert [decision_price_e4(one, BARS) for one in LEDGER[:4]] == [100_000, 200_000, 500_000, 76_000]


def test_groups_are_weighted_by_value() -> None:
    found = [cost for one in LEDGER if (cost := order_cost(one, BARS)) is not None]
    buys, sells, everything = shortfalls(found)
    assert (buys.orders, sells.orders, everything.orders) == (2, 2, 4)
    assert buys.ordered_e4 == (1000 * 10 + 200 * 50) * 10_000
    assert buys.total_bps == pytest.approx(1245.02 / 20_000 * 1e4)
    assert buys.slippage_bps == pytest.approx(240 / 10_000 * 1e4)
    assert buys.open_bps == pytest.approx(140 / 10_100 * 1e4)
    assert buys.vwap_bps == pytest.approx(40 / 10_200 * 1e4)
    assert sells.slippage_bps == pytest.approx(90 / (300 * 20 + 100 * 7.6) * 1e4)
    assert sells.vwap_bps == pytest.approx(-30 / (300 * 19.6 + 100 * 7.6) * 1e4)
    assert everything.total_e4 == buys.total_e4 + sells.total_e4
    assert shortfalls([])[2].total_bps is None


def test_fills_are_counted_by_side_and_by_how_orders_ended() -> None:
    assert [(row.side, row.outcome, row.orders, row.shares, row.filled_shares) for row in fill_ratios(LEDGER)] == [
        ("buy", "filled", 2, 1100, 1100),
        ("buy", "denied FAT_FINGER", 1, 300, 0),
        ("buy", "lapsed LIMIT_UP", 1, 200, 0),
        ("sell", "lapsed PARTICIPATION", 1, 500, 300),
        ("sell", "filled", 1, 100, 100),
    ]


def test_costs_are_split_by_kind() -> None:
    buys, sells, everything = cost_splits(LEDGER)
    assert buys.parts == {"commission": 1000, "stamp duty": 0, "transfer fee": 3, "slippage": 0, "impact": 0}
    assert sells.parts == {"commission": 1000, "stamp duty": 334, "transfer fee": 2, "slippage": 30, "impact": 0}
    assert everything.fills == 5
    assert everything.total_fen == 2369
    assert everything.total_bps == pytest.approx(2369 / (1_024_000 + 591_000 + 76_000 + 102_000) * 1e4)
    assert {day: one.total_fen for day, one in daily_costs(LEDGER).items()} == {TUESDAY: 2369}


def test_time_is_counted_by_stage() -> None:
    def ms(*parts: float | None) -> Instants:
        return Instants(*(None if part is None else round(part * 1e6) for part in parts))

    told = [ms(0, 1, 4, 104), ms(0, 1, 3, None), ms(0, None, None, None), ms(100, 50, 60, 200)]
    ledger = [replace(LEDGER[0], instants=one) for one in told]
    sent, acknowledged, filled, whole = latencies(ledger)
    assert (sent.orders, sent.p50_ms, sent.max_ms, sent.stepped) == (2, 1, 1, 1)
    assert (acknowledged.orders, acknowledged.p50_ms, acknowledged.p95_ms) == (3, 3, 10)
    assert (filled.orders, filled.p50_ms, filled.p95_ms) == (2, 100, 140)
    assert (whole.orders, whole.max_ms) == (2, 104)
    assert acknowledged.counts == tuple({1: 1, 2: 1, 3: 1}.get(at, 0) for at in range(len(BIN_ENDS_MS) + 1))
    assert latencies([])[0].p50_ms is None


@st.composite
def ledgers(draw: st.DrawFn) -> tuple[list[TradedOrder], Bars]:
    bars: dict[tuple[date, str], BarPrices] = {}
    made = []
    for number in range(draw(st.integers(0, 6))):
        name, price = f"S{number}", st.integers(1, 10**7)
        shares = draw(st.integers(1, 10**6))
        sizes, left = [], shares
        while left and draw(st.booleans()):
            sizes.append(draw(st.integers(1, left)))
            left -= sizes[-1]
        fen = st.integers(0, 10**6)
        fills = tuple(
            TradedFill(TUESDAY, size, paid := draw(price), size * paid // 100, *(draw(fen) for _ in range(5)))
            for size in sizes
        )
        state = OrderState.LAPSED if left else OrderState.FILLED
        made.append(
            TradedOrder(
                *(name, "s", MONDAY, TUESDAY, name, draw(st.sampled_from(Side)), shares, draw(price), state, "", False),
                fills,
            )
        )
        if draw(st.integers(0, 9)):
            bars[TUESDAY, name] = BarPrices(draw(price), draw(price), draw(price), float(draw(price)))
    return made, bars


@given(ledgers())
def test_parts_add_up_and_nothing_is_filled_beyond_its_order(drawn: tuple[list[TradedOrder], Bars]) -> None:
    ledger, bars = drawn
    costs = [cost for one in ledger if (cost := order_cost(one, bars)) is not None]
    assert len(costs) + sum(bool(unmeasured(one, bars)) for one in ledger) == len(ledger)
    for one in costs:
        # Perold: the paper portfolio trades everything at the decision and is valued at the close
        close = bars[TUESDAY, one.order.symbol].close_e4
        sign, filled = one.order.sign, one.order.filled_shares
        paper = sign * one.order.shares * (close - one.decision_e4)
        real = sign * (filled * close - one.order.value_fen * 100) - one.order.fees_fen * 100
        assert one.shortfall_e4 == paper - real
    buys, sells, everything = shortfalls(costs)
    for name in ("delay_e4", "trading_e4", "opportunity_e4", "fees_e4", "total_e4", "ordered_e4", "orders"):
        assert getattr(everything, name) == getattr(buys, name) + getattr(sells, name), name
    assert everything.total_e4 == sum(one.shortfall_e4 for one in costs)
    rows = fill_ratios(ledger)
    assert all(0 <= row.filled_shares <= row.shares for row in rows)
    assert all(0 <= row.ratio <= 1 for row in rows)
    assert sum(row.shares for row in rows) == sum(one.shares for one in ledger)
    bought, sold, split = cost_splits(ledger)
    assert split.total_fen == bought.total_fen + sold.total_fen == sum(split.parts.values())
    assert sum(one.total_fen for one in daily_costs(ledger).values()) == split.total_fen


@given(st.lists(st.tuples(*[st.none() | st.integers(-(10**12), 10**12)] * 4), max_size=30))
def test_every_order_is_in_one_bin_of_each_stage_it_passed(instants: list[tuple[int | None, ...]]) -> None:
    ledger = [replace(LEDGER[0], instants=Instants(*one)) for one in instants]
    for one in latencies(ledger):
        assert sum(one.counts) == one.orders
        assert one.orders + one.stepped <= len(ledger)
        if one.orders:
            assert 0 <= one.p50_ms <= one.p95_ms <= one.max_ms
