"""Ticks of a session in their order, the market's time, and what the feed's silence is measured by."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from ljwx_pipeline.clock import ManualClock
from ljwx_pipeline.live.events import TickQuarantined
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.live.guard_ticks import SymbolDay, TickDesk, days_of_pack
from ljwx_pipeline.live.market_time import MarketTime
from ljwx_pipeline.live.ticks.validation import Verdict
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.session_pack import read_session_pack
from tests.fakes.journal_events import NOW
from tests.fakes.live_ticks import BREAKERS, PRE_CLOSE_E4, SESSION, at, facts, tick
from tests.fakes.watched_desk import write_small_pack

S = 1_000_000_000
LATE = 2**62


@pytest.fixture
def desk() -> TickDesk:
    days = {name: SymbolDay(facts(name), Board.MAIN, 100, 100) for name in ("A", "B")}
    return TickDesk(lambda session: days if session == SESSION else {}, BREAKERS, raw_prices=True)


def test_a_tick_is_judged_built_into_bars_and_queued_in_this_order(desk: TickDesk) -> None:
    assert desk.take([tick()], LATE) == 0  # no session has begun
    desk.begin(SESSION, at("09:15"))
    first, wild, stranger = tick(), tick(130_000, at_ns=at("10:00:03")), tick(symbol="C")
    assert desk.take([first, wild, stranger], LATE) == first.at_ns
    assert desk.validator is not None
    assert desk.validator.counts == {Verdict.ACCEPTED: 1, Verdict.OUTSIDE_LIMITS: 1, Verdict.UNKNOWN_SYMBOL: 1}
    assert desk.bars is not None
    bar = desk.bars.session_bar("A")
    assert bar is not None
    assert bar.close_e4 == first.last_e4
    assert (desk.pop(), desk.pop()) == (first, None)
    assert desk.take([first], LATE) == 0  # said again: the feed has said nothing newer
    assert (desk.price_e4("A"), desk.price_e4("B"), desk.price_e4("C")) == (first.last_e4, PRE_CLOSE_E4, 0)


def test_a_suspect_is_named_kept_for_the_journal_once_and_moves_nothing(desk: TickDesk) -> None:
    desk.begin(SESSION, at("09:15"))
    jump = tick(105_000, at_ns=at("10:00:03"), volume_shares=1_100, amount_fen=1_105_000)
    desk.take([tick(), jump], LATE)
    assert desk.suspects() == {"A"}
    assert desk.is_suspect("A")
    (event,) = desk.take_quarantined()
    assert isinstance(event, TickQuarantined)
    assert (event.symbol, event.price_e4, event.reference_e4) == ("A", 105_000, PRE_CLOSE_E4)
    assert desk.take_quarantined() == []
    assert desk.price_e4("A") == PRE_CLOSE_E4


def test_a_session_begins_once_and_never_goes_back(desk: TickDesk) -> None:
    desk.begin(SESSION, 1)
    desk.take([tick()], LATE)
    desk.begin(SESSION, 2)
    desk.begin(SESSION - timedelta(days=1), 3)
    assert desk.pop() == tick()


def test_silence_counts_from_the_newest_tick_or_from_when_it_was_listened_to(desk: TickDesk) -> None:
    assert desk.silence(at("10:00")) is None
    desk.begin(SESSION, at("10:00"))
    assert desk.silence(at("10:01")) is None
    assert desk.silence(at("10:01:01")) is not None
    desk.take([tick(at_ns=at("10:01"))], LATE)
    assert desk.silence(at("10:01:01")) is None
    # a session that nobody knows a symbol of is no quiet one
    desk.begin(SESSION + timedelta(days=1), at("10:00"))
    assert desk.silence(at("10:00")) is not None


def test_what_is_known_of_a_pack_s_session_is_known_before_it_begins(tmp_path: Path) -> None:
    feed = ReplayFeed(read_session_pack(write_small_pack(tmp_path / "feed")))
    days = days_of_pack(feed, feed.sessions[1])
    assert 6 < len(days) <= len(feed.symbols)
    for symbol, day in days.items():
        assert day.facts.hours.session == feed.sessions[1]
        assert 0 < day.facts.limit_down_e4 <= day.facts.pre_close_e4 <= day.facts.limit_up_e4
        row = feed.symbols.index(symbol)
        assert day.facts.limit_up_e4 == feed.market.limit_up_e4[row, feed.column(feed.sessions[1])]
    assert days_of_pack(feed, feed.sessions[-1] + timedelta(days=300)) == {}


def test_a_simulated_market_s_time_is_its_own_and_goes_on_with_our_seconds() -> None:
    clock = ManualClock(NOW)
    market = MarketTime(clock, simulated=True)
    assert market.now_ns() == 0
    market.saw(100 * S)
    market.saw(90 * S)
    clock.set(NOW + timedelta(seconds=5))
    assert market.now_ns() == 105 * S
    market.heard_tick()
    clock.set(NOW + timedelta(seconds=7))
    assert market.feed_ns(50 * S) == 52 * S
    assert market.fault(1, BREAKERS) is None  # its clock is not held against ours


def test_a_real_market_s_time_is_ours_and_both_clocks_are_held_against_each_other() -> None:
    clock = ManualClock(NOW)
    market = MarketTime(clock, simulated=False)
    ours = market.now_ns()
    assert market.fault(ours + S, BREAKERS) is None
    assert market.fault(ours + 3 * S, BREAKERS) is not None
    assert market.fault(0, BREAKERS) is None


def test_a_clock_that_jumps_is_found_by_the_seconds_that_passed() -> None:
    class Jumping(ManualClock):
        """A wall clock that somebody sets while the seconds go on."""

        passed_s = 0.0

        def monotonic_s(self) -> float:
            return self.passed_s

    clock = Jumping(NOW)
    market = MarketTime(clock, simulated=True)
    clock.passed_s = 10.0
    clock.set(NOW + timedelta(seconds=10))
    assert market.fault(0, BREAKERS) is None
    clock.set(NOW - timedelta(seconds=60))
    assert market.fault(0, BREAKERS) is not None
    assert market.fault(0, BREAKERS) is None
