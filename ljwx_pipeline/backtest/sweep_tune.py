"""Variants proposed one batch after the other by Optuna, instead of every combination of a grid.

Every proposal runs through the same call as a grid's, so it is kept, known again and counted in the same way. Not here:
tuning the model (``models/tune.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.backtest.sweep import Counts, Sweep, sweeping, swept
from ljwx_pipeline.backtest.sweep_input import SweepInput
from ljwx_pipeline.backtest.sweep_variants import Grid, Variant, make_variant, named_axes
from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import CostSettings, StrategySettings
from ljwx_pipeline.errors import ConfigError
from ljwx_pipeline.studies import Axis, Params, Place, Space, StudyPlan, opened_study
from ljwx_pipeline.trading.market_arrays import MarketArrays

#: Proposals made before their results are told: as many may run at once. Part of the study's name.
BATCH = 8
#: Proposals drawn at random before the sampler starts to learn.
_RANDOM_PROPOSALS = 16


def tune_strategy(
    market: MarketArrays,
    scores: NDArray[np.float64],
    grid: Grid,
    *,
    strategy: StrategySettings,
    costs: CostSettings,
    first: date,
    last: date,
    proposals: int,
    seed: int,
    sampler: Literal["tpe", "grid"] = "tpe",
    benchmark_returns: NDArray[np.float64] | None = None,
    may_buy: NDArray[np.int8] | None = None,
    executor: Executor | None = None,
    store: Path | None = None,
    trials: Counts | None = None,
    journal: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    clock: Clock | None = None,
) -> Sweep:
    """Return the variants that Optuna's TPE proposed out of ``grid`` to raise ``session_sharpe``, each once.

    Interrupted and resumed it proposes what it would have proposed (``studies/``).

    Parameters
    ----------
    grid
        The values each setting may take, by name, as ``expand_grid`` takes them; the order of numbers is learned from.
    proposals
        How many are made, those found in the journal among them; a repeated one is run once, so that fewer variants
        may come back.
    sampler
        ``grid`` runs the valid combinations in order instead, until there are ``proposals`` or no more.
    journal
        Optuna's journal; a study found there is resumed, a finished one only read. None: memory.
    market, scores, first, last, benchmark_returns, may_buy, executor, store, trials, progress, clock
        As ``run_sweep`` takes them.

    Raises
    ------
    ConfigError
        As ``expand_grid``, or when hardly a combination of the grid is valid.
    ModelError
        When the journal is damaged.
    EnvironmentFault
        When the journal cannot be read or written.
    LakeError
        As ``run_sweep``, or when another process works on the journal.
    """
    if proposals < 1:
        raise ConfigError(f"{proposals} proposals are none", "ask for at least one")
    axes = _Axes(named_axes(grid), strategy, costs)
    inputs = SweepInput(market, np.asfortranarray(scores), first, last, benchmark_returns, may_buy)
    with (
        opened_study(Place(journal), axes.plan(inputs, seed=seed, sampler=sampler)) as study,
        sweeping(inputs, executor=executor, store=store, trials=trials, clock=clock) as session,
    ):
        while batch := list(iter(lambda: study.claim(proposals), None)):
            for asked, result in zip(batch, session.run([axes.variant(one.params) for one in batch]), strict=True):
                study.tell(asked, [result.measures["session_sharpe"]])
            if progress is not None:
                progress(len(study.told()), proposals)
        tried = [axes.variant(told.params) for told in study.told()]
        variants = list({variant.hash: variant for variant in tried}.values())
        results = session.run(variants)
    return swept(inputs, variants, results, known=len(variants) - session.computed)


class _Axes:
    """The grid as a study searches it: by position among an axis's values, so that numbers keep their order."""

    def __init__(self, grid: Grid, strategy: StrategySettings, costs: CostSettings) -> None:
        if not grid:
            raise ConfigError("the space to search is empty", "name a setting and its values: top_k=10,20,50")
        self.strategy, self.costs = strategy, costs
        self.values = {name: _ordered(values) for name, values in grid.items()}

    def plan(self, inputs: SweepInput, *, seed: int, sampler: Literal["tpe", "grid"]) -> StudyPlan:
        """Return all that decides the study's proposals, except how many there are."""
        axes = [
            Axis(name, "int", 0, len(values) - 1, log=False, levels=tuple(range(len(values))))
            for name, values in self.values.items()
        ]
        return StudyPlan(
            kind="sweep",
            inputs={
                "inputs": inputs.key().as_dict(),
                "axes": self.values,
                "strategy": self.strategy.model_dump(),
                "costs": self.costs.model_dump(),
            },
            space=Space(tuple(axes)),
            seed=seed,
            batch=BATCH,
            random_trials=_RANDOM_PROPOSALS,
            sampler=sampler,
            accepts=self.is_valid,
        )

    def is_valid(self, params: Params) -> bool:
        """Return whether the strategy and the costs take these values together."""
        try:
            self.variant(params)
        except ConfigError:
            return False
        return True

    def variant(self, params: Params) -> Variant:
        parameters = [(name, values[int(params[name])]) for name, values in self.values.items()]
        return make_variant(parameters, strategy=self.strategy, costs=self.costs)


def _ordered(values: Sequence[int | float | str | bool]) -> list[int | float | str | bool]:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return [*sorted(numbers)] if len(numbers) == len(values) else list(values)
