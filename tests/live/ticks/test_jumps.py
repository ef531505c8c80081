"""A tick far from the last minute's mean is put in quarantine, a true jump is believed soon, a false one never."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.live.ticks.jumps import JumpGuard, JumpLimits, Outcome, Suspicion
from ljwx_pipeline.live.ticks.validation import Verdict
from ljwx_pipeline.trading.exchange_wire import Tick
from ljwx_pipeline.units import NS_PER_S
from tests.fakes.live_ticks import BREAKERS, HOURS, at, snapshots, validator

LIMITS = JumpLimits.of(BREAKERS)


def shown(prices: Sequence[int], start: str = "10:00", step_s: int = 3) -> list[Tick]:
    return snapshots([(at(start) + k * step_s * NS_PER_S, price, 100) for k, price in enumerate(prices)])


def verdicts(ticks: Sequence[Tick]) -> list[Verdict]:
    judge = validator(limit_frac=0.2)
    return [judge.judge(one, one.at_ns) for one in ticks]


def admit(guard: JumpGuard, one: Tick) -> Suspicion | None:
    return guard.admit(one, HOURS.continuous_ns(one.at_ns), auction=False)


def repeated(bad: Tick, times: int, **book: int) -> list[Tick]:
    """Return the same print again, with nothing traded since."""
    return [
        Tick(bad.symbol, bad.at_ns + k * NS_PER_S, bad.session, bad.last_e4, bad.volume_shares, bad.amount_fen,
             book["bid_e4"], book["ask_e4"], 100, 100, bad.open_e4, bad.high_e4, bad.low_e4, bad.pre_close_e4)
        for k in range(1, times + 1)
    ]  # fmt: skip


def test_three_per_cent_is_believed_and_more_is_not() -> None:
    assert verdicts(shown([100_000, 103_000])) == [Verdict.ACCEPTED, Verdict.ACCEPTED]
    assert verdicts(shown([100_000, 103_001])) == [Verdict.ACCEPTED, Verdict.QUARANTINED]
    assert verdicts(shown([100_000, 96_999])) == [Verdict.ACCEPTED, Verdict.QUARANTINED]


def test_one_wild_tick_is_put_in_quarantine_and_the_next_good_one_trades_on() -> None:
    found = verdicts(shown([100_000, 110_000, 100_100]))
    assert found == [Verdict.ACCEPTED, Verdict.QUARANTINED, Verdict.ACCEPTED]


def test_a_true_jump_is_the_new_anchor_once_three_further_ticks_confirm_it() -> None:
    found = verdicts(shown([100_000, 110_000, 110_100, 109_900, 110_000, 110_200, 100_000]))
    assert found == [
        Verdict.ACCEPTED, Verdict.QUARANTINED, Verdict.QUARANTINED, Verdict.QUARANTINED, Verdict.REANCHORED,
        Verdict.ACCEPTED, Verdict.QUARANTINED,
    ]  # fmt: skip


def test_the_first_price_of_a_session_is_believed_wherever_it_is() -> None:
    assert verdicts(shown([118_000], start="09:25")) == [Verdict.ACCEPTED]


def test_a_wrong_first_price_is_found_out_by_the_next_ones() -> None:
    assert verdicts(shown([118_000, 100_000, 100_100, 100_000, 99_900, 100_000]))[-2:] == [
        Verdict.REANCHORED,
        Verdict.ACCEPTED,
    ]


def test_the_closing_auction_s_price_is_believed_as_nothing_after_it_could_confirm_it() -> None:
    day = [(at("14:56:50"), 100_000, 100), (at("14:56:56"), 108_000, 100), (at("15:00"), 106_000, 100)]
    assert verdicts(snapshots(day)) == [Verdict.ACCEPTED, Verdict.QUARANTINED, Verdict.ACCEPTED]


def test_the_opening_auction_s_price_is_the_anchor_of_what_trades_after_it() -> None:
    day = [(at("09:25"), 100_000, 100), (at("09:26"), 110_000, 100), (at("09:30:03"), 114_000, 100)]
    assert verdicts(snapshots(day)) == [Verdict.ACCEPTED, Verdict.ACCEPTED, Verdict.QUARANTINED]


def test_the_mean_is_of_the_last_minute_alone() -> None:
    rising = [100_000, 102_000, 104_000, 106_000, 108_000, 110_000]
    assert set(verdicts(shown(rising, step_s=61))) == {Verdict.ACCEPTED}
    assert Verdict.QUARANTINED in verdicts(shown(rising, step_s=3))


def test_the_minute_is_one_of_trading_so_that_the_morning_is_remembered_after_lunch() -> None:
    morning = [(at("11:29:30") + k * NS_PER_S, 100_000, 100) for k in range(20)]
    afternoon = [(at("13:00:05"), 104_000, 100)]
    assert verdicts(snapshots(morning + afternoon))[-1] is Verdict.QUARANTINED


def test_a_name_that_trades_rarely_is_held_to_its_last_price() -> None:
    assert verdicts(snapshots([(at("10:00"), 100_000, 100), (at("11:00"), 104_000, 100)]))[-1] is Verdict.QUARANTINED


def test_a_print_that_is_only_repeated_confirms_nothing() -> None:
    good, bad = shown([100_000, 110_000])
    old_book = repeated(bad, 50, bid_e4=99_900, ask_e4=100_100)
    assert set(verdicts([good, bad, *old_book])[1:]) == {Verdict.QUARANTINED}


def test_the_same_snapshot_again_confirms_nothing_whatever_book_it_shows() -> None:
    good, sealed = shown([100_000, 120_000])
    assert set(verdicts([good, *[sealed] * 20])[1:]) == {Verdict.QUARANTINED}


def test_a_name_sealed_at_its_limit_is_confirmed_by_the_book_without_a_trade() -> None:
    good, sealed = shown([100_000, 120_000])
    assert verdicts([good, sealed, *repeated(sealed, 3, bid_e4=120_000, ask_e4=0)])[-1] is Verdict.REANCHORED


def test_a_second_suspect_at_another_price_starts_the_count_again() -> None:
    found = verdicts(shown([100_000, 110_000, 110_000, 110_000, 118_000, 118_000, 118_000, 118_000]))
    assert found[1:7] == [Verdict.QUARANTINED] * 6
    assert found[7] is Verdict.REANCHORED


def test_a_suspicion_is_told_when_it_opens_and_when_it_ends() -> None:
    guard = JumpGuard(LIMITS)
    told = [admit(guard, one) for one in shown([100_000, 110_000, 110_000, 100_000])]
    assert [one and (one.outcome, one.ticks) for one in told] == [
        None, (Outcome.OPEN, 1), None, (Outcome.DISMISSED, 2),
    ]  # fmt: skip
    opened = told[1]
    assert opened is not None
    assert opened.sentence() == (
        "A at 11.00 CNY, +10.00% from its last minute's mean 10.00: 1 tick in quarantine, open"
    )
    assert guard.suspicion is None


steps = st.lists(st.integers(-290, 290), min_size=1, max_size=80)


@given(steps)
def test_prices_within_three_per_cent_of_one_level_are_never_doubted(offsets: list[int]) -> None:
    # any two differ by less than three per cent of the lower one
    prices = [100_000 + offset * 5 for offset in offsets]
    assert set(verdicts(shown(prices))) == {Verdict.ACCEPTED}


@given(st.lists(st.sampled_from([88_000, 94_000, 100_000, 106_000, 112_000]), min_size=2, max_size=60))
def test_a_believed_price_is_near_the_mean_before_it_or_was_confirmed(prices: list[int]) -> None:
    ticks = shown(prices)
    found = verdicts(ticks)
    level = prices[0]
    for k, (one, verdict) in enumerate(zip(ticks, found, strict=True)):
        if verdict is Verdict.ACCEPTED:
            assert one.last_e4 == level
        elif verdict is Verdict.REANCHORED:
            level = one.last_e4
            assert prices[k - 3 : k + 1] == [level] * 4
        else:
            assert one.last_e4 != level


@given(st.integers(10_500, 11_900), st.integers(3, 30))
def test_a_lasting_jump_costs_exactly_the_confirming_ticks(level: int, lasting: int) -> None:
    found = verdicts(shown([100_000] * 5 + [level * 10] * (lasting + 1)))
    assert found[5:8] == [Verdict.QUARANTINED] * 3
    assert found[8:] == [Verdict.REANCHORED] + [Verdict.ACCEPTED] * (lasting - 3)


@given(st.lists(st.integers(9_000, 11_000), min_size=1, max_size=200), st.integers(0, 3))
def test_the_guard_s_mean_is_that_of_the_believed_ticks_of_the_window(prices: list[int], step_s: int) -> None:
    guard, kept = JumpGuard(LIMITS), []
    for one in snapshots([(at("10:00") + k * (step_s + 1) * NS_PER_S, p * 10, 100) for k, p in enumerate(prices)]):
        second = HOURS.continuous_ns(one.at_ns) // NS_PER_S
        window = [price for when, price in kept if when >= second - LIMITS.window_s] or [p for _, p in kept[-1:]]
        told = admit(guard, one)
        if told is not None and told.outcome is Outcome.OPEN:
            assert told.mean_e4 == sum(window) // len(window)
        if told is not None and told.outcome is Outcome.CONFIRMED:
            return  # the anchor is new: what came before it is no longer looked at
        if not guard.suspicious:
            kept.append((second, one.last_e4))
