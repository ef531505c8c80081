"""Layer 2, quality: every canonical table judged before anything is computed from it, and the bars that passed.

Not here: the rules (``ljwx_pipeline.quality``) and judging by blocks of months (``ljwx_pipeline.ingest.judged``).
A breach of severity ``error`` blocks what comes after it, ``quarantine`` takes rows out, ``warn`` is shown.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import pandas as pd

from assets.column_lineage import QUALITY_MEANINGS, checked_bars_lineage, quality_lineage
from assets.io_managers import CHECKED_BARS_ASSET
from assets.market import CONTEXT_TABLES, LAKE_IO, REFERENCE_TABLES, REWRITES
from assets.metadata import embedded, frame_metadata, preview, report_links
from assets.resources import Line
from assets.reuse import code_hash
from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.config import report_folders
from ljwx_pipeline.ingest import rewrites
from ljwx_pipeline.ingest.arrivals import arrivals
from ljwx_pipeline.ingest.judged import BAR_CHECKS, Judgement, judge_bars
from ljwx_pipeline.ingest.judged_block import JudgedBlock, merged
from ljwx_pipeline.ingest.judged_notes import NOTES_WHOLE
from ljwx_pipeline.ingest.judged_store import BREACHES, CHECKED_BARS, QUARANTINE, SCORES
from ljwx_pipeline.ingest.judged_tables import TABLE_CHECKS, judge_tables
from ljwx_pipeline.lake import TableVersion
from ljwx_pipeline.lake.reads import ReadsJournal
from ljwx_pipeline.lake.store import read_versions
from ljwx_pipeline.quality.history import feed_on_time
from ljwx_pipeline.quality.history import symbols_still_given as judge_symbols
from ljwx_pipeline.quality.results import CheckResult, require_passed

GROUP = "quality"
OWNERS = ["team:data"]
#: The asset that holds each canonical table the line loads.
ASSET_OF_TABLE = {"bars": "raw_bars"} | {name: name for name in (*REFERENCE_TABLES, "index_bars", *CONTEXT_TABLES)}
RAW_BARS_KEY = dg.AssetKey("raw_bars")
#: What becomes of a breach, before what it is.
WHEN = {
    "error": "refused when",
    "quarantine": "a row is taken out until it is corrected or released when",
    "warn": "shown when",
}
#: What the scores' picture shows.
PICTURED_SESSIONS = 500
#: Newest sessions that are asked for their arrival.
ON_TIME_SESSIONS = 20
#: Bars that the published suite judges at most: ten years of the whole market would take gigabytes.
SUITE_ROWS = 1_000_000
FIRST_COLUMNS, LAST_COLUMN = ["session_date", "score"], "source"


def _specs() -> list[dg.AssetCheckSpec]:
    schemas = [(f"{table}.schema", "error", "columns, types, ranges and unique keys") for table in ASSET_OF_TABLE]
    shares = [("bars.quarantine_share", "error", "refused when too much of a session is in quarantine")]
    notes = [(NOTES_WHOLE, "warn", "shown when a kept verdict was damaged, so that its months were judged again")]
    rules = [(rule.name, rule.severity, f"{WHEN[rule.severity]} {rule.says}") for rule in (*BAR_CHECKS, *TABLE_CHECKS)]
    specs = []
    for name, severity, description in [*schemas, *shares, *notes, *rules]:
        table, what = name.split(".")
        specs.append(
            dg.AssetCheckSpec(
                what,
                asset=ASSET_OF_TABLE[table],
                additional_deps=["calendar"],
                blocking=severity == "error",
                description=description,
            )
        )
    return specs


@dg.multi_asset_check(specs=_specs(), name="market_checks", can_subset=True)
def market_checks(context: dg.AssetCheckExecutionContext, line: Line) -> Iterator[dg.AssetCheckResult]:
    """Judge every canonical table by its schema and every rule."""
    asked = context.selected_asset_check_keys  # a person who loads one table asks for its checks alone
    results = merged(judged_bars(line)) if any(key.asset_key == RAW_BARS_KEY for key in asked) else []
    results += judged_tables(line) if any(key.asset_key != RAW_BARS_KEY for key in asked) else []
    for result in results:
        table, what = result.name.split(".")
        asset = ASSET_OF_TABLE.get(table)
        if asset is None or dg.AssetCheckKey(dg.AssetKey(asset), what) not in asked:
            continue
        yield dg.AssetCheckResult(
            asset_key=asset,
            check_name=what,
            passed=result.passed,
            severity=dg.AssetCheckSeverity.ERROR if result.severity == "error" else dg.AssetCheckSeverity.WARN,
            description=_sentences(result),
            metadata={
                "applicable": result.severity != "not_applicable",
                "quarantined": not result.passed and result.severity == "quarantine",
                **result.measured,
            },
        )


def _sentences(result: CheckResult) -> str:
    said = [result.message] if result.passed else [result.message, result.repair]
    return ". ".join(part[:1].upper() + part[1:] for part in said)


@dg.asset_check(asset=RAW_BARS_KEY, blocking=True)
def history_not_restated(line: Line) -> dg.AssetCheckResult:
    """Shown when held rows came back different, refused while more than a share of a month did: another unit, maybe."""
    noted = rewrites.read_rewrites(line.home / REWRITES, line.lake())
    result = rewrites.history_not_restated(noted, max_frac=line.settings.quality.max_restated_frac)
    return dg.AssetCheckResult(
        passed=result.passed,
        severity=dg.AssetCheckSeverity.ERROR if result.blocks else dg.AssetCheckSeverity.WARN,
        description=". ".join(part for part in (result.message, result.repair) if part),
        metadata=dict(result.measured),
    )


@dg.asset_check(asset=RAW_BARS_KEY)
def symbols_still_given(line: Line) -> dg.AssetCheckResult:
    """Shown when symbols that had bars in a month have none in it any more; they are named."""
    gone, judged = rewrites.vanished_symbols(line.lake(), rewrites.read_rewrites(line.home / REWRITES, line.lake()))
    result = judge_symbols(gone, judged)
    return dg.AssetCheckResult(
        passed=result.passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=_sentences(result) if judged else "no held month came back different",
        metadata={**result.measured, "symbols": ", ".join(sorted(gone)) or "none"},
    )


@dg.asset_check(asset=RAW_BARS_KEY, additional_deps=["calendar"])
def on_time(line: Line) -> dg.AssetCheckResult:
    """Shown when a recent session's bars came before its close or late; what the first load brought is not late."""
    sessions = line.sessions()[-ON_TIME_SESSIONS:]
    came = arrivals(line.lake(), line.source().describe(), sessions)
    result = feed_on_time(sessions, came)
    return dg.AssetCheckResult(
        passed=result.passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=_sentences(result),
        metadata={"applicable": bool(came.notna().any()), **result.measured},
    )


