"""Layer 3, features: factors, label, the feature table and Feast's two stores filled from it.

Not here: how a factor is defined (``ljwx_pipeline.factors``) or Feast is asked (``ljwx_pipeline.feature_store``).
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from assets import reuse
from assets.column_lineage import factor_lineage, feature_table_lineage, label_lineage
from assets.io_managers import write_json
from assets.metadata import column_metadata, frame_metadata
from assets.panels import (
    bar_mask,
    factor_files,
    factor_inputs,
    factor_tables,
    feature_table_path,
    load_factors,
    panel_of,
    research_sessions,
    save_factors,
    symbols_of,
)
from assets.resources import Line
from ljwx_pipeline.dataset import lookback_sessions
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.factors.increment import newest_session
from ljwx_pipeline.feature_parity import disagreements
from ljwx_pipeline.feature_table import ParityReport, close_of
from ljwx_pipeline.lake.content_hash import content_hash
from ljwx_pipeline.market.adjustment import FACTOR_FIELDS
from ljwx_pipeline.market.tables import BESIDE_TABLES, DATE

if TYPE_CHECKING:
    from ljwx_pipeline.feature_store import FeatureStoreClient

GROUP = "features"
OWNERS = ["team:quant"]
#: Findings whose evidence is kept with a check.
EVIDENCE_SHOWN = 20
FEATURE_REPO = Path(__file__).resolve().parent.parent / "feature_repo"
#: Tables beside the bars and the calendar that fields are made of; which of them are read follows from the catalogue.
FIELD_TABLES = ("securities", "st_spells", "index_members", *BESIDE_TABLES)


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"numba"}, deps=FIELD_TABLES)
def factor_values(
    context: dg.AssetExecutionContext, line: Line, checked_bars: pd.DataFrame, calendar: pd.DataFrame
) -> dg.MaterializeResult[None]:
    """The factors of the configured catalogue, float32, over every symbol and session."""
    factors = line.catalogue
    key = features_key(line, checked_bars, calendar)
    if not reuse.is_current(line.tables, "factor_values", key):
        reuse.forget(line.tables, "factor_values")
        panel = factor_inputs(line, checked_bars, calendar)
        context.log.info(
            f"{len(factors.names)} factors of {factors.name} over {len(panel.symbols)} symbols x "
            f"{len(panel.sessions)} sessions"
        )
        values = evaluate(factors.expressions, panel, threads=line.settings.model.threads)
        save_factors(line.tables, values, factor_hash=factors.version_hash)
        reuse.remember(line.tables, "factor_values", key, factor_files(line.tables))
    values = load_factors(line)
    return dg.MaterializeResult(
        metadata={
            **column_metadata(
                {"symbol": "string", "session_date": DATE, **dict.fromkeys(values.names, "float32")},
                factor_lineage(factors, line.settings.universe, line.source().describe().adjustment),
                {name: str(expression) for name, expression in factors.expressions.items()},
            ),
            "catalogue": factors.name,
            "factors": len(values.names),
            "symbols": len(values.symbols),
            "sessions": len(values.sessions),
            "reads": ", ".join(sorted(factors.reads)),
            "window_sessions": factors.window,
            "factor_hash": factors.version_hash,
        }
    )


#: The document that the leak checks leave: of which factors, and what they found.
LEAKS_FOUND = "leak_checks"
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
    name="factor_leak_checks",
    can_subset=True,
    ins={"checked_bars": dg.AssetIn("checked_bars"), "calendar": dg.AssetIn("calendar")},
    specs=[
        dg.AssetCheckSpec(
            name,
            asset=factor_values,
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

    panel = factor_inputs(line, checked_bars, calendar)
    rebased, seen = line.source().describe().adjustment == "forward", len(research_sessions(line, calendar))
    report = check_leaks(line.catalogue, panel, values=load_factors(line), rebased=rebased, research_sessions=seen)
    told = {"factor_hash": line.catalogue.version_hash, "findings": [str(finding) for finding in report.findings]}
    write_json(line.tables, LEAKS_FOUND, told)
    for name, (kind, says) in LEAK_CHECKS.items():
        if dg.AssetCheckKey(factor_values.key, name) not in context.selected_asset_check_keys:
            continue
        findings = report.of(kind)
        yield dg.AssetCheckResult(
            check_name=name,
            asset_key=factor_values.key,
            passed=not findings,
            description="; ".join(map(str, findings[:3])) or says,
            metadata={
                "findings": len(findings),
                "factors": len(line.catalogue.names),
                "symbols": len(panel.symbols),
                "cuts": ", ".join(map(str, report.cuts)),
                "evidence": [finding.as_dict() for finding in findings[:EVIDENCE_SHOWN]],
            },
        )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"numba"})
def forward_return_label(line: Line, checked_bars: pd.DataFrame, calendar: pd.DataFrame) -> dg.Output[pd.DataFrame]:
    """Adjusted close[t+6] / adjusted close[t+1] - 1, its rank in the session, when it matures; empty past the data."""
    from ljwx_pipeline.label import label_values, matured_sessions, rank_label

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
            "matured_date": matured_sessions(panel.sessions, line.settings.label)[at_session],
        }
    )
    lineage = label_lineage(line.settings.label, line.source().describe().adjustment)
    return dg.Output(
        frame,
        metadata=frame_metadata(frame, lineage) | {"mean": float(frame["forward_return"].mean())},
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"parquet"}, deps=[factor_values])
def feature_table(line: Line, checked_bars: pd.DataFrame, calendar: pd.DataFrame) -> dg.MaterializeResult[None]:
    """One row a symbol and session with a bar: the factors and the instants Feast joins on. Training reads this."""
    from ljwx_pipeline.feature_table import feast_table, write_feature_table

    values = load_factors(line)
    path = feature_table_path(line)
    key = features_key(line, checked_bars, calendar)
    if not reuse.is_current(line.tables, "feature_table", key):
        reuse.forget(line.tables, "feature_table")
        table = feast_table(values.frame(bar_mask(panel_of(line, checked_bars, calendar))))
        write_feature_table(table, path, catalogue_hash=line.catalogue.version_hash)
        reuse.remember(line.tables, "feature_table", key, [path])
    with pq.ParquetFile(path) as file:
        rows, schema = file.metadata.num_rows, file.schema_arrow
    return dg.MaterializeResult(
        metadata={
            **column_metadata({field.name: str(field.type) for field in schema}, feature_table_lineage(line.catalogue)),
            "dagster/row_count": rows,
            "factors": len(values.names),
            "path": dg.MetadataValue.path(path),
        }
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"feast", "duckdb"}, deps=[feature_table])
def feast_offline_store(line: Line) -> dg.MaterializeResult[None]:
    """Feast's registry and offline store (duckdb) over the feature table."""
    applied = feature_store(line).apply()
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
    report = feature_store(line).point_in_time_check(
        rows=line.settings.feast.parity_rows, seed=line.settings.feast.parity_seed
    )
    return _parity_result(report)


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"feast", "sqlite"}, deps=[feast_offline_store])
def feast_online_store(line: Line, calendar: pd.DataFrame) -> dg.MaterializeResult[None]:
    """Feast's online store (SQLite): the last research session, which the runner checks its own features against."""
    session = last_research_session(line, calendar)
    online = feature_store(line).materialize_online(session)
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
    session = last_research_session(line, calendar)
    return _parity_result(feature_store(line).online_check(session))


