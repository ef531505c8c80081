"""A session as a row of steps: what happens at which instant, by the dated rulebook.

One timeline serves every name: that of Shenzhen's main board, which had a closing auction throughout the book; Shanghai
traded continuously to the end before 2018-08-20, and is played with the auction all the same. Names tick in groups, a
third of them at a time, as snapshots do not come all at once. Not here: what is in a tick
(``tick_path.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.market.rulebook import PhaseKind, session_phases
from ljwx_pipeline.market.symbols import Board
from ljwx_pipeline.trading.exchange_wire import PhaseName
from ljwx_pipeline.units import NS_PER_S

#: Names tick in so many groups, one after the other.
TICK_GROUPS = 3
#: A path needs a tick for each of its two extremes in the shortest session there was.
LONGEST_TICK_SECONDS = 600


@dataclass(frozen=True)
class Step:
    """One thing that happens at ``at_ns``.

    Parameters
    ----------
    phase
        The phase that begins; None for ticks.
    group
        Which names tick, -1: all of them, at the opening and the closing price.
    tick
        Which tick of a name it is, counted from the one of the opening auction, 0.
    """

    at_ns: int
    phase: PhaseName | None = None
    group: int = 0
    tick: int = 0

    @property
    def is_auction(self) -> bool:
        """Whether every name trades at one price: the opening one or the closing one."""
        return self.phase is None and self.group < 0


@dataclass(frozen=True)
class Timeline:
    """The steps of one session.

    ``tick_seconds`` are the seconds of continuous trading before each tick, shape ``(TICK_GROUPS, n_ticks)``: 0 at the
    open, and ascending.
    """

    session: date
    steps: tuple[Step, ...]
    tick_seconds: NDArray[np.int64]

    def position(self, phase: PhaseName) -> int:
        """Return the position of the step at which ``phase`` begins, the first one."""
        return next(at for at, step in enumerate(self.steps) if step.phase is phase)

    def phase_at(self, position: int) -> PhaseName:
        """Return the phase after the step at ``position``."""
        return next(step.phase for step in reversed(self.steps[: position + 1]) if step.phase is not None)


def timeline(session: date, *, tick_seconds: int) -> Timeline:
    """Return the steps of ``session`` with a tick of each name every ``tick_seconds`` of continuous trading.

    Raises
    ------
    TradingError
        When the session is outside the rulebook.
    """
    phases = [one for one in session_phases(session, Board.MAIN, "SZ") if one.kind is not PhaseKind.AFTER_HOURS]
    steps: list[Step] = []
    seconds: list[list[int]] = [[0] for _ in range(TICK_GROUPS)]
    traded_s, end_ns = 0, 0
    for kind, start, end in ((one.kind, one.start, one.end) for one in phases):
        start_ns, before_ns = instant_ns(session, start), end_ns
        end_ns = instant_ns(session, end)
        if kind is PhaseKind.OPENING_CALL:
            steps += [Step(start_ns, PhaseName.OPENING_AUCTION), Step(end_ns, PhaseName.OPENED), Step(end_ns, group=-1)]
        elif kind is PhaseKind.CLOSING_CALL:
            steps.append(Step(start_ns, PhaseName.CLOSING_AUCTION))
        else:
            if traded_s:
                steps.append(Step(before_ns, PhaseName.LUNCH))
            steps.append(Step(start_ns, PhaseName.CONTINUOUS))
            length_s = (end_ns - start_ns) // NS_PER_S
            for turn in range(length_s // tick_seconds):
                for group in range(TICK_GROUPS):
                    second = turn * tick_seconds - (group + 1) * tick_seconds // -TICK_GROUPS
                    steps.append(Step(start_ns + second * NS_PER_S, None, group, len(seconds[group])))
                    seconds[group].append(traded_s + second)
            traded_s += length_s
    last = len(seconds[0])
    steps += [Step(end_ns, group=-1, tick=last), Step(end_ns, PhaseName.CLOSED)]
    return Timeline(session, tuple(steps), np.array([[*one, traded_s] for one in seconds], dtype=np.int64))


def instant_ns(session: date, at: time) -> int:
    """Return the UTC nanoseconds of Shanghai's time ``at`` on ``session``."""
    moment = datetime.combine(session, at, tzinfo=SHANGHAI) - datetime.fromtimestamp(0, tz=SHANGHAI)
    return moment // timedelta(microseconds=1) * 1000
