"""The bodies of ``ljwx promote``, ``ljwx demote`` and ``ljwx rollback-model``: a person's word on the champion.

Not here: what may be done (``promotion/plans.py``) and in which order (``promotion/moves.py``), who may
(``promotion/approval.py``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.clock import SystemClock
from ljwx_pipeline.command_output import show_result
from ljwx_pipeline.config import Settings, ljwx_home, market_home, registered_model
from ljwx_pipeline.errors import ConfigError, RegistryError
from ljwx_pipeline.promotion.approval import person

if TYPE_CHECKING:  # loaded when a command asks the registry
    from ljwx_pipeline.promotion.desk import Desk
    from ljwx_pipeline.promotion.moves import Done
    from ljwx_pipeline.promotion.plans import Hand, Plan
    from ljwx_pipeline.registry import ModelVersion

Planner = Callable[["Desk", "Hand"], "Plan"]


def add_promotion_commands(
    subparsers: Any,
    *,
    add_settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: Callable[[argparse.Namespace], Settings],
) -> None:
    """Add ``promote``, ``demote`` and ``rollback-model`` to the command line.

    Parameters
    ----------
    subparsers
        What ``ArgumentParser.add_subparsers`` returned.
    add_settings_options, settings_of
        How the command line names a profile, and reads it.
    """
    text = "make a version champion that the gate passed: one that waits for approval, or a demoted one again"
    promote = subparsers.add_parser("promote", help=text, description=text)
    promote.add_argument("version", metavar="VERSION", help="number of the version, see `ljwx models list`")
    promote.add_argument(
        "--restated-data-accepted",
        action="store_true",
        help="promote although data that it or the champion learned from were changed since; needs --reason",
    )
    promote.add_argument(
        "--champion-changed-accepted",
        action="store_true",
        help="promote although the gate compared the version with another champion than today's; needs --reason",
    )
    text = "take the champion off without another in its place: the runner buys nothing and sells only by exits"
    demote = subparsers.add_parser("demote", help=text, description=text)
    text = "put the former champion back, in the registry and at the runner, and demote the present one"
    rollback = subparsers.add_parser("rollback-model", help=text, description=text)
    rollback.add_argument("--to", metavar="VERSION", help="a champion before the last one (default: the last one)")
    for parser, handler in ((promote, _promote), (demote, _demote), (rollback, _rollback)):
        parser.add_argument("--reason", metavar="TEXT", default="", help="written down with the decision")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and stop")
        parser.add_argument("--json", action="store_true", help="print the machine-readable form")
        add_settings_options(parser)
        parser.set_defaults(
            handler=lambda arguments, handler=handler: handler(arguments, settings_of(arguments)),
        )


def _promote(arguments: argparse.Namespace, settings: Settings) -> int:
    from ljwx_pipeline.promotion.plans import plan_promotion

    def plan(desk: Desk, hand: Hand) -> Plan:
        return plan_promotion(
            desk,
            arguments.version,
            hand,
            settings.approval,
            restated_accepted=arguments.restated_data_accepted,
            changed_accepted=arguments.champion_changed_accepted,
        )

    return _command(arguments, settings, plan)


def _demote(arguments: argparse.Namespace, settings: Settings) -> int:
    from ljwx_pipeline.promotion.plans import plan_demotion

    return _command(arguments, settings, lambda desk, _: plan_demotion(desk))


def _rollback(arguments: argparse.Namespace, settings: Settings) -> int:
    from ljwx_pipeline.promotion.plans import plan_rollback

    return _command(arguments, settings, lambda desk, _: plan_rollback(desk, arguments.to))


def _command(arguments: argparse.Namespace, settings: Settings, plan_of: Planner) -> int:
    from ljwx_pipeline.promotion.deploy import RunnerLink
    from ljwx_pipeline.promotion.desk import Desk
    from ljwx_pipeline.promotion.moves import carry_out
    from ljwx_pipeline.promotion.plans import Hand
    from ljwx_pipeline.registry import open_registry
    from ljwx_pipeline.scoring.signing import signing_key
    from ljwx_pipeline.tracking import ChampionRecord

    clock = SystemClock()
    started_s, home = clock.monotonic_s(), market_home(settings)
    hand = Hand(person(), _reason(arguments.reason))
    desk = Desk(
        open_registry(settings.mlflow, ljwx_home()), ChampionRecord(home / "tracking"), registered_model(settings)
    )
    _notice(desk)
    planned = plan_of(desk, hand)
    for note in planned.notes:
        _say(note)
    if arguments.dry_run:
        body = {**_body(desk, planned, hand), "dry_run": True}
        return show_result(arguments, body, f"{_would(desk, planned)}; nothing was done")
    link = RunnerLink(
        signing_key(ljwx_home() / "keys"), settings.ui.address(settings.ui.runner_port), market_home(settings)
    )
    done = carry_out(desk, planned, lambda: plan_of(desk, hand), hand, link, _say)
    for note in done.notes:
        _say(note)
    seconds = round(clock.monotonic_s() - started_s, 1)
    body = {**_body(desk, done.plan, hand), "status": done.told.status, "how": done.told.how, "seconds": seconds}
    body["notes"] += done.notes
    return show_result(arguments, body, f"{_did(desk, done)} ({seconds} s)")


def _reason(text: str) -> str:
    """Return the reason on one line; one that the runner or the record could not take is refused before anything."""
    from ljwx_pipeline.scoring.withdrawal import MAX_REASON

    said = " ".join(text.split())
    if len(said) > MAX_REASON:
        raise ConfigError(f"--reason has {len(said)} characters", f"say it in {MAX_REASON} at most")
    odd = next((character for character in said if not character.isprintable()), None)
    if odd is not None:
        raise ConfigError(f"--reason holds {odd!r}, which cannot be printed", "give it as printable UTF-8 text")
    return said


def _notice(desk: Desk) -> None:
    """Write a move by hand down before this one; `ljwx demote` goes on without MLflow, the others say so next."""
    try:
        moved = desk.notice_move()
    except RegistryError:
        return
    if moved is not None:
        _say(moved.sentence())


def _body(desk: Desk, plan: Plan, hand: Hand) -> dict[str, Any]:
    return {
        "command": plan.command,
        "model": desk.model,
        "champion_before": _number(plan.before),
        "champion": _number(plan.after),
        "demoted": _number(plan.demotes),
        "by": hand.by,
        "reason": hand.reason,
        "notes": list(plan.notes),
    }


def _would(desk: Desk, plan: Plan) -> str:
    gone = f", version {plan.demotes.version} be demoted" if plan.demotes is not None else ""
    if plan.after is None:
        return f"{desk.model} would have no champion{gone}, and the runner be told"
    return f"version {plan.after.version} of {desk.model} would be champion{gone}, and the runner be told"


def _did(desk: Desk, done: Done) -> str:
    plan, told = done.plan, done.told
    gone = f"; version {plan.demotes.version} is demoted" if plan.demotes is not None else ""
    spooled = (
        f"the runner does not answer: it lies in {told.how}, and the runner takes it when it starts, or at its next "
        "look (live.poll_seconds) if it runs at another address"
    )
    if plan.after is None:
        runner = {"accepted": "the runner buys nothing more", "already": "the runner knew it", "spooled": spooled}
        return f"{desk.model} has no champion{gone}; {runner[told.status]}"
    runner = {"accepted": f"the runner took it at {told.how}", "already": "the runner had it", "spooled": spooled}
    return f"version {plan.after.version} of {desk.model} is champion{gone}; {runner[told.status]}"


def _number(version: ModelVersion | None) -> str | None:
    return None if version is None else version.version


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 - progress, beside what the command prints
