"""The sections on what stops trading by itself: breakers, and stops judged on ticks.

Not here: the limits a single order must pass (``RiskSettings`` in ``operation.py``), exits judged at the close
(``ExitSettings`` in ``research.py``).
"""

from __future__ import annotations

from pydantic import Field

from ljwx_pipeline.config.section import Section


class BreakerSettings(Section):
    """When trading stops by itself; what each number stops and what resets it: ``trading/breakers.py``.

    0 switches off the breakers whose bound allows it; all others are always on.
    """

    max_tick_jump_frac: float = Field(gt=0, le=1)
    jump_window_s: float = Field(gt=0, le=3600)
    jump_confirmations: int = Field(ge=1, le=1000)
    max_losing_trades: int = Field(ge=0)
    max_day_drawdown_frac: float = Field(gt=0, le=1)
    max_day_loss_cny: float = Field(gt=0)
    max_failures: int = Field(ge=1)
    max_feed_silence_s: float = Field(gt=0)
    max_features_age_sessions: int = Field(ge=0)
    max_clock_skew_s: float = Field(gt=0)
    recovery_s: float = Field(ge=0)


class StopSettings(Section):
    """Whether the exits of ``[strategy.exits]`` are judged on ticks too, and how such an order is sent."""

    on_ticks: bool
    limit_offset_bps: float = Field(ge=0, le=1000)
    retry_s: float = Field(gt=0)
