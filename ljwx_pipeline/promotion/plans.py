"""What a person's command on the champion is about to do, or why it may not: read, nothing changed.

Not here: the doing of it (``moves.py``), who may promote (``approval.py``), the gate's rules (``gate.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

from ljwx_pipeline.config import ApprovalSettings
from ljwx_pipeline.errors import PromotionError, RegistryError
from ljwx_pipeline.promotion.approval import approval_refusal
from ljwx_pipeline.promotion.desk import Desk, became, hash_of
from ljwx_pipeline.registry import RESTATED_TAG, ModelVersion
from ljwx_pipeline.tracking.champion import AWAITING, COMMANDS, DEMOTED, NO_CHAMPION, PROMOTED, REFUSED, Via


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


def plan_promotion(
    desk: Desk,
    number: str,
    hand: Hand,
    approval: ApprovalSettings,
    *,
    restated_accepted: bool = False,
    changed_accepted: bool = False,
) -> Plan:
    """Return how ``number`` becomes champion by a person's word.

    Raises
    ------
    RegistryError
        Without such a version.
    PromotionError
        When the gate refused it or never decided on it, when this person may not, or, unless that is accepted with a
        reason, when the gate never compared it with today's champion, or data that either learned from were restated.
        Today's champion is the one that the line made last, though somebody took the alias off it (``Desk.incumbent``).
    """
    version, now = desk.version(number), desk.champion()
    gate = desk.record.standing(desk.model, version.bundle_hash, gate_alone=True)
    named = f"version {version.version} of {desk.model}"
    if gate is None:
        raise PromotionError(f"the gate never decided on {named}", "run the research, which judges it: `ljwx run`")
    if gate.decision == REFUSED:
        why = " | ".join(gate.reasons) or "no reason"
        raise PromotionError(f"the gate refused {named} at {gate.at} ({why})", "only what the gate passes is promoted")
    asked_by = desk.record.asked_by(desk.model, version.bundle_hash)
    refused = approval_refusal(approval, hand.by, asked_by=asked_by, awaiting=gate.decision == AWAITING)
    if refused is not None:
        raise PromotionError(f"{named} is not promoted: {refused[0]}", refused[1])
    incumbent = desk.incumbent()
    changed = _never_compared(desk, version, incumbent)
    if changed is not None and not (changed_accepted and hand.reason):
        raise PromotionError(
            f"{changed}: {named} is not promoted",
            "run the research again: it is judged beside the champion of now; or accept it: "
            "--champion-changed-accepted --reason TEXT",
        )
    restated = _restated(desk, version, incumbent)
    if restated and not (restated_accepted and hand.reason):
        raise PromotionError(
            "; ".join(restated),
            "run the research on the data as they are now; or accept it: --restated-data-accepted --reason TEXT",
        )
    standing = desk.record.standing(desk.model, version.bundle_hash) or gate
    is_it = now is not None and now.bundle_hash == version.bundle_hash
    open_one = desk.record.open_command(desk.model)
    stands = standing.decision == PROMOTED and (is_it or (open_one is not None and open_one == standing))
    notes = [f"its last decision: {standing.said()}", *([] if changed is None else [changed]), *restated]
    notes += ["it is champion already: the runner is told again"] if is_it and stands else []
    return Plan(
        "promote",
        now,
        version,
        decides=not stands,
        reasons=(
            *(() if changed is None else (f"changed champion accepted: {changed}",)),
            *(f"restated data accepted: {one}" for one in restated),
        ),
        notes=tuple(notes),
    )


def _never_compared(desk: Desk, version: ModelVersion, now: ModelVersion | None) -> str | None:
    """Return that the gate compared the version with another champion than today's, or with nobody knows which.

    None where it was today's, where there is none to be replaced, or the version is champion itself.
    """
    if now is None or now.bundle_hash == version.bundle_hash:
        return None
    judged = [
        line.champion_seen
        for line in desk.record.lines(desk.model)
        if line.what == "decided" and line.by_gate and line.bundle_hash == version.bundle_hash
    ]
    others = [seen for seen in judged if seen != version.bundle_hash]  # judged again while it was champion itself
    seen = others[-1] if others else ""
    if seen == now.bundle_hash:
        return None
    if not seen:
        return (
            f"version {now.version} of {desk.model} is champion, and it is not written down which champion the gate "
            f"compared version {version.version} with"
        )
    was = "there was none" if seen == NO_CHAMPION else f"it was bundle {seen[:12]}"
    return f"{became(desk.model, now)} (when version {version.version} was judged, {was}): they were never compared"


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
    if standing is not None and standing.decision == DEMOTED and standing.via in COMMANDS:
        notes += (f"version {about.version} was {standing.said()}: the runner is told again",)
        return Plan("demote", now, None, notes=notes)
    return Plan("demote", now, None, demotes=about, notes=notes)


def _former_champions(desk: Desk, now: ModelVersion | None) -> tuple[list[ModelVersion], list[str]]:
    """Return those that stand promoted and the registry still holds, the newest first, and why others do not."""
    lines = desk.record.lines(desk.model)
    moves = [line for line in reversed(lines) if line.what in ("moved", "moved_by_hand") and line.bundle_hash]
    former, passed_over = [], []
    for bundle_hash, line in {move.bundle_hash: move for move in reversed(moves)}.items():
        if bundle_hash == hash_of(now):
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


def _restated(desk: Desk, version: ModelVersion, champion: ModelVersion | None) -> list[str]:
    """Return what was restated of the data that the version, and the champion beside it, learned from."""
    found = []
    for one, what in ((version, "version"), (champion, "the champion, version")):
        fact = "" if one is None or not one.run_id else desk.registry.version_tags(one).get(RESTATED_TAG, "")
        if one is not None and fact and not (one is champion and one == version):
            found.append(f"{what} {one.version} was made from data that were changed since ({fact})")
    return found
