"""Every change of the champion, one at a time: the gate's decision settled, and what a person's command does.

Under one lock the decision is written down, the alias moved and the runner told, in an order in which dying anywhere
leaves a state that the same command finishes: the record says first what is meant, so nothing is ever deployed that
was not promoted. Two changes at once: one wins, the other is told what became champion meanwhile. Not here: the
gate's rules (``gate.py``), who may promote (``approval.py``), the way to the runner (``deploy.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from ljwx_pipeline.config import ApprovalSettings
from ljwx_pipeline.errors import PromotionError, RegistryError
from ljwx_pipeline.lake.locking import exclusive
from ljwx_pipeline.promotion.approval import approval_refusal, person
from ljwx_pipeline.promotion.deploy import Deployment, RunnerLink, intact_bundle
from ljwx_pipeline.registry import RESTATED_TAG, ModelVersion, Registry
from ljwx_pipeline.scoring.signing import public_key_of
from ljwx_pipeline.scoring.withdrawal import Withdrawal
from ljwx_pipeline.tracking.champion import AWAITING, DEMOTED, PROMOTED, REFUSED, ChampionLine, ChampionRecord, Via

LOCK = "promotion.lock"
#: A change takes seconds; with MLflow and the runner both at their time limits, less than this.
LOCK_TIMEOUT_S = 120.0
#: Of a version's description in MLflow: the line that says the last decision.
_HEAD = "> "

asker = person


@dataclass(frozen=True)
class Desk:
    """One market's registered model: the registry that holds it and the record of its champions."""

    registry: Registry
    record: ChampionRecord
    model: str

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Hold the market's promotions alone for the ``with`` block.

        Raises
        ------
        LakeError
            When another process holds them for longer than a change can take.
        """
        with exclusive(self.record.path.with_name(LOCK), timeout_s=LOCK_TIMEOUT_S):
            yield

    def champion(self) -> ModelVersion | None:
        """Return what the registry's alias names."""
        return self.registry.champion(self.model)

    def version(self, number: str) -> ModelVersion:
        """Return the version of this number.

        Raises
        ------
        RegistryError
            When there is none; those that there are are named.
        """
        found = {version.version: version for version in self.registry.versions(self.model)}
        if number not in found:
            there = f"choose among {', '.join(found)}" if found else "register one: `ljwx run`"
            raise RegistryError(f"{self.model} has no version {number!r}", there)
        return found[number]


@dataclass(frozen=True)
class Verdict:
    """The gate's decision on a version, and who ran the research that it judges."""

    decision: Literal["promoted", "refused", "awaiting_approval"]
    reasons: Sequence[str]
    version: ModelVersion
    asked_by: str


@dataclass(frozen=True)
class Settled:
    """What became of a verdict.

    Parameters
    ----------
    decision, reasons
        The verdict's, unless a person had the last word on that bundle before: what they demoted waits for one again,
        what they approved and is champion stays so. The reasons say which.
    champion
        What the alias names now.
    """

    decision: Literal["promoted", "refused", "awaiting_approval"]
    reasons: tuple[str, ...]
    champion: ModelVersion | None


def settle(desk: Desk, verdict: Verdict, *, seen: str | None) -> Settled:
    """Write the gate's decision down and do as it says; doing it again changes nothing.

    ``promoted`` makes the version champion; ``awaiting_approval`` leaves it challenger and ``refused`` nothing, and
    neither touches the champion. The runner is not told: the sensor sees a new champion.

    Parameters
    ----------
    seen
        Bundle hash of the champion that the gate judged it beside; None: there was none.

    Raises
    ------
    PromotionError
        When another version became champion meanwhile: it was never compared with that one.
    """
    version = verdict.version
    with desk.one_at_a_time():
        now = desk.champion()
        standing = desk.record.standing(desk.model, version.bundle_hash)
        if verdict.decision == AWAITING and standing is not None and standing.decision == PROMOTED:
            is_it = now is not None and now.bundle_hash == version.bundle_hash
            _challenge(desk, version, keep=not is_it)
            _tag(desk, version, PROMOTED, by=standing.by or "gate", reason=standing.reason)
            said = f"{standing.said()}; the gate asks for approval as before"
            return Settled("promoted" if is_it else "awaiting_approval", (*verdict.reasons, said), now)
        decision, reasons = _after_people(desk, verdict)
        if decision == PROMOTED:
            _require_unchanged(desk.model, now, seen, version)
        desk.record.decided(
            desk.model,
            version.version,
            version.bundle_hash,
            decision=decision,
            reasons=reasons,
            asked_by=verdict.asked_by,
        )
        _challenge(desk, version, keep=decision == AWAITING)
        if decision == PROMOTED:
            desk.registry.promote(version)
            desk.record.moved(desk.model, version.version, version.bundle_hash)
            now = version
        _tag(desk, version, decision, by="gate", reason=" | ".join(reasons))
    return Settled(decision, reasons, now)


