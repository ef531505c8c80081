"""Contests begun, left and ended: the record and the registry's aliases, under the one lock of promotions.

The record alone says who is in: an alias is how MLflow shows it. Aliases are set before a contest is recorded and taken
off after its end is, so a crash in between leaves an alias without effect, which ``settle`` removes. A challenger never
moves the champion's alias. Not here: the verdict (``standing.py``), promotion (``promotion/``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd

from ljwx_pipeline.clock import SHANGHAI
from ljwx_pipeline.config import ApprovalSettings, ContestSettings, Settings
from ljwx_pipeline.contest.bound import bound_of, require_different, walk_forward_returns
from ljwx_pipeline.contest.record import Challenger, Contest, ContestRecord, Course, Mode
from ljwx_pipeline.errors import BundleError, ConfigError, PromotionError, SourceError
from ljwx_pipeline.market.calendar import last_known_session, sessions_between, upgrade_remedy
from ljwx_pipeline.promotion.deploy import intact_bundle
from ljwx_pipeline.promotion.desk import Desk
from ljwx_pipeline.promotion.plans import Hand, plan_promotion
from ljwx_pipeline.registry import Alias, ModelVersion, Registry
from ljwx_pipeline.scoring.bundle import MANIFEST, Manifest
from ljwx_pipeline.tracking.champion import AWAITING, DEMOTED, ChampionRecord

#: The aliases of a contest's challengers, in their order: MLflow lets an alias name one version.
ALIASES: Mapping[Mode, tuple[Alias, ...]] = {
    "shadow": ("shadow", "shadow-2", "shadow-3"),
    "canary": ("canary", "canary-2", "canary-3"),
}
MOST_CHALLENGERS = len(ALIASES["shadow"])
#: On a version: what its contest came to, as a sentence.
CONTEST_TAG = "contest"
#: How a challenger left that may not trade again before a new decision on it.
_DEMOTING = ("breach", "worse")


@dataclass(frozen=True)
class Asked:
    """What ``begin`` is asked for.

    Parameters
    ----------
    versions
        Numbers of the challengers.
    mode
        Shadow or canary.
    start_session
        The first session whose scores count.
    capital_frac
        Share of each canary; None: the configured one.
    bound_frac
        Of the daily differences; None: from the walk forwards.
    rehearsal
        Whether sessions from the first one on are known already.
    by
        The person who asks.
    """

    versions: tuple[str, ...]
    mode: Mode
    start_session: date
    capital_frac: float | None = None
    bound_frac: float | None = None
    rehearsal: bool = False
    by: str = ""


class ContestMoves:
    """What may be done to the contests of one model; every change holds the lock of promotions.

    Parameters
    ----------
    folder
        ``tracking`` below the market's home: the records and the lock.
    bundles
        Where verified copies of bundles are kept.
    public_key
        That bundles must be signed by.
    """

    def __init__(
        self, registry: Registry, record: ContestRecord, *, model: str, folder: Path, bundles: Path, public_key: str
    ) -> None:
        self._registry, self._record, self._model = registry, record, model
        self._folder, self._bundles, self._key = folder, bundles, public_key
        self._champions = ChampionRecord(folder)
        self._desk = Desk(registry, self._champions, model)

    def begin(self, asked: Asked, settings: Settings) -> Contest:
        """Record a contest and show it in the registry; return it.

        Raises
        ------
        ConfigError
            When the settings trade otherwise than a contest does.
        RegistryError
            Without such a version.
        PromotionError
            When one runs already, the line promoted no champion, a version is the champion's bundle or named twice, a
            canary was not promoted and this person may not promote it, two challengers are the same model, or the
            capital does not suffice.
        BundleError
            When a bundle is damaged, of other factors than the champion's, or was trained on the first session.
        """
        _require_contestable(settings)
        rules = settings.contest
        with self._locked():
            running = self._record.running(self._model)
            if running is not None:
                raise PromotionError(
                    f"contest {running.contest.id} runs since {running.contest.start_session} (version "
                    f"{', '.join(one.version for one in running.remaining)} as {running.contest.mode})",
                    "there is one at a time, with up to three challengers: end it first, `ljwx contest stop`",
                )
            champion = self._registry.champion(self._model)
            if champion is None:
                raise PromotionError(f"{self._model} has no champion to contest", "promote one first: `ljwx run`")
            refusal = self._champions.refusal(self._model, champion.version, champion.bundle_hash)
            if refusal is not None:
                raise PromotionError(*refusal)
            versions = self._challengers(asked, champion, settings.approval)
            shares = self._shares(asked, rules)
            self._require_comparable(champion, versions, asked.start_session)
            contest = Contest(
                id="",
                at=self._record.now(),
                model=self._model,
                mode=asked.mode,
                champion_version=champion.version,
                champion_bundle=champion.bundle_hash,
                challengers=tuple(
                    Challenger(one.version, one.bundle_hash, bound, share)
                    for one, bound, share in zip(
                        versions, self._bounds(asked, rules, champion, versions), shares, strict=True
                    )
                ),
                start_session=asked.start_session.isoformat(),
                alpha=rules.alpha,
                min_sessions=rules.min_sessions,
                max_behind_frac=rules.max_behind_frac,
                on_breach=rules.on_breach,
                terms_hash=terms_hash(settings),
                rehearsal=asked.rehearsal,
                begun_by=asked.by,
            ).named()
            for alias, version in zip(ALIASES[asked.mode], versions, strict=False):
                self._registry.set_alias(alias, version)
            self._record.started(contest)
            for version in versions:
                role = f"{contest.mode}, a rehearsal," if contest.rehearsal else contest.mode
                said = f"{role} since {contest.start_session} against version {champion.version}"
                said += f", begun by {contest.begun_by}" if contest.begun_by else ""
                self._registry.tag_version(self._model, version.version, CONTEST_TAG, f"{contest.id}: {said}")
        return contest

    def stop(self, reason: str) -> Course:
        """End the contest that runs and take its aliases off; return its course.

        Raises
        ------
        PromotionError
            When none runs.
        """
        with self._locked():
            course = self._record.running(self._model)
            if course is None:
                raise PromotionError(f"no contest of {self._model} runs", "begin one: `ljwx contest start VERSION`")
            self._end(course, "stopped", reason)
        return self._again(course)

    def settle(self) -> Course | None:
        """Return the contest that runs, after ending what no longer can: None when none does.

        A contest ends with its champion: another version or bundle under that alias is another question. A challenger
        whose alias was moved by hand has left. Aliases of whoever is not in are taken off.
        """
        with self._locked():
            course = self._record.running(self._model)
            if course is not None:
                self._settle(course)
                course = self._record.running(self._model)
            self._drop_aliases({} if course is None else self._aliases(course))
        return course

    def leave(self, course: Course, challenger: Challenger, *, outcome: str, session: str, reason: str) -> Course:
        """Take a challenger out of its contest, which ends with the last one; return its course.

        A canary in breach, or decided worse, loses its promotion as well: it does not trade again before a new decision
        on it. Doing it again changes nothing, and neither does doing it once the contest cannot go on: a challenger
        that became champion meanwhile is not touched.
        """
        with self._locked():
            now = self._again(course)
            if now.ended is None:
                self._settle(now)
                now = self._again(course)
            if now.ended is None and now.left(challenger.version) is None:
                if course.contest.mode == "canary" and outcome in _DEMOTING:
                    self._champions.decided(
                        self._model,
                        challenger.version,
                        challenger.bundle_hash,
                        decision=DEMOTED,
                        reasons=[],
                        via="contest",
                        by="the daily job",
                        reason=reason,
                    )
                    self._registry.tag_version(self._model, challenger.version, "decision", DEMOTED)
                self._leave(now, challenger, outcome=outcome, session=session, reason=reason)
            now = self._again(course)
            self._drop_aliases(self._aliases(now))
        return now

    def decide(self, course: Course, challenger: Challenger, *, outcome: str, session: str, reason: str) -> Course:
        """Write the verdict on a challenger down, once; return the course."""
        with self._locked():
            now = self._again(course)
            if now.ended is None and now.decided(challenger.version) is None:
                self._record.happened(
                    "decided",
                    course.contest,
                    version=challenger.version,
                    session=session,
                    outcome=outcome,
                    reason=reason,
                )
        return self._again(course)

    def _settle(self, course: Course) -> None:
        contest, champion = course.contest, self._registry.champion(self._model)
        if champion is None or (champion.version, champion.bundle_hash) != (
            contest.champion_version,
            contest.champion_bundle,
        ):
            held = "nobody" if champion is None else f"version {champion.version} ({champion.bundle_hash[:12]})"
            self._end(
                course,
                "champion_changed",
                f"champion was version {contest.champion_version} ({contest.champion_bundle[:12]}) and now is {held}",
            )
            return
        for challenger in course.remaining:
            alias = self._aliases(course)[challenger.version]
            found = self._registry.aliased(self._model, alias)
            if found is None or (found.version, found.bundle_hash) != (challenger.version, challenger.bundle_hash):
                now = "no version" if found is None else f"version {found.version} ({found.bundle_hash[:12]})"
                self._leave(
                    self._again(course),
                    challenger,
                    outcome="moved",
                    session="",
                    reason=f"alias {alias} was moved by hand to {now}",
                )

    def _leave(self, course: Course, challenger: Challenger, *, outcome: str, session: str, reason: str) -> None:
        contest = course.contest
        self._record.happened(
            "left", contest, version=challenger.version, session=session, outcome=outcome, reason=reason
        )
        said = f"{contest.id}: left ({outcome}), {reason}"
        self._registry.tag_version(self._model, challenger.version, CONTEST_TAG, said)
        if not self._again(course).remaining:
            self._record.happened("ended", contest, outcome="no_challenger", reason="its last challenger left")

    def _end(self, course: Course, outcome: str, reason: str) -> None:
        self._record.happened("ended", course.contest, outcome=outcome, reason=reason)
        for challenger in course.remaining:
            said = f"{course.contest.id}: ended ({outcome}), {reason}"
            self._registry.tag_version(self._model, challenger.version, CONTEST_TAG, said)
        self._drop_aliases({})

    def _again(self, course: Course) -> Course:
        """Return the course as the record tells it now."""
        return next(one for one in self._record.courses(self._model) if one.contest.id == course.contest.id)

    def _aliases(self, course: Course) -> dict[str, Alias]:
        """Return the alias by version of the challengers that are in."""
        contest, staying = course.contest, {one.version for one in course.remaining}
        pairs = zip(contest.challengers, ALIASES[contest.mode], strict=False)
        return {one.version: alias for one, alias in pairs if one.version in staying}

    def _drop_aliases(self, kept: Mapping[str, Alias]) -> None:
        shown = self._registry.aliases(self._model)
        for alias in (alias for aliases in ALIASES.values() for alias in aliases):
            if alias in shown and alias not in kept.values():
                self._registry.drop_alias(alias, self._model)

    def _challengers(self, asked: Asked, champion: ModelVersion, approval: ApprovalSettings) -> list[ModelVersion]:
        found = [self._desk.version(number) for number in asked.versions]
        bundles = [champion.bundle_hash, *(one.bundle_hash for one in found)]
        if twice := next((one for place, one in enumerate(found, 1) if bundles.index(one.bundle_hash) < place), None):
            raise PromotionError(
                f"the bundle of version {twice.version}, {twice.bundle_hash[:12]}, is the champion's or named twice",
                "a contest needs models that differ: choose another version",
            )
        if not 1 <= len(found) <= MOST_CHALLENGERS:
            raise PromotionError(f"{len(found)} challengers", f"name one to {MOST_CHALLENGERS}")
        for one in found if asked.mode == "canary" else ():
            self._require_tradable(one, asked.by, approval)
        return found

    def _require_tradable(self, version: ModelVersion, by: str, approval: ApprovalSettings) -> None:
        """Refuse a canary that neither the line promoted nor the person who begins the contest could promote."""
        standing = self._champions.standing(self._model, version.bundle_hash)
        if standing is not None and standing.decision == AWAITING:
            try:
                plan_promotion(self._desk, version.version, Hand(by, ""), approval)
            except PromotionError as error:
                raise PromotionError(
                    f"version {version.version} awaits approval and may not trade as a canary: {error.fact}",
                    f"whoever may `ljwx promote {version.version}`, with nothing to be accepted, may begin this too; a "
                    "shadow may be any version: --as shadow",
                ) from error
            return
        refusal = self._champions.refusal(self._model, version.version, version.bundle_hash)
        if refusal is not None:
            raise PromotionError(
                f"version {version.version} may not trade as a canary: {refusal[0].partition(', but ')[2]}",
                "only what the gate promoted, or lets a person promote, is given capital; a shadow may be any version: "
                "--as shadow",
            )

    @staticmethod
    def _shares(asked: Asked, settings: ContestSettings) -> list[float]:
        if asked.mode == "shadow":
            if asked.capital_frac is not None:
                raise PromotionError("a shadow has no capital", "leave --capital-frac out, or begin with --as canary")
            return [1.0] * len(asked.versions)
        if asked.rehearsal:
            raise PromotionError("a rehearsal decides nothing and moves no capital", "rehearse with --as shadow")
        share = settings.canary_capital_frac if asked.capital_frac is None else asked.capital_frac
        total = share * len(asked.versions)
        if not 0 < share <= total <= settings.max_canary_frac:
            raise PromotionError(
                f"{len(asked.versions)} canaries of {share:.1%} of the capital ask for {total:.1%}, "
                f"contest.max_canary_frac is {settings.max_canary_frac:.1%}",
                "name fewer, or a smaller --capital-frac above 0",
            )
        return [share] * len(asked.versions)

    def _bounds(
        self, asked: Asked, settings: ContestSettings, champion: ModelVersion, versions: Sequence[ModelVersion]
    ) -> list[float]:
        if asked.bound_frac is not None:
            if not 0 < asked.bound_frac < 1:
                raise PromotionError(f"--bound-frac {asked.bound_frac} bounds nothing", "name a daily fraction: 0.02")
            return [asked.bound_frac] * len(versions)
        base = walk_forward_returns(self._registry, champion)
        earned = {one.version: walk_forward_returns(self._registry, one) for one in versions}
        require_different(earned)
        return [bound_of(base, one, deviations=settings.bound_deviations) for one in earned.values()]

    def _require_comparable(self, champion: ModelVersion, versions: Sequence[ModelVersion], first: date) -> None:
        base = self._manifest(champion)
        for version in (champion, *versions):
            manifest = self._manifest(version)
            if manifest.factor_hash != base.factor_hash:
                raise BundleError(
                    f"version {version.version} is of factors {manifest.factor_hash[:12]}, the champion of "
                    f"{base.factor_hash[:12]}: the daily job computes one catalogue",
                    "choose a version of the same factors",
                )
            if manifest.last_session >= first:
                raise BundleError(
                    f"version {version.version} was trained up to {manifest.last_session}, the contest begins {first}",
                    "begin after every model's training: later data, or a model of fewer sessions",
                )

    def _manifest(self, version: ModelVersion) -> Manifest:
        bundle = intact_bundle(self._bundles, self._registry, version, public_key=self._key)
        return Manifest.from_json((bundle / MANIFEST).read_bytes())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._champions.one_at_a_time():
            yield


def _require_contestable(settings: Settings) -> None:
    if settings.strategy.kind == "long_short":
        raise ConfigError(
            "strategy.kind = long_short is for research, it cannot trade", "choose one that trades before a contest"
        )
    if settings.uncertainty.abstains:
        raise ConfigError(
            "a contest trades every scored name, and uncertainty.max_width_frac or max_loss_frac keeps some from being "
            "bought: its returns would be those of another strategy",
            "set both limits to 0 for as long as the contest runs",
        )


def terms_hash(settings: Settings) -> str:
    """Return the hash of what makes scores returns: strategy, costs, universe, and what is too unsure to be bought."""
    kept = settings.model_dump(mode="json", include={"strategy", "costs", "universe"})
    kept["limits"] = settings.uncertainty.model_dump(mode="json", include={"max_width_frac", "max_loss_frac"})
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def next_session(held: date | None, now: datetime) -> date:
    """Return the first session of which nothing can be known: after the newest one held, and after today in Shanghai.

    Raises
    ------
    SourceError
        When the exchange calendar does not know it yet.
    """
    today = now.astimezone(SHANGHAI).date()
    after = today if held is None else max(held, today)
    if after >= last_known_session():
        raise SourceError(f"no session after {after} is known", upgrade_remedy())
    return sessions_between(after + timedelta(days=1), last_known_session())[0].date()


def rehearsal_session(sessions: pd.DatetimeIndex, held_out_sessions: int) -> date:
    """Return the first held-out session: research never saw it, and it is known already.

    Raises
    ------
    PromotionError
        When fewer than three sessions are held out or held: there would be no two returns to show.
    """
    count = min(held_out_sessions, len(sessions))
    if count < 3:
        raise PromotionError(
            f"{count} sessions are held out, a rehearsal needs 3",
            "raise research.held_out_sessions, or begin a contest on sessions to come",
        )
    found: date = sessions[-count].date()
    return found
