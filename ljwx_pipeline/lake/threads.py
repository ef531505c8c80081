"""Doing a few things at a time: decoding, hashing and waiting for the disk all run outside the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def in_threads(task: Callable[[Given], Made], items: Sequence[Given], threads: int) -> list[Made]:
    """Return ``task`` of every item, in order; every task has ended when the first fault is raised."""
    if len(items) < 2:
        return [task(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(task, items))