@dataclass(frozen=True)
class Hand:
    """The person who gives a command, and why they say they do."""

    by: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """What a command is about to do.

    Parameters
    ----------
    command
        Which one.
    before, after
        The champion found, and the one afterwards; None: none.
    demotes
        The version that is written down as demoted; None: none is, or it was before.
    decides
        Whether ``after`` is written down as promoted; False: it stands so.
    reasons
        What is written down with that.
    notes
        What a person should read before it is done.
    """

    command: Via
    before: ModelVersion | None
    after: ModelVersion | None
    demotes: ModelVersion | None = None
    decides: bool = True
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Done:
    """What a command did, and how the runner took it."""

    plan: Plan
    told: Deployment


def plan_promotion(
    desk: Desk, number: str, hand: Hand, approval: ApprovalSettings, *, restated_accepted: bool = False
) -> Plan:
    """Return how ``number`` becomes champion by a person's word.

    Raises
    ------
    RegistryError
        Without such a version.
    PromotionError
        When the gate refused it or never decided on it, when this person may not, or when data that it or the champion
        learned from were restated since and that is not accepted with a reason.
    """
    version, now = desk.version(number), desk.champion()
    gate = desk.record.standing(desk.model, version.bundle_hash, gate_alone=True)
    named = f"version {version.version} of {desk.model}"
    if gate is None:
        raise PromotionError(f"the gate never decided on {named}", "run the research, which judges it: `ljwx run`")
    if gate.decision == REFUSED:
        why = " | ".join(gate.reasons) or "no reason"
        raise PromotionError(f"the gate refused {named} at {gate.at} ({why})", "only what the gate passes is promoted")
    refused = approval_refusal(approval, hand.by, asked_by=gate.asked_by, awaiting=gate.decision == AWAITING)
    if refused is not None:
        raise PromotionError(f"{named} is not promoted: {refused[0]}", refused[1])
    restated = _restated(desk, version, now)
    if restated and not (restated_accepted and hand.reason):
        raise PromotionError(
            "; ".join(restated),
            "run the research on the data as they are now; or accept it: --restated-data-accepted --reason TEXT",
        )
    standing = desk.record.standing(desk.model, version.bundle_hash) or gate
    is_it = now is not None and now.bundle_hash == version.bundle_hash
    open_one = desk.record.open_command(desk.model)
    stands = standing.decision == PROMOTED and (is_it or (open_one is not None and open_one == standing))
    notes = [f"its last decision: {standing.said()}", *restated]
    notes += ["it is champion already: the runner is told again"] if is_it and stands else []
    return Plan(
        "promote",
        now,
        version,
        decides=not stands,
        reasons=tuple(f"restated data accepted: {one}" for one in restated),
        notes=tuple(notes),
    )


def plan_rollback(desk: Desk, to: str | None = None) -> Plan:
    """Return how the former champion comes back, or version ``to``, which must be one, and the present one goes.

    A rollback that was stopped half-way is finished, not repeated.

    Raises
    ------
    RegistryError
        Without a version ``to``.
    PromotionError
        Without a former champion that stands promoted.
    """
    try:
        now, record = desk.champion(), desk.record
    except RegistryError as error:
        raise RegistryError(error.fact, f"{error.remedy}; `ljwx demote` stops the model without MLflow") from error
    open_one = record.open_command(desk.model)
    wanted = None if to is None else desk.version(to)
    if open_one is not None and open_one.via == "rollback-model" and open_one.decision == PROMOTED:
        after = desk.registry.version_of(desk.model, open_one.bundle_hash)
        if after is not None and wanted in (None, after):
            note = f"finishes the rollback that {open_one.by} began at {open_one.at}"
            return Plan("rollback-model", now, after, decides=False, notes=(note, *_restated(desk, after, None)))
    former, passed_over = _former_champions(desk, now)
    if wanted is not None and wanted not in former:
        raise PromotionError(
            _why_not(desk, wanted, now),
            f"choose among {', '.join(one.version for one in former) or 'none'}, or bring it back: "
            f"`ljwx promote {wanted.version}`",
        )
    if wanted is None and not former:
        raise PromotionError(
            f"{desk.model} has no former champion to go back to{''.join(f'; {one}' for one in passed_over)}",
            "`ljwx demote` takes the model off the runner: nothing more is bought then",
        )
    after = wanted or former[0]
    standing = None if now is None else record.standing(desk.model, now.bundle_hash)
    begun = open_one is not None and open_one == standing and open_one.decision == DEMOTED
    notes = tuple(f"passed over: {one}" for one in passed_over) if wanted is None else ()
    restated = tuple(_restated(desk, after, None))
    gone = None if begun else now
    return Plan("rollback-model", now, after, demotes=gone, reasons=restated, notes=(*notes, *restated))


