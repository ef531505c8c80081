"""A model as the runner uses it: the bundle that was deployed, and what scores by it.

Not here: factors (``factor_history.py``), predictions (``scorer.py``), where bundles come from (``inbox.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.live.intervals import IntervalEnds
from ljwx_pipeline.live.journal import DeployedBundle


class Scorer(Protocol):
    """Scores the universe at a session's close with one model."""

    def scores(self, session: date) -> NDArray[np.float64]:
        """Return one score a symbol of the feed, NaN outside the universe."""
        ...

    def interval_ends(self, session: date) -> IntervalEnds:
        """Return the prediction intervals of those scores; asked for where names may be abstained from."""
        ...


@dataclass(frozen=True)
class SilentScorer:
    """Scores nothing: without a single score only what an exit forces out is sold, and everything else is held."""

    symbols: int

    def scores(self, session: date) -> NDArray[np.float64]:  # noqa: ARG002 - it has nothing to say on any
        """Return NaN for every symbol."""
        return np.full(self.symbols, np.nan)

    def interval_ends(self, session: date) -> IntervalEnds:  # noqa: ARG002
        """Return no interval for anybody."""
        nobody = np.full(self.symbols, np.nan)
        return IntervalEnds(nobody, nobody, "the model was withdrawn")


@dataclass(frozen=True)
class Model:
    """The bundle that trades and the scorer made from it."""

    deployed: DeployedBundle
    scorer: Scorer
