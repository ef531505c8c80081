"""How often a provider may be asked, and how patiently: a rate limit and a retry, over the clock's seam.

Not here: any provider's protocol, or which of its answers are worth another try (each provider's ``client``).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.errors import SourceError
from ljwx_pipeline.observability.log import get_logger
from ljwx_pipeline.observability.progress import tell_waiting

logger = get_logger("sources")

T = TypeVar("T")
Sleep = Callable[[float], None]

WINDOW_S = 60.0
#: Shorter waits are rounded up to this, so that a clock of microseconds always moves.
SHORTEST_WAIT_S = 0.001
#: A wait is told of this often at most.
TELL_EVERY_S = 10.0


class TransientFault(SourceError):
    """A call that failed and may succeed when tried again; a plain ``SourceError`` to whoever sees it in the end.

    Parameters
    ----------
    fact, remedy
        As for every error.
    wait_s
        Seconds the provider wants to be left alone at least.
    """

    def __init__(self, fact: str, remedy: str, *, wait_s: float = 0.0) -> None:
        self.wait_s = wait_s
        super().__init__(fact, remedy)


class TokenBucket:
    """A bucket of tokens, each of which returns sixty seconds after it was taken.

    So no window of sixty seconds, wherever it begins, ever holds more than ``rate_per_minute`` calls: the plain bucket
    that refills steadily allows nearly twice as many after a pause. Threads may share one.

    Parameters
    ----------
    rate_per_minute
        Calls a minute.
    clock
        Measures the time.
    sleep
        Waits; a test gives one that moves its clock.
    """

    def __init__(self, rate_per_minute: int, clock: Clock, sleep: Sleep = time.sleep) -> None:
        if rate_per_minute < 1:
            raise SourceError(f"{rate_per_minute} calls a minute leave none", "set calls_per_minute to 1 or more")
        self._rate = rate_per_minute
        self._clock = clock
        self._sleep = sleep
        self._taken: deque[float] = deque(maxlen=rate_per_minute)
        self._lock = threading.Lock()
        self._told_s: float | None = None

    def take(self) -> float:
        """Take a token, waiting for one if there is none, and return the seconds waited; a wait is told of."""
        with self._lock:
            started = now = self._clock.monotonic_s()
            while len(self._taken) == self._rate and now - self._taken[0] < WINDOW_S:
                if self._told_s is None or now - self._told_s >= TELL_EVERY_S:
                    self._told_s = now
                    tell_waiting(self._rate, now - started)
                self._sleep(min(max(self._taken[0] + WINDOW_S - now, SHORTEST_WAIT_S), TELL_EVERY_S))
                now = self._clock.monotonic_s()
            self._taken.append(now)
            return now - started


@dataclass(frozen=True)
class RetryPolicy:
    """How often a call is tried, and how long between the tries.

    Parameters
    ----------
    attempts
        Tries in all, at least 1.
    first_wait_s, factor, max_wait_s
        The wait after the k-th failure is ``first_wait_s * factor ** (k - 1)``, at most ``max_wait_s``.
    jitter_frac
        Up to this share is taken off, so that several clients do not come back together.
    seed
        The jitter follows from it: the same policy waits the same.
    """

    attempts: int
    first_wait_s: float = 1.0
    factor: float = 2.0
    max_wait_s: float = 60.0
    jitter_frac: float = 0.25
    seed: int = 0

    def wait_s(self, failures: int) -> float:
        """Return the seconds to wait after that many failures (1 and up)."""
        full = min(self.first_wait_s * self.factor ** (failures - 1), self.max_wait_s)
        drawn = float(np.random.default_rng([self.seed, failures]).random())
        return full * (1.0 - self.jitter_frac * drawn)


def is_transient_fault(error: Exception) -> bool:
    """Return whether ``error`` is one of this module's own: what most clients retry."""
    return isinstance(error, TransientFault)


def call_with_retry(
    fn: Callable[[], T],
    policy: RetryPolicy,
    clock: Clock,
    is_transient: Callable[[Exception], bool] = is_transient_fault,
    *,
    sleep: Sleep = time.sleep,
) -> T:
    """Return what ``fn`` returns, trying again while it fails in a way that may pass.

    Parameters
    ----------
    fn
        The call; a ``TransientFault`` it raises may ask for a longer wait than the policy's.
    policy
        Tries and waits.
    clock
        Measures how long it took in all, for the log.
    is_transient
        Whether an exception is worth another try; any other passes through at once.
    sleep
        Waits.

    Raises
    ------
    Exception
        The last one, once the tries are used up.
    """
    started = clock.monotonic_s()
    failures = 0
    while True:
        try:
            return fn()
        except Exception as error:
            failures += 1
            if not is_transient(error):
                raise
            if failures >= policy.attempts:
                logger.warning("gave up after %d tries in %.1f s: %s", failures, clock.monotonic_s() - started, error)
                raise
            wait_s = max(policy.wait_s(failures), getattr(error, "wait_s", 0.0))
            logger.warning("try %d of %d failed, next in %.1f s: %s", failures, policy.attempts, wait_s, error)
            sleep(wait_s)
