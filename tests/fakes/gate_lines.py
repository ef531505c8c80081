"""What stands in for a model at the gate where only the log is tested: a module that other processes load at once."""

from __future__ import annotations


def told_number(number: int) -> dict[str, int]:
    """Return a line that follows from the number."""
    return {"seed": 7 * number}


def never(number: int) -> dict[str, int]:
    """Fail: whoever calls it makes what the log holds."""
    raise AssertionError(number)
