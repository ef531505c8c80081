"""Layers 5 and 6, monitoring: what a model is watched by, kept in its bundle, and how the one that trades fares.

Not here: formulas and limits (``ljwx_pipeline.monitoring``), the files that only grow (``ljwx_pipeline.tracking``), who
asks for a training (``jobs/retraining.py``).
"""

from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets.datasets import load_dataset
from assets.evaluation import GROUP as EVALUATION
from assets.evaluation import OWNERS
from assets.origin import origin_of_predictions
from assets.resources import Line
from ljwx_pipeline.market.calendar import session_positions
from ljwx_pipeline.monitoring.reference import Reference, inputs_reference, skill_chart


@dg.asset(group_name=EVALUATION, owners=OWNERS, kinds={"numpy"}, deps=["training_dataset"])
def monitoring_reference(line: Line, walk_forward_predictions: pd.DataFrame) -> dg.Output[dict[str, Any]]:
    """What the model will be watched by: the alarm of lost skill, training's inputs; and whether these drifted of late.

    Its document goes into the bundle as ``monitoring.json``.
    """
    settings, origin = line.settings, origin_of_predictions(line, walk_forward_predictions)
    chart, chart_reason = skill_chart(
        in_control_rank_ic(walk_forward_predictions),
        reach_sessions=settings.purge_sessions,
        false_alarms_per_year=settings.monitoring.false_alarms_per_year,
    )
    dataset = load_dataset(line.tables)
    # before it the longest window is not full, and what is unknown then tells nothing of a later session
    rows = slice(int(np.searchsorted(dataset.session_index, line.catalogue.window)), len(dataset.session_index))
    drift, drift_reason, newest = inputs_reference(
        dataset.factor_names,
        dataset.features[rows],
        dataset.session_index[rows],
        dataset.symbol_index[rows],
        threads=settings.model.threads,
    )
    document = Reference(chart, chart_reason, drift, drift_reason).to_json()
    made = {
        "drift_ratio": newest.ratio,
        "drifted_factors": list(newest.factors),
        "reason": newest.reason,
        "chart": None if chart is None else chart.as_dict(),
        "chart_reason": chart_reason or None,
        "document": document,
        **origin,
    }
    told: dict[str, Any] = {
        "lost_skill": chart_reason if chart is None else f"alarm above {chart.level:.2f} deviations",
        "inputs": drift_reason if drift is None else f"{len(drift.names)} factors over {drift.sessions} sessions",
        "newest_inputs": newest.reason or f"{newest.ratio:.2f} of the limit",
        "document_bytes": len(document),
    }
    if chart is not None:
        told |= {"icir": chart.icir, "false_alarms_per_year": chart.false_alarms_per_year}
    return dg.Output(made, metadata=told)


def in_control_rank_ic(predictions: pd.DataFrame) -> NDArray[np.float64]:
    """Return the rank IC of every session that the walk forward scored, over those who may be scored, in order."""
    from ljwx_pipeline.evaluation.ic import ic_by_session

    rows = predictions[predictions["scorable"].astype(bool)]
    sessions = pd.DatetimeIndex(np.sort(rows["session_date"].unique()))
    table = ic_by_session(
        rows["score"].to_numpy(),
        rows["forward_return"].to_numpy(),
        session_positions(rows["session_date"], sessions),
        sessions,
    )
    return table["rank_ic"].to_numpy(dtype=np.float64)
