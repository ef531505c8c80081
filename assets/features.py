"""Layer 3, features: factors, label, the feature table and Feast's two stores filled from it.

Not here: how a factor is defined (``ljwx_pipeline.factors``) or Feast is asked (``ljwx_pipeline.feature_store``).
"""

from datetime import date
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from assets import reuse
from assets.column_lineage import factor_lineage, feature_table_lineage, label_lineage
from assets.metadata import column_metadata, frame_metadata
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
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.market.tables import DATE

GROUP = "features"
OWNERS = ["team:quant"]
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
            **column_metadata(
                {"symbol": "string", "session_date": DATE, **dict.fromkeys(values.names, "float32")},
                factor_lineage(line.source().describe().adjustment),
                {name: str(expression) for name, expression in factors.expressions.items()},
            ),
            "factors": len(values.names),
            "symbols": len(values.symbols),
            "sessions": len(values.sessions),
            "window_sessions": factors.window,
            "factor_hash": factors.version_hash,
        }
    )


@dg.asset_check(
    asset=alpha158_factors,
    blocking=True,
    additional_ins={"checked_bars": dg.AssetIn("checked_bars"), "calendar": dg.AssetIn("calendar")},
)
def no_lookahead(line: Line, checked_bars: pd.DataFrame, calendar: pd.DataFrame) -> dg.AssetCheckResult:
    """No factor changes when the future is cut off, and none needs more history than its declared window."""
    from ljwx_pipeline.factors.leaks import check_leaks

    report = check_leaks(alpha158(), panel_of(line, checked_bars, calendar))
    return dg.AssetCheckResult(
        passed=report.passed,
        description="; ".join(map(str, report.findings[:3])),
        metadata={"findings": len(report.findings), "cuts": str(report.cuts)},
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
    lineage = label_lineage(line.settings.label, line.source().describe().adjustment)
    return dg.Output(
        frame,
        metadata=frame_metadata(frame, lineage) | {"mean": float(frame["forward_return"].mean())},
    )


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
    with pq.ParquetFile(path) as file:
        rows, schema = file.metadata.num_rows, file.schema_arrow
    return dg.MaterializeResult(
        metadata={
            **column_metadata({field.name: str(field.type) for field in schema}, feature_table_lineage()),
            "dagster/row_count": rows,
            "factors": len(values.names),
            "path": dg.MetadataValue.path(path),
        }
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


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"feast", "sqlite"}, deps=[feast_offline_store])
def feast_online_store(line: Line, calendar: pd.DataFrame) -> dg.MaterializeResult[None]:
    """Feast's online store (SQLite): the last research session, which the runner checks its own features against."""
    from ljwx_pipeline.feature_store import FeatureStoreClient

    session = last_research_session(line, calendar)
    written = FeatureStoreClient(FEATURE_REPO, line.home).materialize_online(session)
    return dg.MaterializeResult(
        metadata={"session": str(session), "dagster/row_count": written.rows, "missing_values": written.missing_values}
    )


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
