"""Every change of the champion, one at a time: the gate's decision settled, and what a person's command does.

Under one lock the decision is written down, the alias moved and the runner told, in an order in which dying anywhere
leaves a state that the same command finishes: the record says first what is meant, so nothing is ever deployed that
was not promoted. Two changes at once: one wins, the other is told what became champion meanwhile. Not here: the
gate's rules (``gate.py``), what a command is about to do (``plans.py``), the way to the runner (``deploy.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ljwx_pipeline.errors import PromotionError, RegistryError
from ljwx_pipeline.promotion.deploy import Deployment, RunnerLink, intact_bundle
from ljwx_pipeline.promotion.desk import Desk, became, hash_of
from ljwx_pipeline.promotion.plans import Hand, Plan
from ljwx_pipeline.registry import ModelVersion
from ljwx_pipeline.scoring.signing import public_key_of
from ljwx_pipeline.scoring.withdrawal import Withdrawal
from ljwx_pipeline.tracking.champion import AWAITING, COMMANDS, DEMOTED, NO_CHAMPION, PROMOTED, ChampionLine

#: Of a version's description in MLflow: the line that says the last decision.
_HEAD = "> "


@dataclass(frozen=True)
class Verdict:
    """The gate's decision on a version, who ran the research (one a line), and the digest of the returns it kept."""

    decision: Literal["promoted", "refused", "awaiting_approval"]
    reasons: Sequence[str]
    version: ModelVersion
    asked_by: str
    returns_sha256: str = ""


@dataclass(frozen=True)
class Settled:
    """What became of a verdict.

    Parameters
    ----------
    decision, reasons
        The verdict's, unless somebody else had the last word on that bundle before: what a person or a contest demoted
        waits for a person again, what a person approved and is champion stays so. The reasons say which.
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
        is_it = hash_of(now) == version.bundle_hash
        approved = _approval(desk, version) if is_it and verdict.decision == AWAITING else None
        if approved is not None:
            _challenge(desk, version, keep=False)
            _tag(desk, version, PROMOTED, by=approved.by, reason=approved.reason)
            said = f"{approved.said()}; the gate asks for approval as before"
            return Settled("promoted", (*verdict.reasons, said), now)
        decision, reasons = _after_people(desk, verdict)
        if decision == PROMOTED:
            _require_unchanged(desk.model, desk.incumbent(), seen, version)
        desk.record.decided(
            desk.model,
            version.version,
            version.bundle_hash,
            decision=decision,
            reasons=reasons,
            asked_by=verdict.asked_by,
            champion_seen=seen or NO_CHAMPION,
            returns_sha256=verdict.returns_sha256,
        )
        _challenge(desk, version, keep=decision == AWAITING and not is_it)
        if decision == PROMOTED:
            desk.registry.promote(version)
            desk.record.moved(desk.model, version.version, version.bundle_hash)
            now = version
        _tag(desk, version, decision, by="gate", reason=" | ".join(reasons))
    return Settled(decision, reasons, now)


def challenge(desk: Desk, version: ModelVersion) -> None:
    """Let the alias ``challenger`` name a version that was just registered; one that awaits approval keeps it.

    Only another version that has to wait takes it over, in ``settle``: it names the newest that waits.
    """
    with desk.one_at_a_time():
        held = desk.registry.aliased(desk.model, "challenger")
        standing = None if held is None else desk.record.standing(desk.model, held.bundle_hash)
        if standing is None or standing.decision != AWAITING:
            desk.registry.set_alias("challenger", version)


@dataclass(frozen=True)
class Done:
    """What a command did, and how the runner took it."""

    plan: Plan
    told: Deployment


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
    decided = [line for line in desk.record.lines(desk.model) if line.what == "decided" and line.via in COMMANDS]
    said = [line for line in decided if line.decision == DEMOTED]
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
    """Return the verdict, or that it waits for a person where a person, or a contest, demoted that very bundle."""
    lines = desk.record.lines(desk.model)
    by_others = [
        line
        for line in lines
        if line.what == "decided" and not line.by_gate and line.bundle_hash == verdict.version.bundle_hash
    ]
    if verdict.decision == PROMOTED and by_others and by_others[-1].decision == DEMOTED:
        back = f"`ljwx promote {verdict.version.version}` brings it back"
        return "awaiting_approval", (
            *verdict.reasons,
            f"the gate passes it again, but it was {by_others[-1].said()}; {back}",
        )
    return verdict.decision, tuple(verdict.reasons)


def _approval(desk: Desk, version: ModelVersion) -> ChampionLine | None:
    """Return a person's decision that promotes what the gate let wait; None where the gate promoted it, or nobody."""
    standing = desk.record.standing(desk.model, version.bundle_hash)
    gate = desk.record.standing(desk.model, version.bundle_hash, gate_alone=True)
    waited = gate is not None and gate.decision == AWAITING
    return standing if waited and standing is not None and standing.decision == PROMOTED else None


def _require_unchanged(model: str, now: ModelVersion | None, seen: str | None, version: ModelVersion) -> None:
    if hash_of(now) not in (seen, version.bundle_hash):
        raise PromotionError(
            f"{became(model, now)} (when version {version.version} was judged, it was "
            f"{f'bundle {seen[:12]}' if seen else 'none'}): version {version.version} is not promoted",
            "run the research again: it is judged beside the champion of now",
        )


def _require_same(model: str, planned: Plan, now: Plan) -> None:
    before = (hash_of(planned.before), hash_of(planned.after))
    was = planned.before.version if planned.before else "none"
    if hash_of(now.after) != before[1] or hash_of(now.before) not in before:
        raise PromotionError(
            f"{became(model, now.before)} (it was {was}): nothing was done",
            "look at it with `ljwx models list` and give the command again if you still mean it",
        )


def _demotion_before(desk: Desk) -> Withdrawal | None:
    """Return the withdrawal of what a rollback demoted, right before it promoted; None where nothing was champion."""
    decided = [line for line in desk.record.lines(desk.model) if line.what == "decided"][-2:]
    gone = [line for line in decided if line.decision == DEMOTED and line.via == "rollback-model"]
    return _withdrawal(desk, gone[-1]) if gone else None


def _withdrawal(desk: Desk, line: ChampionLine) -> Withdrawal:
    number = max(place for place, one in enumerate(desk.record.lines(desk.model)) if one == line)
    return Withdrawal(desk.model, str(line.version), line.bundle_hash, line.by, line.reason, line.at, number)


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
