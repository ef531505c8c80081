"""Models beside each other: what each said of a close, and how candidates fared once the label matured.

Every session, paired: rank IC of candidate and champion over the same names. Not here: what the differences add up to
(``stage_log.py``), what follows (``stages.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection

from ljwx_pipeline.config import LabelSettings
from ljwx_pipeline.label import forward_returns
from ljwx_pipeline.live.events import CandidateJudged, Event, ModelScored, Stage
from ljwx_pipeline.live.factor_history import FactorHistory
from ljwx_pipeline.live.intervals import IntervalEnds
from ljwx_pipeline.live.journal import DeployedBundle
from ljwx_pipeline.live.score_checks import rank_correlation
from ljwx_pipeline.live.stage_log import judged, scored_at

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Score:
    """What the holder of a stage said of a session: a value a symbol, NaN for none; what it took; its intervals."""

    stage: Stage
    bundle: DeployedBundle
    given: Float
    unscored_frac: float
    seconds: float
    ends: Callable[[date], IntervalEnds]


def compared(
    factors: FactorHistory,
    label: LabelSettings,
    session: date,
    strategy: str,
    said: Sequence[Score],
    connection: Connection,
) -> list[Event]:
    """Return what is to be written of those that stood beside each other at ``session``, and of what matured with it.

    Parameters
    ----------
    factors
        Standing at ``session``: closes up to it, and no later one, judge the scores of the session that matured.
    said
        The champion first. What the journal holds already is left out.
    """
    champion, *beside = said
    known = {one.bundle_hash for one in scored_at(connection, strategy, session)}
    symbols = factors.feed.symbols
    found: list[Event] = [
        ModelScored(
            session=session,
            strategy=strategy,
            stage=one.stage,
            bundle_hash=one.bundle.bundle_hash,
            champion_hash=champion.bundle.bundle_hash,
            rank_correlation=rank_correlation(one.given, champion.given),
            unscored_frac=one.unscored_frac,
            latency_s=round(one.seconds, 6),
            scores={symbols[row]: float(one.given[row]) for row in np.flatnonzero(np.isfinite(one.given))},
        )
        for one in said
        if one.bundle.bundle_hash not in known
    ]
    reach = label.entry_lag_sessions + label.horizon_sessions
    matured = session_before(factors, session, reach)
    if matured is None:
        return found
    closes = factors.adjusted_closes(session, reach + 1)
    forward = forward_returns(closes, entry=label.entry_lag_sessions, horizon=label.horizon_sessions)[:, 0]
    then = {one.bundle_hash: one for one in scored_at(connection, strategy, matured)}
    for bundle_hash in [one.bundle.bundle_hash for one in beside]:
        one = then.get(bundle_hash)
        other = None if one is None else then.get(one.champion_hash)
        if one is None or other is None:
            continue
        before = judged(connection, strategy, one.bundle_hash, one.champion_hash)
        verdict = None if matured in {was.session for was in before} else _judged(one, other, forward, symbols)
        if verdict is not None:
            found.append(verdict)
    return found


def session_before(factors: FactorHistory, session: date, count: int) -> date | None:
    """Return the session ``count`` sessions before ``session``; None before the first one of the pack."""
    feed = [day for day in factors.feed.sessions if day <= session]
    axis = pd.DatetimeIndex(factors.feed.history_sessions.append(pd.DatetimeIndex(feed)))
    return axis[-1 - count].date() if len(axis) > count else None


def _judged(one: ModelScored, champion: ModelScored, forward: Float, symbols: Sequence[str]) -> CandidateJudged | None:
    """Return both rank ICs over the names that both scored and whose return is known; None where either has none."""
    ours, theirs = _by_symbol(one.scores, symbols), _by_symbol(champion.scores, symbols)
    names = np.isfinite(ours) & np.isfinite(theirs) & np.isfinite(forward)
    rank_ic = rank_correlation(ours[names], forward[names])
    champion_rank_ic = rank_correlation(theirs[names], forward[names])
    if rank_ic is None or champion_rank_ic is None:
        return None
    return CandidateJudged(
        session=one.session,
        strategy=one.strategy,
        bundle_hash=one.bundle_hash,
        champion_hash=one.champion_hash,
        rank_ic=rank_ic,
        champion_rank_ic=champion_rank_ic,
        names=int(names.sum()),
    )


def _by_symbol(scores: Mapping[str, float], symbols: Sequence[str]) -> Float:
    return np.array([scores.get(symbol, np.nan) for symbol in symbols])
