"""Rate limit and retry, on a clock that moves only when somebody waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.observability.progress import listening
from ljwx_pipeline.sources.wire import RetryPolicy, TokenBucket, TransientFault, call_with_retry
from tests.fakes.provider_stubs.waits import Waits


def new_waits() -> Waits:
    return Waits(datetime(2024, 1, 2, 16, tzinfo=UTC))


class Flaky:
    """Fails with the given errors, one a call, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def fault(wait_s: float = 0.0) -> TransientFault:
    return TransientFault("the line broke", "try later", wait_s=wait_s)


@given(rate=st.integers(1, 12), pauses=st.lists(st.floats(0.0, 40.0), min_size=1, max_size=60))
def test_no_window_of_a_minute_holds_more_calls_than_the_rate(rate: int, pauses: list[float]) -> None:
    waits = new_waits()
    bucket = TokenBucket(rate, waits.clock, waits.sleep)
    taken = []
    for pause in pauses:
        waits.clock.set(waits.clock.now() + timedelta(seconds=pause))
        bucket.take()
        taken.append(waits.clock.monotonic_s())
    for start in taken:
        assert sum(start <= at < start + 60.0 - 1e-6 for at in taken) <= rate


@given(rate=st.integers(1, 30), calls=st.integers(1, 90))
def test_a_busy_caller_gets_the_whole_rate(rate: int, calls: int) -> None:
    waits = new_waits()
    bucket = TokenBucket(rate, waits.clock, waits.sleep)
    for _ in range(calls):
        bucket.take()
    assert waits.clock.monotonic_s() == pytest.approx(60.0 * ((calls - 1) // rate), abs=0.1)


def test_a_free_token_is_taken_without_waiting_and_the_wait_is_told() -> None:
    waits = new_waits()
    bucket = TokenBucket(2, waits.clock, waits.sleep)
    assert (bucket.take(), bucket.take()) == (0.0, 0.0)
    assert bucket.take() == pytest.approx(60.0)


def test_a_long_wait_is_told_every_ten_seconds_and_by_whom_it_is_asked_for() -> None:
    waits, heard = new_waits(), []
    bucket = TokenBucket(2, waits.clock, waits.sleep)
    with listening(heard.append):
        bucket.take()
        bucket.take()
        assert heard == []
        waits.sleep(21.0)
        bucket.take()
        assert [step.elapsed_s for step in heard] == pytest.approx([0.0, 10.0, 20.0, 30.0])
        bucket.take()
    assert len(heard) == 4, "the next call finds a token"
    assert str(heard[0]) == "waiting for the provider's limit of 2 calls a minute"


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(SourceError, match="calls_per_minute"):
        TokenBucket(0, new_waits().clock)


def test_a_call_that_recovers_is_answered_after_growing_waits() -> None:
    waits, call = new_waits(), Flaky(fault(), fault(), fault())
    policy = RetryPolicy(attempts=4, first_wait_s=1.0, factor=3.0, max_wait_s=5.0, jitter_frac=0.0)
    assert call_with_retry(call, policy, waits.clock, sleep=waits.sleep) == "answer"
    assert waits.slept == [1.0, 3.0, 5.0]


def test_the_last_error_is_raised_once_the_tries_are_used_up() -> None:
    waits, call = new_waits(), Flaky(fault(), fault(), SourceError("never", "reached"))
    with pytest.raises(SourceError, match="the line broke"):
        call_with_retry(call, RetryPolicy(attempts=2), waits.clock, sleep=waits.sleep)
    assert call.calls == 2


def test_what_is_not_transient_passes_at_once() -> None:
    waits, call = new_waits(), Flaky(SourceError("no permission", "buy points"))
    with pytest.raises(SourceError, match="no permission"):
        call_with_retry(call, RetryPolicy(attempts=5), waits.clock, sleep=waits.sleep)
    assert (call.calls, waits.slept) == (1, [])


def test_the_caller_says_what_is_transient() -> None:
    waits, call = new_waits(), Flaky(TimeoutError(), OSError())
    with pytest.raises(OSError):  # noqa: PT011 - it has no text
        call_with_retry(
            call, RetryPolicy(attempts=5), waits.clock, lambda e: isinstance(e, TimeoutError), sleep=waits.sleep
        )
    assert call.calls == 2


def test_a_provider_may_ask_for_a_longer_wait() -> None:
    waits = new_waits()
    call_with_retry(Flaky(fault(wait_s=61.0)), RetryPolicy(attempts=2), waits.clock, sleep=waits.sleep)
    assert waits.slept == [61.0]


@given(seed=st.integers(0, 2**32), failures=st.integers(1, 40), jitter=st.floats(0.0, 1.0))
def test_waits_are_bounded_and_follow_from_the_seed(seed: int, failures: int, jitter: float) -> None:
    policy = RetryPolicy(attempts=50, first_wait_s=2.0, factor=2.0, max_wait_s=30.0, jitter_frac=jitter, seed=seed)
    full = min(2.0**failures, 30.0)
    assert full * (1.0 - jitter) <= policy.wait_s(failures) <= full
    assert policy.wait_s(failures) == policy.wait_s(failures)


def test_two_seeds_do_not_come_back_together() -> None:
    assert RetryPolicy(attempts=3, seed=1).wait_s(1) != RetryPolicy(attempts=3, seed=2).wait_s(1)
