"""The section on contests of a champion and its challengers on live sessions.

Not here: the test and the rules themselves (``contest/``, ``monitoring/sequential.py``).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ljwx_pipeline.config.section import Section


class ContestSettings(Section):
    """What a contest is recorded with before its first session; a later change touches later contests alone."""

    alpha: float = Field(gt=0, le=0.5)
    bound_deviations: float = Field(ge=1, le=20)
    min_sessions: int = Field(ge=1, le=100_000)
    canary_capital_frac: float = Field(gt=0, lt=1)
    max_canary_frac: float = Field(gt=0, lt=1)
    max_behind_frac: float = Field(gt=0, lt=1)
    on_breach: Literal["demote", "report"]

    @model_validator(mode="after")
    def _one_canary_fits(self) -> ContestSettings:
        if self.canary_capital_frac > self.max_canary_frac:
            msg = (
                f"contest.canary_capital_frac = {self.canary_capital_frac} is above contest.max_canary_frac = "
                f"{self.max_canary_frac}: no canary could ever start"
            )
            raise ValueError(msg)
        return self
