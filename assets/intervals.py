"""Layer 5, evaluation: prediction intervals of the out-of-sample scores, and how often they held.

What they have learned goes into the bundle, and the champion's scores carry intervals that go on from it. Not here: the
intervals (``ljwx_pipeline.uncertainty``), what they are made of (``ljwx_pipeline.dataset.interval_inputs``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets.io_managers import read_json, write_table
from assets.left_behind import FILES, files_left
from assets.metadata import line_plot, preview
from assets.origin import origin_of_predictions
from assets.panels import dense_scores, panel_of, research_sessions, symbols_of
from assets.resources import Line
from assets.tracking import research_run
from ljwx_pipeline.backtest.abstained import WALKED
from ljwx_pipeline.dataset import scorable_mask
from ljwx_pipeline.dataset.groups import industry_codes
from ljwx_pipeline.dataset.interval_inputs import begun_intervals, interval_arrays, sessions_needed
from ljwx_pipeline.errors import ModelError
from ljwx_pipeline.lake.atomic_parquet import write_bytes
from ljwx_pipeline.market.panel import Panel, dense
from ljwx_pipeline.scoring.bundle import INTERVALS
from ljwx_pipeline.trading.market_arrays import market_arrays
from ljwx_pipeline.uncertainty.carried import CarriedIntervals, SessionArrays, WalkedOn, walked_on
from ljwx_pipeline.uncertainty.coverage import constant_width, coverage_bounds, coverage_table
from ljwx_pipeline.uncertainty.scale import daily_returns

GROUP = "evaluation"
OWNERS = ["team:quant"]
#: What the walked intervals have learned, for the bundle.
LEARNED = "interval_state.json"
#: What ``prediction_intervals`` leaves beside its document.
INTERVAL_FILES = (f"{WALKED}.parquet", LEARNED)
#: Names of one session move together, and outcomes of neighbouring sessions overlap: fewer say little.
LEAST_GROUP_ROWS, LEAST_GROUP_SESSIONS = 1_000, 120
#: About the size of a common outcome: the unit that the intervals of constant width are reckoned in.
COMMON_RETURN = 0.02
THIRDS = {0: "low", 1: "middle", 2: "high"}


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"numpy"}, deps=["industries"])
def prediction_intervals(
    line: Line, walk_forward_predictions: pd.DataFrame, checked_bars: pd.DataFrame, calendar: pd.DataFrame
) -> dg.Output[dict[str, Any]]:
    """Prediction intervals of the out-of-sample scores' returns, and their coverage before any abstention."""
    origin = origin_of_predictions(line, walk_forward_predictions)
    (line.tables / LEARNED).unlink(missing_ok=True)
    if not line.settings.uncertainty.enabled:
        write_table(line.tables, WALKED, walked_rows(walk_forward_predictions, None))
        return _nothing(line, origin, "uncertainty.enabled = false")
    arrays, names = research_arrays(line, walk_forward_predictions, checked_bars, calendar)
    settings = line.settings
    begun = begun_intervals(settings.uncertainty, settings.label, arrays.symbols, industries=bool(names))
    walked = walked_on(begun, arrays)
    write_table(line.tables, WALKED, walked_rows(walk_forward_predictions, (arrays, walked)))
    write_bytes(line.tables / LEARNED, walked.carried.to_json().encode())
    if not (np.isfinite(walked.lower) & np.isfinite(arrays.outcomes)).any():
        known, needed = walked.carried.state.sessions, settings.uncertainty.least_sessions
        return _nothing(
            line,
            origin,
            f"too little history: {known} sessions with a known outcome, the first interval comes after {needed}",
        )
    found = judged_intervals(arrays, walked, names)
    with research_run(line) as run:
        run.metrics({f"intervals.{name}": value for name, value in found.items() if isinstance(value, int | float)})
    return dg.Output(
        found | origin | {FILES: files_left(line.tables, INTERVAL_FILES)},
        metadata={
            **{name: value for name, value in found.items() if isinstance(value, int | float)},
            "groups": preview(groups_shown(found["groups"]), rows=len(found["groups"])),
            "coverage_by_month": dg.MetadataValue.md(line_plot(covered_by_month(arrays, walked), "Share covered")),
        },
    )


def learned_intervals(tables: Path) -> dict[str, str]:
    """Return the bundle's document of what the walked intervals have learned, by name; nothing where none are made."""
    path = tables / LEARNED
    return {INTERVALS: path.read_text(encoding="utf-8")} if path.exists() else {}


def research_arrays(
    line: Line, predictions: pd.DataFrame, bars: pd.DataFrame, calendar: pd.DataFrame
) -> tuple[SessionArrays, dict[int, str]]:
    """Return the out-of-sample scores with their outcomes over the research's sessions, and names of industries."""
    sessions, symbols = research_sessions(line, calendar), symbols_of(bars)
    close = panel_of(line, bars, calendar).fields["close"][:, : len(sessions)]
    entered = predictions[predictions["enterable"] & predictions["scorable"]]
    industries = line.market_table("industries")
    codes, names = industry_codes(industries, symbols, sessions) if len(industries) else (None, {})
    arrays = SessionArrays(
        symbols,
        sessions,
        dense_scores(predictions, symbols, sessions),
        daily_returns(close),
        dense(entered, "forward_return", symbols, sessions),
        codes,
    )
    return arrays, names


