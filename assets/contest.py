"""Layer 6, scoring: champion and challengers side by side on live sessions, and what the contest's test says.

Part of the daily job; trains nothing. Everything is reckoned anew from the contest's first session each day, so that a
day run twice, or late, changes nothing. Not here: the test and the rules (``ljwx_pipeline.contest``), fills
(``ljwx_pipeline.backtest``).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from assets.features import feature_table
from assets.io_managers import read_json, write_json
from assets.metadata import embedded, frame_metadata, preview, report_links
from assets.panels import TradingTables, bar_mask, load_factors, panel_of, trading_market
from assets.resources import Line
from assets.scoring import GROUP, OWNERS, daily_scores, groups_of, loaded_champion
from ljwx_pipeline.config import ljwx_home
from ljwx_pipeline.contest.moves import CONTEST_TAG, ContestMoves, terms_hash
from ljwx_pipeline.contest.record import Contest, ContestRecord, Course, capital_split
from ljwx_pipeline.contest.returns import CHAMPION, column, net_returns, paired_returns, sessions_traded, standings
from ljwx_pipeline.contest.standing import Standing, advice, sentence
from ljwx_pipeline.dataset import scorable_mask
from ljwx_pipeline.errors import BundleError, RegistryError
from ljwx_pipeline.lake.atomic_parquet import read_parquet, write_bytes, write_parquet
from ljwx_pipeline.market.calendar import session_closes, sessions_between
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.scoring.bundle import ModelBundle
from ljwx_pipeline.scoring.signing import public_key

#: What ``challenger_scores`` tells ``model_contest``: whose scores they are, or why there are none.
STATE = "contest_state"
#: Below the market's ``report`` folder, which the console serves.
FOLDER = "contest"
PAGE, RETURNS = "report.html", "returns.parquet"
#: Sessions scored at a time.
BLOCK_SESSIONS = 60


def contest_record(line: Line) -> ContestRecord:
    """Return this market's record of contests."""
    return ContestRecord(line.home / "tracking")


def contest_moves(line: Line) -> ContestMoves:
    """Return what may be done to this market's contests."""
    return ContestMoves(
        line.registry(),
        contest_record(line),
        model=line.registered_model,
        folder=line.home / "tracking",
        bundles=line.home / "champions",
        public_key=public_key(ljwx_home() / "keys"),
    )


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"lightgbm"},
    deps=[feature_table, daily_scores, "securities", "st_spells", "index_members", "industries", "market_values"],
)
def challenger_scores(line: Line, checked_bars: pd.DataFrame, calendar: pd.DataFrame) -> dg.Output[pd.DataFrame]:
    """Scores of the champion and of a contest's challengers since its first session; empty without a contest.

    A contest whose champion changed ends here, a challenger whose bundle is damaged or whose alias was moved by hand
    leaves. Empty, too, where the contest cannot be judged today, and the reason is told.
    """
    record, model = contest_record(line), line.registered_model
    course = contest_moves(line).settle() if record.last(model) is not None else None
    if course is None:
        return _unscored(line, None, "no contest runs")
    sessions = pd.DatetimeIndex(calendar["session_date"])
    panel = panel_of(line, checked_bars, calendar)
    paused = hindrance(line, course.contest, sessions, bar_mask(panel).any(axis=0))
    if paused is not None:
        return _unscored(line, course, paused)
    span = int((sessions >= pd.Timestamp(course.contest.first_session)).sum())
    if span == 0:
        return _unscored(line, course, f"waits for its first session, {course.contest.start_session}")
    registry = line.registry()
    try:
        champion = registry.version(model, course.contest.champion_version)
        rows = scores_since(line, loaded_champion(line, registry, champion), panel, span)
    except BundleError as error:
        return _unscored(line, course, f"the champion cannot be scored: {error.fact}")
    securities, spells = line.market_table("securities"), line.market_table("st_spells")
    members = line.market_table("index_members")
    scorable = scorable_mask(panel, securities, spells, members, line.settings.universe)
    recent = bar_mask(panel)
    recent[:, :-span] = False
    frame = rows[["symbol", "session_date"]].assign(scorable=scorable.T[recent.T], champion=rows["score"].to_numpy())
    left = []
    for challenger in course.remaining:
        try:
            version = registry.version(model, challenger.version)
            scores = scores_since(line, loaded_champion(line, registry, version), panel, span)["score"]
        except BundleError as error:
            reason = f"its bundle cannot be used: {error.fact}"
            dg.get_dagster_logger().warning(
                f"version {challenger.version} leaves contest {course.contest.id}: {reason}"
            )
            course = contest_moves(line).leave(course, challenger, outcome="unusable", session="", reason=reason)
            left.append(challenger.version)
            continue
        except RegistryError as error:
            return _unscored(line, course, f"version {challenger.version} cannot be fetched: {error.fact}")
        frame[column(challenger.version)] = scores.to_numpy()
    if course.ended is not None:
        return _unscored(line, course, "its last challenger left", left)
    write_json(line.tables, STATE, {"contest": course.contest.id, "paused": None, "left": left})
    named = {"contest": course.contest.id, "mode": course.contest.mode}
    return dg.Output(frame, metadata=frame_metadata(frame) | named)


