"""Variants proposed one batch after the other by Optuna, instead of every combination of a grid.

Every proposal runs through the same call as a grid's, so it is kept, known again and counted in the same way. Not here:
tuning the model (``models/tune.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.backtest.sweep import Counts, Sweep, sweeping, swept
from ljwx_pipeline.backtest.sweep_input import SweepInput
from ljwx_pipeline.backtest.sweep_variants import Grid, Variant, make_variant, named_axes
from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import CostSettings, StrategySettings
from ljwx_pipeline.errors import ConfigError, ModelError
from ljwx_pipeline.lake.locking import exclusive
from ljwx_pipeline.trading.market_arrays import MarketArrays

if TYPE_CHECKING:
    import optuna

#: Proposals made before their results are told: as many may run at once. Part of the study's name.
BATCH = 8
#: Proposals drawn at random before the sampler starts to learn.
_RANDOM_PROPOSALS = 16
#: Asked again when a proposal is no valid variant; a space where so many are not is refused.
_MOST_INVALID = 200


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
    benchmark_returns: NDArray[np.float64] | None = None,
    executor: Executor | None = None,
    store: Path | None = None,
    trials: Counts | None = None,
    journal: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    clock: Clock | None = None,
) -> Sweep:
    """Return the variants that Optuna's TPE proposed out of ``grid`` to raise ``session_sharpe``, each once.

    The sampler is seeded anew for each proposal from ``seed`` and its number, and proposals that a killed study left
    without a result are run, not made again: interrupted and resumed it proposes what it would have proposed.

    Parameters
    ----------
    grid
        The values each setting may take, by name, as ``expand_grid`` takes them; the order of numbers is learned from.
    proposals
        How many are made, those found in the journal among them; a repeated one is run once, so that fewer variants
        may come back.
    journal
        Optuna's journal; a study found there is resumed, a finished one only read. None: memory.
    market, scores, first, last, benchmark_returns, executor, store, trials, progress, clock
        As ``run_sweep`` takes them.

    Raises
    ------
    ConfigError
        As ``expand_grid``, or when hardly a combination of the grid is valid.
    ModelError
        When the journal is damaged.
    LakeError
        As ``run_sweep``, or when another process works on the journal.
    """
    if proposals < 1:
        raise ConfigError(f"{proposals} proposals are none", "ask for at least one")
    space = _Space(named_axes(grid), strategy, costs)
    inputs = SweepInput(market, np.asfortranarray(scores), first, last, benchmark_returns)
    with (
        _alone(journal),
        sweeping(inputs, executor=executor, store=store, trials=trials, clock=clock) as session,
    ):
        study = _open_study(_study_name(inputs, space, seed), journal)
        while len(done := _proposed(study, finished=True)) < proposals:
            batch = _proposed(study, finished=False)
            made = len(done) + len(batch)
            while not batch or (made % BATCH and made < proposals):
                batch.append(_propose(study, space, seed, number=made))
                made += 1
            for trial, result in zip(batch, session.run([space.variant(t.params) for t in batch]), strict=True):
                study.tell(trial.number, result.measures["session_sharpe"])
            if progress is not None:
                progress(made, proposals)
        tried = [space.variant(trial.params) for trial in _proposed(study, finished=True)]
        variants = list({variant.hash: variant for variant in tried}.values())
        results = session.run(variants)
    return swept(inputs, variants, results, known=len(variants) - session.computed)


class _Space:
    """The grid as Optuna searches it: by position among an axis's values, so that numbers keep their order."""

    def __init__(self, grid: Grid, strategy: StrategySettings, costs: CostSettings) -> None:
        if not grid:
            raise ConfigError("the space to search is empty", "name a setting and its values: top_k=10,20,50")
        self.strategy, self.costs = strategy, costs
        self.axes = {name: _ordered(values) for name, values in grid.items()}

    def variant(self, params: dict[str, int]) -> Variant:
        parameters = [(name, values[params[name]]) for name, values in self.axes.items()]
        return make_variant(parameters, strategy=self.strategy, costs=self.costs)


def _ordered(values: Sequence[int | float | str | bool]) -> list[int | float | str | bool]:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return [*sorted(numbers)] if len(numbers) == len(values) else list(values)


def _propose(study: optuna.Study, space: _Space, seed: int, *, number: int) -> optuna.trial.FrozenTrial:
    import optuna  # heavy: only when a study runs

    for again in range(_MOST_INVALID):
        study.sampler = optuna.samplers.TPESampler(
            seed=seed + number + 1_000_003 * again, n_startup_trials=_RANDOM_PROPOSALS, constant_liar=True
        )
        asked = study.ask()
        for name, values in space.axes.items():
            asked.suggest_int(name, 0, len(values) - 1)
        try:
            space.variant(asked.params)
        except ConfigError:
            study.tell(asked, state=optuna.trial.TrialState.FAIL)
            continue
        asked.set_user_attr("proposed", value=True)  # all its parameters are in the journal
        return study.trials[asked.number]
    raise ConfigError(f"{_MOST_INVALID} proposals in a row were no valid variants", "narrow the grid")


def _proposed(study: optuna.Study, *, finished: bool) -> list[optuna.trial.FrozenTrial]:
    """Return the study's proposals with a result, or those a killed process left without one."""
    from optuna.trial import TrialState  # heavy: only when a study runs

    state = TrialState.COMPLETE if finished else TrialState.RUNNING
    return [trial for trial in study.get_trials(states=(state,)) if trial.user_attrs.get("proposed")]


def _open_study(name: str, journal: Path | None) -> optuna.Study:
    import optuna  # heavy (SQLAlchemy and all): only when a study runs

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = None
    try:
        if journal is not None:
            from optuna.storages import JournalStorage
            from optuna.storages.journal import JournalFileBackend

            storage = JournalStorage(JournalFileBackend(str(journal)))
        study = optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
    except ValueError as error:  # JSON and text decoding errors are ValueErrors
        raise ModelError(
            f"the study's journal {journal} is damaged ({error})",
            "move it away: what was kept of its variants is not computed again",
        ) from None
    for left in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        if not left.user_attrs.get("proposed"):  # killed while it was being made: made again, with the same seed
            study.tell(left.number, state=optuna.trial.TrialState.FAIL)
    return study


@contextmanager
def _alone(journal: Path | None) -> Iterator[None]:
    if journal is None:
        yield
        return
    with exclusive(journal.with_name(f".{journal.name}.lock"), timeout_s=1.0):
        yield


def _study_name(inputs: SweepInput, space: _Space, seed: int) -> str:
    """Name a study by everything that decides its proposals, except how many there are."""
    decided = {
        "inputs": inputs.key().as_dict(),
        "axes": space.axes,
        "strategy": space.strategy.model_dump(),
        "costs": space.costs.model_dump(),
        "seed": seed,
        "batch": BATCH,
    }
    return "sweep-" + hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:16]
