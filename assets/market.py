"""Layer 1, market: what the source says, kept in the lake as it said it, with the instant it became known.

Not here: checks (``quality.py``) and anything computed from prices; how rows are fetched and stored
(``ljwx_pipeline.ingest``).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from assets.metadata import frame_metadata
from assets.resources import Line
from assets.restatements import flagging
from ljwx_pipeline.clock import SystemClock, utc_now
from ljwx_pipeline.ingest.bars import ingest_bars
from ljwx_pipeline.ingest.lost import require_held_sessions
from ljwx_pipeline.ingest.plan import RAW_BARS
from ljwx_pipeline.ingest.rewrites import begin_ingest, note_rewrites
from ljwx_pipeline.ingest.tables import (
    CALENDAR,
    SECURITIES,
    WHOLE,
    ingest_dated_table,
    ingest_range_table,
    ingest_securities,
)
from ljwx_pipeline.lake import TableVersion
from ljwx_pipeline.lake.store import read_versions
from ljwx_pipeline.market.tables import RANGE_TABLES, empty_table
from ljwx_pipeline.observability.progress import Listener, Progress, Waiting, listening
from ljwx_pipeline.sources.replay import DESCRIPTION, description_table

GROUP = "market"
OWNERS = ["team:data"]
#: Loads what a table says in the lake.
LAKE_IO = "lake_io_manager"
#: Every asset that asks the provider is in this pool, of which `dagster.yaml` lets one run have a place at a time.
POOL = "provider"
#: Below the market's folder: months that came back different, for the check on ``raw_bars``.
REWRITES = "ingest/rewrites.json"
#: A progress line is said at most so often.
SAID_EVERY_S = 5.0

DESCRIPTIONS = {
    "securities": "Every security ever listed: name, board, listing and delisting dates.",
    "st_spells": "Spells under special treatment, by date.",
    "industries": "Industry of each security, by date.",
    "index_members": "Members of each index, by date.",
    "corporate_actions": "Cash dividends and bonus shares by ex-date.",
    "market_values": "Total market value at each close, CNY.",
    "suspensions": "Sessions on which a listed security did not trade.",
    "financial_indicators": "Figures of periodic reports, known from their announcement on.",
    "price_limits": "Published price limits of each session, CNY; NaN where there is none.",
    "news": "News items with the instant they were published.",
    "macro": "Macro releases with the month they describe and the instant they were known.",
}


def _specs(names: tuple[str, ...]) -> list[dg.AssetSpec]:
    return [
        dg.AssetSpec(
            name, group_name=GROUP, owners=OWNERS, kinds={"parquet"}, description=DESCRIPTIONS[name]
        ).with_io_manager_key(LAKE_IO)
        for name in names
    ]


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"parquet"}, io_manager_key=LAKE_IO, pool=POOL)
def calendar(line: Line) -> dg.MaterializeResult[None]:
    """Trading sessions of the source inside the configured range."""
    span = line.settings.source
    require_held_sessions(line.source(), line.lake(), span.first_session, span.until)
    version = _store_calendar(line)
    frame = line.market_table(CALENDAR)
    return dg.MaterializeResult(metadata=frame_metadata(frame), data_version=dg.DataVersion(version.content_hash))


def _store_calendar(line: Line) -> TableVersion:
    source, span = line.source(), line.settings.source
    lake, asked = line.lake(), source.sessions(span.first_session, span.until)
    now = utc_now()  # of the answer, not of the question
    # a narrower range adds nothing and takes nothing away: bars of the other sessions are held too
    frame = pd.DataFrame({"session_date": line.held_sessions().union(asked) if lake.holds(CALENDAR) else asked})
    lake.write(DESCRIPTION, description_table(source.describe()), partition=WHOLE, known_at=now)
    return lake.write(CALENDAR, frame, partition=WHOLE, known_at=now)


@dg.asset_check(asset=calendar)
def horizon(line: Line) -> dg.AssetCheckResult:
    """The exchange's calendar is known far enough ahead of today."""
    from ljwx_pipeline.market.calendar import (
        MIN_HORIZON_SESSIONS,
        last_known_session,
        sessions_ahead,
        upgrade_remedy,
    )

    if line.source().describe().fetches == "at_hand":
        return dg.AssetCheckResult(passed=True, description="not applicable: the data end in the past")
    ahead = sessions_ahead(utc_now().date())
    enough = ahead >= MIN_HORIZON_SESSIONS
    return dg.AssetCheckResult(
        passed=enough,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{ahead} sessions are known ahead, to {last_known_session()}"
        + ("" if enough else f"; at least {MIN_HORIZON_SESSIONS} are wanted: {upgrade_remedy()}"),
        metadata={"sessions_ahead": ahead},
    )


