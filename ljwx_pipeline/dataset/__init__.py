"""Features + label: who may be scored, the hashed training table, purged and embargoed folds. Import from here.

Not here: what the label is (``label.py``), what a factor is (``factors/``), fitting (``models/``).
"""

from ljwx_pipeline.dataset.folds import Fold, folds, inner_folds, sessions_for_research
from ljwx_pipeline.dataset.inputs import MarketTables, input_panel, lookback_sessions, tables_beside, with_inputs
from ljwx_pipeline.dataset.plan import RunPlan, plan_on_lake, plan_run
from ljwx_pipeline.dataset.table import Dataset, build_dataset, enterable_rows
from ljwx_pipeline.dataset.universe import scorable_mask

__all__ = [
    "Dataset",
    "Fold",
    "MarketTables",
    "RunPlan",
    "build_dataset",
    "enterable_rows",
    "folds",
    "inner_folds",
    "input_panel",
    "lookback_sessions",
    "plan_on_lake",
    "plan_run",
    "scorable_mask",
    "sessions_for_research",
    "tables_beside",
    "with_inputs",
]
