"""The published data contract: a Great Expectations suite over checked bars, with Data Docs and a page to open.

The hard gate is ``run.run_checks``; this report is what is shown to people, so it repeats the contract in the words of
a tool they know. Source of the idiom: Great Expectations 1.24, dataframe data source with a whole-dataframe batch.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.tables import BARS
from ljwx_pipeline.quality.suite_page import Verdict, write_report_page
from ljwx_pipeline.quality.trend import SuiteRun, append_run, write_trend_page

SUITE_NAME = "checked_bars"
#: The one folder below the caller's that is ours to replace.
DOCS_FOLDER = "great_expectations"


@dataclass(frozen=True)
class SuiteResult:
    """What the suite found.

    Parameters
    ----------
    passed
        Whether every expectation is met.
    expectations
        How many were judged.
    failed
        A sentence for each that is not met.
    docs_index
        Great Expectations' own page; it needs a network for its styles.
    report_page
        The page to open: every expectation, readable without a network.
    unexpected
        Values that broke an expectation.
    trend_page
        The page of all runs so far; None where no history is kept.
    """

    passed: bool
    expectations: int
    failed: tuple[str, ...]
    docs_index: Path
    report_page: Path
    unexpected: int = 0
    trend_page: Path | None = None


def run_suite(bars: pd.DataFrame, docs_dir: Path, *, at: datetime | None = None, name: str = SUITE_NAME) -> SuiteResult:
    """Judge canonical ``bars`` and write report and Data Docs below ``docs_dir``, replacing those of the last run.

    ``name`` is what both call the suite: it says which part of a table ``bars`` are. With ``at``, the instant of
    the run, the run is added to the history in ``docs_dir`` and the page of all runs is written beside them.

    Raises
    ------
    DataQualityError
        When there is no bar to judge, or an expectation cannot be evaluated (a column is missing).
    """
    if bars.empty:
        raise DataQualityError("there is no bar to judge", "widen source.first_session and source.last_session")
    missing = [column for column in BARS if column not in bars]
    if missing:
        raise DataQualityError(f"bars lack the columns {', '.join(missing)}", "pass the canonical table")
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the package is imported
    docs_dir.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{DOCS_FOLDER}.", dir=docs_dir))
    try:
        outcome = _run(bars, fresh, name)
        final = docs_dir / DOCS_FOLDER
        if final.exists():
            shutil.rmtree(final)
        fresh.rename(final)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    judged = [result for run in outcome.run_results.values() for result in run.results]
    failed = tuple(_sentence(result) for result in judged if not result.success)
    unexpected = sum(int(result.result.get("unexpected_count") or 0) for result in judged if not result.success)
    index = final / "index.html"
    days = bars["session_date"]
    first_day, last = days.min().date(), days.max().date()
    report = write_report_page(
        docs_dir, [_verdict(result) for result in judged], name=name, rows=len(bars), first=first_day, last=last
    )
    if at is None:
        return SuiteResult(not failed, len(judged), failed, index, report, unexpected)
    first = failed[0] if failed else ""
    append_run(docs_dir, SuiteRun(at, last, len(bars), len(judged), len(failed), unexpected, first))
    return SuiteResult(not failed, len(judged), failed, index, report, unexpected, write_trend_page(docs_dir, report))


def expectations() -> list[Any]:
    """Return the suite's expectations."""
    import great_expectations.expectations as core  # 3 s to import: only for the report

    gxe: Any = core  # the package does not mark what it exports
    prices = ("open_cny", "high_cny", "low_cny", "close_cny", "pre_close_cny")
    ordered = (("high_cny", "low_cny"), ("high_cny", "open_cny"), ("high_cny", "close_cny"))
    return [
        gxe.ExpectTableColumnsToMatchSet(column_set=list(BARS), exact_match=True),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["symbol", "session_date"]),
        gxe.ExpectColumnValuesToMatchRegex(column="symbol", regex=r"^[0-9A-Z]{6}\.(?:SH|SZ|BJ|SIM)$"),
        *(gxe.ExpectColumnValuesToNotBeNull(column=column) for column in BARS),
        *(gxe.ExpectColumnValuesToBeBetween(column=c, min_value=0, strict_min=True) for c in (*prices, "adj_factor")),
        *(gxe.ExpectColumnValuesToBeBetween(column=c, min_value=0) for c in ("volume_shares", "amount_cny")),
        *(
            # not quite all rows: providers round adjusted prices, and pandera judges them with that tolerance
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A=a, column_B=b, or_equal=True, mostly=0.999)
            for a, b in ordered
        ),
    ]


def _run(bars: pd.DataFrame, docs: Path, name: str) -> Any:
    import great_expectations as gx  # 3 s to import: only for the report
    from great_expectations.data_context.types.base import ProgressBarsConfig

    checkpoints: Any = gx.checkpoint  # the package does not mark what it exports
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)  # they would write over our own progress
    asset = context.data_sources.add_pandas("lake").add_dataframe_asset("bars")
    batch = asset.add_batch_definition_whole_dataframe("all")
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations()))
    validation = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    context.add_data_docs_site(
        site_name="ljwx",
        site_config={
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)},
        },
    )
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name=name,
            validation_definitions=[validation],
            actions=[checkpoints.UpdateDataDocsAction(name="docs", site_names=["ljwx"])],
            result_format="SUMMARY",
        )
    )
    return checkpoint.run(batch_parameters={"dataframe": bars})


def _verdict(result: Any) -> Verdict:
    found = result.result
    observed = found.get("observed_value")
    return Verdict(
        expectation=result.expectation_config.type,
        arguments=_arguments(result),
        met=bool(result.success),
        judged=found.get("element_count"),
        unexpected=int(found.get("unexpected_count") or 0),
        examples=tuple(str(value) for value in found.get("partial_unexpected_list") or ()),
        observed="" if observed is None else str(observed),
    )


def _arguments(result: Any) -> dict[str, Any]:
    return {name: value for name, value in result.expectation_config.kwargs.items() if name != "batch_id"}


def _sentence(result: Any) -> str:
    config, kwargs = result.expectation_config, _arguments(result)
    found = result.result.get("unexpected_count", result.result.get("observed_value", "not evaluated"))
    return f"{config.type} {kwargs}: {found} unexpected"
