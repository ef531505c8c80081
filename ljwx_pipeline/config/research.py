"""The sections on research: factors, who is scored, label, model, folds, strategy, its costs and the gate.

Not here: the dated exchange rules (``market/rulebook.py``).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from ljwx_pipeline.config.ensemble import EnsembleSettings
from ljwx_pipeline.config.section import Section

#: Years that may be tested first.
FIRST_YEAR, LAST_YEAR = 1990, 2100
#: More test folds than anybody waits for; and fewer sessions than any model learns from.
MOST_FOLDS, LEAST_TRAIN_SESSIONS = 1_000, 60
#: What no market reaches: kernels hold these as 64-bit integers and multiply them.
MOST_SESSIONS, MOST_NAMES = 100_000, 100_000
#: Equity in fen times basis points fits 64 bits up to ninety times this capital.
MOST_CAPITAL_CNY, MOST_COMMISSION_MIN_CNY = 1e11, 1e6
#: A shorter half-life is a weight that rounds to nothing.
LEAST_HALF_LIFE_SESSIONS = 0.1


def half_life_or_none(value: float) -> float:
    """Return ``value``, which is 0 or long enough to be a half-life."""
    if 0 < value < LEAST_HALF_LIFE_SESSIONS:
        msg = f"write 0 for equal weights, or at least {LEAST_HALF_LIFE_SESSIONS}"
        raise ValueError(msg)
    return value


class FactorSettings(Section):
    """What models are made of: a catalogue's name (``ljwx factors list``), or a FILE.py of your own, which is run."""

    catalogue: str = Field(min_length=1)


class UniverseSettings(Section):
    """Who may be scored on a session; with ``index``, only its members of that session."""

    index: str
    min_listed_sessions: int = Field(ge=0, le=MOST_SESSIONS)
    exclude_st: bool
    min_mean_amount_cny: float = Field(ge=0)
    mean_amount_window_sessions: int = Field(ge=1, le=MOST_SESSIONS)


class LabelSettings(Section):
    """Adjusted close[t + entry_lag + horizon] / adjusted close[t + entry_lag] - 1."""

    entry_lag_sessions: int = Field(ge=1, le=5)
    horizon_sessions: int = Field(ge=1, le=60)