REFERENCE_TABLES = (SECURITIES, *RANGE_TABLES, "corporate_actions")


@dg.multi_asset(specs=[spec.replace_attributes(deps=[calendar]) for spec in _specs(REFERENCE_TABLES)], pool=POOL)
def reference_tables(context: dg.AssetExecutionContext, line: Line) -> Iterator[dg.MaterializeResult[None]]:
    """Read the slowly changing tables of the source; what it does not know is an empty table, never a guess."""
    with flagging(line), listening(said_by(context.log)):
        yield _kept_whole(line, SECURITIES, ingest_securities(line.source(), line.lake()))
        for name in RANGE_TABLES:
            version = ingest_range_table(
                line.source(),
                line.lake(),
                name,
                line.sessions(),
                coverage_file=_coverage_file(line, name),
                recheck_sessions=line.settings.ingest.recheck_sessions,
                scope=_scope(line, name),
                say=context.log.warning,
            )
            yield _kept_whole(line, name, version)
        yield _dated(context, line, "corporate_actions")


#: Figures of periodic reports only from a source that is asked for them.
CONTEXT_TABLES = ("market_values", "suspensions", "price_limits", "financial_indicators", "news", "macro")


@dg.multi_asset(specs=[spec.replace_attributes(deps=[calendar]) for spec in _specs(CONTEXT_TABLES)], pool=POOL)
def context_tables(context: dg.AssetExecutionContext, line: Line) -> Iterator[dg.MaterializeResult[None]]:
    """Read what grows by date beside the bars, and store its months."""
    with flagging(line), listening(said_by(context.log)):
        for name in CONTEXT_TABLES:
            yield _dated(context, line, name)


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"parquet"}, deps=[calendar], io_manager_key=LAKE_IO, pool=POOL)
def index_bars(context: dg.AssetExecutionContext, line: Line) -> dg.MaterializeResult[None]:
    """Daily bars of the benchmark indices, in points."""
    with flagging(line), listening(said_by(context.log)):
        return _dated(context, line, "index_bars")


def said_by(log: dg.DagsterLogManager) -> Listener:
    """Return a listener that logs how far a download is or waits for what, every ``SAID_EVERY_S`` seconds at most."""
    clock, said_s = SystemClock(), 0.0

    def said(step: Progress | Waiting) -> None:
        nonlocal said_s
        now = clock.monotonic_s()
        if said_s == 0.0:
            said_s = now - min(step.elapsed_s, SAID_EVERY_S)
        if now - said_s >= SAID_EVERY_S:
            said_s = now
            log.info(str(step))

    return said


def _coverage_file(line: Line, name: str) -> Path:
    return line.home / "ingest" / f"{name}.json"


def _scope(line: Line, name: str) -> str:
    return " ".join(sorted(line.settings.evaluation.indices)) if name in ("index_bars", "index_members") else ""


def _kept_whole(line: Line, name: str, version: TableVersion) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(
        asset_key=name,
        metadata=frame_metadata(line.market_table(name)) | {"version": version.version},
        data_version=dg.DataVersion(version.content_hash),
    )


