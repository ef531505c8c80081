"""Layer 3, features: factors, label, the feature table and Feast's two stores filled from it.

Not here: how a factor is defined (``ljwx_pipeline.factors``) or Feast is asked (``ljwx_pipeline.feature_store``).
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from assets import reuse
from assets.metadata import frame_metadata
from assets.panels import (
    bar_mask,
    factor_files,
    feature_table_path,
    load_factors,
    panel_of,
    research_sessions,
    save_factors,
)
from assets.resources import Line
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.feature_table import ParityReport
from ljwx_pipeline.lake.content_hash import content_hash

GROUP = "features"
OWNERS = ["team:quant"]
#: Findings whose evidence is kept with a check.
EVIDENCE_SHOWN = 20
FEATURE_REPO = Path(__file__).resolve().parent.parent / "feature_repo"


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"numba"})
def alpha158_factors(
    context: dg.AssetExecutionContext, line: Line, checked_bars: pd.DataFrame, calendar: pd.DataFrame
) -> dg.MaterializeResult[None]:
    """The 158 factors of Alpha158 on adjusted prices, float32, over every symbol and session."""
    factors = alpha158()
    key = features_key(line, checked_bars, calendar)
    if not reuse.is_current(line.tables, "alpha158_factors", key):
        reuse.forget(line.tables, "alpha158_factors")
        panel = panel_of(line, checked_bars, calendar)
        context.log.info(
            f"{len(factors.names)} factors over {len(panel.symbols)} symbols x {len(panel.sessions)} sessions"
        )
        save_factors(line.tables, evaluate(factors.expressions, panel, threads=line.settings.model.threads))
        reuse.remember(line.tables, "alpha158_factors", key, factor_files(line.tables))
    values = load_factors(line.tables)
    return dg.MaterializeResult(
        metadata={
            "factors": len(values.names),
            "symbols": len(values.symbols),
            "sessions": len(values.sessions),
            "window_sessions": factors.window,
            "factor_hash": factors.version_hash,
            "names": dg.MetadataValue.md(", ".join(f"`{name}`" for name in values.names)),
        }
    )


#: The blocking checks of a feature set by their name: the kind of leak each is about, and what it says.
LEAK_CHECKS = {
    "no_lookahead": ("look-ahead", "No factor changes when all that came after a session is cut off or different."),
    "declared_window_suffices": ("warm-up", "No factor needs more history than its declared window."),
    "no_later_restatement": ("restatement", "No factor changes when later splits or dividends rebase earlier prices."),
    "members_of_the_session": ("membership", "No factor changes with later listings, index changes or non-members."),
    "no_survivorship": ("survivorship", "No factor of an earlier session changes with who was delisted later."),
    "believable": ("too-good", "No factor foretells returns better than any honest one does."),
}


@dg.multi_asset_check(
    name="alpha158_leak_checks",
    can_subset=True,
    ins={"checked_bars": dg.AssetIn("checked_bars"), "calendar": dg.AssetIn("calendar")},
    specs=[
        dg.AssetCheckSpec(
            name,
            asset=alpha158_factors,
            blocking=True,
            description=says,
            additional_deps=["checked_bars", "calendar"],
        )
        for name, (_, says) in LEAK_CHECKS.items()
    ],
)
def leak_checks(
    context: dg.AssetCheckExecutionContext, line: Line, checked_bars: pd.DataFrame, calendar: pd.DataFrame
) -> Iterator[dg.AssetCheckResult]:
    """Recompute the stored factors from less and from other data, once for all checks; one result a kind of leak."""
    from ljwx_pipeline.factors.leaks import check_leaks

    panel = panel_of(line, checked_bars, calendar)
    rebased = line.source().describe().adjustment == "forward"
    report = check_leaks(alpha158(), panel, values=load_factors(line.tables), rebased=rebased)
    for name, (kind, says) in LEAK_CHECKS.items():
        if dg.AssetCheckKey(alpha158_factors.key, name) not in context.selected_asset_check_keys:
            continue
        findings = report.of(kind)
        yield dg.AssetCheckResult(
            check_name=name,
            asset_key=alpha158_factors.key,
            passed=not findings,
            description="; ".join(map(str, findings[:3])) or says,
            metadata={
                "findings": len(findings),
                "factors": len(alpha158().names),
                "symbols": len(panel.symbols),
                "cuts": ", ".join(map(str, report.cuts)),
                "evidence": [finding.as_dict() for finding in findings[:EVIDENCE_SHOWN]],
            },
        )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"numba"})
def forward_return_label(line: Line, checked_bars: pd.DataFrame, calendar: pd.DataFrame) -> dg.Output[pd.DataFrame]:
    """Adjusted close[t+6] / adjusted close[t+1] - 1, and its rank in the session; unknown past the data."""
    from ljwx_pipeline.label import label_values, rank_label

    panel = panel_of(line, checked_bars, calendar)
    forward = label_values(panel, line.settings.label)
    ranks = rank_label(forward)
    at_session, at_symbol = np.nonzero(bar_mask(panel).T)
    frame = pd.DataFrame(
        {
            "symbol": np.array(panel.symbols, dtype=object)[at_symbol],
            "session_date": panel.sessions[at_session],
            "forward_return": forward[at_symbol, at_session],
            "label": ranks[at_symbol, at_session],
        }
    )
    return dg.Output(frame, metadata=frame_metadata(frame) | {"mean": float(frame["forward_return"].mean())})


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"parquet"}, deps=[alpha158_factors])
def feature_table(line: Line, checked_bars: pd.DataFrame, calendar: pd.DataFrame) -> dg.MaterializeResult[None]:
    """One row a symbol and session with a bar: the 158 factors and the instants Feast joins on. Training reads this."""
    from ljwx_pipeline.feature_table import feast_table, write_feature_table

    values = load_factors(line.tables)
    path = feature_table_path(line)
    key = features_key(line, checked_bars, calendar)
    if not reuse.is_current(line.tables, "feature_table", key):
        reuse.forget(line.tables, "feature_table")
        write_feature_table(feast_table(values.frame(bar_mask(panel_of(line, checked_bars, calendar)))), path)
        reuse.remember(line.tables, "feature_table", key, [path])
    rows = pq.ParquetFile(path).metadata.num_rows
    return dg.MaterializeResult(
        metadata={"dagster/row_count": rows, "columns": len(values.names), "path": dg.MetadataValue.path(path)}
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"feast", "duckdb"}, deps=[feature_table])
def feast_offline_store(line: Line) -> dg.MaterializeResult[None]:
    """Feast's registry and offline store (duckdb) over the feature table."""
    from ljwx_pipeline.feature_store import FeatureStoreClient

    applied = FeatureStoreClient(FEATURE_REPO, line.home).apply()
    return dg.MaterializeResult(
        metadata={
            "project": applied.project,
            "feature_service": applied.feature_service,
            "features": len(applied.features),
        }
    )