def scores_since(line: Line, bundle: ModelBundle, panel: Panel, span: int) -> pd.DataFrame:
    """Return ``symbol``, ``session_date``, ``score`` where there is a bar of the newest ``span`` sessions.

    In (session, symbol) order; NaN for a row without a factor. A block of sessions at a time: all features of a long
    contest at once would fill the memory.
    """
    values, traded, parts = load_factors(line), bar_mask(panel), []
    for first in range(len(panel.sessions) - span, len(panel.sessions), BLOCK_SESSIONS):
        present = np.zeros_like(traded)
        present[:, first : first + BLOCK_SESSIONS] = traded[:, first : first + BLOCK_SESSIONS]
        rows = values.frame(present)
        features = np.ascontiguousarray(rows[list(values.names)].to_numpy(dtype=np.float32))
        groups = groups_of(line, bundle.manifest.group_by, panel, present)
        parts.append(rows[["symbol", "session_date"]].assign(score=bundle.predict(features, groups).score))
    return pd.concat(parts, ignore_index=True)


def hindrance(line: Line, contest: Contest, sessions: pd.DatetimeIndex, traded: Any) -> str | None:
    """Return why a contest cannot be judged today, None when it can.

    Parameters
    ----------
    sessions, traded
        Sessions of the calendar and whether anything traded on them, shape ``(n_sessions,)``. The newest ones without
        a bar are not yet held; one in between is a gap, and no session may be left out.
    """
    if terms_hash(line.settings) != contest.terms_hash:
        return (
            "strategy, costs, universe or uncertainty's two limits differ from those it was recorded under: set them "
            "back, or end it with `ljwx contest stop` and begin another"
        )
    held = sessions[: int(np.flatnonzero(traded)[-1]) + 1] if np.any(traded) else sessions[:0]
    if not len(held) or held[-1] < pd.Timestamp(contest.first_session):
        return None
    expected = sessions_between(contest.first_session, held[-1].date())
    with_bars = sessions[np.asarray(traded, dtype=bool)]
    gap = expected.difference(with_bars)
    if len(gap):
        return f"no bar of session {gap[0]:%Y-%m-%d} is held ({len(gap)} such): fetch it with `ljwx backfill`"
    return None


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"numba", "html"})
def model_contest(
    line: Line,
    challenger_scores: pd.DataFrame,
    checked_bars: pd.DataFrame,
    calendar: pd.DataFrame,
    securities: pd.DataFrame,
    st_spells: pd.DataFrame,
    corporate_actions: pd.DataFrame,
) -> dg.Output[dict[str, Any]]:
    """Daily net returns of champion and challengers, the always-valid verdict, and what follows for a canary."""
    record, model = contest_record(line), line.registered_model
    course = record.last(model)
    if course is None:
        return dg.Output({"contest": None, "status": "none"}, metadata={"contest": "none"})
    state = read_json(line.tables, STATE)
    returns = stored_returns(line, course.contest)
    if state["contest"] == course.contest.id and state["paused"] is None:
        work = sessions_traded(course.contest, challenger_scores, pd.DatetimeIndex(calendar["session_date"]))
        bars = checked_bars[checked_bars["session_date"].between(work[0], work[-1])]
        tables = TradingTables(bars, securities, st_spells, corporate_actions)
        market = trading_market(line, tables, pd.DataFrame({"session_date": work}))
        settings = line.settings
        fresh = net_returns(course, challenger_scores, market, strategy=settings.strategy, costs=settings.costs)
        gone = [name for name in returns if name not in fresh]  # what a challenger that left earned until then
        returns = fresh.merge(returns[["session_date", *gone]], on="session_date", how="left")
        write_returns(line, course.contest, returns)
    found = standings(course, returns)
    before = {one.version for one in course.remaining}
    if state["paused"] is None:
        course = act(line, course, found)
        track(line, course, found)
    left = [*state["left"], *sorted(before - {one.version for one in course.remaining})]
    document = told(course, found, returns, paused=state["paused"], left_now=left)
    for version in left:
        dg.get_dagster_logger().warning(f"version {version} left contest {course.contest.id}")
    return dg.Output(document, metadata=shown(line, course, found, returns, document))


