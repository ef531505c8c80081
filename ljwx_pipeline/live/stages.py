"""What a strategy trusts which bundle with: shadow, canary, champion. A pure machine over the journal's events.

A `Line` is one strategy's bundles; it follows from its events alone. What comes next is said as events, too: `arrived`
for a bundle that was pushed, `due` for sessions that went well, `failed` for what must not go on. A bundle that once
was champion and was replaced comes back at once; one that failed begins anew. Not here: when a model has failed
(``score_checks.py``, ``model_board.py``), where the events are kept (``stage_log.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

from ljwx_pipeline.config import StageSettings
from ljwx_pipeline.live.events import (
    AlertRaised,
    BundleReleased,
    BundleStaged,
    BundleWithdrawn,
    Event,
    ModelScored,
    Noted,
    Stage,
    Tier,
)
from ljwx_pipeline.live.journal import DeployedBundle
from ljwx_pipeline.monitoring.sequential import Verdict
from ljwx_pipeline.units import BPS

#: Codes of alerts: a champion failed and another trades, or none does; a candidate lost its stage.
FELL_BACK, NOTHING_SCORED, CANDIDATE_ENDED = "MODEL_FELL_BACK", "NO_MODEL_SCORES", "CANDIDATE_ENDED"
#: Those that stand beside a champion, the one nearest to its place first.
CANDIDATES = (Stage.CANARY, Stage.SHADOW)


@dataclass(frozen=True)
class Holder:
    """A bundle that holds a stage.

    Parameters
    ----------
    capital_share_bps
        What it was staged with, 1/10,000 of the strategy's capital; a champion trades what the canary does not.
    scored_sessions, last_scored
        Sessions that it scored in this stage beside others, and the last of them.
    """

    bundle: DeployedBundle
    capital_share_bps: int
    scored_sessions: int = 0
    last_scored: date | None = None


@dataclass(frozen=True)
class Sleeve:
    """A part of a strategy's capital and the stage that trades it, 1/10,000."""

    strategy: str
    stage: Stage
    bundle_hash: str
    capital_share_bps: int


@dataclass(frozen=True)
class Line:
    """One strategy's bundles.

    Parameters
    ----------
    former
        Champions that another one replaced and that never failed, the last one last: what a fall-back returns to.
    withdrawn
        The champion that was taken back while nothing has come in its place.
    """

    strategy: str
    champion: Holder | None = None
    canary: Holder | None = None
    shadow: Holder | None = None
    former: tuple[DeployedBundle, ...] = ()
    withdrawn: DeployedBundle | None = None

    def at(self, stage: Stage) -> Holder | None:
        """Return who holds ``stage``."""
        return {Stage.CHAMPION: self.champion, Stage.CANARY: self.canary, Stage.SHADOW: self.shadow}[stage]

    def sleeves(self) -> tuple[Sleeve, ...]:
        """Return what trades with which part of the strategy's capital: champion first, all of it together.

        The sleeve of a champion that was withdrawn stays: what it holds is sold by exits alone.
        """
        first = self.withdrawn if self.champion is None else self.champion.bundle
        if first is None:
            return ()
        given = 0 if self.canary is None else self.canary.capital_share_bps
        found = [Sleeve(self.strategy, Stage.CHAMPION, first.bundle_hash, BPS - given)]
        if self.canary is not None:
            found.append(Sleeve(self.strategy, Stage.CANARY, self.canary.bundle.bundle_hash, given))
        return tuple(found)

    def after(self, event: Event) -> Line:
        """Return the line after ``event``; one of another strategy, or of something else, changes nothing."""
        if getattr(event, "strategy", None) != self.strategy:
            return self
        if isinstance(event, BundleStaged):
            return self._after_staged(event)
        if isinstance(event, BundleReleased):
            holder = self.at(event.stage)
            held = holder is not None and holder.bundle.bundle_hash == event.bundle_hash
            return self.without(event.bundle_hash) if held else self
        if isinstance(event, BundleWithdrawn):
            return Line(self.strategy, withdrawn=self.withdrawn if self.champion is None else self.champion.bundle)
        if isinstance(event, ModelScored):
            return self._after_scored(event)
        return self

    def _after_staged(self, event: BundleStaged) -> Line:
        bundle = DeployedBundle(event.bundle_hash, event.model_version, event.last_train_session)
        rest, holder = self.without(event.bundle_hash), Holder(bundle, event.capital_share_bps)
        if event.stage is not Stage.CHAMPION:
            return rest.holding(event.stage, holder)
        former = rest.former if rest.champion is None else (*rest.former, rest.champion.bundle)
        return replace(rest, champion=holder, former=former, withdrawn=None)

    def _after_scored(self, event: ModelScored) -> Line:
        holder = self.at(event.stage)
        if holder is None or holder.bundle.bundle_hash != event.bundle_hash:
            return self
        if holder.last_scored is not None and event.session <= holder.last_scored:
            return self
        scored = replace(holder, scored_sessions=holder.scored_sessions + 1, last_scored=event.session)
        return self.holding(event.stage, scored)

    def without(self, bundle_hash: str) -> Line:
        """Return the line as if the bundle had never been staged."""

        def kept(holder: Holder | None) -> Holder | None:
            return None if holder is None or holder.bundle.bundle_hash == bundle_hash else holder

        return replace(
            self,
            champion=kept(self.champion),
            canary=kept(self.canary),
            shadow=kept(self.shadow),
            former=tuple(one for one in self.former if one.bundle_hash != bundle_hash),
        )

    def holding(self, stage: Stage, holder: Holder) -> Line:
        """Return the line with ``holder`` at ``stage``."""
        if stage is Stage.CHAMPION:
            return replace(self, champion=holder)
        return replace(self, canary=holder) if stage is Stage.CANARY else replace(self, shadow=holder)