@dg.asset_check(asset=feast_offline_store, blocking=True)
def feast_parity(line: Line) -> dg.AssetCheckResult:
    """Feast's point-in-time answer equals the feature table bit for bit on a seeded sample of rows."""
    from ljwx_pipeline.feature_store import FeatureStoreClient

    report = FeatureStoreClient(FEATURE_REPO, line.home).point_in_time_check(
        rows=line.settings.feast.parity_rows, seed=line.settings.feast.parity_seed
    )
    return _parity_result(report)


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"feast", "sqlite"}, deps=[feast_offline_store])
def feast_online_store(line: Line, calendar: pd.DataFrame) -> dg.MaterializeResult[None]:
    """Feast's online store (SQLite): the last research session, which the runner checks its own features against."""
    from ljwx_pipeline.feature_store import FeatureStoreClient

    session = last_research_session(line, calendar)
    online = FeatureStoreClient(FEATURE_REPO, line.home).materialize_online(session)
    return dg.MaterializeResult(
        metadata={
            "session": str(session),
            "dagster/row_count": online.rows,
            "missing_values": online.missing_values,
            "carried_from_earlier_sessions": online.carried,
            "late_and_not_served": ", ".join(online.late[:20]) + (", ..." if len(online.late) > 20 else "") or "none",
            "late_symbols": len(online.late),
            "rows_written": online.written,
        }
    )


@dg.asset_check(asset=feast_online_store, additional_ins={"calendar": dg.AssetIn("calendar")}, blocking=True)
def feast_online_parity(line: Line, calendar: pd.DataFrame) -> dg.AssetCheckResult:
    """What the line reads online is what Feast itself answers and what the feature table holds, bit for bit."""
    from ljwx_pipeline.feature_store import FeatureStoreClient

    session = last_research_session(line, calendar)
    return _parity_result(FeatureStoreClient(FEATURE_REPO, line.home).online_check(session))


def features_key(line: Line, bars: pd.DataFrame, calendar: pd.DataFrame) -> reuse.Key:
    """Return all that decides the factors' values."""
    return {
        "bars": content_hash(bars),
        "calendar": content_hash(calendar),
        "adjustment": line.source().describe().adjustment,
        "factors": alpha158().version_hash,
    }


def last_research_session(line: Line, calendar: pd.DataFrame) -> date:
    """Return the last session that research may see."""
    return research_sessions(line, calendar)[-1].date()


def _parity_result(report: ParityReport) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=report.passed,
        description=f"{report.mismatches} of {report.rows * report.columns} cells differ, first {report.first_mismatch}"
        if report.mismatches
        else f"{report.rows * report.columns} cells are equal bit for bit",
        metadata={
            "rows": report.rows,
            "columns": report.columns,
            "mismatches": report.mismatches,
            "seconds": report.seconds,
        },
    )