def plan_demotion(desk: Desk) -> Plan:
    """Return how the champion goes without another in its place; the record is asked where MLflow is away.

    Raises
    ------
    PromotionError
        When there never was a champion.
    """
    notes: tuple[str, ...] = ()
    try:
        now = desk.champion()
    except RegistryError as error:
        now, notes = None, (f"MLflow is away, the runner is told all the same ({error.fact})",)
    about = now or _last_known(desk)
    if about is None:
        raise PromotionError(f"{desk.model} has no champion and never had one", "nothing trades: there is no need")
    standing = desk.record.standing(desk.model, about.bundle_hash)
    if standing is not None and standing.decision == DEMOTED:
        notes += (f"version {about.version} was {standing.said()}: the runner is told again",)
        return Plan("demote", now, None, notes=notes)
    return Plan("demote", now, None, demotes=about, notes=notes)


def carry_out(
    desk: Desk,
    planned: Plan,
    plan_again: Callable[[], Plan],
    hand: Hand,
    runner: RunnerLink,
    say: Callable[[str], None],
) -> Done:
    """Do what ``planned`` says, unless the champion has changed since; dying anywhere, the same command finishes it.

    Parameters
    ----------
    plan_again
        Makes the plan anew under the lock: what was planned outside may no longer hold.
    say
        Is told each step.

    Raises
    ------
    PromotionError
        When another version became champion meanwhile, or the runner refuses.
    BundleError
        When the bundle is damaged in the registry: nothing has changed then.
    """
    with desk.one_at_a_time():
        plan = plan_again()
        _require_same(desk.model, planned, plan)
        if plan.after is None:
            told = _take_off(desk, plan, hand, runner, say)
        else:
            told = _put_on(desk, plan, plan.after, hand, runner, say)
        if plan.demotes is not None:
            _tag(desk, plan.demotes, DEMOTED, by=hand.by, reason=hand.reason)
        number, bundle_hash = (None, "") if plan.after is None else (plan.after.version, plan.after.bundle_hash)
        desk.record.delivered(desk.model, number, bundle_hash, how=f"{told.status}: {told.how}")
    return Done(plan, told)


def _put_on(
    desk: Desk, plan: Plan, after: ModelVersion, hand: Hand, runner: RunnerLink, say: Callable[[str], None]
) -> Deployment:
    """Record, alias, runner: whatever stops in between, the sensor hands the new champion over, or the command does."""
    say(f"fetching and verifying the bundle of version {after.version}")
    bundle = intact_bundle(runner.champions, desk.registry, after, public_key=public_key_of(runner.key))
    if plan.demotes is not None:
        _decide(desk, plan, plan.demotes, DEMOTED, hand)
    if plan.decides:
        _decide(desk, plan, after, PROMOTED, hand)
    if plan.before != after:
        say(f"champion of {desk.model}: version {plan.before.version if plan.before else 'none'} -> {after.version}")
        desk.registry.promote(after)
    last = desk.record.last_move(desk.model)
    if last is None or (last.version, last.bundle_hash) != (after.version, after.bundle_hash):
        desk.record.moved(desk.model, after.version, after.bundle_hash)
    demotion = _demotion_before(desk) if plan.command == "rollback-model" else None
    if demotion is not None:  # first: a bundle that turns out damaged must not leave the demoted one trading
        say(f"telling the runner at {runner.address} that version {demotion.version} is withdrawn")
        runner.withdraw(demotion)
    say(f"handing version {after.version} to the runner at {runner.address}")
    try:
        told = runner.push(bundle, after.version)
    except PromotionError as error:
        left = "trades no model" if demotion is not None else "trades what it traded before"
        raise PromotionError(
            f"version {after.version} is champion in the registry, but {error.fact}; the runner {left}",
            f"mend what it names and run `ljwx {plan.command}` again, or `ljwx demote`",
        ) from error
    _challenge(desk, after, keep=False)
    if plan.decides:
        _tag(desk, after, PROMOTED, by=hand.by, reason=hand.reason)
    return told