def _dated(context: dg.AssetExecutionContext, line: Line, name: str) -> dg.MaterializeResult[None]:
    months = ingest_dated_table(
        line.source(),
        line.lake(),
        name,
        line.sessions(),
        coverage_file=_coverage_file(line, name),
        recheck_sessions=line.settings.ingest.recheck_sessions,
        scope=_scope(line, name),
        say=context.log.warning,
    )
    held = line.lake().current(name) if line.lake().holds(name) else []
    return dg.MaterializeResult(
        asset_key=name,
        metadata=held_metadata(name, held)
        | {
            "months_asked": len(months),
            "rows_added": sum(month.added_rows for month in months),
            "rows_restated": sum(month.restated_rows for month in months),
        },
        data_version=dg.DataVersion(line.lake().content_hash(name) if held else "empty"),
    )


def held_metadata(name: str, months: Sequence[TableVersion]) -> dict[str, Any]:
    """Return what a page shows of a table kept by month: counts from its manifests, a preview of its newest month."""
    filled = [version for version in months if version.rows]
    newest = read_versions(filled[-1:]) if filled else empty_table(name)
    found = frame_metadata(newest) | {"dagster/row_count": sum(version.rows for version in filled)}
    found.pop("symbols", None)  # of one month alone
    if filled and filled[0].sessions is not None:
        found["first_session"] = f"{filled[0].sessions[0]:%Y-%m-%d}"
    return found


def raw_bars_asset(partitions: dg.MonthlyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the one partitioned asset: raw daily bars, a version a month in the lake."""

    @dg.asset(
        name=RAW_BARS,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"parquet"},
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[calendar],
        io_manager_key=LAKE_IO,
        pool=POOL,
    )
    def raw_bars(context: dg.AssetExecutionContext, line: Line) -> dg.MaterializeResult[None]:
        """Daily bars as the source gave them, appended to the lake with the instant they became known."""
        span, window, lake = line.settings.source, context.partition_time_window, line.lake()
        first = max(span.first_session, window.start.date())
        last = min(span.until, (window.end - pd.Timedelta(days=1)).date())
        require_held_sessions(line.source(), lake, first, last)
        begin_ingest(line.home / REWRITES, lake)
        say = said_by(context.log)
        with flagging(line) as flagged, listening(say):
            report = ingest_bars(
                line.source(),
                lake,
                first,
                last,
                staging=line.home / "ingest" / "staging",
                recheck_sessions=line.settings.ingest.recheck_sessions,
                on_progress=say,
                say=context.log.warning,
            )
        note_rewrites(line.home / REWRITES, lake, max_frac=line.settings.quality.max_restated_frac)
        if not lake.holds(CALENDAR) or line.held_sessions()[-1] < report.plan.wanted[-1]:
            _store_calendar(line)  # loaded alone, from its page: its checks and checked_bars go by the calendar
        newest = lake.read(RAW_BARS, first=report.plan.wanted[-1].date(), last=report.plan.wanted[-1].date())
        months = [version for version in lake.current(RAW_BARS) if version.rows]
        oldest = lake.read(RAW_BARS, columns=["session_date"], partitions=[months[0].partition])
        return dg.MaterializeResult(
            metadata=frame_metadata(newest)
            | {
                "dagster/row_count": sum(version.rows for version in months),
                "first_session": f"{oldest['session_date'].min():%Y-%m-%d}",
                "sessions_fetched": len(report.plan.fetched),
                "rows_added": report.added_rows,
                "rows_restated": sum(month.restated_rows for month in report.restated),
                "units_fetched": len(report.plan.units) - report.units_resumed,
                "units_resumed": report.units_resumed,
                "models_flagged": "; ".join(flagged) or "none",
            },
            data_version=dg.DataVersion(lake.content_hash(RAW_BARS)),
        )

    return raw_bars
