"""Time comes through one seam, always aware and in UTC."""

from __future__ import annotations

import ast
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ljwx_pipeline.clock import SHANGHAI, ManualClock, SystemClock, utc_now

PACKAGE = Path(__file__).resolve().parent.parent / "ljwx_pipeline"


def test_the_system_clock_is_aware_and_its_monotonic_time_does_not_fall() -> None:
    clock = SystemClock()
    before = clock.monotonic_s()
    assert clock.now().tzinfo == UTC
    assert abs(utc_now() - clock.now()) < timedelta(seconds=5)
    assert clock.monotonic_s() >= before


def test_a_manual_clock_moves_only_when_told_and_backwards_too() -> None:
    start = datetime(2024, 1, 2, 9, 30, tzinfo=SHANGHAI)
    clock = ManualClock(start)
    assert clock.now() == start
    assert clock.now().tzinfo == UTC
    assert clock.monotonic_s() == 0.0
    clock.set(start + timedelta(seconds=90))
    assert clock.monotonic_s() == 90.0
    clock.set(start - timedelta(seconds=1))
    assert clock.now() == start - timedelta(seconds=1)


def test_nothing_else_in_the_package_reads_the_clock() -> None:
    readers = {"now", "utcnow", "today", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "perf_counter_ns"}
    owners = {"datetime", "date", "time", "Timestamp"}
    found = []
    for path in PACKAGE.rglob("*.py"):
        if path.name == "clock.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            clock_like = node.func.attr in readers or (name == "time" and node.func.attr == "time")
            if name in owners and clock_like:
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert found == []
