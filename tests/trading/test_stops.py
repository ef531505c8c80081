"""A stop sells its own position and no other, says what is in its way, and never sells a share twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ljwx_pipeline.config import StopSettings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market.hours import MarketPhase, shanghai_ns
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.exchange_wire import Execution, NewOrder, OrderReport, OrderStatus, Side, Tick
from ljwx_pipeline.trading.exits import ExitParams, forced_out
from ljwx_pipeline.trading.order_reason import OrderReason
from ljwx_pipeline.trading.stops import (
    LEGS,
    HeldByStrategy,
    SellingSide,
    Stop,
    StopState,
    is_left_behind,
    judged,
    next_order,
    position_changed,
    reported,
    watch,
)
from ljwx_pipeline.trading.strict_json import from_json, to_json
from ljwx_pipeline.units import NS_PER_S

DAY = date(2025, 3, 3)
RULES = ExitParams(stop_loss_bps=800, take_profit_bps=2_000, trailing_stop_bps=1_500, max_hold_sessions=20)
SETTINGS = StopSettings(on_ticks=True, limit_offset_bps=100, retry_s=10)
HELD = HeldByStrategy("alpha", "7", "600000.SH", DAY - timedelta(days=5), 1_000, 3, 100_000, 100_000)


def at(text: str, session: date = DAY) -> int:
    return shanghai_ns(session, time.fromisoformat(text))


def tick(last_e4: int, symbol: str = "600000.SH") -> Tick:
    return Tick(symbol, at("10:00"), DAY, last_e4, 100, 100, 0, 0, 0, 0, last_e4, last_e4, last_e4, 100_000)


def market(**said: object) -> SellingSide:
    fine: dict[str, object] = {
        "session": DAY,
        "at_ns": at("10:00"),
        "phase": MarketPhase.CONTINUOUS,
        "board": Board.MAIN,
        "bid_e4": 92_000,
        "limit_down_e4": 90_000,
        "sellable_shares": 1_000,
        "reserved_shares": 0,
        "account_free_shares": 1_000,
        "lot_min": 100,
        "lot_step": 100,
    }
    return SellingSide(**{**fine, **said})  # type: ignore[arg-type]


def triggered(held: HeldByStrategy = HELD, last_e4: int = 92_000) -> Stop:
    return judged(watch(held, RULES), tick(last_e4), MarketPhase.CONTINUOUS, RULES)


def working(held: HeldByStrategy = HELD, **said: object) -> tuple[Stop, NewOrder]:
    stop, order = next_order(triggered(held), market(**said), SETTINGS)
    assert order is not None
    return stop, order


def sold(stop: Stop, shares: int) -> Stop:
    """Return ``stop`` once the account holds so many shares less."""
    held = stop.position
    return position_changed(stop, replace(held, shares=held.shares - shares), RULES)


def report(order_id: str, state: OrderStatus, reason: str = "", at_ns: int = 0) -> OrderReport:
    return OrderReport(
        2, order_id, "e1", "600000.SH", Side.SELL, 1_000, Execution.CONTINUOUS, DAY, state, reason, 0, at_ns
    )


@pytest.mark.parametrize(
    ("last_e4", "changes", "leg"),
    [
        (92_000, {}, "stop"),
        (92_001, {}, ""),
        (120_000, {}, "take_profit"),
        (102_000, {"peak_price_e4": 120_000}, "trailing"),
        (102_100, {"peak_price_e4": 120_000}, ""),
        (100_000, {"held_sessions": 20}, "time_stop"),
        (100_000, {"held_sessions": 19}, ""),
    ],
)
def test_a_tick_triggers_what_the_exits_say(last_e4: int, changes: dict[str, int], leg: str) -> None:
    stop = triggered(replace(HELD, **changes), last_e4)
    assert stop.leg == leg
    assert stop.state is (StopState.WAITING if leg else StopState.WATCHING)


def test_once_triggered_it_stays_so_wherever_the_price_goes() -> None:
    stop = triggered()
    assert judged(stop, tick(130_000), MarketPhase.CONTINUOUS, RULES) is stop


@pytest.mark.parametrize(
    "phase", [one for one in MarketPhase if one not in (MarketPhase.OPENED, MarketPhase.CONTINUOUS)]
)
def test_indications_of_auctions_and_silences_trigger_nothing(phase: MarketPhase) -> None:
    assert judged(watch(HELD, RULES), tick(80_000), phase, RULES).state is StopState.WATCHING


def test_a_tick_of_another_symbol_judges_nothing() -> None:
    with pytest.raises(TradingError, match=r"a tick of 000001\.SZ judged a stop of 600000\.SH"):
        judged(watch(HELD, RULES), tick(80_000, "000001.SZ"), MarketPhase.CONTINUOUS, RULES)


def test_the_order_sells_the_position_a_little_below_the_bid_under_an_id_of_its_own() -> None:
    stop, order = working()
    assert order == NewOrder(
        "alpha|7|600000.SH|2025-03-03|sell|stop", DAY, "600000.SH", Side.SELL, 1_000, 0, Execution.CONTINUOUS, 91_000
    )
    assert (stop.state, stop.order_id) == (StopState.WORKING, order.client_order_id)
    assert next_order(stop, market(), SETTINGS) == (stop, None)


def test_no_order_stands_outside_the_price_cage_or_below_the_lower_limit() -> None:
    wide = SETTINGS.model_copy(update={"limit_offset_bps": 500.0})
    _, caged = next_order(triggered(), market(), wide)
    assert caged is not None
    assert caged.limit_price_e4 == 90_200  # two per cent below the bid, rounded to the tick
    _, limited = next_order(triggered(), market(bid_e4=90_100), wide)
    assert limited is not None
    assert limited.limit_price_e4 == 90_000


@pytest.mark.parametrize(
    ("said", "wait"),
    [
        ({"sellable_shares": 0}, "T_PLUS_1"),
        ({"bid_e4": 0}, "LIMIT_DOWN"),
        ({"phase": MarketPhase.LUNCH}, "NOT_TRADING"),
        ({"phase": MarketPhase.OPENED}, "NOT_TRADING"),
        ({"phase": MarketPhase.CLOSED}, "MARKET_CLOSED"),
        ({"phase": MarketPhase.AFTER_HOURS}, "MARKET_CLOSED"),
        ({"reserved_shares": 1_000}, "RESERVED"),
        ({"reserved_shares": 950}, "LOT"),
    ],
)
def test_what_is_in_the_way_is_said_by_a_code(said: dict[str, object], wait: str) -> None:
    stop, order = next_order(triggered(), market(**said), SETTINGS)
    assert (stop.state, stop.wait, order) == (StopState.WAITING, wait, None)
    assert stop.waits_for_open == (wait in ("T_PLUS_1", "LIMIT_DOWN", "MARKET_CLOSED"))


def test_a_stop_right_after_the_purchase_waits_for_the_next_open_and_sells_there_at_the_lower_limit() -> None:
    bought = replace(HELD, opened=DAY, held_sessions=0)
    stop, nothing = next_order(triggered(bought), market(sellable_shares=0), SETTINGS)
    assert nothing is None
    assert stop.sentence() == ("alpha: 1000 600000.SH opened 2025-03-03, stop at 9.20 CNY: waits, T_PLUS_1")
    tomorrow = DAY + timedelta(days=1)
    stop = position_changed(stop, replace(bought, held_sessions=1), RULES)
    auction = market(
        session=tomorrow, phase=MarketPhase.OPENING_AUCTION, at_ns=at("09:15", tomorrow), bid_e4=0, limit_down_e4=83_000
    )
    stop, order = next_order(stop, auction, SETTINGS)
    assert order is not None
    assert (order.session, order.limit_price_e4, order.shares) == (tomorrow, 83_000, 1_000)
    assert order.client_order_id == "alpha|7|600000.SH|2025-03-04|sell|stop"


def test_what_was_held_before_is_sold_and_what_was_bought_today_waits() -> None:
    stop, order = working(sellable_shares=600, account_free_shares=600)
    assert order.shares == 600
    stop = reported(sold(stop, 600), report(order.client_order_id, OrderStatus.FILLED), SETTINGS)
    assert (stop.state, stop.position.shares) == (StopState.WAITING, 400)
    stop, nothing = next_order(stop, market(sellable_shares=0), SETTINGS)
    assert (stop.wait, nothing) == ("T_PLUS_1", None)


def test_a_seal_that_breaks_lets_the_stop_out_in_the_same_session() -> None:
    stop, _ = next_order(triggered(), market(bid_e4=0), SETTINGS)
    stop, order = next_order(stop, market(bid_e4=90_000), SETTINGS)
    assert order is not None
    assert stop.wait == ""


def test_less_than_a_lot_goes_only_with_all_that_the_account_may_sell() -> None:
    odd = replace(HELD, shares=1_050)
    _, whole = working(odd, sellable_shares=1_050, account_free_shares=1_050)
    assert whole.shares == 1_050
    _, part = working(odd, sellable_shares=1_050, account_free_shares=3_000)
    assert part.shares == 1_000


def test_a_position_beyond_the_largest_order_goes_in_parts() -> None:
    large = replace(HELD, shares=2_500_000)
    stop, order = working(large, sellable_shares=2_500_000, account_free_shares=2_500_000)
    assert order.shares == 1_000_000
    stop = reported(
        sold(stop, 1_000_000),
        report(order.client_order_id, OrderStatus.FILLED),
        SETTINGS,
    )
    _, following = next_order(stop, market(sellable_shares=1_500_000, account_free_shares=1_500_000), SETTINGS)
    assert following is not None
    assert following.client_order_id == "alpha|7|600000.SH|2025-03-03|sell|stop.2"


def test_when_all_is_sold_the_stop_is_done() -> None:
    stop, order = working()
    stop = sold(stop, 1_000)
    stop = reported(stop, report(order.client_order_id, OrderStatus.FILLED), SETTINGS)
    assert (stop.state, stop.order_id, stop.wait) == (StopState.DONE, "", "")


def test_what_was_sold_may_be_known_after_the_report() -> None:
    stop, order = working()
    stop = reported(stop, report(order.client_order_id, OrderStatus.FILLED), SETTINGS)
    assert sold(stop, 1_000).state is StopState.DONE


def test_a_refusal_is_tried_again_after_a_while_and_under_another_id() -> None:
    stop, order = working()
    refused = report(order.client_order_id, OrderStatus.REJECTED, "PRICE_CAGE", at("10:00"))
    stop = reported(stop, refused, SETTINGS)
    assert (stop.state, stop.wait) == (StopState.WAITING, "PRICE_CAGE")
    soon, nothing = next_order(stop, market(at_ns=at("10:00") + 9 * NS_PER_S), SETTINGS)
    assert (soon.wait, nothing) == ("RETRY", None)
    _, again = next_order(soon, market(at_ns=at("10:00") + 10 * NS_PER_S), SETTINGS)
    assert again is not None
    assert again.client_order_id.endswith("|stop.2")


def test_an_order_that_the_market_fell_through_is_left_behind() -> None:
    stop, order = working()
    assert not is_left_behind(stop, 91_000)
    assert is_left_behind(stop, 90_900)
    assert not is_left_behind(stop, 0)
    stop = reported(stop, report(order.client_order_id, OrderStatus.CANCELLED), SETTINGS)
    assert not is_left_behind(stop, 90_900)
    _, lower = next_order(stop, market(bid_e4=90_900), SETTINGS)
    assert lower is not None
    assert lower.limit_price_e4 == 90_000


def test_a_report_of_an_earlier_order_changes_nothing() -> None:
    stop, first = working()
    stop = reported(stop, report(first.client_order_id, OrderStatus.CANCELLED), SETTINGS)
    stop, _ = next_order(stop, market(), SETTINGS)
    assert reported(stop, report(first.client_order_id, OrderStatus.CANCELLED), SETTINGS) is stop
    assert reported(stop, report(stop.order_id, OrderStatus.ACCEPTED), SETTINGS) is stop


def test_a_report_of_another_s_order_is_refused_even_for_the_same_symbol() -> None:
    mine, _ = working()
    _, theirs = working(replace(HELD, strategy="beta"))
    _, older = working(replace(HELD, opened=DAY - timedelta(days=30), model_version="6"))
    for foreign in (theirs, older):
        with pytest.raises(TradingError, match="which did not make it"):
            reported(mine, report(foreign.client_order_id, OrderStatus.FILLED), SETTINGS)


def test_a_position_sold_by_another_order_needs_no_stop_and_one_still_held_gets_it_back() -> None:
    gone = position_changed(triggered(), replace(HELD, shares=0), RULES)
    assert gone.state is StopState.DONE
    assert position_changed(gone, HELD, RULES).state is StopState.WAITING
    assert position_changed(watch(replace(HELD, shares=0), RULES), HELD, RULES).state is StopState.WATCHING


def test_a_stop_is_not_handed_to_another_position() -> None:
    for other in (replace(HELD, strategy="beta"), replace(HELD, opened=DAY), replace(HELD, symbol="000001.SZ")):
        with pytest.raises(TradingError, match="a new position gets a stop of its own"):
            position_changed(triggered(), other, RULES)


@pytest.mark.parametrize("unknown", ["entry_price_e4", "peak_price_e4"])
def test_a_position_whose_price_nobody_knows_cannot_be_watched_where_a_rule_needs_it(unknown: str) -> None:
    with pytest.raises(TradingError, match="its stop cannot be judged"):
        watch(replace(HELD, **{unknown: 0}), RULES)
    watch(replace(HELD, **{unknown: 0}), replace(RULES, stop_loss_bps=0, take_profit_bps=0, trailing_stop_bps=0))


prices = st.integers(0, 200_000)
bps = st.integers(0, 3_000)


@settings(deadline=None)  # the first example compiles
@given(
    price=prices, entry=st.integers(1, 200_000), peak=st.integers(1, 200_000), age=st.integers(0, 30),
    rules=st.builds(ExitParams, bps, bps, bps, st.integers(0, 25)),
)  # fmt: skip
def test_a_tick_triggers_exactly_what_a_close_at_its_price_the_evening_before_would(
    price: int, entry: int, peak: int, age: int, rules: ExitParams
) -> None:
    held = replace(HELD, entry_price_e4=entry, peak_price_e4=peak, held_sessions=age + 1)
    stop = judged(watch(held, rules), tick(price), MarketPhase.CONTINUOUS, rules)
    (code,) = forced_out(
        holdings_shares=np.array([1_000]), held_sessions=np.array([age]), entry_price_e4=np.array([entry]),
        peak_price_e4=np.array([peak]), price_e4=np.array([price]), params=rules,
    )  # fmt: skip
    assert stop.leg == ("" if code == 0 else LEGS[OrderReason(int(code))])


OWNERS = [
    HeldByStrategy(strategy, "7", "600000.SH", DAY - timedelta(days=5), 100 * (k + 3), 3, 100_000, 100_000)
    for k, strategy in enumerate(("alpha", "beta", "gamma"))
]


class ThreeStopsOfOneSymbol(RuleBasedStateMachine):
    """Three strategies hold one symbol; a broker fills, refuses, loses and cancels what their stops send."""

    @initialize()
    def hold(self) -> None:
        self.stops = [triggered(held) for held in OWNERS]
        self.open: dict[str, NewOrder] = {}
        self.left = {held.strategy: held.shares for held in OWNERS}
        self.sellable = {held.strategy: held.shares for held in OWNERS}
        self.day, self.now = DAY, at("10:00")

    def market(self, stop: Stop, phase: MarketPhase, bid_e4: int) -> SellingSide:
        mine = self.sellable[stop.position.strategy]
        free = sum(self.sellable.values()) - sum(order.shares for order in self.open.values())
        return market(
            session=self.day, at_ns=self.now, phase=phase, bid_e4=bid_e4, sellable_shares=mine, account_free_shares=free
        )

    def told(self, order_id: str, change: OrderReport | int) -> None:
        """Tell whose order it is of a report, or of so many shares that it sold."""
        (k,) = (k for k, stop in enumerate(self.stops) if order_id in stop.orders)
        owner = self.stops[k]
        self.stops[k] = sold(owner, change) if isinstance(change, int) else reported(owner, change, SETTINGS)

    @rule(k=st.integers(0, 2), phase=st.sampled_from(MarketPhase), bid=st.sampled_from([0, 90_000, 92_000]))
    def send(self, k: int, phase: MarketPhase, bid: int) -> None:
        before = self.stops[k]
        stop, order = next_order(before, self.market(before, phase, bid), SETTINGS)
        self.stops[k] = stop
        if order is None:
            assert stop.state is not StopState.WAITING or stop.wait
            return
        assert phase.trades
        assert 0 < order.shares <= self.sellable[stop.position.strategy]
        assert order.limit_price_e4 >= 90_000
        assert order.client_order_id not in self.open
        self.open[order.client_order_id] = order

    @rule(data=st.data(), share=st.integers(1, 10))
    def fill_some(self, data: st.DataObject, share: int) -> None:
        if not self.open:
            return
        order_id = data.draw(st.sampled_from(sorted(self.open)))
        order = self.open[order_id]
        shares = max(1, order.shares * share // 10)
        strategy = order_id.split("|")[0]
        self.left[strategy] -= shares
        self.sellable[strategy] -= shares
        self.told(order_id, shares)
        if shares == order.shares:
            del self.open[order_id]
            self.told(order_id, report(order_id, OrderStatus.FILLED))
        else:
            self.open[order_id] = replace(order, shares=order.shares - shares)

    @rule(data=st.data(), state=st.sampled_from([OrderStatus.CANCELLED, OrderStatus.LAPSED, OrderStatus.REJECTED]))
    def end_one(self, data: st.DataObject, state: OrderStatus) -> None:
        if not self.open:
            return
        order_id = data.draw(st.sampled_from(sorted(self.open)))
        del self.open[order_id]
        self.told(order_id, report(order_id, state, "ON_DEMAND", self.now))

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds: int) -> None:
        self.now += seconds * NS_PER_S

    @rule()
    def next_day(self) -> None:
        for order_id in sorted(self.open):
            del self.open[order_id]
            self.told(order_id, report(order_id, OrderStatus.LAPSED))
        self.day += timedelta(days=1)
        self.now = at("09:15", self.day)

    @rule()
    def restart(self) -> None:
        self.stops = [from_json(Stop, to_json(stop)) for stop in self.stops]

    @invariant()
    def each_stop_knows_its_own_position_and_no_share_is_sold_twice(self) -> None:
        made = [order_id for stop in self.stops for order_id in stop.orders]
        assert len(made) == len(set(made))
        for stop in self.stops:
            strategy = stop.position.strategy
            assert stop.position.shares == self.left[strategy] >= 0
            assert (stop.state is StopState.DONE) == (self.left[strategy] == 0)
            assert all(order_id.startswith(f"{strategy}|") for order_id in stop.orders)
            mine = [order for order_id, order in self.open.items() if order_id.startswith(f"{strategy}|")]
            assert len(mine) <= 1
            assert sum(order.shares for order in mine) <= self.left[strategy]
            assert bool(mine) == (stop.state is StopState.WORKING)


TestThreeStopsOfOneSymbol = ThreeStopsOfOneSymbol.TestCase
TestThreeStopsOfOneSymbol.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
