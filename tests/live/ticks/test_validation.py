"""Every tick gets one verdict, a refused one changes nothing, and no wrong tick blinds the runner for the day."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.ticks.validation import TickValidator, Verdict
from ljwx_pipeline.market.hours import session_hours
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.exchange_wire import Tick
from ljwx_pipeline.units import NS_PER_S
from tests.fakes.live_ticks import (
    BREAKERS,
    PRE_CLOSE_E4,
    SESSION,
    Trade,
    at,
    facts,
    sessions_of_trades,
    snapshots,
    tick,
    validator,
)

NAN = float("nan")


def judged(one: Tick, now: str = "10:00") -> Verdict:
    return validator().judge(one, at(now))


def test_a_tick_of_a_known_symbol_within_its_limits_is_believed() -> None:
    assert judged(tick()) is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ({"symbol": "B"}, Verdict.UNKNOWN_SYMBOL),
        ({"last_e4": NAN}, Verdict.NOT_A_NUMBER),
        ({"volume_shares": float("inf")}, Verdict.NOT_A_NUMBER),
        ({"bid_e4": None}, Verdict.NOT_A_NUMBER),
        ({"ask_e4": 100_100.0}, Verdict.NOT_A_NUMBER),
        ({"at_ns": "10:00"}, Verdict.NOT_A_NUMBER),
        ({"bid_shares": True}, Verdict.NOT_A_NUMBER),
        ({"last_e4": -1}, Verdict.NEGATIVE),
        ({"volume_shares": -100}, Verdict.NEGATIVE),
        ({"ask_shares": -1}, Verdict.NEGATIVE),
        ({"session": SESSION - timedelta(days=1)}, Verdict.WRONG_SESSION),
        ({"at_ns": at("10:00") - 86_400 * NS_PER_S}, Verdict.WRONG_SESSION),
        ({"at_ns": at("09:14:59")}, Verdict.OUT_OF_HOURS),
        ({"at_ns": at("10:00:02") + 1}, Verdict.FUTURE),
        ({"last_e4": 0, "low_e4": 0}, Verdict.ZERO_PRICE),
        ({"last_e4": 0}, Verdict.ZERO_PRICE),
        ({"bid_e4": 100_200, "ask_e4": 100_100}, Verdict.CROSSED),
        ({"last_e4": 110_001, "high_e4": 110_001, "bid_e4": 0, "ask_e4": 0}, Verdict.OUTSIDE_LIMITS),
        ({"low_e4": 89_999}, Verdict.OUTSIDE_LIMITS),
        ({"bid_e4": 89_000}, Verdict.OUTSIDE_LIMITS),
        ({"ask_e4": 110_100}, Verdict.OUTSIDE_LIMITS),
        ({"last_e4": 100_500, "high_e4": 100_400}, Verdict.OUTSIDE_RANGE),
        ({"open_e4": 99_900}, Verdict.OUTSIDE_RANGE),
        ({"pre_close_e4": 99_900}, Verdict.PRE_CLOSE),
        ({"volume_shares": 10}, Verdict.MEAN_PRICE),  # lots for shares
        ({"amount_fen": 10_000}, Verdict.MEAN_PRICE),  # CNY for fen
        ({"amount_fen": 0}, Verdict.MEAN_PRICE),
    ],
)
def test_what_cannot_be_is_refused_by_its_code(said: dict[str, object], verdict: Verdict) -> None:
    judge = validator()
    assert judge.judge(replace(tick(), **said), at("10:00")) is verdict
    assert judge.last("A") is None
    assert judge.counts == Counter({verdict: 1})
    assert judge.judge(tick(), at("10:00")) is Verdict.ACCEPTED


def test_amount_over_volume_says_nothing_about_adjusted_prices() -> None:
    assert validator(raw_prices=False).judge(tick(amount_fen=10_000), at("10:00")) is Verdict.ACCEPTED


def test_a_tick_ahead_of_our_clock_by_less_than_the_skew_is_believed() -> None:
    assert judged(tick(at_ns=at("10:00:02"))) is Verdict.ACCEPTED


def test_a_sealed_symbol_has_one_side_and_a_halted_one_none() -> None:
    assert judged(tick(110_000, ask_e4=0, bid_e4=110_000)) is Verdict.ACCEPTED
    assert judged(tick(90_000, bid_e4=0, ask_e4=90_000)) is Verdict.ACCEPTED
    assert judged(tick(bid_e4=0, ask_e4=0)) is Verdict.ACCEPTED


def test_before_anything_trades_a_tick_shows_that_the_feed_lives_and_moves_no_price() -> None:
    judge = validator()
    quiet = tick(
        0, volume_shares=0, amount_fen=0, open_e4=0, high_e4=0, low_e4=0, bid_e4=0, ask_e4=0, at_ns=at("09:20")
    )
    verdict = judge.judge(quiet, at("09:20"))
    assert verdict is Verdict.NO_TRADE
    assert not verdict.moves_prices
    assert judge.newest_ns == at("09:20")


def test_a_tick_said_twice_is_a_duplicate_and_an_older_one_out_of_order() -> None:
    judge = validator()
    assert judge.judge(tick(), at("10:00")) is Verdict.ACCEPTED
    assert judge.judge(tick(), at("10:00")) is Verdict.DUPLICATE
    assert judge.judge(tick(at_ns=at("10:00") - 1), at("10:00")) is Verdict.OUT_OF_ORDER
    more = tick(volume_shares=2_000, amount_fen=2_000_000)
    assert judge.judge(more, at("10:00")) is Verdict.ACCEPTED  # the same instant, but more was traded
    assert judge.last("A") == more


def test_a_duplicate_proves_no_life() -> None:
    judge = validator()
    for now in ("10:00", "10:05"):
        judge.judge(tick(), at(now))
    assert judge.newest_ns == at("10:00")


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ({"volume_shares": 950}, Verdict.VOLUME_BACK),
        ({"amount_fen": 999_999}, Verdict.VOLUME_BACK),
        ({"high_e4": 100_050}, Verdict.RANGE_BACK),
        ({"low_e4": 99_950}, Verdict.RANGE_BACK),
        ({"open_e4": 100_010}, Verdict.RANGE_BACK),
        ({"volume_shares": 0, "amount_fen": 0}, Verdict.VOLUME_BACK),
    ],
)
def test_what_a_session_has_seen_is_not_unseen(said: dict[str, object], verdict: Verdict) -> None:
    judge = validator()
    first = tick(high_e4=100_100, low_e4=99_900)
    judge.judge(first, at("10:00"))
    assert judge.judge(replace(first, at_ns=at("10:00:03"), **said), at("10:00:03")) is verdict
    assert judge.last("A") == first


def test_a_wrong_volume_that_was_believed_is_unlearned_when_further_ticks_agree() -> None:
    judge = validator()
    true = [
        tick(at_ns=at("10:00") + k * NS_PER_S, volume_shares=1_000 + k, amount_fen=1_000_000 + 1_000 * k)
        for k in range(6)
    ]
    wrong = replace(true[0], volume_shares=9_000, amount_fen=9_000_000)
    found = [judge.judge(one, one.at_ns) for one in (wrong, *true[1:])]
    assert found == [Verdict.ACCEPTED, *[Verdict.VOLUME_BACK] * 3, Verdict.RESTATED, Verdict.ACCEPTED]
    assert judge.last("A") == true[5]


def test_a_believed_tick_ends_the_dispute_so_that_later_ones_begin_it_again() -> None:
    judge = validator()
    high = tick(volume_shares=9_000, amount_fen=9_000_000)
    low = [replace(tick(), at_ns=at("10:00") + k * NS_PER_S) for k in range(1, 6)]
    higher = replace(high, at_ns=at("10:00") + 3 * NS_PER_S + 1, volume_shares=9_100, amount_fen=9_100_000)
    found = [judge.judge(one, at("10:01")) for one in (high, *low[:3], higher, *low[3:])]
    back = Verdict.VOLUME_BACK
    assert found == [Verdict.ACCEPTED, back, back, back, Verdict.ACCEPTED, back, back]


def test_the_feed_is_as_old_as_its_newest_tick_of_any_symbol() -> None:
    judge = validator("A", "B")
    judge.judge(tick(at_ns=at("10:00:05")), at("10:01"))
    judge.judge(tick(symbol="B", at_ns=at("10:00:02")), at("10:01"))
    assert judge.newest_ns == at("10:00:05")


def test_ticks_that_disagree_with_each_other_unlearn_nothing() -> None:
    judge = validator()
    judge.judge(tick(volume_shares=9_000, amount_fen=9_000_000), at("10:00"))
    for k in range(1, 20):
        one = tick(at_ns=at("10:00") + k * NS_PER_S, volume_shares=5_000 - k, amount_fen=5_000_000 - 1_000 * k)
        assert judge.judge(one, one.at_ns) is Verdict.VOLUME_BACK


def test_the_last_snapshots_come_after_the_bell_and_are_believed() -> None:
    assert judged(tick(at_ns=at("11:30:02")), "11:30:02") is Verdict.ACCEPTED
    assert judged(tick(at_ns=at("15:00:03")), "15:00:03") is Verdict.ACCEPTED


def test_after_hours_trading_is_not_the_session_s() -> None:
    star = replace(facts(), hours=session_hours(SESSION, Board.STAR, "SH"))
    judge = TickValidator(SESSION, [star], BREAKERS, raw_prices=True)
    assert judge.judge(tick(at_ns=at("15:00:03")), at("15:00:03")) is Verdict.ACCEPTED
    assert judge.judge(tick(at_ns=at("15:05")), at("15:05")) is Verdict.OUT_OF_HOURS


def test_facts_that_are_no_facts_are_refused() -> None:
    with pytest.raises(LiveError, match="is told twice"):
        validator("A", "A")
    with pytest.raises(LiveError, match="has previous close 0"):
        TickValidator(SESSION, [replace(facts(), pre_close_e4=0)], BREAKERS, raw_prices=True)
    with pytest.raises(LiveError, match="not 2025-03-04"):
        TickValidator(SESSION + timedelta(days=1), [facts()], BREAKERS, raw_prices=True)


def test_a_stranger_s_price_is_always_doubted() -> None:
    assert validator().is_suspect("B")
    assert validator().last("B") is None


def test_many_suspicions_of_one_symbol_are_told_once_a_minute() -> None:
    judge = validator(limit_frac=0.2)
    for k in range(120):  # good and bad in turn, a second each
        price = 100_000 if k % 2 == 0 else 110_000
        one = tick(price, at_ns=at("10:00") + k * NS_PER_S, high_e4=110_000, bid_e4=99_900, ask_e4=100_100)
        judge.judge(one, one.at_ns)
    assert judge.counts[Verdict.QUARANTINED] == 60
    told = judge.take_suspicions()
    assert 2 <= sum(one.outcome == "open" for one in told) <= 3
    assert judge.take_suspicions() == ()


def test_a_suspicion_that_was_told_is_told_again_when_it_ends_however_late() -> None:
    judge = validator(limit_frac=0.2)
    for clock, price in (("10:00", 100_000), ("10:00:03", 110_000), ("11:00", 100_000)):
        judge.judge(tick(price, at_ns=at(clock), high_e4=110_000), at(clock))
    assert [one.outcome for one in judge.take_suspicions()] == ["open", "dismissed"]


@given(sessions_of_trades())
def test_an_honest_session_is_believed_to_the_last_tick(trades: list[Trade]) -> None:
    judge = validator()
    shown = snapshots(trades)
    assert {judge.judge(one, one.at_ns) for one in shown} == {Verdict.ACCEPTED}
    assert judge.last("A") == shown[-1]


anything = st.sampled_from([NAN, float("inf"), None, True, "10", 100_000.0, -1, 0, 1, -(2**63), 2**63])
near = st.integers(-3, 3).map(lambda k: PRE_CLOSE_E4 + k * 5_000)
fields = st.sampled_from([name for name in Tick.__dataclass_fields__ if name not in ("symbol", "session")])
dirt = st.dictionaries(fields, st.one_of(anything, near), max_size=3)


@given(sessions_of_trades(), st.lists(dirt, max_size=10), st.randoms(use_true_random=False))
def test_whatever_comes_a_believed_tick_is_within_limits_and_no_figure_runs_back(
    trades: list[Trade], damages: list[dict[str, object]], chance: Random
) -> None:
    judge = validator()
    stream = snapshots(trades)
    stream += [replace(chance.choice(stream), **damage) for damage in damages]  # type: ignore[arg-type]
    chance.shuffle(stream)
    believed: list[Tick] = []
    for one in stream:
        verdict = judge.judge(one, at("15:00:05"))
        if verdict.moves_prices:
            limits = facts()
            assert limits.limit_down_e4 <= one.low_e4 <= one.last_e4 <= one.high_e4 <= limits.limit_up_e4
            assert verdict is not Verdict.ACCEPTED or not believed or one.volume_shares >= believed[-1].volume_shares
            assert not believed or one.at_ns >= believed[-1].at_ns
            believed.append(one)
            assert judge.last("A") == one
    assert sum(judge.counts.values()) == len(stream)
