"""live_crash: a runner killed again and again at named points loses no order and sends none twice.

Every account is one world of ``lives.py``: the runner is killed (SIGKILL) in one life after the other, each time at the
point that was hit least so far, until the pack is traded to its end. After every kill the next life has to find its
orders, fills, cash and positions equal to the exchange's own before it goes on; at the end the books have to equal, row
by row, those of a runner that nothing happened to.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from benchmarks.clocked import family_cpu_s
from benchmarks.lives import Plan, Point, books, forking, live, points_passed, world

KILLS, QUICK_KILLS, SEED = 500, 60, 11
KILLED = -9
GOAL = f"order state equal to the exchange's after each of at least {KILLS} kills at every point; 0 lost, 0 doubled"


def run(quick: bool = False) -> dict[str, Any]:
    """Return the result entry; ``quick`` kills 60 times."""
    told = killed(QUICK_KILLS if quick else KILLS)
    return {
        "id": "live_crash",
        "what": f"a runner killed {told['kills']} times at {told['points']} points, over {told['worlds']} accounts",
        "ours": told,
        "peer": None,
        "ratio": None,
        "ratio_goal": False,
        "goal": GOAL,
        "holds": told["kills"] >= KILLS and told["lost"] == told["doubled"] == 0 and not told["points_never_hit"],
        "command": "make bench ONLY=live_crash",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def killed(least: int, *, seeds: int = 2) -> dict[str, Any]:
    """Kill at least ``least`` times, over markets of ``seeds`` seeds in turn, and at every point at least once.

    Raises
    ------
    AssertionError
        When a life does not agree with the exchange, or ends in other books than an undisturbed one.
    """
    context, rng, since = forking(), random.Random(SEED), time.perf_counter()
    hit: Counter[Point] = Counter()
    worlds = checks = orders = 0
    undisturbed: dict[int, tuple[dict[str, Any], list[Point]]] = {}
    while sum(hit.values()) < least or _never_hit(undisturbed, hit):
        seed = worlds % seeds
        if seed not in undisturbed:
            undisturbed[seed] = _undisturbed(context, seed)
        expected, points = undisturbed[seed]
        with world(seed) as one:
            while True:
                point = min(points, key=lambda point: (hit[point], rng.random()))
                ended = live(context, one, Plan(point, nth=rng.choice((1, 1, 1, 2, 3))))
                if ended == 0:
                    break
                assert ended == KILLED, f"a life that was to be killed at {point} ended with {ended}"
                hit[point] += 1
                _tell(sum(hit.values()), least, since)
            found = books(one)
            lost, doubled = _compared(expected, found)
            assert found == expected, f"the books of seed {seed} after {one.lives} lives are not those of one life"
            worlds, checks, orders = worlds + 1, checks + one.checks, orders + len(found["orders"])
    return {
        "kills": sum(hit.values()),
        "points": len(hit),
        "points_never_hit": _never_hit(undisturbed, hit),
        "kills_by_point": {f"{side} {name}": count for (name, side), count in sorted(hit.items())},
        "worlds": worlds,
        "orders": orders,
        "books_held_against_the_exchange": checks,
        "lost": lost,
        "doubled": doubled,
        "wall_s": round(time.perf_counter() - since, 1),
        "cpu_s": round(family_cpu_s(), 1),
    }


def _undisturbed(context: Any, seed: int) -> tuple[dict[str, Any], list[Point]]:
    with world(seed) as one:
        assert live(context, one, Plan()) == 0
        return books(one), sorted(points_passed(one))


def _never_hit(undisturbed: dict[int, tuple[dict[str, Any], list[Point]]], hit: Counter[Point]) -> list[str]:
    known = {point for _, points in undisturbed.values() for point in points}
    return sorted(f"{side} {name}" for name, side in known if not hit[name, side])


def _compared(expected: dict[str, Any], found: dict[str, Any]) -> tuple[int, int]:
    """Return how many orders and fills are missing, and how many are too many."""
    lost = doubled = 0
    for table in ("orders", "fills"):
        ours, theirs = Counter(found[table]), Counter(expected[table])
        lost += sum((theirs - ours).values())
        doubled += sum((ours - theirs).values())
    return lost, doubled


def _tell(done: int, of: int, since: float) -> None:
    if done % 10 == 0:
        left = (time.perf_counter() - since) / done * max(0, of - done)
        sys.stderr.write(f"live_crash: {done} of {of} kills, {left / 60:.0f} min left\n")