@dg.asset(
    name=CHECKED_BARS_ASSET,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"pandera"},
    io_manager_key=LAKE_IO,
    deps=["raw_bars", "securities", "st_spells", "corporate_actions", "price_limits", "suspensions"],
)
def checked_bars(context: dg.AssetExecutionContext, line: Line) -> dg.MaterializeResult[None]:
    """Every bar the lake knows today that passed the hard contract, in canonical order; the others in quarantine."""
    blocks = judged_bars(line)
    require_passed(merged(blocks))
    checked = line.checked_lake()
    ReadsJournal(line.lake()).record_versions(CHECKED_BARS_ASSET, context.run_id, line.lake().current("raw_bars"))
    months = checked.current(CHECKED_BARS)
    newest = checked.read(CHECKED_BARS, partitions=[months[-1].partition])
    oldest = checked.read(CHECKED_BARS, columns=["session_date"], partitions=[months[0].partition])
    return dg.MaterializeResult(
        metadata=frame_metadata(newest, checked_bars_lineage())
        | {
            "dagster/row_count": sum(month.rows for month in months),
            "first_session": f"{oldest['session_date'].min():%Y-%m-%d}",
            "quarantined_rows": sum(block.quarantined_rows for block in blocks),
            "content_hash": checked.content_hash(CHECKED_BARS),
        },
        data_version=dg.DataVersion(checked.content_hash(CHECKED_BARS)),
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"pandas"}, deps=[checked_bars])
def quarantined_bars(line: Line) -> dg.Output[pd.DataFrame]:
    """Bars taken out until somebody corrects or releases them, a row for each rule broken, with what can be done."""
    frame = line.checked_lake().read(QUARANTINE)
    by_check = frame.groupby("check").size().sort_values(ascending=False).rename("rows").reset_index()
    return dg.Output(
        frame,
        metadata=frame_metadata(frame, checked_bars_lineage()) | {"by_check": preview(by_check, rows=len(by_check))},
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"pandas"}, deps=[checked_bars])
def data_quality(line: Line) -> dg.Output[pd.DataFrame]:
    """How good each session's rows are, 0 to 100: by share of clean rows, coverage, and hours that they came late."""
    from ljwx_pipeline.quality.figures import breach_figure, score_figure

    checked = line.checked_lake()
    frame, breaches = checked.read(SCORES), checked.read(BREACHES)
    # a page shows the first columns of a table; the source is long and the same in every row
    between = frame.columns.difference([*FIRST_COLUMNS, LAST_COLUMN], sort=False)
    read_first = frame[[*FIRST_COLUMNS, *between, LAST_COLUMN]]
    shown = frame.tail(PICTURED_SESSIONS)
    recent = breaches[breaches["session_date"] >= shown["session_date"].min()] if len(shown) else breaches
    pictures = line.home / "quality"
    pictures.mkdir(parents=True, exist_ok=True)
    (pictures / "score.svg").write_text(score_figure(shown), encoding="utf-8")
    (pictures / "breaches.svg").write_text(breach_figure(recent), encoding="utf-8")
    return dg.Output(
        frame,
        metadata=frame_metadata(read_first, quality_lineage(), QUALITY_MEANINGS)
        | {
            "mean_score": round(float(frame["score"].mean()), 2),
            "worst_sessions": preview(read_first.nsmallest(5, "score")),
            "score_by_session": dg.MetadataValue.md(embedded(pictures / "score.svg")),
            "breaches_by_check": dg.MetadataValue.md(embedded(pictures / "breaches.svg")),
        },
    )


