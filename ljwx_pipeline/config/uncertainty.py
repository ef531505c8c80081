"""The section on prediction intervals: how they learn, and from which width on a name is not bought.

Not here: the intervals themselves (``ljwx_pipeline.uncertainty``).
"""

from __future__ import annotations

from pydantic import Field, model_validator

from ljwx_pipeline.config.section import Section

#: More sessions than any market has had.
MOST_SESSIONS = 100_000


class UncertaintySettings(Section):
    """Prediction intervals of scores' outcomes, and the limits beyond which a name is abstained from; 0: no limit.

    Widths, losses and the floor are fractions of return: the first two over the label's horizon, the floor a session.
    """

    enabled: bool
    coverage: float = Field(gt=0, lt=1)
    half_life_sessions: float = Field(gt=0, le=MOST_SESSIONS)
    least_sessions: int = Field(ge=1, le=MOST_SESSIONS)
    step: float = Field(ge=0, le=1)
    group_step: float = Field(ge=0, le=1)
    group_prior_rows: float = Field(ge=0, le=MOST_SESSIONS)
    min_daily_volatility_frac: float = Field(gt=0, le=1)
    least_returns: int = Field(ge=1, le=MOST_SESSIONS)
    max_width_frac: float = Field(ge=0)
    max_loss_frac: float = Field(ge=0)

    @property
    def abstains(self) -> bool:
        """Whether a name may be too unsure to be bought."""
        return self.max_width_frac > 0 or self.max_loss_frac > 0

    @model_validator(mode="after")
    def _limits_need_intervals(self) -> UncertaintySettings:
        if self.abstains and not self.enabled:
            msg = (
                f"uncertainty.max_width_frac = {self.max_width_frac:g} and uncertainty.max_loss_frac = "
                f"{self.max_loss_frac:g} judge intervals, and uncertainty.enabled = false makes none: nothing would "
                "be bought; write enabled = true, or both limits 0"
            )
            raise ValueError(msg)
        return self