def arrived(line: Line, bundle: DeployedBundle, rules: StageSettings) -> tuple[Event, ...]:
    """Return what follows from a verified bundle that was pushed; nothing when it is a candidate already.

    The first one is champion, and so is one that was champion before: that is how a model is rolled back. The champion
    told once more ends the candidates beside it. Any other one begins with the first stage that ``rules`` ask for, in
    place of the candidates that have come no further.
    """
    now = line.champion
    if any(one is not None and one.bundle.bundle_hash == bundle.bundle_hash for one in (line.canary, line.shadow)):
        return ()
    again = f"version {bundle.model_version} was deployed again"
    if now is not None and now.bundle.bundle_hash == bundle.bundle_hash:
        return _released(line, CANDIDATES, again)
    if bundle.bundle_hash in {one.bundle_hash for one in line.former}:
        return (*_released(line, CANDIDATES, again), _staged(line, Stage.CHAMPION, bundle, rules))
    stage = Stage.CHAMPION
    if now is not None and (rules.shadow_sessions or rules.canary_sessions):
        stage = Stage.SHADOW if rules.shadow_sessions else Stage.CANARY
    behind = (Stage.SHADOW,) if stage is Stage.SHADOW else CANDIDATES
    newer = f"version {bundle.model_version} was deployed after it"
    return (*_released(line, behind, newer), _staged(line, stage, bundle, rules))


def due(line: Line, rules: StageSettings, verdicts: Mapping[str, Verdict]) -> tuple[Event, ...]:
    """Return what follows from the sessions scored so far, before the next one is: a candidate advances or ends.

    Parameters
    ----------
    verdicts
        Of the sequential test by candidate: one that is worse than the champion ends, whatever it has left.
    """
    events: list[Event] = []
    for stage in CANDIDATES:
        holder = line.at(stage)
        if holder is None:
            continue
        wanted = rules.canary_sessions if stage is Stage.CANARY else rules.shadow_sessions
        ahead = Stage.CANARY if stage is Stage.SHADOW and rules.canary_sessions else Stage.CHAMPION
        step: tuple[Event, ...] = ()
        if verdicts.get(holder.bundle.bundle_hash) == "champion":
            step = failed(line, stage, None, "the sequential test finds it worse than the champion")
        elif holder.scored_sessions >= wanted and (ahead is Stage.CHAMPION or line.canary is None):
            why = f"{_named(line, holder.bundle)}: {holder.scored_sessions} sessions as {stage}, {ahead} from now on"
            step = (
                _staged(line, ahead, holder.bundle, rules),
                Noted(topic="model_advanced", message=why, session=None),
            )
        for event in step:
            line = line.after(event)
        events += step
    return tuple(events)


def failed(line: Line, stage: Stage, session: date | None, reason: str) -> tuple[Event, ...]:
    """Return what follows when the bundle at ``stage`` must not go on: its stage ends, and somebody is told.

    For a champion the last former one takes its place. Without one it stays, as nobody else could trade, and only the
    alert is raised.
    """
    holder = line.at(stage)
    if holder is None:
        return ()
    named = f"{_named(line, holder.bundle)} as {stage}"
    if stage is not Stage.CHAMPION:
        told = AlertRaised(tier=Tier.WARNING, code=CANDIDATE_ENDED, message=f"{named} ended: {reason}")
        return (_release(line, stage, holder, session, reason), told)
    if not line.former:
        message = f"{named} failed, and there is no former champion to fall back to: {reason}"
        return (AlertRaised(tier=Tier.CRITICAL, code=NOTHING_SCORED, message=message),)
    back = line.former[-1]
    message = f"{named} failed, version {back.model_version} is champion again: {reason}"
    return (
        _release(line, stage, holder, session, reason),
        BundleStaged(
            strategy=line.strategy,
            stage=Stage.CHAMPION,
            bundle_hash=back.bundle_hash,
            model_version=back.model_version,
            last_train_session=back.last_train_session,
            capital_share_bps=BPS,
        ),
        AlertRaised(tier=Tier.CRITICAL, code=FELL_BACK, message=message),
    )


def _staged(line: Line, stage: Stage, bundle: DeployedBundle, rules: StageSettings) -> BundleStaged:
    shares = {Stage.CHAMPION: BPS, Stage.CANARY: rules.canary_share_bps, Stage.SHADOW: 0}
    return BundleStaged(
        strategy=line.strategy,
        stage=stage,
        bundle_hash=bundle.bundle_hash,
        model_version=bundle.model_version,
        last_train_session=bundle.last_train_session,
        capital_share_bps=shares[stage],
    )


def _released(line: Line, stages: tuple[Stage, ...], reason: str) -> tuple[Event, ...]:
    held = [(stage, line.at(stage)) for stage in stages]
    return tuple(_release(line, stage, holder, None, reason) for stage, holder in held if holder is not None)


def _release(line: Line, stage: Stage, holder: Holder, session: date | None, reason: str) -> BundleReleased:
    return BundleReleased(
        strategy=line.strategy,
        stage=stage,
        bundle_hash=holder.bundle.bundle_hash,
        session=session,
        reason=reason,
    )


def _named(line: Line, bundle: DeployedBundle) -> str:
    of = f" of {line.strategy}" if line.strategy else ""
    return f"version {bundle.model_version}{of}, bundle {bundle.bundle_hash[:12]}"
