"""The sections on research: factors, who is scored, label, model, folds, strategy, its costs and the gate.

Not here: the dated exchange rules (``market/rulebook.py``).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from ljwx_pipeline.config.section import Section

#: Years that may be tested first.
FIRST_YEAR, LAST_YEAR = 1990, 2100


class FactorSettings(Section):
    """What models are made of: a catalogue's name (``ljwx factors list``), or a FILE.py of your own, which is run."""

    catalogue: str = Field(min_length=1)


class UniverseSettings(Section):
    """Who may be scored on a session; with ``index``, only its members of that session."""

    index: str
    min_listed_sessions: int = Field(ge=0)
    exclude_st: bool
    min_mean_amount_cny: float = Field(ge=0)
    mean_amount_window_sessions: int = Field(ge=1)


class LabelSettings(Section):
    """Adjusted close[t + entry_lag + horizon] / adjusted close[t + entry_lag] - 1."""

    entry_lag_sessions: int = Field(ge=1, le=5)
    horizon_sessions: int = Field(ge=1, le=60)


class ModelSettings(Section):
    """LightGBM's fixed parameters; the tuned ones are in ``tune``."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    max_rounds: int = Field(ge=1)
    early_stopping_rounds: int = Field(ge=1)
    early_stopping_tail_sessions: int = Field(ge=20)
    refit_on_tail: bool
    max_bin: int = Field(ge=15, le=255)


class TuneSettings(Section):
    """The Optuna study: trials, inner purged folds, and rounds per trial."""

    trials: int = Field(ge=1)
    inner_folds: int = Field(ge=1, le=10)
    rounds: int = Field(ge=1)
    seed: int = Field(ge=0)


class WalkForwardSettings(Section):
    """Outer test folds: one a calendar year, training window expanding, purge from the label plus an embargo.

    ``first_test_year`` may be ``auto``: ``dataset.folds.first_test_year`` then takes it from the data.
    """

    first_test_year: int | Literal["auto"]
    embargo_sessions: int = Field(ge=0)
    min_train_sessions: int = Field(ge=60)

    @field_validator("first_test_year", mode="before")
    @classmethod
    def _a_year_or_auto(cls, value: object) -> object:
        if value != "auto" and not (isinstance(value, int) and FIRST_YEAR <= value <= LAST_YEAR):
            msg = f"write auto, or a year from {FIRST_YEAR} to {LAST_YEAR}"
            raise ValueError(msg)
        return value


class StrategySettings(Section):
    """TopkDropout: hold the ``top_k`` best, replace at most ``n_drop`` a session."""

    top_k: int = Field(ge=1)
    n_drop: int = Field(ge=1)
    min_hold_sessions: int = Field(ge=1)
    capital_cny: float = Field(gt=0)
    cash_reserve_frac: float = Field(ge=0, lt=1)


class CostSettings(Section):
    """At what price orders fill, and what a broker and the market charge beyond the statutory fees of the rulebook.

    ``limit_offset_bps`` is read by ``fill = "bar_path"`` alone: how far from the session's reference price the limit of
    an order stands.
    """

    fill: Literal["close", "open", "vwap", "bar_path"]
    limit_offset_bps: float = Field(ge=0, le=10_000)
    commission_frac: float = Field(ge=0, le=0.01)
    commission_min_cny: float = Field(ge=0)
    slippage_bps: float = Field(ge=0, le=200)
    impact_coefficient: float = Field(ge=0, le=10)
    max_participation_frac: float = Field(gt=0, le=1)
    charge_statutory_fees: bool


class EvaluationSettings(Section):
    """Indices every result is compared with; each must cover every tested session."""

    indices: tuple[str, ...] = Field(min_length=1)


class GateSettings(Section):
    """Thresholds a model must clear; KPI figures are on monthly net excess returns over ``benchmark``."""

    benchmark: str
    rank_ic_confidence: float = Field(gt=0.5, lt=1)
    min_rank_ic_lower: float
    min_net_excess_annual_return: float
    min_deflated_sharpe_probability: float = Field(ge=0, le=1)
    kpi_enabled: bool
    min_sharpe: float
    max_drawdown_frac: float = Field(gt=0, le=1)
    min_win_rate_frac: float = Field(ge=0, le=1)
    min_profit_factor: float = Field(ge=0)
    min_months: int = Field(ge=1)


class ResearchSettings(Section):
    """Sessions at the end of the data that research never sees: the runner replays them as live."""

    held_out_sessions: int = Field(ge=5)