@dg.asset_check(
    asset=feast_online_store,
    blocking=True,
    additional_deps=[factor_values],
    additional_ins={"checked_bars": dg.AssetIn("checked_bars"), "calendar": dg.AssetIn("calendar")},
)
def feature_parity(line: Line, checked_bars: pd.DataFrame, calendar: pd.DataFrame) -> dg.AssetCheckResult:
    """Batch, Feast's two stores and the newest session computed alone give the same bits for the last session."""
    session = last_research_session(line, calendar)
    stored, store = load_factors(line), feature_store(line)
    symbols = symbols_of(checked_bars[checked_bars["session_date"] == pd.Timestamp(session)])
    names = list(stored.names)
    rows = pd.Index(stored.symbols).get_indexer(pd.Index(symbols))
    column = stored.sessions.get_loc(pd.Timestamp(session))
    batch = np.stack([stored.of(name)[rows, column] for name in names], axis=1)
    questions = pd.DataFrame({"symbol": symbols, "event_timestamp": close_of(session)})
    ways = {
        "Feast's offline store": store.historical(questions)[names].to_numpy(dtype=np.float32),
        "Feast's online store": store.online(symbols, session)[names].to_numpy(dtype=np.float32),
        "the newest session alone": newest_alone(line, checked_bars, calendar, session, symbols),
    }
    found = disagreements(batch, ways, symbols=symbols, factors=names)
    return dg.AssetCheckResult(
        passed=not found,
        description="; ".join(map(str, found)) or f"{batch.size} values of {session} are equal in {len(ways) + 1} ways",
        metadata={"session": str(session), "symbols": len(symbols), "factors": len(names), "ways": ", ".join(ways)},
    )


def newest_alone(
    line: Line, bars: pd.DataFrame, calendar: pd.DataFrame, session: date, symbols: tuple[str, ...]
) -> NDArray[np.float32]:
    """Return the factors of ``session`` from no more sessions than they look back, shape ``(n_symbols, n_factors)``.

    As the runner does from its session pack.
    """
    sessions = pd.DatetimeIndex(calendar["session_date"])
    kept = lookback_sessions(line.catalogue, line.settings.universe)
    recent = sessions[sessions <= pd.Timestamp(session)][-kept:]
    cut = bars[bars["session_date"].isin(recent)]
    panel = factor_inputs(line, cut, pd.DataFrame({"session_date": recent}))
    values = newest_session(line.catalogue.expressions, panel, line.settings.model.threads)
    rows = pd.Index(panel.symbols).get_indexer(pd.Index(symbols))
    return np.stack([values.of(name)[rows, 0] for name in line.catalogue.names], axis=1)


def feature_store(line: Line) -> "FeatureStoreClient":
    """Return Feast over this market's feature table, defined for its catalogue."""
    from ljwx_pipeline.feature_store import FeatureStoreClient

    return FeatureStoreClient(FEATURE_REPO, line.home, catalogue=line.settings.factors.catalogue)


def features_key(line: Line, bars: pd.DataFrame, calendar: pd.DataFrame) -> reuse.Key:
    """Return all that decides the factors' values."""
    beside: dict[str, object] = {}
    if line.catalogue.reads - set(FACTOR_FIELDS):
        tables = factor_tables(line, bars)
        named = {"securities": tables.securities, "st_spells": tables.st_spells, "index_members": tables.index_members}
        beside = {name: content_hash(table) for name, table in {**named, **tables.beside}.items()}
        beside |= {"universe": line.settings.universe.model_dump(), "benchmark": line.settings.gate.benchmark}
    return {
        "bars": content_hash(bars),
        "beside": beside,
        "calendar": content_hash(calendar),
        "adjustment": line.source().describe().adjustment,
        "factors": line.catalogue.version_hash,
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
