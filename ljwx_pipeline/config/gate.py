"""Section ``[gate]``: what a model must show before it trades. Not here: the checks (``promotion/checks.py``)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ljwx_pipeline.config.section import Section

#: Checks that may be left out; the others always hold.
LeftOut = Literal["leak_checks", "overfitting", "turnover", "capacity", "drift", "calibration", "champion"]


class GateSettings(Section):
    """Thresholds a model must clear.

    ``profile`` says what the KPI figures are of: ``cross_section`` monthly net excess returns over ``benchmark``;
    ``trend`` and ``reversion`` take win rate and profit factor of closed trades.
    """

    profile: Literal["cross_section", "trend", "reversion"]
    benchmark: str
    left_out: tuple[LeftOut, ...]
    rank_ic_confidence: float = Field(gt=0.5, lt=1)
    min_rank_ic_lower: float
    min_net_excess_annual_return: float
    min_deflated_sharpe_probability: float = Field(ge=0, le=1)
    max_pbo_frac: float = Field(ge=0, le=1)
    max_loss_frac: float = Field(ge=0, le=1)
    max_reality_check_p: float = Field(ge=0, le=1)
    kpi_enabled: bool
    min_sharpe: float
    max_drawdown_frac: float = Field(gt=0, le=1)
    min_win_rate_frac: float = Field(ge=0, le=1)
    reversion_min_win_rate_frac: float = Field(ge=0, le=1)
    min_profit_factor: float = Field(ge=0)
    min_months: int = Field(ge=1)
    max_turnover: float = Field(gt=0)
    min_capacity_frac: float = Field(gt=0)
    max_drift_ratio: float = Field(gt=0)
    min_champion_probability: float = Field(ge=0, le=1)
