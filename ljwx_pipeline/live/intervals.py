"""A bundle's prediction intervals at the runner: brought forward from its document, a session at a time.

The functions are those of research, over the pack's history and the feed up to the session. Not here: who is too
unsure to be bought (``uncertainty/abstain.py``), how wide the limits are (``[uncertainty]``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.dataset.interval_inputs import interval_arrays, sessions_needed
from ljwx_pipeline.errors import LjwxError
from ljwx_pipeline.live.feed import ReplayFeed
from ljwx_pipeline.market.adjustment import factor_panel
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.scoring.bundle import INTERVALS, ModelBundle
from ljwx_pipeline.uncertainty.carried import CarriedIntervals, walked_on

Float = NDArray[np.float64]
#: Scores of the feed's symbols on the sessions after the first date up to the second, a column each.
PastScores = Callable[[date, date], Float]


@dataclass(frozen=True, eq=False)
class IntervalEnds:
    """Ends of a session's intervals by symbol of the feed, NaN where there is none, and why nobody has one, if so."""

    lower: Float
    upper: Float
    fault: str = ""


class LiveIntervals:
    """The intervals of one bundle.

    Parameters
    ----------
    bundle
        Its document is where they begin.
    feed
        The market.
    past_scores
        The bundle's scores of sessions that went by unasked: before the runner, or this bundle, began to trade.
    """

    def __init__(self, bundle: ModelBundle, feed: ReplayFeed, past_scores: PastScores) -> None:
        self._feed = feed
        self._past_scores = past_scores
        self._axis = pd.DatetimeIndex(
            feed.history_sessions.append(pd.DatetimeIndex([pd.Timestamp(day) for day in feed.sessions]))
        )
        self._close: Float | None = None
        self._told: tuple[date, IntervalEnds] | None = None
        self._carried: CarriedIntervals | None = None
        #: Why there are none at all; empty while there may be.
        self.fault = ""
        text = bundle.documents.get(INTERVALS)
        if text is None:
            self.fault = "the bundle holds no prediction intervals: it was made without, or by an earlier release"
            return
        try:
            self._carried = CarriedIntervals.of_json(text)
        except LjwxError as error:
            self.fault = error.fact

    def ends(self, session: date, scores: Float) -> IntervalEnds:
        """Return the intervals of ``scores`` at the close of ``session``; sessions are asked for in order.

        A fault is told and no interval is given: a runner that abstains then buys nothing.
        """
        if self._told is not None and self._told[0] == session:
            return self._told[1]
        nobody = np.full(len(self._feed.symbols), np.nan)
        if self._carried is None:
            return IntervalEnds(nobody, nobody, self.fault)
        try:
            self._told = session, self._next(self._carried, session, scores)
        except LjwxError as error:
            return IntervalEnds(nobody, nobody, error.fact)
        return self._told[1]

    def _next(self, carried: CarriedIntervals, session: date, scores: Float) -> IntervalEnds:
        nobody = np.full(len(self._feed.symbols), np.nan)
        if carried.session is None or session <= carried.session:
            return IntervalEnds(nobody, nobody, f"the model learned from sessions up to {carried.session}")
        stop = self._position(session) + 1
        known = self._position(carried.session)
        if known < 0:
            return IntervalEnds(
                nobody, nobody, f"the model's intervals stand at {carried.session}, before the session pack begins"
            )
        start = max(0, known + 1 - sessions_needed(carried))
        asked = np.full((len(self._feed.symbols), stop - start), np.nan)
        if known + 2 < stop:
            asked[:, known + 1 - start : -1] = self._past_scores(carried.session, self._axis[stop - 2].date())
        asked[:, -1] = scores
        panel = Panel(self._feed.symbols, self._axis[start:stop], {"close": self._closes(start, stop)})
        can_buy = self._feed.market.can_buy[:, start:stop]
        arrays = interval_arrays(carried, panel, asked, can_buy, self._feed.pack.beside.get("industries"))
        said = walked_on(carried, arrays)
        self._carried = said.carried
        return IntervalEnds(said.lower[:, -1], said.upper[:, -1])

    def _position(self, session: date) -> int:
        return int(self._axis.get_indexer(pd.DatetimeIndex([pd.Timestamp(session)]))[0])

    def _closes(self, start: int, stop: int) -> Float:
        """Return adjusted closes of the sessions at ``[start, stop)``, as the factor panel has them."""
        if self._close is None:
            pack = self._feed.pack
            self._close = factor_panel(
                pd.concat([pack.history, pack.feed], ignore_index=True),
                symbols=self._feed.symbols,
                sessions=self._axis,
                adjustment=pack.manifest.adjustment,
            ).fields["close"]
        return np.ascontiguousarray(self._close[:, start:stop])