def _take_off(desk: Desk, plan: Plan, hand: Hand, runner: RunnerLink, say: Callable[[str], None]) -> Deployment:
    """Record, runner, alias: the runner stops even where MLflow is away."""
    if plan.demotes is not None:
        _decide(desk, plan, plan.demotes, DEMOTED, hand)
    said = [line for line in desk.record.lines(desk.model) if line.what == "decided" and line.decision == DEMOTED]
    withdrawal = _withdrawal(desk, said[-1])
    say(f"telling the runner at {runner.address} that version {withdrawal.version} is withdrawn")
    told = runner.withdraw(withdrawal)
    say(f"taking the alias champion off {desk.model}")
    try:
        desk.registry.drop_alias("champion", desk.model)
    except RegistryError as error:
        raise RegistryError(
            f"the runner was told ({told.status}: {told.how}), but the alias champion of {desk.model} stays on version "
            f"{withdrawal.version} ({error.fact})",
            "run `ljwx demote` again when MLflow answers; that version is not deployed meanwhile",
        ) from error
    last = desk.record.last_move(desk.model)
    if last is None or last.version is not None:
        desk.record.moved(desk.model, None, "")
    return told


def _decide(desk: Desk, plan: Plan, version: ModelVersion, decision: str, hand: Hand) -> None:
    gate = desk.record.standing(desk.model, version.bundle_hash, gate_alone=True)
    desk.record.decided(
        desk.model,
        version.version,
        version.bundle_hash,
        decision=decision,
        reasons=plan.reasons if decision == PROMOTED else (),
        via=plan.command,
        by=hand.by,
        reason=hand.reason,
        asked_by="" if gate is None else gate.asked_by,
    )


def _after_people(
    desk: Desk, verdict: Verdict
) -> tuple[Literal["promoted", "refused", "awaiting_approval"], tuple[str, ...]]:
    """Return the verdict, or that it waits for a person where a person demoted that very bundle."""
    lines = desk.record.lines(desk.model)
    by_people = [
        line
        for line in lines
        if line.what == "decided" and not line.by_gate and line.bundle_hash == verdict.version.bundle_hash
    ]
    if verdict.decision == PROMOTED and by_people and by_people[-1].decision == DEMOTED:
        back = f"`ljwx promote {verdict.version.version}` brings it back"
        return "awaiting_approval", (
            *verdict.reasons,
            f"the gate passes it again, but it was {by_people[-1].said()}; {back}",
        )
    return verdict.decision, tuple(verdict.reasons)


def _require_unchanged(model: str, now: ModelVersion | None, seen: str | None, version: ModelVersion) -> None:
    if _hash_of(now) not in (seen, version.bundle_hash):
        raise PromotionError(
            f"{_became(model, now)} (when version {version.version} was judged, it was "
            f"{f'bundle {seen[:12]}' if seen else 'none'}): version {version.version} is not promoted",
            "run the research again: it is judged beside the champion of now",
        )


def _became(model: str, now: ModelVersion | None) -> str:
    if now is None:
        return f"the champion of {model} was taken off meanwhile"
    return f"version {now.version} of {model} became champion meanwhile"


def _require_same(model: str, planned: Plan, now: Plan) -> None:
    before = (_hash_of(planned.before), _hash_of(planned.after))
    was = planned.before.version if planned.before else "none"
    if _hash_of(now.after) != before[1] or _hash_of(now.before) not in before:
        raise PromotionError(
            f"{_became(model, now.before)} (it was {was}): nothing was done",
            "look at it with `ljwx models list` and give the command again if you still mean it",
        )