@dg.asset_check(asset=checked_bars, blocking=True)
def great_expectations_suite(line: Line) -> dg.AssetCheckResult:
    """The suite people read, over every checked bar or the newest months of at most a million; its page linked."""
    from ljwx_pipeline.quality.suite import SUITE_NAME, run_suite

    sessions = line.sessions()
    months = line.checked_lake().current(CHECKED_BARS)
    judged = newest_months(months, SUITE_ROWS)
    bars = read_versions(judged, first=sessions[0].date(), last=sessions[-1].date())
    whole = len(judged) == len(months)
    name = SUITE_NAME if whole else f"{SUITE_NAME}_since_{judged[0].partition[:7]}"
    result = run_suite(bars, report_folders(line.home, line.reports)["data-docs"], at=utc_now(), name=name)
    said = "; ".join(result.failed[:3]) or f"{result.expectations} expectations are met"
    scope = f"every one of {len(bars):,} bars" if whole else f"{len(bars):,} bars, since {judged[0].partition[:7]}"
    metadata: dict[str, dg.MetadataValue[Any] | int] = {
        "expectations": result.expectations,
        "failed": len(result.failed),
        "judged_rows": len(bars),
        **report_links(line, "data_docs", result.report_page),
    }
    if result.trend_page is not None:
        metadata |= report_links(line, "trend", result.trend_page)
    return dg.AssetCheckResult(passed=result.passed, description=f"{said}; over {scope}", metadata=metadata)


def newest_months(months: Sequence[TableVersion], most_rows: int) -> Sequence[TableVersion]:
    """Return the newest of ``months``, in their order, that together hold at most ``most_rows``; at least one."""
    rows, first = 0, len(months) - 1
    for place in range(len(months) - 1, -1, -1):
        rows += months[place].rows
        if rows > most_rows:
            break
        first = place
    return months[max(first, 0) :]


def judged_bars(line: Line) -> list[JudgedBlock]:
    """Judge the raw bars of this line's sessions; what did not change since the last time is not judged again."""
    judgement = Judgement(
        description=line.source().describe(),
        sessions=line.held_sessions(),
        releases=line.releases(),
        max_session_frac=line.settings.quality.max_quarantine_frac,
        rules_hash=code_hash(),
    )
    return judge_bars(line.lake(), line.checked_lake(), judgement, as_of=None, known_at=utc_now())


def judged_tables(line: Line) -> list[CheckResult]:
    """Judge every table beside the bars by its schema and the rules that name it."""
    return judge_tables(line.lake(), line.source().describe(), line.held_sessions())
