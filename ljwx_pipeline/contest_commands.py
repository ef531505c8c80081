"""The bodies of ``ljwx contest``: begin one, look at it, end it.

Not here: the moves themselves (``contest/moves.py``), the daily judgement (``assets/contest.py``), the rest of the
command line (``cli.py``).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.command_output import grid, show_result
from ljwx_pipeline.config import OPEN, Settings, ljwx_home, market_home, market_name, registered_model
from ljwx_pipeline.errors import ConfigError, LakeError, PromotionError

if TYPE_CHECKING:  # loaded when a command asks the registry
    from datetime import date

    import pandas as pd

    from ljwx_pipeline.contest.moves import ContestMoves
    from ljwx_pipeline.contest.record import Contest, ContestRecord, Course

#: What the daily job last said, below a market's tables, and its page.
DOCUMENT = "tables/model_contest.json"
PAGE = "report/contest/report.html"
#: What judges a contest.
DAILY = "ljwx run --job daily_pipeline"


def add_contest_commands(
    subparsers: Any,
    *,
    add_settings_options: Callable[[argparse.ArgumentParser], None],
    settings_of: Callable[[argparse.Namespace], Settings],
) -> None:
    """Add ``contest start``, ``contest stop`` and ``contest show`` to the command line.

    Parameters
    ----------
    subparsers
        What ``ArgumentParser.add_subparsers`` returned.
    add_settings_options, settings_of
        How the command line names a profile and reads it; a profile is a market, and a market has one contest.
    """
    text = "the champion against challengers on live sessions: who is scored beside it, and what the evidence says"
    commands = subparsers.add_parser("contest", help=text, description=text).add_subparsers(
        required=True, metavar="COMMAND"
    )
    text = "record a contest from the next session on; the daily job judges it"
    start = commands.add_parser("start", help=text, description=text)
    start.add_argument("versions", nargs="+", metavar="VERSION", help="registered versions, up to three")
    start.add_argument(
        "--as",
        dest="mode",
        choices=("shadow", "canary"),
        required=True,
        help="shadow: scored, no capital, any version; canary: a share of the capital, only what the gate promoted or "
        "you may promote",
    )
    start.add_argument("--capital-frac", type=float, metavar="X", help="of each canary (contest.canary_capital_frac)")
    start.add_argument(
        "--bound-frac",
        type=float,
        metavar="B",
        help="beyond which a daily difference is clipped (default: from both walk forwards)",
    )
    start.add_argument(
        "--rehearse",
        action="store_true",
        help="from the first held-out session on, which is known already: shows a contest, decides nothing",
    )
    stop = commands.add_parser("stop", help="end the contest that runs; its aliases are taken off")
    stop.add_argument("--reason", default="stopped by hand", metavar="TEXT", help="kept in the record")
    shown = commands.add_parser("show", help="the newest contest: its state, and what the daily job last found")
    for parser, body in ((start, _start), (stop, _stop), (shown, _show)):
        add_settings_options(parser)
        parser.add_argument("--json", action="store_true", help="print the machine-readable form")
        parser.set_defaults(handler=lambda arguments, body=body: body(settings_of(arguments), arguments))


def _start(settings: Settings, arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.contest.moves import Asked
    from ljwx_pipeline.promotion.approval import person

    _refuse_replay(settings)
    first = _first_session(settings, rehearse=arguments.rehearse)
    asked = Asked(
        tuple(arguments.versions),
        arguments.mode,
        first,
        capital_frac=arguments.capital_frac,
        bound_frac=arguments.bound_frac,
        rehearsal=arguments.rehearse,
        by=person(),
    )
    contest = _moves(settings).begin(asked, settings)
    split = f", {contest.alpha_each:.4f} for each of them" if len(contest.challengers) > 1 else ""
    lines = [
        f"contest {contest.id}: version {', '.join(one.version for one in contest.challengers)} as {contest.mode} "
        f"against champion version {contest.champion_version}, from session {contest.start_session} on",
        f"chance of any wrong verdict {contest.alpha}{split}; a verdict counts after {contest.min_sessions} daily "
        "returns",
        *([_known_returns(settings, contest)] if contest.rehearsal else []),
        *(f"version {one.version}: daily differences bounded at {one.bound_frac:.4f}" for one in contest.challengers),
        f"the daily job judges it, `{DAILY}`; `ljwx contest show` says what it found",
    ]
    return show_result(arguments, contest.as_dict(), "\n".join(lines))


def _stop(settings: Settings, arguments: argparse.Namespace) -> int:
    _refuse_replay(settings)
    course = _moves(settings).stop(arguments.reason)
    body = _body(settings, course)
    return show_result(arguments, body, f"contest {course.contest.id} ended: {body['reason']}")


def _show(settings: Settings, arguments: argparse.Namespace) -> int:
    model = registered_model(settings)
    course = _record(settings).last(model)
    if course is None:
        body: dict[str, Any] = {"contest": None}
        return show_result(arguments, body, f"no contest of {model} was ever begun: `ljwx contest start VERSION`")
    body = _body(settings, course)
    contest = course.contest
    lines = [
        f"contest {contest.id}, {body['status']}{': ' + body['reason'] if body['reason'] else ''}",
        *([f"begun by {contest.begun_by}"] if contest.begun_by else []),
        f"champion version {contest.champion_version}, from session {contest.start_session}, {body['sessions']} daily "
        f"returns up to {body['last_session'] or '-'}{', a rehearsal' if contest.rehearsal else ''}",
    ]
    inside = {one.version for one in course.remaining}
    rows = [(*_told(body, one.version), "yes" if one.version in inside else "no") for one in contest.challengers]
    lines += ["", grid(("version", "as", "state", "advice", "in"), rows)]
    said = [f"version {one['version']}: {one['sentence']}" for one in body["standings"]]
    said += [
        f"{one.at}  {one.what} {one.outcome}{' version ' + one.version if one.version else ''}: {one.reason}"
        for one in course.happened
    ]
    lines += ["", *said] if said else []
    if body["judged"]:
        lines += ["", f"page: {market_home(settings) / PAGE}"]
    return show_result(arguments, body, "\n".join(lines))


def _told(body: dict[str, Any], version: str) -> tuple[str, str, str, str]:
    """Return version, role, state and advice of a challenger; of one without a return that there is none."""
    one = next((one for one in body["standings"] if one["version"] == version), None)
    state, advice = ("no return yet", "wait") if one is None else (one["state"], one["advice"])
    return version, body["contest"]["mode"], state, advice


def _body(settings: Settings, course: Course) -> dict[str, Any]:
    """Return what the daily job last said of this contest, under what the record says now."""
    from ljwx_pipeline.contest.record import capital_split

    path, contest = market_home(settings) / DOCUMENT, course.contest
    told: dict[str, Any] = {}
    if path.exists():
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise LakeError(f"{path} is damaged ({error})", "run the daily job again") from None
    judged = (told.get("contest") or {}).get("id") == contest.id
    if not judged:
        told = {"status": "waiting", "reason": f"the daily job has not judged it yet: `{DAILY}`", "sessions": 0}
        told |= {"last_session": None, "standings": []}
    if course.ended is not None:
        told |= {"status": "ended", "reason": f"{course.ended.outcome}: {course.ended.reason}"}
    inside = {one.version for one in course.remaining}
    standings = [one | {"still_in": one["version"] in inside} for one in told["standings"]]
    return told | {
        "judged": judged,
        "contest": contest.as_dict(),
        "standings": standings,
        "happened": [vars(one) for one in course.happened],
        "capital_split": capital_split(course),
    }


def _first_session(settings: Settings, *, rehearse: bool) -> date:
    from ljwx_pipeline.contest.moves import next_session, rehearsal_session
    from ljwx_pipeline.ingest.held import last_session_held
    from ljwx_pipeline.lake import Lake

    if rehearse:
        return rehearsal_session(_sessions_known(settings), settings.research.held_out_sessions)
    first = next_session(last_session_held(Lake(market_home(settings) / "lake")), utc_now())
    last = settings.source.last_session
    if last != OPEN and first > settings.source.until:
        source = settings.source.model_copy(update={"last_session": OPEN})
        named_by_it = market_name(settings.model_copy(update={"source": source})) != market_name(settings)
        raise PromotionError(
            f"the source ends on {last}: session {first}, the next of which nothing is known, never comes",
            "this market is named by its end, too: with another it is another market, without this champion. Look at "
            "known sessions: --rehearse"
            if named_by_it
            else f'set source.last_session = "{OPEN}", or look at known sessions: --rehearse',
        )
    return first


def _sessions_known(settings: Settings) -> pd.DatetimeIndex:
    import pandas as pd

    from ljwx_pipeline.ingest.tables import read_market_table
    from ljwx_pipeline.lake import Lake

    days = pd.DatetimeIndex(read_market_table(Lake(market_home(settings) / "lake"), "calendar")["session_date"])
    span = settings.source
    return days[(days >= pd.Timestamp(span.first_session)) & (days <= pd.Timestamp(span.until))]


def _known_returns(settings: Settings, contest: Contest) -> str:
    """Return how many of the daily returns that a verdict needs a rehearsal will ever have."""
    first = contest.first_session
    there = max(
        sum(day.date() >= first for day in _sessions_known(settings)) - 1, 0
    )  # the first session's close opens the accounts
    if there >= contest.min_sessions:
        return f"a rehearsal: {there} daily returns exist"
    return (
        f"a rehearsal: {there} of the {contest.min_sessions} daily returns exist, so that it never comes to a verdict; "
        "one needs more research.held_out_sessions when the models are made, or a smaller contest.min_sessions now"
    )


def _refuse_replay(settings: Settings) -> None:
    if settings.source.as_of:
        raise ConfigError(
            f"a replay (source.as_of = {settings.source.as_of}) repeats what was known and begins no contest",
            "leave --as-of out",
        )


def _record(settings: Settings) -> ContestRecord:
    from ljwx_pipeline.contest.record import ContestRecord

    return ContestRecord(_folder(settings))


def _moves(settings: Settings) -> ContestMoves:
    from ljwx_pipeline.contest.moves import ContestMoves
    from ljwx_pipeline.registry import open_registry
    from ljwx_pipeline.scoring.signing import public_key

    home = ljwx_home()
    return ContestMoves(
        open_registry(settings.mlflow, home=home),
        _record(settings),
        model=registered_model(settings),
        folder=_folder(settings),
        bundles=market_home(settings) / "champions",
        public_key=public_key(home / "keys"),
    )


def _folder(settings: Settings) -> Path:
    return market_home(settings) / "tracking"