def walked_rows(predictions: pd.DataFrame, walked: tuple[SessionArrays, WalkedOn] | None) -> pd.DataFrame:
    """Return ``symbol``, ``session_date``, ``lower`` and ``upper`` of every scorable prediction; NaN without one."""
    rows = predictions.loc[predictions["scorable"], ["symbol", "session_date"]].reset_index(drop=True)
    if walked is None:
        return rows.assign(lower=np.nan, upper=np.nan)
    arrays, said = walked
    at = (
        pd.Index(arrays.symbols).get_indexer(pd.Index(rows["symbol"])),
        arrays.sessions.get_indexer(pd.DatetimeIndex(rows["session_date"])),
    )
    return rows.assign(lower=said.lower[at], upper=said.upper[at])


def judged_intervals(arrays: SessionArrays, walked: WalkedOn, names: dict[int, str]) -> dict[str, Any]:
    """Return coverage in total and by group, and the interval score beside that of intervals of constant width.

    The rival is the better of the two of ``uncertainty.coverage.constant_width``, on the same rows. The least and the
    most group are those of enough rows and sessions (``groups_judged`` of them); None where no group is.
    """
    params = walked.carried.state.params
    years = np.broadcast_to(arrays.sessions.year.to_numpy().astype(np.int64), arrays.scores.shape)
    groups: dict[str, NDArray[np.integer]] = {"year": years, "volatility": walked.thirds}
    if arrays.industries is not None:
        groups["industry"] = arrays.industries
    named = {"volatility": THIRDS, "industry": names}
    nominal = params.coverage
    total, *parts = coverage_table(
        walked.lower, walked.upper, arrays.outcomes, coverage=nominal, groups=groups, names=named
    )
    spans = sessions_of_groups(arrays, walked, groups)
    shown = [
        {
            "grouping": part.grouping,
            "name": part.group,
            "rows": part.rows,
            "sessions": span,
            "covered_frac": part.covered_frac,
            "mean_width": part.mean_width,
            "judged": part.rows >= LEAST_GROUP_ROWS and span >= LEAST_GROUP_SESSIONS,
        }
        for part, span in zip(parts, spans, strict=True)
    ]
    large = [part.covered_frac for part, one in zip(parts, shown, strict=True) if one["judged"]]
    return {
        "rows": total.rows,
        "coverage_frac": total.covered_frac,
        "nominal_frac": nominal,
        "below_frac": total.below_frac,
        "above_frac": total.above_frac,
        "least_group_frac": min(large, default=None),
        "most_group_frac": max(large, default=None),
        "groups_judged": len(large),
        "groups": shown,
        "mean_width": total.mean_width,
        "interval_score": total.mean_score,
        "constant_interval_score": min(constant_scores(arrays, walked)),
    }


def sessions_of_groups(arrays: SessionArrays, walked: WalkedOn, groups: Mapping[str, NDArray[np.integer]]) -> list[int]:
    """Return on how many sessions each group has an interval with a known outcome, in the coverage table's order."""
    known, counts = np.isfinite(walked.lower) & np.isfinite(arrays.outcomes), []
    for codes in groups.values():
        of_row = np.where(known, np.maximum(codes, -1), -2)
        counts += [int((of_row == code).any(axis=0).sum()) for code in np.unique(of_row[known])]
    return counts


def constant_scores(arrays: SessionArrays, walked: WalkedOn) -> list[float]:
    """Return the interval scores of the intervals of constant width, still and adaptive, on the same rows."""
    params, found = walked.carried.state.params, []
    for adaptive in (False, True):
        rival = constant_width(params, arrays.outcomes, unit=COMMON_RETURN, adaptive=adaptive)
        lower = np.where(np.isfinite(walked.lower), rival.lower, np.nan)
        found.append(coverage_table(lower, rival.upper, arrays.outcomes, coverage=params.coverage)[0].mean_score)
    return found


def covered_by_month(arrays: SessionArrays, walked: WalkedOn) -> pd.DataFrame:
    """Return the share covered a month beside what it should be."""
    known = np.isfinite(walked.lower) & np.isfinite(arrays.outcomes)
    within = known & (walked.lower <= arrays.outcomes) & (arrays.outcomes <= walked.upper)
    counts = pd.DataFrame({"within": within.sum(axis=0), "rows": known.sum(axis=0)}, index=arrays.sessions)
    months = counts[counts["rows"] > 0].resample("ME").sum()
    months = months[months["rows"] > 0]
    covered = months["within"] / months["rows"]
    return pd.DataFrame({"covered": covered, "nominal": walked.carried.state.params.coverage}, index=months.index)


