"""What a study searches: named axes of numbers.

Not here: how one is searched (``proposals.py``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import optuna

Params = Mapping[str, float | int]


@dataclass(frozen=True)
class Axis:
    """One parameter.

    Parameters
    ----------
    name
        The parameter's.
    kind
        Real or whole numbers.
    low, high
        Range, inclusive.
    log
        Whether equal ratios, rather than equal differences, are equal steps.
    levels
        The values a grid tries, the sober one first; they lie in the range.
    """

    name: str
    kind: Literal["float", "int"]
    low: float
    high: float
    log: bool
    levels: tuple[float | int, ...]

    def suggest(self, trial: optuna.Trial) -> float | int:
        """Return the value that ``trial``'s sampler draws."""
        if self.kind == "int":
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def distribution(self) -> Any:
        """Return the axis as Optuna keeps it beside a trial."""
        from optuna.distributions import FloatDistribution, IntDistribution  # heavy: only when a study runs

        if self.kind == "int":
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Space:
    """Axes in the order in which they are drawn."""

    axes: tuple[Axis, ...]

    def grid(self) -> Iterator[dict[str, float | int]]:
        """Yield every combination of the axes' levels, the last axis turning fastest."""
        names = [axis.name for axis in self.axes]
        for values in itertools.product(*(axis.levels for axis in self.axes)):
            yield dict(zip(names, values, strict=True))

    def distributions(self) -> dict[str, Any]:
        """Return each axis as Optuna keeps it, by name."""
        return {axis.name: axis.distribution() for axis in self.axes}

    def as_list(self) -> list[dict[str, Any]]:
        """Return the axes as JSON values: two studies of equal lists search the same space."""
        return [{**asdict(axis), "levels": list(axis.levels)} for axis in self.axes]