class ModelSettings(Section):
    """What kind of model learns what from which rows; the tuned parameters are in ``tune``.

    ``rank_objective`` and ``rank_top_names`` are read by the kind ``rank`` alone, ``ridge_penalty`` by ``linear``,
    ``min_group_rows`` where ``group_by`` names a group. A half-life or weight of 0 is none.
    """

    kind: Literal["regression", "rank", "quantile", "linear", "xgboost"]
    label_transform: Literal["rank", "zscore", "gauss"]
    group_by: Literal["none", "industry", "size"]
    min_group_rows: int = Field(ge=1)
    recency_half_life_sessions: float = Field(ge=0, le=MOST_SESSIONS)
    liquidity_weight: float = Field(ge=0, le=1)
    rank_objective: Literal["lambdarank", "rank_xendcg"]
    rank_top_names: int = Field(ge=1, le=MOST_NAMES)
    ridge_penalty: float = Field(gt=0, le=1e6)
    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    max_rounds: int = Field(ge=1)
    early_stopping_rounds: int = Field(ge=1)
    early_stopping_tail_sessions: int = Field(ge=20)
    refit_on_tail: bool
    max_bin: int = Field(ge=15, le=255)
    ensemble: EnsembleSettings

    @field_validator("recency_half_life_sessions")
    @classmethod
    def _a_half_life_or_none(cls, value: float) -> float:
        return half_life_or_none(value)

    @model_validator(mode="after")
    def _groups_share_a_scale(self) -> ModelSettings:
        if self.kind == "rank" and self.group_by != "none":
            msg = (
                f'scores of model.kind = "rank" have no unit, so those of one {self.group_by} do not compare with '
                'those of another: write group_by = "none", or another kind'
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _an_ensemble_of_this_kind(self) -> ModelSettings:
        ensemble, msg = self.ensemble, ""
        if ensemble.kind == "seed_bagging" and self.kind == "linear":
            msg = 'model.kind = "linear" draws nothing, so that every seed gives the same model: bag another kind'
        elif ensemble.kind == "stacking" and self.kind == "quantile":
            msg = (
                'model.kind = "quantile" has a band, which stacking would drop: write kind = "regression" '
                "(the members' kinds are model.ensemble.bases), or another ensemble"
            )
        elif ensemble.kind == "stacking" and self.group_by != "none" and "rank" in ensemble.bases:
            msg = (
                f'"rank" among model.ensemble.bases has scores without a unit, so those of one {self.group_by} do not '
                'compare with those of another: write group_by = "none", or other bases'
            )
        elif ensemble.kind == "double_ensemble" and (self.kind, self.group_by) != ("regression", "none"):
            msg = (
                f'model.ensemble.kind = "double_ensemble" weighs rows by their squared errors in one model for all: '
                f'write kind = "regression" and group_by = "none", not "{self.kind}" and "{self.group_by}"'
            )
        if msg:
            raise ValueError(msg)
        return self

    @property
    def fitted_kinds(self) -> tuple[str, ...]:
        """The kinds that are fitted: ``kind``, or the bases of a stack in its place."""
        return self.ensemble.bases if self.ensemble.kind == "stacking" else (self.kind,)


#: What a study may raise or lower, and the way it is wanted.
OBJECTIVES: dict[str, Literal["maximize", "minimize"]] = {"rank_ic": "maximize", "turnover": "minimize"}
MOST_TUNE_WORKERS = 256


class TuneSettings(Section):
    """The study of hyperparameters: how many trials, on what, how proposed, when given up and where kept.

    ``storage`` may hold a password, so wherever settings are recorded it is a row of stars.
    """

    trials: int = Field(ge=1)
    inner_folds: int = Field(ge=1, le=10)
    rounds: int = Field(ge=1)
    seed: int = Field(ge=0)
    sampler: Literal["tpe", "grid"]
    objectives: tuple[Literal["rank_ic", "turnover"], ...]
    pareto_rank_ic_frac: float = Field(ge=0, le=1)
    batch: int = Field(ge=1, le=MOST_TUNE_WORKERS)
    workers: int = Field(ge=1, le=MOST_TUNE_WORKERS)
    pruning_percentile: float = Field(ge=0, lt=100)
    pruning_warmup_trials: int = Field(ge=1)
    pruning_warmup_folds: int = Field(ge=1)
    warm_start: bool
    study: str = Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]{0,63})?$")
    storage: SecretStr

    @field_validator("objectives")
    @classmethod
    def _rank_ic_alone_or_with_turnover(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value not in (("rank_ic",), ("rank_ic", "turnover")):
            msg = 'write ["rank_ic"] or ["rank_ic", "turnover"]'
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> TuneSettings:
        if self.workers > self.batch:
            msg = (
                f"tune.workers = {self.workers} cannot all work on a batch of tune.batch = {self.batch} proposals: "
                "raise the batch, which makes it another study, or take fewer workers"
            )
            raise ValueError(msg)
        if self.pruning_percentile and len(self.objectives) > 1:
            msg = (
                f"tune.pruning_percentile = {self.pruning_percentile:g} needs one objective, and tune.objectives names "
                f"{len(self.objectives)}: a trial behind on one of two may still be on the front; write 0"
            )
            raise ValueError(msg)
        if self.warm_start and self.sampler == "grid":
            msg = "tune.warm_start = true proposes off the grid of tune.sampler = 'grid': switch one of them off"
            raise ValueError(msg)
        return self


class WalkForwardSettings(Section):
    """Outer test folds, each trained on what came before it less the purge that the label demands and an embargo.

    ``first_test_year`` may be ``auto``: ``dataset.folds.first_test_year`` then takes it from the data. ``workers``
    decides the time it takes and nothing else.
    """

    first_test_year: int | Literal["auto"]
    folds: int | Literal["year"]
    test_sessions: int = Field(ge=0, le=MOST_SESSIONS)
    scheme: Literal["expanding", "rolling"]
    train_sessions: int = Field(ge=0, le=MOST_SESSIONS)
    embargo_sessions: int = Field(ge=0)
    min_train_sessions: int = Field(ge=60)
    workers: int = Field(ge=1, le=MOST_FOLDS)

    @field_validator("first_test_year", mode="before")
    @classmethod
    def _a_year_or_auto(cls, value: object) -> object:
        if value != "auto" and not (isinstance(value, int) and FIRST_YEAR <= value <= LAST_YEAR):
            msg = f"write auto, or a year from {FIRST_YEAR} to {LAST_YEAR}"
            raise ValueError(msg)
        return value

    @field_validator("folds", mode="before")
    @classmethod
    def _a_number_or_year(cls, value: object) -> object:
        if value != "year" and not (type(value) is int and 1 <= value <= MOST_FOLDS):
            msg = f"write year, or a number from 1 to {MOST_FOLDS}"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _one_length_and_one_window(self) -> WalkForwardSettings:
        if self.test_sessions and self.folds != "year":
            msg = (
                f"walk_forward.folds = {self.folds} and walk_forward.test_sessions = {self.test_sessions} both say how "
                "long a test fold is: leave folds at year, or test_sessions at 0"
            )
            raise ValueError(msg)
        if self.scheme == "rolling" and self.train_sessions < LEAST_TRAIN_SESSIONS:
            msg = (
                f"walk_forward.scheme = rolling trains on the last walk_forward.train_sessions = {self.train_sessions}:"
                f" write at least {LEAST_TRAIN_SESSIONS}"
            )
            raise ValueError(msg)
        if self.scheme == "expanding" and self.train_sessions:
            msg = (
                f"walk_forward.train_sessions = {self.train_sessions} is read by walk_forward.scheme = rolling alone: "
                "write 0, or choose rolling"
            )
            raise ValueError(msg)
        return self


class SizingSettings(Section):
    """Money management: which share of the equity less reserve is invested; rules in ``trading/sizing.py``."""

    kind: Literal["none", "fixed_fraction", "volatility_target", "kelly"]
    fraction: float = Field(gt=0, le=1)
    target_annual_volatility: float = Field(gt=0, le=2)
    kelly_fraction: float = Field(gt=0, le=1)
    window_sessions: int = Field(ge=10, le=MOST_SESSIONS)
    half_life_sessions: float = Field(ge=0, le=MOST_SESSIONS)
    min_exposure_frac: float = Field(ge=0, le=1)

    @field_validator("half_life_sessions")
    @classmethod
    def _a_half_life_or_none(cls, value: float) -> float:
        return half_life_or_none(value)


class ExitSettings(Section):
    """What forces a held name out whatever its score; 0 switches a rule off; rules in ``trading/exits.py``."""

    stop_loss_frac: float = Field(ge=0, lt=1)
    take_profit_frac: float = Field(ge=0, le=100)
    trailing_stop_frac: float = Field(ge=0, lt=1)
    max_hold_sessions: int = Field(ge=0, le=MOST_SESSIONS)


#: Strategies whose orders an account can send; the others are calculations for research.
TRADABLE_STRATEGIES = ("topk_dropout", "score_weighted")


class StrategySettings(Section):
    """Which portfolio the scores become: ``top_k`` names of equal weight, or weighted by score; or long-short.

    Of ``n_drop`` and ``max_weight_frac`` each strategy reads its own; no account can short A-shares, so that
    ``long_short`` makes no orders and is never promoted.
    """

    kind: Literal["topk_dropout", "score_weighted", "long_short"]
    top_k: int = Field(ge=1, le=MOST_NAMES)
    n_drop: int = Field(ge=1, le=MOST_NAMES)
    max_weight_frac: float = Field(gt=0, le=1)
    rebalance_band_frac: float = Field(ge=0, lt=1)
    min_hold_sessions: int = Field(ge=1, le=MOST_SESSIONS)
    capital_cny: float = Field(gt=0, le=MOST_CAPITAL_CNY)
    cash_reserve_frac: float = Field(ge=0, lt=1)
    sizing: SizingSettings
    exits: ExitSettings

    @model_validator(mode="after")
    def _exits_leave_time_to_hold(self) -> StrategySettings:
        limit = self.exits.max_hold_sessions
        if 0 < limit < self.min_hold_sessions:
            msg = (
                f"strategy.exits.max_hold_sessions = {limit} is below strategy.min_hold_sessions = "
                f"{self.min_hold_sessions}: no position could keep both"
            )
            raise ValueError(msg)
        return self

    @property
    def tradable(self) -> bool:
        """Whether an account can trade it: a condition of promotion and of the runner."""
        return self.kind in TRADABLE_STRATEGIES

    @property
    def largest_weight_frac(self) -> float:
        """Largest share of the equity that a purchase may bring a name to."""
        weight = self.max_weight_frac if self.kind == "score_weighted" else 1 / self.top_k
        return (1 - self.cash_reserve_frac) * weight


class CostSettings(Section):
    """At what price orders fill, and what a broker and the market charge beyond the statutory fees of the rulebook.

    ``limit_offset_bps`` is read by ``fill = "bar_path"`` alone: how far from the session's reference price the limit of
    an order stands.
    """

    fill: Literal["close", "open", "vwap", "bar_path"]
    limit_offset_bps: float = Field(ge=0, le=10_000)
    commission_frac: float = Field(ge=0, le=0.01)
    commission_min_cny: float = Field(ge=0, le=MOST_COMMISSION_MIN_CNY)
    slippage_bps: float = Field(ge=0, le=200)
    impact_coefficient: float = Field(ge=0, le=10)
    max_participation_frac: float = Field(gt=0, le=1)
    charge_statutory_fees: bool


class EvaluationSettings(Section):
    """Indices every result is compared with; each must cover every tested session."""

    indices: tuple[str, ...] = Field(min_length=1)


class ResearchSettings(Section):
    """Sessions at the end of the data that research never sees: the runner replays them as live."""

    held_out_sessions: int = Field(ge=5)
