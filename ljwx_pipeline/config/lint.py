"""The section on the result lint: from where on a backtest is not believed."""

from __future__ import annotations

from pydantic import Field

from ljwx_pipeline.config.section import Section


class LintSettings(Section):
    """Thresholds of ``evaluation/lint.py``; a finding lies beyond its threshold, never on it."""

    max_fills_at_limit_frac: float = Field(ge=0, le=1)
    min_closed_trades: int = Field(ge=0)
    min_months: int = Field(ge=0)
    max_name_profit_frac: float = Field(gt=0)
    max_name_weight_frac: float = Field(gt=0, le=1)
    max_sharpe: float = Field(gt=0)
    max_rank_ic: float = Field(gt=0, le=1)
    min_judged_rank_ic: float = Field(gt=0, le=1)
    min_delayed_frac: float = Field(ge=0, le=1)
    max_before_entry_rank_ic: float = Field(gt=0, le=1)
    max_before_entry_ratio: float = Field(ge=0)
    max_same_session_rank_ic: float = Field(gt=0, le=1)
    stale_after_sessions: int = Field(ge=1, le=100_000)
    max_stale_value_frac: float = Field(ge=0, le=1)
    max_cliff_frac: float = Field(ge=0)
    max_turnover: float = Field(gt=0)
    max_cash_frac: float = Field(ge=0, le=1)
    max_benchmark_gap: float = Field(ge=0)
