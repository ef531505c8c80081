"""Which models are loaded for which strategy, and what they say of a close: fall-back, comparison and swap inside.

The journal alone says who holds a stage; the board loads what it names and exchanges models between two closes. Nothing
of the factors belongs to a model, so that a swap loses no state and no session. A model that fails at a close loses its
stage there and then, durably, and the former champion scores that very close. Not here: which event follows from which
(``stages.py``), what a failure is (``score_checks.py``), where bundles come in (``inbox.py``), orders
(``close_trading.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from ljwx_pipeline.clock import Clock
from ljwx_pipeline.config import LabelSettings
from ljwx_pipeline.errors import LiveError, LjwxError
from ljwx_pipeline.live.async_journal import AsyncJournal
from ljwx_pipeline.live.brokers.port import Fence, required_epoch
from ljwx_pipeline.live.candidates import Score, compared, session_before
from ljwx_pipeline.live.events import BundleReleased, Event, Noted, Stage
from ljwx_pipeline.live.factor_history import FactorHistory
from ljwx_pipeline.live.intervals import IntervalEnds
from ljwx_pipeline.live.journal import DeployedBundle
from ljwx_pipeline.live.model import Model, SilentScorer
from ljwx_pipeline.live.projections import standing
from ljwx_pipeline.live.score_checks import ModelFailed, in_time, rank_correlation, require_alike, unscored_frac
from ljwx_pipeline.live.scorer import BundleScorer
from ljwx_pipeline.live.smoke import smoke
from ljwx_pipeline.live.stage_log import Staging, judged, read_line, verdict
from ljwx_pipeline.live.stages import CANDIDATES, Holder, Line, Sleeve, due, failed
from ljwx_pipeline.scoring.bundle import ModelBundle

Float = NDArray[np.float64]


@dataclass(frozen=True)
class StagedModels:
    """The models of one strategy; after `ModelBoard.scores` with their scores of that session.

    Parameters
    ----------
    champion
        Without a voice (it scores nothing, so that exits alone are sold) where ``silence`` says why; None only before
        the strategy's first bundle.
    canary, shadow
        Those that stand beside it and did not fail.
    sleeves
        What trades, with which part of the strategy's capital.
    """

    champion: Model | None
    canary: Model | None
    shadow: Model | None
    sleeves: tuple[Sleeve, ...]
    silence: str = ""

    @property
    def trading_hash(self) -> str | None:
        """Hash of the champion's bundle; None while no model has a voice."""
        return None if self.champion is None or self.silence else self.champion.deployed.bundle_hash


@dataclass(frozen=True, eq=False)
class Answered:
    """A model's scores of one session, asked for once. Satisfies `model.Scorer`."""

    session: date
    values: Float
    ends: Callable[[date], IntervalEnds]

    def scores(self, session: date) -> Float:
        """Return the scores; of no other session."""
        if session != self.session:
            raise LiveError(
                f"scores of {session} were asked of what was scored at {self.session}", "score each close anew"
            )
        return self.values.copy()

    def interval_ends(self, session: date) -> IntervalEnds:
        """Return the prediction intervals; whatever goes wrong is their fault, and nothing is then bought by them."""
        try:
            return self.ends(session)
        except Exception as error:  # somebody else's model: it must not end the close
            nobody = np.full(len(self.values), np.nan)
            return IntervalEnds(nobody, nobody, error.fact if isinstance(error, LjwxError) else repr(error))


