"""The lines of bundles as the journal tells them, and what is appended when a bundle comes, joins or is withdrawn.

Every function works within one state of the journal. Not here: what follows from what (``stages.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, func, select

from ljwx_pipeline.config import StageSettings
from ljwx_pipeline.live.event_codec import from_json
from ljwx_pipeline.live.events import (
    BundleReleased,
    BundleStaged,
    BundleWithdrawn,
    CandidateJudged,
    Event,
    ModelScored,
    Stage,
)
from ljwx_pipeline.live.journal import DeployedBundle
from ljwx_pipeline.live.sleeves.reading import models_in_force
from ljwx_pipeline.live.stages import Line, arrived
from ljwx_pipeline.live.tables import events_log
from ljwx_pipeline.monitoring.sequential import Comparison, block_means, compare_differences

_KINDS = {kind.__name__: kind for kind in (BundleStaged, BundleReleased, BundleWithdrawn)}


@dataclass(frozen=True)
class Staging:
    """Where a pushed bundle goes: to the lines that trade its model.

    Strategies of one model share its line, so that whoever comes later stands where it stands. The market's own model
    has the line without a name, another model the line of its name.

    Parameters
    ----------
    strategies
        Registered name of its model by line.
    rules
        What each stage asks for.
    """

    strategies: Mapping[str, str]
    rules: StageSettings

    @property
    def models(self) -> frozenset[str]:
        """Names of the models that somebody trades."""
        return frozenset(self.strategies.values())

    def in_force(self, connection: Connection) -> Staging:
        """Return these lines and one for every other model that a strategy in force trades."""
        named = {model: model for model in models_in_force(connection) if model}
        return Staging({**self.strategies, **named}, self.rules)

    def arrived(self, connection: Connection, bundle: DeployedBundle, model_name: str) -> tuple[Event, ...]:
        """Return what follows from a verified bundle of ``model_name``."""
        lines = [read_line(connection, strategy) for strategy in self.trading(model_name)]
        return tuple(event for line in lines for event in arrived(line, bundle, self.rules))

    def joining(self, connection: Connection) -> tuple[Event, ...]:
        """Return what gives each strategy without a past the champion that another one has of the same model."""
        lines = {strategy: read_line(connection, strategy) for strategy in self.strategies}
        events: list[Event] = []
        for strategy, line in lines.items():
            if line != Line(strategy):
                continue
            beside = [lines[other].champion for other in self.trading(self.strategies[strategy])]
            if champion := next((one for one in beside if one is not None), None):
                events += arrived(line, champion.bundle, self.rules)
        return tuple(events)

    def served(self, connection: Connection, bundle: DeployedBundle, model_name: str) -> tuple[Event, ...]:
        """Return what makes ``bundle`` champion at once: it was taken in before this journal was begun."""
        none = self.rules.model_copy(update={"shadow_sessions": 0, "canary_sessions": 0})
        return Staging(self.strategies, none).arrived(connection, bundle, model_name)

    def withdrawn(self, identity: str, *, model_name: str | None, model_version: str, reason: str) -> tuple[Event, ...]:
        """Return what takes a model back from every strategy that trades it, or from all where nobody knows which.

        The first event carries the withdrawal's own identity.
        """
        meant = sorted(self.strategies) if model_name is None else self.trading(model_name)
        return tuple(
            BundleWithdrawn(
                identity=f"{identity} {strategy}" if number else identity,
                strategy=strategy,
                model_version=model_version,
                reason=reason,
            )
            for number, strategy in enumerate(meant)
        )

    def trading(self, model_name: str) -> list[str]:
        """Return the lines that trade ``model_name``, by name."""
        return sorted(strategy for strategy, model in self.strategies.items() if model == model_name)


def read_line(connection: Connection, strategy: str, before: date | None = None) -> Line:
    """Return the line of ``strategy`` as it stands; without bundles for one that nobody knows.

    Parameters
    ----------
    before
        Sessions scored since count as scored no more: whoever asks at a close again is told what was told first.
    """
    told = select(events_log.c.seq, events_log.c.kind, events_log.c.body).where(
        events_log.c.kind.in_(list(_KINDS)), events_log.c.strategy == strategy
    )
    line, staged_at = Line(strategy), dict[str, int]()
    for row in connection.execute(told.order_by(events_log.c.seq)):
        event: Event = from_json(_KINDS[row.kind], row.body)
        line = line.after(event)
        if isinstance(event, BundleStaged):
            staged_at[event.bundle_hash] = row.seq
    for stage in Stage:
        line = _with_sessions(connection, line, stage, staged_at, before)
    return line


def strategies_known(connection: Connection) -> tuple[str, ...]:
    """Return every strategy that a bundle was ever staged for, by name."""
    of = select(events_log.c.strategy).where(events_log.c.kind == BundleStaged.__name__).distinct()
    return tuple(sorted(connection.execute(of).scalars()))


def scored_at(connection: Connection, strategy: str, session: date) -> tuple[ModelScored, ...]:
    """Return what the bundles of ``strategy`` that stood beside each other said at ``session``, in order."""
    return _scored(connection, strategy, events_log.c.session == session.isoformat(), limit=None)


def last_scored(connection: Connection, strategy: str, bundle_hash: str, count: int) -> tuple[ModelScored, ...]:
    """Return the last ``count`` times that a bundle scored beside others, newest first."""
    return _scored(connection, strategy, events_log.c.key == bundle_hash, limit=count)[::-1]


def judged(connection: Connection, strategy: str, candidate: str, champion: str) -> tuple[CandidateJudged, ...]:
    """Return the matured sessions of ``candidate`` beside ``champion``, ascending."""
    told = select(events_log.c.body).where(
        events_log.c.kind == CandidateJudged.__name__,
        events_log.c.strategy == strategy,
        events_log.c.key == candidate,
    )
    found = [from_json(CandidateJudged, body) for body in connection.execute(told).scalars()]
    return tuple(sorted((one for one in found if one.champion_hash == champion), key=lambda one: one.session))


def verdict(found: tuple[CandidateJudged, ...], rules: StageSettings, reach_sessions: int) -> Comparison | None:
    """Return what the differences of the rank ICs say so far; None before the first block of labels is whole.

    Labels of neighbouring sessions overlap: what is compared is the mean of each ``reach_sessions``, one after another.
    """
    differences: NDArray[np.float64] = np.array([one.rank_ic - one.champion_rank_ic for one in found])
    if len(differences) < reach_sessions:
        return None
    blocks = block_means(differences, reach_sessions)
    return compare_differences(blocks, bound=rules.rank_ic_bound, alpha=rules.alpha)


def _scored(
    connection: Connection, strategy: str, where: ColumnElement[bool], *, limit: int | None
) -> tuple[ModelScored, ...]:
    told = select(events_log.c.body).where(
        events_log.c.kind == ModelScored.__name__, events_log.c.strategy == strategy, where
    )
    newest_first = told.order_by(events_log.c.seq.desc()).limit(limit)
    return tuple(from_json(ModelScored, body) for body in connection.execute(newest_first).scalars())[::-1]


def _with_sessions(
    connection: Connection, line: Line, stage: Stage, staged_at: Mapping[str, int], before: date | None
) -> Line:
    holder = line.at(stage)
    if holder is None:
        return line
    session = events_log.c.session
    counted = select(func.count(session.distinct()), func.max(session)).where(
        events_log.c.kind == ModelScored.__name__,
        events_log.c.strategy == line.strategy,
        events_log.c.key == holder.bundle.bundle_hash,
        events_log.c.seq > staged_at[holder.bundle.bundle_hash],
    )
    if before is not None:
        counted = counted.where(session < before.isoformat())
    sessions, last = connection.execute(counted).one()
    day = None if last is None else date.fromisoformat(last)
    return line.holding(stage, replace(holder, scored_sessions=int(sessions), last_scored=day))