def _former_champions(desk: Desk, now: ModelVersion | None) -> tuple[list[ModelVersion], list[str]]:
    """Return those that stand promoted and the registry still holds, the newest first, and why others do not."""
    lines = desk.record.lines(desk.model)
    moves = [line for line in reversed(lines) if line.what in ("moved", "moved_by_hand") and line.bundle_hash]
    former, passed_over = [], []
    for bundle_hash, line in {move.bundle_hash: move for move in reversed(moves)}.items():
        if bundle_hash == _hash_of(now):
            continue
        standing = desk.record.standing(desk.model, bundle_hash)
        held = desk.registry.version_of(desk.model, bundle_hash)
        if standing is None or standing.decision != PROMOTED:
            said = "the line never decided on it" if standing is None else f"it was {standing.said()}"
            passed_over.append(f"version {line.version} ({said})")
        elif held is None:
            passed_over.append(f"version {line.version} (the registry no longer holds its bundle)")
        else:
            last = max(i for i, move in enumerate(lines) if move.what != "decided" and move.bundle_hash == bundle_hash)
            former.append((last, held))
    return [held for _, held in sorted(former, key=lambda item: -item[0])], passed_over


def _why_not(desk: Desk, wanted: ModelVersion, now: ModelVersion | None) -> str:
    named = f"version {wanted.version} of {desk.model}"
    if now is not None and wanted.bundle_hash == now.bundle_hash:
        return f"{named} is the champion now"
    standing = desk.record.standing(desk.model, wanted.bundle_hash)
    if standing is None:
        return f"{named} never was champion: the line never decided on it"
    if standing.decision != PROMOTED:
        return f"{named} is no former champion that stands promoted: it was {standing.said()}"
    return f"{named} never was champion"


def _last_known(desk: Desk) -> ModelVersion | None:
    """Return the champion that the record knows of last, whether or not the alias is still on it."""
    lines = [line for line in reversed(desk.record.lines(desk.model)) if line.what in ("moved", "moved_by_hand")]
    named = next((line for line in lines if line.version is not None and line.bundle_hash), None)
    return None if named is None else ModelVersion(desk.model, str(named.version), "", named.bundle_hash)


def _demotion_before(desk: Desk) -> Withdrawal | None:
    """Return the withdrawal of what a rollback demoted, right before it promoted; None where nothing was champion."""
    decided = [line for line in desk.record.lines(desk.model) if line.what == "decided"][-2:]
    gone = [line for line in decided if line.decision == DEMOTED]
    return _withdrawal(desk, gone[-1]) if gone else None


def _withdrawal(desk: Desk, line: ChampionLine) -> Withdrawal:
    number = max(place for place, one in enumerate(desk.record.lines(desk.model)) if one == line)
    return Withdrawal(desk.model, str(line.version), line.bundle_hash, line.by, line.reason, line.at, number)


def _restated(desk: Desk, version: ModelVersion, champion: ModelVersion | None) -> list[str]:
    """Return what was restated of the data that the version, and the champion beside it, learned from."""
    found = []
    for one, what in ((version, "version"), (champion, "the champion, version")):
        fact = "" if one is None else desk.registry.version_tags(one).get(RESTATED_TAG, "")
        if one is not None and fact and not (one is champion and one == version):
            found.append(f"{what} {one.version} was made from data that were changed since ({fact})")
    return found


def _challenge(desk: Desk, version: ModelVersion, *, keep: bool) -> None:
    """Let the alias ``challenger`` name the version that waits, and no version that is decided on."""
    if keep:
        desk.registry.set_alias("challenger", version)
    elif desk.registry.aliased(desk.model, "challenger") == version:
        desk.registry.drop_alias("challenger", desk.model)


def _tag(desk: Desk, version: ModelVersion, decision: str, *, by: str, reason: str) -> None:
    """Show the last decision on MLflow's page of a version: as tags, and first of its description."""
    registry, line = desk.registry, desk.record.standing(desk.model, version.bundle_hash)
    tags = {"decision": decision, "decided_by": by, "decision_reason": reason or "none given"}
    for name, value in tags.items():
        registry.tag_version(desk.model, version.version, name, value)
    if by != "gate" and line is not None:
        old = registry.version_description(desk.model, version.version)
        rest = old.partition("\n\n")[2] if old.startswith(_HEAD) else old
        registry.describe_version(desk.model, version.version, f"{_HEAD}**{line.said()}**\n\n{rest}")


def _hash_of(version: ModelVersion | None) -> str | None:
    return None if version is None else version.bundle_hash
