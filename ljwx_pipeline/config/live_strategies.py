"""The sections ``[live.strategies.NAME]``: who trades the account, with what share of its capital.

Not here: what a name, a share or an override may be together (``live/sleeves/strategies.py``).
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ljwx_pipeline.config.section import Section


class LiveStrategySettings(Section):
    """One strategy of several on one account; ``strategy`` overrides keys of ``[strategy]`` for it alone.

    An empty ``model`` is the market's registered model, an empty ``universe`` what ``[universe]`` says.
    """

    model: str
    universe: str
    capital_share_frac: float = Field(gt=0, le=1)
    schedule: str
    paused: bool
    strategy: dict[str, Any] = Field(default_factory=dict)
