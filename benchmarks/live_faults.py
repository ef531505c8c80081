"""live_faults: requests that are lost, late, cut or unanswered, and streams that end or fall silent, at named points.

As ``live_crash.py``, with faults of the network instead of kills: the exchange commits what it is asked for on the very
request or stream that comes next. The runner goes on by itself; its books have to be the exchange's, and those of a
runner that nothing happened to.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from benchmarks.clocked import family_cpu_s
from benchmarks.lives import ANSWER_S, Plan, books, forking, live, world
from ljwx_pipeline.trading.exchange_wire import FaultKind

FAULTS, QUICK_FAULTS = 200, 21
#: Of requests: at an order that is sent, and at one that is asked about after a silence.
_KINDS = (
    (FaultKind.DROP_REPLY, 0.0, ("submit", "before")),
    (FaultKind.CUT_AFTER_REQUEST, 0.0, ("submit", "before")),
    (FaultKind.HALF_OPEN, 3 * ANSWER_S, ("submit", "before")),
    (FaultKind.DELAY, 2 * ANSWER_S, ("submit", "before")),
    (FaultKind.DISCONNECT_STREAM, 0.3, ("commit message", "after")),
    (FaultKind.DISCONNECT_STREAM, 0.3, ("submit", "after")),
    (FaultKind.DROP_REPLY, 0.0, ("orders", "before")),
)
#: A fault comes at one of so many passes of its point, and again at every so many further ones.
EVERY = 4
GOAL = f"books equal to the exchange's and to an undisturbed run's after each of {FAULTS} faults; 0 lost, 0 doubled"


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` commits 21 faults."""
    told = disturbed(QUICK_FAULTS if quick else FAULTS)
    return {
        "id": "live_faults",
        "what": f"{told['faults']} faults of the network, in {told['accounts']} accounts",
        "ours": told,
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": GOAL,
        "holds": told["faults"] >= FAULTS and told["differing_books"] == 0,
        "command": "make bench ONLY=live_faults",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def disturbed(least: int) -> dict[str, Any]:
    """Commit at least ``least`` faults and every kind, one kind an account, each time from another pass of its point.

    Raises
    ------
    AssertionError
        When an account does not end in the books of an undisturbed one, or a fault was never committed.
    """
    context, since = forking(), time.perf_counter()
    with world(0) as one:
        assert live(context, one, Plan()) == 0
        expected = books(one)
    committed: Counter[str] = Counter()
    accounts = checks = 0
    while sum(committed.values()) < least or accounts < len(_KINDS):
        kind, seconds, point = _KINDS[accounts % len(_KINDS)]
        nth = 1 if point[0] == "orders" else 1 + accounts // len(_KINDS) % EVERY
        with world(0) as one:
            assert live(context, one, Plan(point, nth, EVERY, kind, seconds)) == 0
            committed.update(_committed(one.said))
            assert books(one) == expected, f"after {kind} at pass {nth} of {point} the books differ"
            accounts, checks = accounts + 1, checks + one.checks
        if accounts % 10 == 0:
            sys.stderr.write(f"live_faults: {sum(committed.values())} of {least} faults\n")
    return {
        "faults": sum(committed.values()),
        "by_kind": dict(sorted(committed.items())),
        "accounts": accounts,
        "books_held_against_the_exchange": checks,
        "differing_books": 0,
        "wall_s": round(time.perf_counter() - since, 1),
        "cpu_s": round(family_cpu_s(), 1),
    }


def _committed(said: Any) -> Counter[str]:
    lines = [json.loads(line) for line in said.read_text().splitlines()]
    return Counter(f"{one['fault']} {' '.join(reversed(one['point']))}" for one in lines if "fault" in one)
