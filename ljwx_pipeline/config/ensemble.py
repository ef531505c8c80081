"""The section on ensembles: several fits that make one model.

Not here: how they are fitted and combined (``models/ensemble.py`` and its neighbours).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ljwx_pipeline.config.section import Section

#: A horizon beyond a quarter is another strategy.
MOST_HORIZON_SESSIONS = 60
MOST_MEMBERS = 50


class DoubleEnsembleSettings(Section):
    """The constants of Zhang, Li, Chen and Xu (2020), arXiv 2010.01265; formulas in ``models/ensemble_double.py``.

    ``feature_fracs`` are the shares of features kept of each bin of g-values, from the most useful down.
    """

    alpha1: float = Field(ge=0, le=100)
    alpha2: float = Field(ge=0, le=100)
    sample_bins: int = Field(ge=1, le=1000)
    decay: float = Field(gt=0, le=1)
    feature_fracs: tuple[float, ...] = Field(min_length=1)
    shuffle_rows: int = Field(ge=100)

    @model_validator(mode="after")
    def _shares_that_keep_something(self) -> DoubleEnsembleSettings:
        if not all(0 <= frac <= 1 for frac in self.feature_fracs) or not self.feature_fracs[0] > 0:
            msg = (
                f"model.ensemble.double.feature_fracs = {list(self.feature_fracs)} are shares of features: each from 0 "
                "to 1, the first above 0"
            )
            raise ValueError(msg)
        return self


class EnsembleSettings(Section):
    """Which ensemble is fitted, if any; each kind reads its own keys, as ``ljwx.toml`` says."""

    kind: Literal["none", "seed_bagging", "horizon_blend", "stacking", "double_ensemble"]
    members: int = Field(ge=2, le=MOST_MEMBERS)
    horizons: tuple[int, ...]
    bases: tuple[Literal["regression", "rank", "linear", "xgboost"], ...]
    inner_folds: int = Field(ge=1, le=10)
    weights: tuple[float, ...]
    double: DoubleEnsembleSettings

    @model_validator(mode="after")
    def _members_that_differ(self) -> EnsembleSettings:
        for key, kind, named in (("horizons", "horizon_blend", self.horizons), ("bases", "stacking", self.bases)):
            if self.kind == kind and (len(named) < 2 or len(set(named)) < len(named)):
                msg = f"model.ensemble.{key} = {list(named)}: {kind} needs at least two, each of them once"
                raise ValueError(msg)
        if not all(1 <= horizon <= MOST_HORIZON_SESSIONS for horizon in self.horizons):
            msg = f"model.ensemble.horizons = {list(self.horizons)}: hold 1 to {MOST_HORIZON_SESSIONS} sessions"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _a_weight_for_each_member(self) -> EnsembleSettings:
        wanted = {"horizon_blend": len(self.horizons), "double_ensemble": self.members}.get(self.kind)
        if wanted is None or not self.weights:
            return self
        if len(self.weights) != wanted:
            msg = (
                f"model.ensemble.weights has {len(self.weights)} entries for {wanted} members of {self.kind}: give one "
                "each, or [] for equal weights"
            )
            raise ValueError(msg)
        if min(self.weights) < 0 or sum(self.weights) <= 0:
            msg = f"model.ensemble.weights = {list(self.weights)} must be 0 or more, and not all 0"
            raise ValueError(msg)
        if self.kind == "double_ensemble" and self.weights[0] == 0:
            msg = (
                f"model.ensemble.weights = {list(self.weights)}: the first sub-model needs a weight above 0, since "
                "rows are weighed by what the ensemble so far says"
            )
            raise ValueError(msg)
        return self

    @property
    def label_horizons(self) -> tuple[int, ...]:
        """Sessions held of every label that is learned beside ``label.horizon_sessions``'; empty but for a blend."""
        return self.horizons if self.kind == "horizon_blend" else ()
