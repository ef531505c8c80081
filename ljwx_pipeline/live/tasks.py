"""Tasks that stand and fall together. Not here: what they do (``process.py``, ``following.py``)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def first_of(*work: Awaitable[None]) -> None:
    """Run all of ``work`` until the first is done or fails; the others are cancelled and waited for."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for result in ended:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result
