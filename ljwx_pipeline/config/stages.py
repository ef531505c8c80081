"""The section on how a pushed model comes to trade: shadow, canary, champion, and what takes it back.

Not here: the rules themselves (``live/stages.py``), contests that are judged by the daily job (``contest.py``).
"""

from __future__ import annotations

from pydantic import Field

from ljwx_pipeline.config.section import Section
from ljwx_pipeline.units import BPS


class StageSettings(Section):
    """What a bundle must show before it trades, and while it does. With 0 sessions of both it is champion at once."""

    shadow_sessions: int = Field(ge=0)
    canary_sessions: int = Field(ge=0)
    canary_share_frac: float = Field(ge=0.0001, le=0.9999)
    smoke_sessions: int = Field(ge=1, le=60)
    max_latency_s: float = Field(gt=0)
    max_unscored_frac: float = Field(ge=0, lt=1)
    min_rank_correlation: float = Field(ge=-1, lt=1)
    alpha: float = Field(gt=0, le=0.5)
    rank_ic_bound: float = Field(gt=0, le=2)

    @property
    def canary_share_bps(self) -> int:
        """A canary's part of its strategy's capital, 1/10,000."""
        return round(self.canary_share_frac * BPS)
