"""The running bar is the exchange's own, the minutes add up to it, and letting ticks go changes neither."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.live.ticks.bars import MinuteBar, SessionBarsBuilder, bar_differences, minute_end_ns
from ljwx_pipeline.trading.exchange_wire import Bar, Tick
from ljwx_pipeline.units import NS_PER_MINUTE, NS_PER_S
from tests.fakes.live_ticks import HOURS, PRE_CLOSE_E4, Trade, at, sessions_of_trades, snapshots


def builder(*symbols: str) -> SessionBarsBuilder:
    return SessionBarsBuilder(dict.fromkeys(symbols or ("A",), HOURS))


def built(ticks: list[Tick], *, watched_from_the_open: bool = True) -> tuple[SessionBarsBuilder, list[MinuteBar]]:
    bars = builder()
    if watched_from_the_open:
        bars.saw_no_trade("A")
    minutes = [ended for ended in map(bars.add, ticks) if ended is not None]
    return bars, [*minutes, *bars.end_session()]


def official(trades: list[Trade]) -> Bar:
    """Return the session's bar from its trades, written independently of the builder."""
    prices = [price for _, price, _ in trades]
    return Bar(
        "A", prices[0], max(prices), min(prices), prices[-1], PRE_CLOSE_E4,
        sum(shares for *_, shares in trades), sum(price * shares // 100 for _, price, shares in trades), 1.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("clock", "end"),
    [
        ("09:25:00", "09:31"),
        ("09:30:00", "09:31"),
        ("09:30:00.000001", "09:31"),
        ("09:31:00", "09:31"),
        ("09:31:00.000001", "09:32"),
        ("11:30:00", "11:30"),
        ("11:30:04", "11:30"),
        ("13:00:00", "13:01"),
        ("14:57:01", "14:58"),
        ("15:00:00", "15:00"),
        ("15:00:09", "15:00"),
    ],
)
def test_a_minute_holds_what_came_after_the_one_before_up_to_its_end(clock: str, end: str) -> None:
    assert minute_end_ns(at(clock), HOURS) == at(end)


def test_a_minute_is_told_by_the_first_tick_after_it() -> None:
    bars = builder()
    ticks = snapshots(
        [
            (at("09:25"), 100_000, 500),
            (at("09:30:10"), 101_000, 100),
            (at("09:30:50"), 99_500, 200),
            (at("09:31:01"), 100_500, 300),
        ]
    )
    assert [bars.add(one) for one in ticks[:3]] == [None, None, None]
    assert bars.add(ticks[3]) == MinuteBar("A", at("09:31"), 100_000, 101_000, 99_500, 99_500, 800, 800_000, 3, True)


def test_a_minute_without_a_tick_has_no_bar() -> None:
    _, minutes = built(snapshots([(at("10:00:30"), 100_000, 100), (at("10:05:30"), 100_100, 100)]))
    assert [bar.ends_ns for bar in minutes] == [at("10:01"), at("10:06")]


def test_a_new_extreme_of_the_session_between_two_ticks_is_the_minute_s() -> None:
    every = snapshots([(at("10:00:30"), 100_000, 100), (at("10:01:10"), 102_000, 100), (at("10:01:20"), 100_000, 100)])
    _, minutes = built([every[0], every[2]])  # the tick of the high was let go
    assert minutes[1].high_e4 == 102_000


def test_who_comes_late_does_not_count_the_morning_as_one_minute() -> None:
    ticks = snapshots([(at("10:00"), 100_000, 900), (at("14:00:10"), 100_100, 100), (at("14:00:20"), 100_200, 300)])
    bars, minutes = built(ticks[1:], watched_from_the_open=False)
    assert (minutes[0].volume_shares, minutes[0].whole) == (300, False)
    running = bars.session_bar("A")
    assert running is not None
    assert running.volume_shares == 1_300


def test_the_first_minute_is_whole_for_whoever_is_there_in_it() -> None:
    _, minutes = built(snapshots([(at("09:30:59"), 100_000, 900)]), watched_from_the_open=False)
    assert (minutes[0].volume_shares, minutes[0].whole) == (900, True)


def test_minutes_end_by_the_clock_too_and_a_late_tick_counts_in_the_next() -> None:
    bars = builder()
    first, late, later = snapshots(
        [(at("09:30:30"), 100_000, 100), (at("09:30:59"), 101_000, 100), (at("09:31:30"), 100_000, 100)]
    )
    bars.add(first)
    assert bars.end_minutes(at("09:30:59")) == ()
    assert [bar.volume_shares for bar in bars.end_minutes(at("09:31"))] == [100]
    assert bars.end_minutes(at("09:31")) == ()
    bars.add(late)
    bars.add(later)
    (bar,) = bars.end_session()
    assert (bar.ends_ns, bar.volume_shares, bar.high_e4, bar.whole) == (at("09:32"), 200, 101_000, True)


def test_the_last_minute_before_lunch_waits_for_its_last_snapshot() -> None:
    bars = builder()
    one, after_the_bell, afternoon = snapshots(
        [(at("11:29:30"), 100_000, 100), (at("11:30:03"), 100_100, 100), (at("13:00:05"), 100_200, 100)]
    )
    bars.saw_no_trade("A")
    bars.add(one)
    assert bars.end_minutes(at("11:45")) == ()
    bars.add(after_the_bell)
    (bar,) = bars.end_minutes(at("13:00"))
    assert (bar.ends_ns, bar.volume_shares, bar.close_e4) == (at("11:30"), 200, 100_100)
    bars.add(afternoon)
    assert [bar.ends_ns for bar in bars.end_session()] == [at("13:01")]


def test_a_snapshot_of_the_morning_that_comes_in_the_afternoon_counts_in_its_first_minute() -> None:
    bars = builder()
    one, late = snapshots([(at("11:29:30"), 100_000, 100), (at("11:30:03"), 100_100, 100)])
    bars.add(one)
    bars.end_minutes(at("13:00:01"))
    bars.add(late)
    assert [(bar.ends_ns, bar.volume_shares) for bar in bars.end_session()] == [(at("13:01"), 100)]


def test_after_the_last_word_a_tick_changes_the_session_alone() -> None:
    bars = builder()
    one, late = snapshots([(at("14:59:30"), 100_000, 100), (at("15:00:09"), 100_100, 100)])
    bars.add(one)
    assert len(bars.end_session()) == 1
    assert bars.add(late) is None
    assert bars.end_session() == ()
    running = bars.session_bar("A")
    assert running is not None
    assert (running.close_e4, running.volume_shares) == (100_100, 200)


def test_a_correction_backwards_is_marked_and_never_a_negative_volume() -> None:
    first, wrong, true = snapshots(
        [(at("09:30:10"), 100_000, 100), (at("09:30:20"), 100_000, 100), (at("09:31:10"), 100_000, 100)]
    )
    wrong = replace(wrong, volume_shares=9_000, amount_fen=9_000_000)
    _, minutes = built([first, wrong, true])
    assert [bar.volume_shares for bar in minutes] == [9_000, 0]
    assert [bar.whole for bar in minutes] == [True, False]


def test_a_symbol_that_never_traded_has_no_bar() -> None:
    bars = builder("A", "B")
    bars.add(snapshots([(at("10:00"), 100_000, 100)])[0])
    assert bars.session_bar("B") is None
    assert [bar.symbol for bar in bars.end_session()] == ["A"]


def test_differences_from_the_official_bar_are_named_and_what_it_leaves_open_is_not_compared() -> None:
    bars, _ = built(snapshots([(at("10:00"), 100_000, 100)]))
    running = bars.session_bar("A")
    assert running is not None
    assert bar_differences(running, replace(running, close_e4=100_100, open_e4=0)) == (
        "A: close_e4 is 100000 by the ticks and 100100 officially",
    )


@given(sessions_of_trades())
def test_at_the_close_the_running_bar_is_the_official_one_and_the_minutes_add_up(trades: list[Trade]) -> None:
    bars, minutes = built(snapshots(trades))
    running, want = bars.session_bar("A"), official(trades)
    assert running is not None
    assert bar_differences(running, want) == ()
    assert running == replace(want, adj_factor=0.0)
    assert sum(bar.volume_shares for bar in minutes) == want.volume_shares
    assert sum(bar.amount_fen for bar in minutes) == want.amount_fen
    assert max(bar.high_e4 for bar in minutes) == want.high_e4
    assert min(bar.low_e4 for bar in minutes) == want.low_e4
    assert (minutes[0].open_e4, minutes[-1].close_e4) == (want.open_e4, want.close_e4)


@given(sessions_of_trades())
def test_each_minute_is_what_was_traded_in_it(trades: list[Trade]) -> None:
    _, minutes = built(snapshots(trades))
    assert [bar.ends_ns for bar in minutes] == sorted({minute_end_ns(when, HOURS) for when, *_ in trades})
    for bar in minutes:
        mine = [(price, shares) for when, price, shares in trades if minute_end_ns(when, HOURS) == bar.ends_ns]
        prices = [price for price, _ in mine]
        assert (bar.open_e4, bar.high_e4, bar.low_e4, bar.close_e4) == (
            prices[0], max(prices), min(prices), prices[-1]
        )  # fmt: skip
        assert bar.volume_shares == sum(shares for _, shares in mine)
        assert bar.ticks == len(mine)
        assert bar.whole


@given(sessions_of_trades(), st.randoms(use_true_random=False))
def test_letting_ticks_go_keeps_the_session_s_bar_and_the_sum_of_the_minutes(
    trades: list[Trade], chance: Random
) -> None:
    every = snapshots(trades)
    kept = [one for one in every[:-1] if chance.random() < 0.5] + every[-1:]
    bars, minutes = built(kept)
    running, want = bars.session_bar("A"), official(trades)
    assert running is not None
    assert bar_differences(running, want) == ()
    assert sum(bar.volume_shares for bar in minutes) == want.volume_shares
    assert max(bar.high_e4 for bar in minutes) == want.high_e4
    assert min(bar.low_e4 for bar in minutes) == want.low_e4
    for bar in minutes:
        assert bar.low_e4 <= min(bar.open_e4, bar.close_e4) <= max(bar.open_e4, bar.close_e4) <= bar.high_e4


@given(sessions_of_trades(), st.lists(st.integers(0, 60), max_size=10))
def test_ending_minutes_by_the_clock_loses_and_doubles_nothing(trades: list[Trade], lags: list[int]) -> None:
    bars, minutes = builder(), []
    bars.saw_no_trade("A")
    waiting = list(lags)
    for one in snapshots(trades):
        ended = bars.add(one)
        minutes += [] if ended is None else [ended]
        if waiting:
            minutes += bars.end_minutes(one.at_ns + waiting.pop() * 10 * NS_PER_S)
    minutes += bars.end_session()
    ends = [bar.ends_ns for bar in minutes]
    assert ends == sorted(set(ends))
    assert all(end % NS_PER_MINUTE == 0 for end in ends)
    assert sum(bar.volume_shares for bar in minutes) == official(trades).volume_shares
    assert sum(bar.ticks for bar in minutes) == len(trades)
