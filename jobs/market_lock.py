"""The lock of a market's tables: a run of the line writes them, a comparison reads those of one run.

Not here: the lake's own locks (``ljwx_pipeline.lake``).
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from ljwx_pipeline.config import Settings, market_home
from ljwx_pipeline.lake.locking import exclusive

LOCK_TIMEOUT_S = 2.0


def one_writer(settings: Settings) -> AbstractContextManager[None]:
    """Hold the market's tables alone for the ``with`` block.

    Raises
    ------
    LakeError
        When another process still holds them after ``LOCK_TIMEOUT_S`` seconds.
    """
    return exclusive(market_home(settings) / "run.lock", timeout_s=LOCK_TIMEOUT_S)
