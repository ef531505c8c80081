"""Layer 4, research: the training dataset, which also opens the MLflow run of the research.

Not here: tuning, walk forward, model and explanation, each a file of its own.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg
import pandas as pd

from assets.column_lineage import dataset_lineage, label_lineage
from assets.datasets import build, dataset_dtypes, further_column, save_dataset
from assets.features import feature_table
from assets.lineage import flat_settings, record_lineage, record_reads
from assets.metadata import column_metadata
from assets.panels import TradingTables
from assets.resources import Line
from assets.tracking import RUN_PID_TAG, begin_research_run
from ljwx_pipeline.config import market_name
from ljwx_pipeline.label import label_hash
from ljwx_pipeline.tracking.inputs import dataset_input

if TYPE_CHECKING:  # heavy: the dataset's kernels
    from ljwx_pipeline.dataset import Dataset

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
            "label_hash": label_hash(line.settings.label),
            "dataset_hash": dataset.hash,
            "factors": line.catalogue.name,
            "profile": line.settings.profile,
            "simulated": line.source().describe().simulated,
        },
        params=flat_settings(line),
        inputs=tracked_inputs(line, dataset, lineage, checked_bars),
        pid=context.run.tags.get(RUN_PID_TAG),
    )
    settings, adjustment = line.settings, line.source().describe().adjustment
    columns = {
        **dataset_lineage(
            line.catalogue,
            settings.universe,
            security_columns=securities.columns,
            group_by=settings.model.group_by,
            with_amounts=bool(settings.model.liquidity_weight),
        ),
        **{
            further_column(held): label_lineage(settings.label, adjustment)["forward_return"]
            for held in settings.model.ensemble.label_horizons
        },
    }
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


def tracked_inputs(
    line: Line, dataset: "Dataset", lineage: Mapping[str, str], bars: pd.DataFrame
) -> list[dict[str, str]]:
    """Return the datasets this research reads, as MLflow shows them: bars, factors, label, and what they make."""
    settings, market = line.settings, market_name(line.settings)
    first, last = (f"{dataset.sessions[int(dataset.session_index[row])]:%Y-%m-%d}" for row in (0, -1))
    label = label_hash(settings.label)
    plain = {
        str(name): "double" if pd.api.types.is_float_dtype(kind) else "datetime" if kind.kind == "M" else "string"
        for name, kind in bars.dtypes.items()
    }
    return [
        dataset_input(
            "training_dataset",
            dataset.hash,
            source={"market": market, "dataset_hash": dataset.hash, "known_at": lineage["known_at"]},
            profile={
                "rows": len(dataset.label),
                "scorable_rows": int(dataset.scorable.sum()),
                "symbols": len(dataset.symbols),
                "first_session": first,
                "last_session": last,
            },
        ),
        dataset_input(
            "checked_bars",
            lineage["data_hash"],
            source={"market": market, "source": line.source().describe().name, "data_hash": lineage["data_hash"]},
            schema=plain,
            profile={"rows": len(bars), "symbols": bars["symbol"].nunique()},
        ),
        dataset_input(
            f"factors {line.catalogue.name}",
            lineage["factor_hash"],
            source={"catalogue": settings.factors.catalogue, "factor_hash": lineage["factor_hash"]},
            schema=dict.fromkeys(dataset.factor_names, "float"),
            profile={"factors": len(dataset.factor_names)},
        ),
        dataset_input(
            f"label {settings.label.horizon_sessions} sessions",
            label,
            source={**settings.label.model_dump(mode="json"), "label_hash": label},
            schema={"forward_return": "double"},
        ),
    ]