class ModelBoard:
    """The models of one runner, used from its event loop; `examine` alone may be called from any thread.

    Parameters
    ----------
    journal, fence, clock
        Where stages are kept, what says that this runner may write, and the time.
    staging
        Which strategies there are, and what a stage asks for.
    label
        What a score is about: when it matures, and by which return it is judged.
    load
        Returns an accepted bundle by its hash, verified again: ``Inbox.load``.
    """

    def __init__(
        self,
        *,
        journal: AsyncJournal,
        fence: Fence,
        clock: Clock,
        staging: Staging,
        label: LabelSettings,
        load: Callable[[str], ModelBundle],
    ) -> None:
        self.staging = staging
        self._in_force = staging
        self._journal = journal
        self._fence = fence
        self._clock = clock
        self._label = label
        self._load = load
        self._factors: FactorHistory | None = None
        self._scorers: dict[str, BundleScorer] = {}
        self._lines: dict[str, Line] = {}
        self._announced: dict[str, str] = {}
        self._told: set[tuple[str, date | None, str]] = set()
        self._adopted_at: tuple[int, Staging] | None = None
        self._turn = asyncio.Lock()

    def attach(self, factors: FactorHistory) -> None:
        """Score by the factors of another session pack from now on; models are made anew for it at the next look."""
        self._factors = factors
        self._scorers = {}

    def examine(self, bundle: ModelBundle) -> bool:
        """Refuse a bundle that fails its smoke predictions; return False while there is no session pack to score.

        Raises
        ------
        BundleError
            Saying what is wrong with it; whatever trades goes on.
        """
        factors = self._factors
        if factors is None:
            return False
        smoke(bundle, factors, self.staging.rules, self._clock, self._champion_beside(bundle))
        return True

    async def adopt(self) -> None:
        """Take over what the journal says of stages: bundles that came, went or were taken back since."""
        async with self._turn:
            seq = (await self._journal.read(standing))[1]
            if self._adopted_at == (seq, self.staging) and all(self._is_loaded(line) for line in self._lines.values()):
                return  # nothing was written since: a poll costs no look at all that ever became of bundles
            self._adopted_at = (seq, self.staging)
            self._in_force = now = await self._journal.read(self.staging.in_force)
            lines = [await self._adopted(strategy) for strategy in now.strategies]
            if await self._journal.read(now.joining) and await self._append(now.joining):
                lines = [await self._adopted(strategy) for strategy in now.strategies]
            self._lines = {line.strategy: line for line in lines}
            staged = {holder.bundle.bundle_hash for line in lines for holder in _holders(line).values()}
            self._scorers = {found: scorer for found, scorer in self._scorers.items() if found in staged}

    @property
    def somebody_scores(self) -> bool:
        """Whether any line had a champion, or had one withdrawn, as they were last adopted."""
        return any(self.models_for(line).champion is not None for line in self._lines)

    def models_for(self, strategy: str) -> StagedModels:
        """Return the models of ``strategy`` as they were last adopted."""
        line = self._lines.get(strategy, Line(strategy))
        models = {
            stage: Model(holder.bundle, self._scorers[holder.bundle.bundle_hash])
            for stage, holder in _holders(line).items()
            if holder.bundle.bundle_hash in self._scorers
        }
        unheard = line.champion is not None and Stage.CHAMPION not in models
        silence = "" if not unheard else "no session pack is open" if self._factors is None else "it cannot be loaded"
        return self._staged(line, models, silence)

    async def scores(self, session: date, strategy: str = "") -> StagedModels:
        """Return the models of ``strategy`` with their scores of ``session``, to be decided on at its close.

        Asking again, after a crash or not, writes nothing twice.

        Raises
        ------
        LiveError
            When the factors of the session cannot be told: no model is at fault then.
        Deposed, LeaseLapsed
            When this runner may not write.
        """
        async with self._turn:
            factors = self._factors
            if factors is None:
                raise LiveError("no session pack is open", "run the pipeline, whose deployment writes the pack")
            await asyncio.to_thread(factors.features, session)
            await self._advance(factors, session, strategy)
            champion, silence = await self._champion(factors, session, strategy)
            line, beside = await self._candidates(factors, session, self._lines[strategy], champion)
            said = [*([] if champion is None else [champion]), *beside]
            if champion is not None and beside:
                await self._append(partial(compared, factors, self._label, session, strategy, said))
            models = {
                one.stage: Model(one.bundle, Answered(session, one.given, partial(self._ends_in_time, one.ends)))
                for one in said
            }
            return self._staged(line, models, silence)

    # -- stages --------------------------------------------------------------------------------------------------

    async def _adopted(self, strategy: str) -> Line:
        """Return the line of ``strategy`` with every bundle loaded that can be; one that cannot loses its stage."""
        while True:
            line = await self._journal.read(partial(read_line, strategy=strategy))
            faults = await self._unloadable(line)
            if not any([await self._fell_back(strategy, *fault) for fault in faults]):
                break
        self._lines[strategy] = line
        champion = line.champion
        if champion is not None and champion.bundle.bundle_hash in self._scorers:
            await self._announce(strategy, champion.bundle)
        return line

    def _is_loaded(self, line: Line) -> bool:
        return all(holder.bundle.bundle_hash in self._scorers for holder in _holders(line).values())

    async def _unloadable(self, line: Line) -> list[tuple[Stage, str, date | None, str]]:
        """Load what is not yet; return stage, hash and reason of each bundle that cannot be."""
        factors, faults = self._factors, list[tuple[Stage, str, date | None, str]]()
        if factors is None:
            return faults
        for stage, holder in _holders(line).items():
            bundle_hash = holder.bundle.bundle_hash
            if bundle_hash in self._scorers:
                continue
            try:
                self._scorers[bundle_hash] = await asyncio.to_thread(self._opened, bundle_hash, factors)
            except Exception as error:  # whatever lies there must not end the runner
                why = error.fact if isinstance(error, LjwxError) else repr(error)
                faults.append((stage, bundle_hash, None, f"it cannot be loaded: {why}"))
        return faults

    def _opened(self, bundle_hash: str, factors: FactorHistory) -> BundleScorer:
        return BundleScorer(self._load(bundle_hash), factors)

    async def _announce(self, strategy: str, bundle: DeployedBundle) -> None:
        if self._announced.get(strategy) == bundle.bundle_hash:
            return
        self._announced[strategy] = bundle.bundle_hash
        named = f"version {bundle.model_version}, bundle {bundle.bundle_hash[:12]}"
        notes = [Noted(topic="model_trades", message=f"{named}{f' for {strategy}' if strategy else ''}", session=None)]
        if fault := self._scorers[bundle.bundle_hash].interval_fault:
            notes.append(Noted(topic="no_intervals", message=f"{named}: {fault}", session=None))
        await self._journal.append(notes, None)

    async def _advance(self, factors: FactorHistory, session: date, strategy: str) -> None:
        """Let candidates advance or end by what is known of the sessions before ``session``."""
        line = await self._adopted(strategy)
        if line.canary is None and line.shadow is None:
            return
        rules, reach = self.staging.rules, self._reach
        matured = session_before(factors, session, reach)

        def steps(connection: Connection) -> tuple[Event, ...]:
            now = read_line(connection, strategy, before=session)
            verdicts = {}
            for stage in CANDIDATES:
                holder = now.at(stage)
                if holder is None or now.champion is None or matured is None:
                    continue
                candidate = holder.bundle.bundle_hash
                known = judged(connection, strategy, candidate, now.champion.bundle.bundle_hash)
                found = verdict(tuple(one for one in known if one.session < matured), rules, reach)
                if found is not None:
                    verdicts[candidate] = found.verdict
            return due(now, rules, verdicts)

        if await self._append(steps):
            await self._adopted(strategy)

    async def _fell_back(
        self, strategy: str, stage: Stage, bundle_hash: str, session: date | None, reason: str
    ) -> bool:
        """Take its stage from a bundle that failed; return whether the line is another one now."""
        known = (strategy, session, bundle_hash) in self._told
        epoch = required_epoch(self._fence)

        def change(connection: Connection) -> bool:
            line = read_line(connection, strategy)
            holder = line.at(stage)
            if holder is None or holder.bundle.bundle_hash != bundle_hash:
                return True  # somebody deployed meanwhile
            events = failed(line, stage, session, reason)
            moved = any(isinstance(event, BundleReleased) for event in events)
            if moved or not known:
                self._journal.log.append_within(connection, events, epoch)
            return moved

        moved = await self._journal.write(change)
        self._told.add((strategy, session, bundle_hash))
        return moved

    # -- scores --------------------------------------------------------------------------------------------------

    async def _champion(self, factors: FactorHistory, session: date, strategy: str) -> tuple[Score | None, str]:
        """Return the scores of the champion, or of the first former one that has any; or why there are none."""
        while True:
            holder = self._lines[strategy].champion
            if holder is None:
                return None, ""
            try:
                return await self._score(factors, session, Stage.CHAMPION, holder.bundle), ""
            except ModelFailed as error:
                failure = (Stage.CHAMPION, holder.bundle.bundle_hash, session, error.fact)
                if not await self._fell_back(strategy, *failure):
                    return None, error.fact
                await self._adopted(strategy)

    async def _candidates(
        self, factors: FactorHistory, session: date, line: Line, champion: Score | None
    ) -> tuple[Line, list[Score]]:
        """Return what the candidates of ``line`` say, and the line without those that failed."""
        found = []
        for stage in CANDIDATES:
            holder = line.at(stage)
            if holder is None:
                continue
            try:
                one = await self._score(factors, session, stage, holder.bundle)
                if champion is not None:
                    alike = rank_correlation(one.given, champion.given)
                    require_alike(alike, self.staging.rules.min_rank_correlation)
            except ModelFailed as error:
                bundle_hash = holder.bundle.bundle_hash
                await self._fell_back(line.strategy, stage, bundle_hash, session, error.fact)
                line = line.without(bundle_hash)
            else:
                found.append(one)
        return line, found

    async def _score(self, factors: FactorHistory, session: date, stage: Stage, bundle: DeployedBundle) -> Score:
        scorer = self._scorers.get(bundle.bundle_hash)
        if scorer is None:
            raise ModelFailed("it cannot be loaded", "deploy it again")
        return await asyncio.to_thread(self._scored, factors, session, stage, bundle, scorer)

    def _scored(
        self, factors: FactorHistory, session: date, stage: Stage, bundle: DeployedBundle, scorer: BundleScorer
    ) -> Score:
        rules = self.staging.rules
        try:
            inputs = factors.inputs(session, *scorer.groups_read)
        except LiveError as error:  # the factors are there: what is missing is what this model's groups are made of
            raise ModelFailed(error.fact, error.remedy) from error
        said, seconds = in_time(rules.max_latency_s, partial(scorer.predict, inputs), self._clock)
        share = unscored_frac(said.score, inputs.scorable, limit=rules.max_unscored_frac)
        return Score(stage, bundle, said.score, share, seconds, scorer.interval_ends)

    def _ends_in_time(self, ends: Callable[[date], IntervalEnds], session: date) -> IntervalEnds:
        return in_time(self.staging.rules.max_latency_s, partial(ends, session), self._clock)[0]

    # -- small things --------------------------------------------------------------------------------------------

    @property
    def _reach(self) -> int:
        return self._label.entry_lag_sessions + self._label.horizon_sessions

    async def _append(self, found: Callable[[Connection], tuple[Event, ...] | list[Event]]) -> bool:
        """Append what is due in the journal as it stands, and return whether that was anything."""
        epoch = required_epoch(self._fence)

        def change(connection: Connection) -> bool:
            events = found(connection)
            if events:
                self._journal.log.append_within(connection, events, epoch)
            return bool(events)

        return await self._journal.write(change)

    def _staged(self, line: Line, models: Mapping[Stage, Model], silence: str) -> StagedModels:
        champion = models.get(Stage.CHAMPION)
        last = line.withdrawn if line.champion is None else line.champion.bundle
        if champion is None and last is not None and self._factors is not None:
            champion = Model(last, SilentScorer(len(self._factors.feed.symbols)))
            silence = silence or "the model was withdrawn"
        return StagedModels(champion, models.get(Stage.CANARY), models.get(Stage.SHADOW), line.sleeves(), silence)

    def _champion_beside(self, bundle: ModelBundle) -> ModelBundle | None:
        """Return the champion of a strategy that trades the model of ``bundle``, if there is another one."""
        trading = self._in_force.trading(bundle.manifest.model_name)
        lines = self._lines  # once: any thread asks, and the loop puts others in their place
        for line in [lines[name] for name in trading if name in lines]:
            scorer = None if line.champion is None else self._scorers.get(line.champion.bundle.bundle_hash)
            if scorer is not None and scorer.bundle.bundle_hash != bundle.bundle_hash:
                return scorer.bundle
        return None


def _holders(line: Line) -> dict[Stage, Holder]:
    """Return who holds which stage, the champion first."""
    held = [(stage, line.at(stage)) for stage in (Stage.CHAMPION, *CANDIDATES)]
    return {stage: holder for stage, holder in held if holder is not None}
