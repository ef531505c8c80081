"""Layer 2, quality: every canonical table checked before anything is computed from it, and bars in canonical form.

Not here: the rules (``ljwx_pipeline.quality``). A failing rule of severity ``error`` blocks what comes after it.
"""

from collections.abc import Iterator

import dagster as dg
import pandas as pd

from assets.io_managers import read_table
from assets.metadata import frame_metadata
from assets.resources import Line
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.market.tables import TABLES
from ljwx_pipeline.quality.checks import CHECKS

GROUP = "quality"
OWNERS = ["team:data"]
#: The asset that holds each canonical table.
ASSET_OF_TABLE = {table: "raw_bars" if table == "bars" else table for table in TABLES}


def _specs() -> list[dg.AssetCheckSpec]:
    schemas = [(f"{table}.schema", "error", "columns, types, ranges and unique keys") for table in TABLES]
    rules = [(check.name, check.severity, f"refused when {check.says}") for check in CHECKS]
    specs = []
    for name, severity, description in [*schemas, *rules]:
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


@dg.multi_asset_check(specs=_specs(), name="market_checks", can_subset=False, ins={"calendar": dg.AssetIn("calendar")})
def market_checks(line: Line, calendar: pd.DataFrame) -> Iterator[dg.AssetCheckResult]:
    """Judge every canonical table by its schema and every rule."""
    from ljwx_pipeline.quality.run import run_checks

    tables = {table: read_table(line.tables, table) for table in TABLES if table != "bars"}
    tables["bars"] = inside(calendar, line.lake().read("raw_bars"))
    sessions = pd.DatetimeIndex(calendar["session_date"])
    for result in run_checks(tables, line.source().describe(), sessions):
        table, what = result.name.split(".")
        yield dg.AssetCheckResult(
            asset_key=ASSET_OF_TABLE[table],
            check_name=what,
            passed=result.passed,
            severity=dg.AssetCheckSeverity.WARN if result.severity == "warn" else dg.AssetCheckSeverity.ERROR,
            description=result.message,
            metadata={"applicable": result.severity != "not_applicable", **result.measured},
        )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"pandera"})
def checked_bars(line: Line, raw_bars: pd.DataFrame, calendar: pd.DataFrame) -> dg.Output[pd.DataFrame]:
    """Every bar the lake knows today, in canonical order, past the hard contract."""
    from ljwx_pipeline.quality.run import checked, run_checks

    sessions = pd.DatetimeIndex(calendar["session_date"])
    bars = inside(calendar, raw_bars)
    results = run_checks({"bars": bars}, line.source().describe(), sessions)
    frame = checked("bars", bars, results)
    return dg.Output(frame, metadata=frame_metadata(frame) | {"content_hash": content_hash(frame)})


def inside(calendar: pd.DataFrame, bars: pd.DataFrame) -> pd.DataFrame:
    """Return the bars from the calendar's first session to its last: the lake may hold more than was asked for."""
    first, last = calendar["session_date"].min(), calendar["session_date"].max()
    return bars[bars["session_date"].between(first, last)].reset_index(drop=True)


@dg.asset_check(asset=checked_bars, blocking=True)
def great_expectations_suite(line: Line, checked_bars: pd.DataFrame) -> dg.AssetCheckResult:
    """The suite people read; its Data Docs are linked here."""
    from ljwx_pipeline.quality.suite import run_suite

    result = run_suite(checked_bars, line.reports / "data-docs" / line.home.name)
    return dg.AssetCheckResult(
        passed=result.passed,
        description="; ".join(result.failed[:3]) or f"{result.expectations} expectations are met",
        metadata={
            "expectations": result.expectations,
            "failed": len(result.failed),
            "data_docs": dg.MetadataValue.url(result.docs_index.absolute().as_uri()),
        },
    )
