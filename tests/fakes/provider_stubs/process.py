"""A stub as a process: which market it serves, how it is stopped, and an outage on demand.

SIGTERM stops it, SIGUSR1 begins an outage (every call fails) or ends it, SIGUSR2 prints the number of calls so far.
Not here: any provider's protocol.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, timedelta

from ljwx_pipeline.clock import SHANGHAI, SystemClock
from ljwx_pipeline.market.calendar import sessions_between
from ljwx_pipeline.sources.simulated.source import WORLD_FIRST, WORLD_LAST
from tests.fakes.provider_stubs.market import SimulatedTables, relabelled, simulated_tables

#: More calls than any test makes.
FOR_EVER = 10**9


def market_options(says: str | None) -> argparse.ArgumentParser:
    """Return a parser for the port and the market to serve; ``says`` is the module's docstring."""
    parser = argparse.ArgumentParser(description=(says or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--symbols", type=int, default=40)
    parser.add_argument("--first", type=date.fromisoformat, default=WORLD_FIRST, help="first session, in the world")
    parser.add_argument("--last", type=date.fromisoformat, default=WORLD_LAST, help="last session, in the world")
    parser.add_argument(
        "--until",
        type=date.fromisoformat,
        default=last_session_before_today(),
        help="day that the last session becomes; the last session before today if left out",
    )
    return parser


def chosen_market(options: argparse.Namespace) -> SimulatedTables:
    """Return the market that the options name."""
    return relabelled(simulated_tables(options.seed, options.symbols, options.first, options.last), options.until)


def last_session_before_today() -> date:
    """Return the exchange's last session before today in Asia/Shanghai."""
    today = SystemClock().now().astimezone(SHANGHAI).date()
    return sessions_between(today - timedelta(days=30), today - timedelta(days=1))[-1].date()


def serve(
    stub: AbstractContextManager[object],
    said: str,
    *,
    begin_outage: Callable[[], None],
    end_outage: Callable[[], None],
    calls: Callable[[], int],
) -> None:
    """Serve until SIGTERM or Ctrl-C, having said ``said`` once it answers."""
    stopped, down = threading.Event(), threading.Event()

    def toggle(*_: object) -> None:
        if down.is_set():
            end_outage()
            down.clear()
        else:
            begin_outage()
            down.set()
        _say("outage begins" if down.is_set() else "outage ends")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    signal.signal(signal.SIGUSR1, toggle)
    signal.signal(signal.SIGUSR2, lambda *_: _say(f"{calls()} calls"))
    with stub:
        _say(said)
        stopped.wait()


def _say(line: str) -> None:
    # not through the buffered stream: a signal may come while another's line is still being flushed
    os.write(sys.stdout.fileno(), f"{line}\n".encode())