@dg.asset_check(
    asset=model_contest, description="a contest is judged every session, and no challenger in it is in breach or worse"
)
def contest_in_order(model_contest: dict[str, Any]) -> dg.AssetCheckResult:
    """Fail while a contest cannot be judged, while a challenger in it is in breach or worse, and when one has left.

    A rehearsal's challengers may be what they like.
    """
    contest = model_contest["contest"]
    if contest is None:
        return dg.AssetCheckResult(passed=True, description="no contest was ever begun")
    bad = [
        f"version {one['version']} is {one['state']}"
        for one in model_contest["standings"]
        if one["still_in"] and one["state"] in ("breach", "worse") and not contest["rehearsal"]
    ]
    bad += [f"version {version} left" for version in model_contest["left_now"]]
    bad += [f"not judged: {model_contest['reason']}"] if model_contest["status"] == "paused" else []
    return dg.AssetCheckResult(
        passed=not bad,
        severity=dg.AssetCheckSeverity.ERROR if contest["mode"] == "canary" else dg.AssetCheckSeverity.WARN,
        description="; ".join(bad) or f"contest {contest['id']}: {model_contest['status']}",
    )


def act(line: Line, course: Course, found: list[Standing]) -> Course:
    """Write verdicts down and take canaries out that are in breach or worse; return the course."""
    contest = course.contest
    if contest.rehearsal or course.ended is not None:
        return course
    moves, inside = contest_moves(line), {one.version: one for one in course.remaining}
    for one in found:
        challenger = inside.get(one.version)
        if challenger is None:
            continue
        if one.decided_on is not None and one.comparison.verdict != "undecided":
            outcome = "better" if one.comparison.verdict == "challenger" else "worse"
            reason = sentence(one, contest)
            course = moves.decide(course, challenger, outcome=outcome, session=one.decided_on, reason=reason)
        if advice(one, contest, still_in=True) == "demote":
            session = one.breached_on or one.decided_on or ""
            course = moves.leave(course, challenger, outcome=one.state, session=session, reason=sentence(one, contest))
    return course


def track(line: Line, course: Course, found: list[Standing]) -> None:
    """Record each standing in MLflow: numbers in the version's run, a sentence as its tag; twice changes nothing.

    A rehearsal leaves nothing there.
    """
    if course.contest.rehearsal:
        return
    registry, model = line.registry(), line.registered_model
    inside = {one.version for one in course.remaining}
    for one in found:
        if one.version not in inside:
            continue
        compared, version = one.comparison, registry.version(model, one.version)
        registry.tag_version(model, one.version, CONTEST_TAG, f"{course.contest.id}: {sentence(one, course.contest)}")
        if registry.knows(version.run_id) and not registry.is_deleted(version.run_id):
            numbers = {
                "mean_difference_frac": compared.mean,
                "lower_frac": compared.lower,
                "upper_frac": compared.upper,
                "behind_frac": one.behind_frac,
                "champion_return_frac": one.champion_return_frac,
                "challenger_return_frac": one.challenger_return_frac,
            }
            at_ms = _close_ms(line, course.contest, compared.sessions)
            points = [(f"contest.{name}", value, at_ms, compared.sessions) for name, value in numbers.items()]
            registry.log_points(version.run_id, points)


