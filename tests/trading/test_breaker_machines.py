"""Each breaker trips at its number and not before, and what un-trips it is its rule alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.config import BreakerSettings
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market.hours import session_hours, shanghai_ns
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.breaker_machines import (
    Fault,
    after_answer,
    after_equity,
    after_look,
    after_trade,
    clock_fault,
    features_fault,
    feed_fault,
    killed,
    model_fault,
    session_began,
)
from ljwx_pipeline.trading.breakers import RULES, Breaker, BreakerState, ResetRule, read_state
from ljwx_pipeline.trading.round_trips import ClosedTrade
from ljwx_pipeline.units import NS_PER_S
from tests.fakes.live_ticks import BREAKERS

DAY = date(2025, 3, 3)
NEXT = DAY + timedelta(days=1)
HOURS = session_hours(DAY, Board.MAIN, "SIM")
CAPITAL = 1_000_000_000  # fen
BAD = Fault("it is bad", "good", "wait")


def at(text: str) -> int:
    return shanghai_ns(DAY, time.fromisoformat(text))


def fresh(breaker: Breaker, session: date = DAY) -> BreakerState:
    return BreakerState(breaker, "", session)


def began(breaker: Breaker, equity_fen: int = CAPITAL) -> BreakerState:
    return session_began(fresh(breaker, DAY - timedelta(days=1)), DAY, 1, equity_fen=equity_fen)


def trade(profit_fen: int, session: date = DAY) -> ClosedTrade:
    return ClosedTrade("s", "A", session, 100, 100_000 + profit_fen, 100_000)


def traded(*profits: int, settings: BreakerSettings = BREAKERS) -> BreakerState:
    state = fresh(Breaker.LOSING_TRADES)
    for profit in profits:
        state = after_trade(state, trade(profit), 5, settings)
    return state


def answered(*failures: str) -> BreakerState:
    state = fresh(Breaker.FAILURES)
    for failure in failures:
        state = after_answer(state, failure, 5, BREAKERS)
    return state


def valued(breaker: Breaker, *equities: int) -> BreakerState:
    state = began(breaker)
    for equity in equities:
        state = after_equity(state, equity, 5, BREAKERS)
    return state


def test_three_losing_trades_in_a_row_stop_opening() -> None:
    assert traded(-1, -1).trip is None
    down = traded(-1, -1, -1)
    assert down.trip is not None
    assert down.trip.value == "3 losing trades in a row"
    assert down.trip.reason == "the last is A with -0.01 CNY on 2025-03-03"


def test_a_trade_that_did_not_lose_begins_the_count_again() -> None:
    assert traded(-1, -1, 0, -1, -1).trip is None
    assert traded(-1, -1, 500, -1, -1, -1).trip is not None


def test_a_winning_trade_after_the_trip_does_not_untrip() -> None:
    assert traded(-1, -1, -1, 10_000).trip is not None


def test_losing_trades_are_not_counted_where_the_number_is_zero() -> None:
    assert traded(*[-1] * 50, settings=BREAKERS.model_copy(update={"max_losing_trades": 0})).trip is None


def test_a_trade_told_late_belongs_to_its_own_day_and_one_of_tomorrow_to_nobody() -> None:
    state = traded(-1, -1)
    assert after_trade(state, trade(-1, DAY - timedelta(days=1)), 5, BREAKERS) == state
    with pytest.raises(TradingError, match="let the session begin first"):
        after_trade(state, trade(-1, NEXT), 5, BREAKERS)


def test_a_new_session_counts_losing_trades_from_nothing_and_resets_the_trip() -> None:
    down = traded(-1, -1, -1)
    up = session_began(down, NEXT, 9, equity_fen=CAPITAL)
    assert (up.trip, up.count) == (None, 0)
    assert up.reset is not None
    assert (up.reset.rule, up.reset.by, up.reset.reason) == (ResetRule.NEXT_SESSION, "", "2025-03-04 began")
    assert session_began(traded(-1, -1), NEXT, 9, equity_fen=CAPITAL).count == 0


def test_a_clock_that_jumped_back_begins_no_session() -> None:
    down = traded(-1, -1, -1)
    for session in (DAY, DAY - timedelta(days=3)):
        assert session_began(down, session, 9, equity_fen=CAPITAL) is down


def test_five_failures_in_a_row_stop_the_strategy_until_a_person_has_looked() -> None:
    assert answered(*["REJECTED"] * 4, "", *["timeout"] * 4).trip is None
    down = answered("REJECTED CASH", "timeout", "timeout", "timeout", "REJECTED LOT")
    assert down.trip is not None
    assert down.trip.reason == "the last: REJECTED LOT"
    assert session_began(down, NEXT, 9, equity_fen=CAPITAL).trip == down.trip


def test_failures_go_on_counting_over_the_night() -> None:
    night = session_began(answered(*["timeout"] * 4), NEXT, 9, equity_fen=CAPITAL)
    assert after_answer(night, "timeout", 9, BREAKERS).trip is not None


def test_five_per_cent_below_the_day_s_highest_equity_stop_opening() -> None:
    assert valued(Breaker.DRAWDOWN, 950_000_001).trip is None
    assert valued(Breaker.DRAWDOWN, 950_000_000).trip is not None
    down = valued(Breaker.DRAWDOWN, 1_100_000_000, 1_045_000_000)
    assert down.trip is not None
    assert down.trip.value == "5.00% below the day's highest equity"
    assert down.trip.reason == "equity fell from 11,000,000.00 CNY to 10,450,000.00 CNY"


def test_a_day_s_loss_is_counted_from_the_first_equity_and_not_from_the_highest() -> None:
    assert valued(Breaker.DAY_LOSS, 1_100_000_000, 950_000_001).trip is None
    assert valued(Breaker.DAY_LOSS, 950_000_000).trip is not None


@pytest.mark.parametrize("breaker", [Breaker.DRAWDOWN, Breaker.DAY_LOSS])
def test_the_next_day_is_counted_from_its_own_first_equity(breaker: Breaker) -> None:
    down = valued(breaker, 900_000_000)
    up = session_began(down, NEXT, 9, equity_fen=900_000_000)
    assert (up.trip, up.mark_fen) == (None, 900_000_000)
    assert after_equity(up, 860_000_000, 9, BREAKERS).trip is None


@pytest.mark.parametrize("breaker", [Breaker.DRAWDOWN, Breaker.DAY_LOSS])
@pytest.mark.parametrize("equity_fen", [0, -1])
def test_an_account_that_is_worth_nothing_opens_nothing(breaker: Breaker, equity_fen: int) -> None:
    assert began(breaker, equity_fen).trip is not None
    assert valued(breaker, equity_fen).trip is not None


def test_a_drawdown_that_a_person_reset_is_counted_from_the_next_equity() -> None:
    down = valued(Breaker.DRAWDOWN, 940_000_000)
    up = down.was_reset(9, ResetRule.PERSON, "who", "why")
    again = after_equity(up, 940_000_000, 10, BREAKERS)
    assert (again.trip, again.mark_fen) == (None, 940_000_000)


def test_a_feed_is_stale_after_more_than_sixty_seconds_of_trading() -> None:
    assert feed_fault(at("10:00"), at("10:01"), HOURS, BREAKERS) is None
    fault = feed_fault(at("10:00"), at("10:01:14"), HOURS, BREAKERS)
    assert fault is not None
    assert (fault.value, fault.limit) == ("the newest tick is 74 s of trading old", "60 s")


@pytest.mark.parametrize(("newest", "now"), [("11:29:50", "13:00:40"), ("14:56:59", "23:00"), ("09:15", "09:31:00")])
def test_lunch_night_and_silences_make_no_feed_stale(newest: str, now: str) -> None:
    assert feed_fault(at(newest), at(now), HOURS, BREAKERS) is None


def test_a_feed_that_never_said_anything_is_stale_a_minute_after_trading_began() -> None:
    assert feed_fault(0, at("09:31"), HOURS, BREAKERS) is None
    assert feed_fault(0, at("09:31:01"), HOURS, BREAKERS) is not None
    assert feed_fault(at("15:00") - 86_400 * NS_PER_S, at("09:31:01"), HOURS, BREAKERS) is not None


@pytest.mark.parametrize(("skew_s", "wrong"), [(0.0, False), (2.0, False), (-2.0, False), (2.1, True), (-3600.0, True)])
def test_a_clock_may_be_off_by_two_seconds_either_way(skew_s: float, wrong: bool) -> None:
    assert (clock_fault(at("10:00") + round(skew_s * NS_PER_S), at("10:00"), BREAKERS) is not None) == wrong


@pytest.mark.parametrize(("age", "wrong"), [(0, False), (1, False), (2, True), (-1, True)])
def test_features_are_of_this_session_or_the_one_before_and_never_of_the_future(age: int, wrong: bool) -> None:
    assert (features_fault(age, BREAKERS) is not None) == wrong


@pytest.mark.parametrize(("age", "wrong"), [(0, False), (400, False), (401, True), (-1, True)])
def test_a_model_is_neither_too_old_nor_from_the_future(age: int, wrong: bool) -> None:
    assert (model_fault(age, 400) is not None) == wrong


def looked(state: BreakerState, fault: Fault | None, second: float) -> BreakerState:
    return after_look(state, fault, at("10:00") + round(second * NS_PER_S), recovery_s=BREAKERS.recovery_s)


def test_a_feed_resets_itself_once_it_was_well_for_ten_seconds() -> None:
    down = looked(fresh(Breaker.STALE_FEED), BAD, 0)
    assert down.trip is not None
    waiting = looked(looked(down, None, 1), None, 10.9)
    assert waiting.trip is not None
    up = looked(waiting, None, 11)
    assert up.trip is None
    assert up.reset is not None
    assert (up.reset.rule, up.reset.reason) == (ResetRule.RECOVERY, "well again for 10 s")


def test_a_relapse_begins_the_wait_again() -> None:
    state = looked(looked(looked(fresh(Breaker.STALE_FEED), BAD, 0), None, 1), BAD, 9)
    assert looked(looked(state, None, 10), None, 15).trip is not None
    assert looked(looked(state, None, 10), None, 20).trip is None


def test_a_clock_that_jumps_back_while_waiting_begins_the_wait_again() -> None:
    state = looked(looked(fresh(Breaker.CLOCK_SKEW), BAD, 100), None, 101)
    assert looked(looked(state, None, 50), None, 59).trip is not None
    assert looked(looked(state, None, 50), None, 60).trip is None


def test_a_lost_state_does_not_recover_by_itself_and_not_overnight() -> None:
    for breaker in Breaker:
        lost = read_state(None, breaker=breaker, key="", session=DAY, at_ns=0)
        if ResetRule.RECOVERY in RULES[breaker].resets:
            assert looked(looked(lost, None, 1), None, 1_000).trip == lost.trip
        assert session_began(lost, NEXT, 9, equity_fen=CAPITAL).trip == lost.trip


def test_the_kill_switch_says_who_pulled_it_and_no_night_resets_it() -> None:
    down = killed(fresh(Breaker.KILL_SWITCH), person="an operator", reason="news", at_ns=3)
    assert down.trip is not None
    assert (down.trip.value, down.trip.reason) == ("pulled by an operator", "news")
    assert session_began(down, NEXT, 9, equity_fen=CAPITAL).trip == down.trip
    with pytest.raises(TradingError, match="say who pulls it"):
        killed(fresh(Breaker.KILL_SWITCH), person="", reason="news", at_ns=3)


def test_a_breaker_is_not_told_what_another_judges() -> None:
    wrong = fresh(Breaker.DRAWDOWN)
    for told in (
        lambda: after_trade(wrong, trade(-1), 1, BREAKERS),
        lambda: after_answer(wrong, "timeout", 1, BREAKERS),
        lambda: after_look(wrong, BAD, 1),
        lambda: killed(wrong, person="who", reason="why", at_ns=1),
        lambda: after_equity(fresh(Breaker.FAILURES), CAPITAL, 1, BREAKERS),
    ):
        with pytest.raises(TradingError, match="was told what only"):
            told()


@given(st.lists(st.integers(-2, 2), max_size=30))
def test_losing_trades_trip_exactly_at_the_first_run_of_three(profits: list[int]) -> None:
    runs = [all(profit < 0 for profit in profits[k : k + 3]) for k in range(len(profits) - 2)]
    assert (traded(*profits).trip is not None) == any(runs)


@given(st.lists(st.integers(900_000_000, 1_100_000_000), max_size=20))
def test_a_drawdown_trips_exactly_when_some_equity_is_five_per_cent_below_one_before(equities: list[int]) -> None:
    path = [CAPITAL, *equities]
    deep = any(20 * (max(path[:k]) - path[k]) >= max(path[:k]) for k in range(1, len(path)))
    assert (valued(Breaker.DRAWDOWN, *equities).trip is not None) == deep


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12)), max_size=30))
def test_a_breaker_that_recovers_is_reset_exactly_after_an_unbroken_wait(looks: list[tuple[bool, int]]) -> None:
    state, second, tripped, well_since = fresh(Breaker.STALE_FEED), 0, False, None
    for well, step in looks:
        second += step
        state = looked(state, None if well else BAD, second)
        if not well:
            tripped, well_since = True, None
        elif tripped:
            well_since = second if well_since is None else well_since
            tripped = second - well_since < BREAKERS.recovery_s
            well_since = None if not tripped else well_since
        assert (state.trip is not None) == tripped


sights = st.lists(
    st.one_of(
        st.tuples(st.just("trade"), st.integers(-2, 2)),
        st.tuples(st.just("session"), st.integers(-2, 2)),
        st.tuples(st.just("read"), st.just(0)),
    ),
    max_size=30,
)


@given(sights)
def test_whatever_is_seen_a_trip_of_a_session_lasts_as_long_as_the_session(seen: list[tuple[str, int]]) -> None:
    state, session = fresh(Breaker.LOSING_TRADES), DAY
    for kind, number in seen:
        before = state
        if kind == "trade":
            state = after_trade(state, trade(number, state.session), 1, BREAKERS)
        elif kind == "session":
            session = state.session + timedelta(days=number)
            state = session_began(state, session, 1, equity_fen=CAPITAL)
        else:
            state = replace(state)
        if before.trip is not None and state.trip is None:
            assert kind == "session"
            assert state.session > before.session
        assert state.session >= before.session
