"""A session's day has one phase at every instant, by the rules of its date, and lunch counts as no time at all."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.errors import TradingError
from ljwx_pipeline.market.hours import MarketPhase, instant_ns, instant_of, session_hours, session_of, shanghai_ns
from ljwx_pipeline.market.rulebook import BOOK_LAST, SESSION_RULES, SessionRule, session_phases
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.exchange_wire import PhaseName
from ljwx_pipeline.units import NS_PER_S

DAY = date(2025, 3, 3)
HOURS = session_hours(DAY, Board.MAIN, "SH")
MINUTE = 60 * NS_PER_S


def at(text: str, session: date = DAY) -> int:
    return shanghai_ns(session, time.fromisoformat(text))


@pytest.mark.parametrize(
    ("clock", "phase"),
    [
        ("00:00", MarketPhase.BEFORE_OPEN),
        ("09:14:59.999999", MarketPhase.BEFORE_OPEN),
        ("09:15", MarketPhase.OPENING_AUCTION),
        ("09:25", MarketPhase.OPENED),
        ("09:30", MarketPhase.CONTINUOUS),
        ("11:29:59.999999", MarketPhase.CONTINUOUS),
        ("11:30", MarketPhase.LUNCH),
        ("13:00", MarketPhase.CONTINUOUS),
        ("14:57", MarketPhase.CLOSING_AUCTION),
        ("15:00", MarketPhase.CLOSED),
        ("23:59:59", MarketPhase.CLOSED),
    ],
)
def test_a_day_goes_through_auctions_trading_and_silences(clock: str, phase: MarketPhase) -> None:
    assert HOURS.phase_at(at(clock)) is phase


def test_instants_of_other_days_are_before_the_open_or_closed() -> None:
    assert HOURS.phase_at(at("10:00", DAY - timedelta(days=1))) is MarketPhase.BEFORE_OPEN
    assert HOURS.phase_at(at("10:00", DAY + timedelta(days=1))) is MarketPhase.CLOSED
    assert not HOURS.is_trading(at("10:00", DAY + timedelta(days=1)))


def test_only_auctions_and_continuous_trading_count_as_trading() -> None:
    trading = {span.phase for span in session_hours(date(2026, 9, 1), Board.MAIN, "SH").spans if span.phase.trades}
    assert trading == {MarketPhase.OPENING_AUCTION, MarketPhase.CONTINUOUS, MarketPhase.CLOSING_AUCTION}


def test_shanghai_traded_on_to_three_until_its_closing_auction_came_in_2018() -> None:
    before, after = date(2018, 8, 17), date(2018, 8, 20)
    assert session_hours(before, Board.MAIN, "SH").phase_at(at("14:58", before)) is MarketPhase.CONTINUOUS
    assert session_hours(after, Board.MAIN, "SH").phase_at(at("14:58", after)) is MarketPhase.CLOSING_AUCTION
    assert session_hours(before, Board.MAIN, "SZ").phase_at(at("14:58", before)) is MarketPhase.CLOSING_AUCTION


def test_after_hours_trading_has_a_silence_before_it_where_the_board_has_it() -> None:
    star = session_hours(DAY, Board.STAR, "SH")
    assert star.phase_at(at("15:02")) is MarketPhase.CLOSING_SILENCE
    assert star.phase_at(at("15:10")) is MarketPhase.AFTER_HOURS
    assert star.phase_at(at("15:30")) is MarketPhase.CLOSED
    assert not star.is_trading(at("15:10"))


def test_the_circuit_breaker_closed_the_market_early_in_january_2016() -> None:
    day = date(2016, 1, 7)
    hours = session_hours(day, Board.MAIN, "SH")
    assert hours.phase_at(at("09:58", day)) is MarketPhase.CONTINUOUS
    assert hours.phase_at(at("09:59", day)) is MarketPhase.CLOSED
    assert hours.phase_at(at("13:30", day)) is MarketPhase.CLOSED


def test_the_next_span_is_the_one_that_begins_after_an_instant() -> None:
    following = HOURS.next_span(at("11:00"))
    assert following is not None
    assert (following.phase, following.starts_ns) == (MarketPhase.LUNCH, at("11:30"))
    assert HOURS.next_span(at("15:00")) is None
    first = HOURS.next_span(at("10:00", DAY - timedelta(days=1)))
    assert first is not None
    assert first.phase is MarketPhase.BEFORE_OPEN


def test_lunch_and_auctions_take_no_trading_time() -> None:
    assert HOURS.continuous_ns(at("09:00")) == HOURS.continuous_ns(at("09:30")) == 0
    assert HOURS.continuous_ns(at("13:00:30")) - HOURS.continuous_ns(at("11:29:40")) == 50 * NS_PER_S
    assert HOURS.continuous_ns(at("14:57")) == HOURS.continuous_ns(at("23:00")) == 237 * MINUTE
    assert HOURS.continuous_ns(at("23:00", DAY - timedelta(days=1))) == 0


def test_continuous_trading_begins_twice_a_day() -> None:
    assert HOURS.starts_of(MarketPhase.CONTINUOUS) == (at("09:30"), at("13:00"))
    assert HOURS.starts_of(MarketPhase.AFTER_HOURS) == ()


def test_a_simulated_stock_keeps_the_hours_of_its_board() -> None:
    for board, exchange in ((Board.MAIN, "SZ"), (Board.CHINEXT, "SZ"), (Board.STAR, "SH"), (Board.BEIJING, "BJ")):
        assert session_hours(DAY, board, "SIM") == session_hours(DAY, board, exchange)


def test_a_day_outside_the_rulebook_has_no_hours() -> None:
    with pytest.raises(TradingError, match="outside the rulebook"):
        session_hours(BOOK_LAST + timedelta(days=1), Board.MAIN, "SH")


def test_an_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(TradingError, match="has no time zone"):
        instant_ns(datetime(2025, 3, 3, 10))  # noqa: DTZ001 - what is refused


rules = st.sampled_from(SESSION_RULES)
offsets = st.integers(0, 3_000)
seconds = st.integers(0, 86_399)


@given(rule=rules, offset=offsets, second=seconds)
def test_an_instant_s_phase_is_the_one_of_the_rulebook(rule: SessionRule, offset: int, second: int) -> None:
    session = min(rule.first + timedelta(days=offset), BOOK_LAST)
    moment = time(second // 3600, second // 60 % 60, second % 60)
    hours = session_hours(session, rule.board, rule.exchange)
    phase = hours.phase_at(shanghai_ns(session, moment))
    stated = [each for each in session_phases(session, rule.board, rule.exchange) if each.start <= moment < each.end]
    named = {"OPENING_CALL": "OPENING_AUCTION", "CLOSING_CALL": "CLOSING_AUCTION"}
    if stated:
        assert phase.name == named.get(stated[0].kind.name, stated[0].kind.name)
    else:
        assert phase.name in ("BEFORE_OPEN", "OPENED", "LUNCH", "CLOSING_SILENCE", "CLOSED")


@given(first=seconds, second=seconds)
def test_trading_time_never_runs_back_and_never_faster_than_the_clock(first: int, second: int) -> None:
    early, late = sorted((shanghai_ns(DAY, time(0)) + each * NS_PER_S) for each in (first, second))
    passed = HOURS.continuous_ns(late) - HOURS.continuous_ns(early)
    assert 0 <= passed <= late - early
    if all(HOURS.phase_at(each) is MarketPhase.CONTINUOUS for each in (early, late)):
        lunch = 90 * MINUTE if early < at("11:30") <= late else 0
        assert passed == late - early - lunch


def test_the_exchange_s_words_for_phases_are_ours() -> None:
    assert {phase.value for phase in PhaseName} <= {phase.value for phase in MarketPhase}


@given(st.datetimes(datetime(2007, 6, 1), datetime(2026, 12, 30), timezones=st.just(UTC)))  # noqa: DTZ001
def test_instants_go_to_nanoseconds_and_back(instant: datetime) -> None:
    assert instant_of(instant_ns(instant)) == instant
    assert session_of(instant_ns(instant)) == instant.astimezone(SHANGHAI).date()