def told(
    course: Course, found: list[Standing], returns: pd.DataFrame, *, paused: str | None, left_now: list[str]
) -> dict[str, Any]:
    """Return what ``model_contest`` keeps: the contest, its status and every standing, as plain values."""
    contest, inside = course.contest, {one.version for one in course.remaining}
    if course.ended is not None:
        status, reason = "ended", f"{course.ended.outcome}: {course.ended.reason}"
    elif paused is not None and paused.startswith("waits"):
        status, reason = "waiting", paused
    elif paused is not None:
        status, reason = "paused", paused
    else:
        status, reason = "running", ""
    rows = []
    for one in found:
        left = course.left(one.version)
        rows.append(
            one.as_dict()
            | {
                "still_in": one.version in inside,
                "left": None if left is None else f"{left.outcome}: {left.reason}",
                "advice": advice(one, contest, still_in=one.version in inside),
                "sentence": sentence(one, contest),
            }
        )
    return {
        "contest": contest.as_dict(),
        "status": status,
        "reason": reason,
        "sessions": len(returns),
        "last_session": f"{returns['session_date'].max():%Y-%m-%d}" if len(returns) else None,
        "standings": rows,
        "capital_split": capital_split(course),
        "left_now": left_now,
    }


def shown(
    line: Line, course: Course, found: list[Standing], returns: pd.DataFrame, document: dict[str, Any]
) -> dict[str, Any]:
    """Write the page and its picture, and return the metadata that link and show them."""
    from ljwx_pipeline.contest.page import PageInputs, pictures, render_contest

    folder = line.home / "report" / FOLDER
    pairs = {one.version: paired_returns(returns, one) for one in course.contest.challengers}
    inputs = PageInputs(
        profile=line.settings.profile,
        simulated=line.source().describe().simulated,
        course=course,
        status=document["status"],
        reason=document["reason"],
        standings=tuple(found),
        paired={version: table for version, table in pairs.items() if len(table)},
        capital_cny=line.settings.strategy.capital_cny,
    )
    write_bytes(folder / PAGE, render_contest(inputs).encode())
    rows = [
        {"version": one["version"], "state": one["state"], "advice": one["advice"], "told": one["sentence"]}
        for one in document["standings"]
    ]
    metadata: dict[str, Any] = {
        "contest": course.contest.id,
        "mode": course.contest.mode,
        "status": document["status"],
        "sessions": document["sessions"],
        **report_links(line, "report", folder / PAGE),
    }
    if document["reason"]:
        metadata["reason"] = document["reason"]
    if rows:
        metadata["standings"] = preview(pd.DataFrame(rows))
        for version, svg in pictures(inputs).items():
            place = folder / f"version_{version}.svg"
            write_bytes(place, svg.encode())
            metadata[f"picture_version_{version}"] = dg.MetadataValue.md(embedded(place))
    return metadata


def stored_returns(line: Line, contest: Contest) -> pd.DataFrame:
    """Return the returns that were last reckoned for this contest; no row where there are none."""
    path = _returns_path(line, contest)
    if path.exists():
        return read_parquet(path)
    return pd.DataFrame({"session_date": pd.DatetimeIndex([]), CHAMPION: np.zeros(0)})


def write_returns(line: Line, contest: Contest, returns: pd.DataFrame) -> None:
    """Keep the returns of this contest beside its page."""
    path = _returns_path(line, contest)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_parquet(path, returns)


def _returns_path(line: Line, contest: Contest) -> Path:
    return line.home / "report" / FOLDER / f"{contest.id}-{RETURNS}"


def _close_ms(line: Line, contest: Contest, sessions: int) -> int:
    """Return the close of the contest's ``sessions``-th return, in milliseconds since 1970."""
    day = pd.DatetimeIndex(stored_returns(line, contest)["session_date"])[sessions - 1 : sessions]
    return int(session_closes(day)[0].timestamp() * 1000)


def _unscored(line: Line, course: Course | None, reason: str, left: Sequence[str] = ()) -> dg.Output[pd.DataFrame]:
    empty = pd.DataFrame({"symbol": [], "session_date": pd.to_datetime([]), "scorable": [], CHAMPION: []})
    contest = None if course is None else course.contest.id
    write_json(line.tables, STATE, {"contest": contest, "paused": reason, "left": list(left)})
    return dg.Output(empty, metadata={"contest": contest or "none", "reason": reason})