def groups_shown(groups: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the groups as people read them."""
    return pd.DataFrame(groups).rename(columns={"covered_frac": "covered", "mean_width": "mean width"})


def _nothing(line: Line, origin: dict[str, Any], reason: str) -> dg.Output[dict[str, Any]]:
    left = {FILES: files_left(line.tables, INTERVAL_FILES)}
    return dg.Output({"rows": 0, "reason": reason, **origin, **left}, metadata={"rows": 0, "reason": reason})


def issued_intervals(
    line: Line, carried: CarriedIntervals, scores: pd.DataFrame, bars: pd.DataFrame, panel: Panel
) -> pd.DataFrame:
    """Return the champion's intervals on the sessions since its training, from what it has learned before.

    They are made again from the bundle's own state, session after session with what had matured by then, so that a day
    the job did not run changes none of them.

    Parameters
    ----------
    carried
        Of the champion's bundle.
    scores
        The champion's scores of every session since, at least; who may not be scored is left out here.
    bars, panel
        Checked bars, and the adjusted panel of them over all sessions.

    Returns
    -------
    DataFrame
        ``symbol``, ``session_date``, ``interval_lower``, ``interval_upper``: rows with an interval.

    Raises
    ------
    ModelError
        When the sessions at hand do not go back to the champion's training.
    """
    tables = {name: line.market_table(name) for name in ("securities", "st_spells", "corporate_actions")}
    members, universe = line.market_table("index_members"), line.settings.universe
    scorable = scorable_mask(panel, tables["securities"], tables["st_spells"], members, universe)
    start = max(0, known_until(carried, panel.sessions) + 1 - sessions_needed(carried))
    recent = panel.sessions_slice(start, len(panel.sessions))
    market = market_arrays(
        bars[bars["session_date"] >= recent.sessions[0]],
        tables["securities"],
        tables["st_spells"],
        tables["corporate_actions"],
        symbols=panel.symbols,
        sessions=recent.sessions,
        adjustment=line.source().describe().adjustment,
    )
    later = scores[scores["session_date"] >= recent.sessions[0]]
    asked = np.where(scorable[:, start:], dense(later, "score", recent.symbols, recent.sessions), np.nan)
    arrays = interval_arrays(carried, recent, asked, market.can_buy, line.market_table("industries"))
    said = walked_on(carried, arrays)
    at_session, at_symbol = np.nonzero(np.isfinite(said.lower.T) & np.isfinite(said.upper.T))
    return pd.DataFrame(
        {
            "symbol": np.array(recent.symbols, dtype=object)[at_symbol],
            "session_date": recent.sessions[at_session],
            "interval_lower": said.lower[at_symbol, at_session],
            "interval_upper": said.upper[at_symbol, at_session],
        }
    )


def known_until(carried: CarriedIntervals, sessions: pd.DatetimeIndex) -> int:
    """Return the position of the last session that ``carried`` knows.

    Raises
    ------
    ModelError
        When it is none of ``sessions``.
    """
    at = -1 if carried.session is None else int(sessions.get_indexer(pd.DatetimeIndex([carried.session]))[0])
    if at < 0:
        raise ModelError(
            f"the champion's intervals stand at {carried.session}, which is no session of the market at hand",
            "train a new model on these sessions",
        )
    return at


@dg.asset_check(asset=prediction_intervals)
def interval_coverage(line: Line) -> dg.AssetCheckResult:
    """Intervals hold what they were made for, in total and in every year, industry and third by volatility.

    How far off they may be is ``uncertainty.coverage.coverage_bounds``. A warning, not passed, too, where that cannot
    be judged: without intervals, or with no group that is large enough.
    """
    found = read_json(line.tables, "prediction_intervals")
    if not found["rows"]:
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"Not judged: {found['reason']}.",
            metadata={"rows": 0, "judged": False},
        )
    bounds = coverage_bounds(found["nominal_frac"])
    (least, most), (group_least, group_most) = bounds.total, bounds.group
    outside = [
        f"{one['grouping']} {one['name']} {one['covered_frac']:.1%} of {one['rows']:,}"
        for one in found["groups"]
        if one["judged"] and not group_least <= one["covered_frac"] <= group_most
    ]
    whole = found["coverage_frac"]
    if not least <= whole <= most:
        outside.insert(0, f"all {whole:.1%} of {found['rows']:,}")
    judged = found["groups_judged"]
    said = f"{whole:.1%} of {found['rows']:,} outcomes covered; {judged} of {len(found['groups'])} groups are judged"
    return dg.AssetCheckResult(
        passed=not outside and judged > 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{said}. Outside: {'; '.join(outside) or 'none'}.",
        metadata={
            "judged": judged > 0,
            "coverage_frac": whole,
            "groups_judged": judged,
            "least_group_frac": found["least_group_frac"],
            "most_group_frac": found["most_group_frac"],
            "interval_score": found["interval_score"],
            "constant_interval_score": found["constant_interval_score"],
        },
    )
