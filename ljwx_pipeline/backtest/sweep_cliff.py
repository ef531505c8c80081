"""How much a chosen variant's measure falls in its nearest neighbours: a peak among cliffs is luck, not a strategy.

Not here: what is thought of it (``evaluation/``), the picture (``sweep_figures.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ljwx_pipeline.errors import ConfigError


@dataclass(frozen=True)
class Neighbour:
    """A variant that differs in one parameter, by the nearest value tried; ``fall`` is positive where it is worse."""

    name: str
    parameter: str
    value: Any
    measure: float
    fall: float


@dataclass(frozen=True)
class Cliff:
    """The chosen variant among its neighbours.

    Parameters
    ----------
    chosen, measure, value
        Name of the variant, of the measure and what it shows.
    neighbours
        At most two for each parameter: the nearest smaller and the nearest larger value, all others equal. A neighbour
        whose measure does not exist counts as fallen to zero.
    """

    chosen: str
    measure: str
    value: float
    neighbours: tuple[Neighbour, ...]

    @property
    def worst(self) -> Neighbour | None:
        """The neighbour to which the measure falls most; None without neighbours."""
        return max(self.neighbours, key=lambda neighbour: neighbour.fall, default=None)

    @property
    def worst_fall_frac(self) -> float:
        """The worst fall as a fraction of the chosen value's size; NaN without neighbours or for a value of zero."""
        worst = self.worst
        return worst.fall / abs(self.value) if worst is not None and self.value != 0 else math.nan

    @property
    def mean_fall_frac(self) -> float:
        """The mean fall over the neighbours as a fraction of the chosen value's size; NaN as ``worst_fall_frac``."""
        if not self.neighbours or self.value == 0:
            return math.nan
        return float(np.mean([neighbour.fall for neighbour in self.neighbours])) / abs(self.value)


def cliff(frame: pd.DataFrame, chosen: str | Mapping[str, Any], measure: str = "sharpe") -> Cliff:
    """Return how much ``measure`` falls from the chosen variant to its nearest neighbours in a sweep.

    Parameters
    ----------
    frame
        ``Sweep.frame``: parameters are the columns with a dotted name.
    chosen
        ``name`` or ``variant_hash`` of a row, or its parameters by dotted name.
    measure
        A column of which more is better.

    Raises
    ------
    ConfigError
        When no row is the chosen one, or its measure does not exist.
    """
    parameters = [name for name in frame.columns if "." in name]
    at = _row(frame, chosen, parameters)
    value = float(frame[measure].iloc[at])
    if math.isnan(value):
        raise ConfigError(f"{measure} of {frame['name'].iloc[at]} does not exist", "choose a variant that traded")
    found: list[Neighbour] = []
    for parameter in parameters:
        others = [name for name in parameters if name != parameter]
        same = (frame[others] == frame[others].iloc[at]).all(axis=1)
        line = frame.loc[same, parameter]
        if not pd.api.types.is_numeric_dtype(frame[parameter]) or pd.api.types.is_bool_dtype(frame[parameter]):
            nearest = [index for index in line.index if line[index] != frame[parameter].iloc[at]]
        else:
            own = frame[parameter].iloc[at]
            nearest = [*line[line < own].nlargest(1).index, *line[line > own].nsmallest(1).index]
        for index in nearest:
            there = float(frame.loc[index, measure])
            there = 0.0 if math.isnan(there) else there
            name = str(frame.loc[index, "name"])
            found.append(Neighbour(name, parameter, frame.loc[index, parameter], there, value - there))
    return Cliff(str(frame["name"].iloc[at]), measure, value, tuple(found))


def _row(frame: pd.DataFrame, chosen: str | Mapping[str, Any], parameters: list[str]) -> int:
    if isinstance(chosen, str):
        found = (frame["name"] == chosen) | (frame["variant_hash"] == chosen)
    else:
        unknown = [name for name in chosen if name not in parameters]
        if unknown:
            raise ConfigError(f"the sweep did not vary {unknown[0]}", f"it varied {', '.join(parameters) or 'nothing'}")
        found = pd.Series(data=True, index=frame.index)
        for name, value in chosen.items():
            found &= frame[name] == value
    at = np.flatnonzero(found)
    if len(at) != 1:
        raise ConfigError(f"{len(at)} variants of the sweep are {chosen}", "name one by its name or all parameters")
    return int(at[0])
