"""What a study tries next: a function of its seed and of the batches before, and of nothing else.

Not here: who runs a proposal and where it is kept (``study.py``).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ljwx_pipeline.errors import ConfigError
from ljwx_pipeline.studies.space import Params, Space

if TYPE_CHECKING:
    import optuna

Direction = Literal["maximize", "minimize"]
#: Asked again when a proposal cannot be tried; a space where so many cannot is refused.
MOST_INVALID = 200
#: Between the seeds of two attempts at one proposal.
_SEED_STEP = 1_000_003


@dataclass(frozen=True)
class Finished:
    """A trial as the sampler sees it: ``values`` one an objective, or, pruned, what it had reported by step."""

    params: Params
    values: tuple[float, ...]
    steps: Mapping[int, float] = field(default_factory=dict)
    pruned: bool = False


@dataclass(frozen=True)
class Proposer:
    """How proposals are made.

    Parameters
    ----------
    space
        What is searched.
    sampler
        ``tpe``: Optuna's tree-structured Parzen estimator, seeded anew for each proposal from ``seed`` and its number;
        ``grid``: the combinations of the axes' levels, in order, until there are no more.
    directions
        ``maximize`` or ``minimize``, one an objective.
    seed
        Of ``tpe``.
    random_trials
        Trials drawn at random before ``tpe`` starts to learn.
    given
        Proposals that are not drawn, by number.
    accepts
        Whether a drawn set of parameters can be tried at all; another is drawn in place of one that cannot.
    """

    space: Space
    sampler: Literal["tpe", "grid"]
    directions: tuple[Direction, ...]
    seed: int
    random_trials: int
    given: Mapping[int, Params]
    accepts: Callable[[Params], bool]

    def batch(self, before: Sequence[Finished], *, first: int, count: int) -> list[dict[str, float | int]]:
        """Return the proposals numbered ``first`` on, ``count`` of them, fewer where a grid ends.

        Parameters
        ----------
        before
            The trials of the batches before, in order.

        Raises
        ------
        ConfigError
            When hardly a drawn set of parameters can be tried.
        """
        if self.sampler == "grid":
            return list(itertools.islice(filter(self.accepts, self.space.grid()), first, first + count))
        shadow = self._shadow(before)
        return [self._drawn(shadow, number) for number in range(first, first + count)]

    def _shadow(self, before: Sequence[Finished]) -> optuna.Study:
        """Return a study in memory that has seen ``before``; what is asked of it stays running, and is kept apart."""
        import optuna  # heavy: only when a study runs

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(directions=list(self.directions))
        distributions, state = self.space.distributions(), optuna.trial.TrialState
        for seen in before:
            study.add_trial(
                optuna.trial.create_trial(
                    state=state.PRUNED if seen.pruned else state.COMPLETE,
                    values=None if seen.pruned else list(seen.values),
                    params=dict(seen.params),
                    distributions=distributions,
                    intermediate_values=dict(seen.steps),
                )
            )
        return study

    def _drawn(self, shadow: optuna.Study, number: int) -> dict[str, float | int]:
        import optuna  # heavy: only when a study runs

        if number in self.given:
            shadow.enqueue_trial(dict(self.given[number]))
        for again in range(MOST_INVALID):
            shadow.sampler = optuna.samplers.TPESampler(
                seed=self.seed + number + _SEED_STEP * again, n_startup_trials=self.random_trials, constant_liar=True
            )
            asked = shadow.ask()
            params = {axis.name: axis.suggest(asked) for axis in self.space.axes}
            if self.accepts(params):
                return params
            shadow.tell(asked, state=optuna.trial.TrialState.FAIL)
        raise ConfigError(f"{MOST_INVALID} proposals in a row were no valid variants", "narrow the grid")
