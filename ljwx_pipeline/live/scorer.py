"""A model's scores and intervals for the sessions of a factor history, one session at a time.

Not here: its factors and who may be scored (``factor_history.py``), what a model is (``scoring/bundle.py``).
"""

from __future__ import annotations

from datetime import date

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.live.factor_history import FactorHistory, PastSession
from ljwx_pipeline.live.intervals import IntervalEnds, LiveIntervals
from ljwx_pipeline.scoring.bundle import ModelBundle
from ljwx_pipeline.scoring.model import GroupBy, Prediction


class BundleScorer:
    """A bundle's scores over the feed's symbols. Satisfies `model.Scorer`.

    Parameters
    ----------
    bundle
        Verified; its factors are those of the running code, in order.
    factors
        Shared by all bundles.

    Raises
    ------
    LiveError
        For a bundle that learned from another universe, or with members by group where the pack lacks the table that
        tells the groups, or tells them by another measure than training did.
    """

    def __init__(self, bundle: ModelBundle, factors: FactorHistory) -> None:
        factors.require_universe(bundle.manifest.universe)
        factors.require_groups(bundle.manifest.group_by, bundle.manifest.group_measure)
        self._bundle = bundle
        self._factors = factors
        self._intervals = LiveIntervals(bundle, factors.feed, self._past_scores)

    def scores(self, session: date) -> NDArray[np.float64]:
        """Return one score a symbol at the close of ``session``; NaN for names that may not be scored."""
        return self.prediction(session).score

    def prediction(self, session: date) -> Prediction:
        """Return score and, of a model with a band, its ends: a value a symbol, NaN as in ``scores``.

        Raises
        ------
        LiveError
            For a model of groups when the session pack lacks what they are made of.
        """
        return self.predict(self._factors.inputs(session, *self.groups_read))

    @property
    def history(self) -> FactorHistory:
        """The factors that it scores."""
        return self._factors

    @property
    def bundle(self) -> ModelBundle:
        """The bundle it scores with."""
        return self._bundle

    @property
    def groups_read(self) -> tuple[GroupBy, str]:
        """What the model's groups are by, and the measure that they were made by."""
        return self._bundle.manifest.group_by, self._bundle.manifest.group_measure

    @property
    def interval_fault(self) -> str:
        """Why the bundle has no prediction intervals; empty where it has."""
        return self._intervals.fault

    def interval_ends(self, session: date) -> IntervalEnds:
        """Return the prediction intervals of the scores at the close of ``session``; sessions are asked for in order.

        They go on from the bundle's document over the sessions since, by what had matured at each close: the intervals
        that research and the daily job give.
        """
        return self._intervals.ends(session, self.scores(session))

    def _past_scores(self, after: date, until: date) -> NDArray[np.float64]:
        past = self._factors.past(after, until, self._bundle.manifest.group_by)
        return np.stack([self.predict(session).score for session in past], axis=1)

    def predict(self, session: PastSession) -> Prediction:
        """Return what the model says of one session's inputs: a value a symbol, NaN as in ``scores``."""
        return predicted(self._bundle, session)


def predicted(bundle: ModelBundle, session: PastSession) -> Prediction:
    """Return what ``bundle`` says of one session's inputs: a value a symbol, NaN for names that may not be scored."""
    rows = np.flatnonzero(session.scorable)
    said = bundle.predict(session.features[rows], None if session.groups is None else session.groups[rows])

    def of_all(values: NDArray[np.float64]) -> NDArray[np.float64]:
        spread = np.full(len(session.features), np.nan)
        spread[rows] = values
        return spread

    return Prediction(
        of_all(said.score),
        lower=None if said.lower is None else of_all(said.lower),
        upper=None if said.upper is None else of_all(said.upper),
    )
