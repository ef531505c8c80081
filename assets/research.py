"""Layer 4, research: the training dataset, which also opens the MLflow run of the research.

Not here: tuning, walk forward, model and explanation, each a file of its own.
"""

import dagster as dg
import pandas as pd

from assets.column_lineage import dataset_lineage
from assets.datasets import build, dataset_dtypes, save_dataset
from assets.features import feature_table
from assets.lineage import flat_settings, record_lineage, record_reads
from assets.metadata import column_metadata
from assets.panels import TradingTables
from assets.resources import Line
from assets.tracking import begin_research_run

GROUP = "research"
OWNERS = ["team:quant"]


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numpy"},
    deps=[feature_table, "index_members", "industries", "market_values"],
)
def training_dataset(
    context: dg.AssetExecutionContext,
    line: Line,
    forward_return_label: pd.DataFrame,
    checked_bars: pd.DataFrame,
    securities: pd.DataFrame,
    st_spells: pd.DataFrame,
    corporate_actions: pd.DataFrame,
    calendar: pd.DataFrame,
) -> dg.MaterializeResult[None]:
    """Features and label by row, with who may be scored and entered; also opens the MLflow run of this research."""
    tables = TradingTables(checked_bars, securities, st_spells, corporate_actions)
    dataset = build(line, forward_return_label, tables, calendar)
    save_dataset(line.tables, dataset)
    lineage = record_lineage(line)
    record_reads(line, "training_dataset", context.run_id)
    run_id = begin_research_run(
        line,
        tags={
            **lineage,
            "dataset_hash": dataset.hash,
            "profile": line.settings.profile,
            "simulated": line.source().describe().simulated,
        },
        params=flat_settings(line),
    )
    columns = dataset_lineage(
        line.catalogue,
        line.settings.universe,
        security_columns=securities.columns,
        group_by=line.settings.model.group_by,
        with_amounts=bool(line.settings.model.liquidity_weight),
    )
    return dg.MaterializeResult(
        metadata={
            **column_metadata(dataset_dtypes(line.tables), columns),
            "dagster/row_count": len(dataset.label),
            "factors": len(dataset.factor_names),
            "scorable_rows": int(dataset.scorable.sum()),
            "enterable_rows": int(dataset.enterable.sum()),
            "dataset_hash": dataset.hash,
            "mlflow_run_id": run_id,
        }
    )
