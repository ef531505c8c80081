"""Layer 4, research: which factors the model leans on.

Not here: how that is found (``ljwx_pipeline.models.explain``).
"""

from typing import Any

import dagster as dg
import pandas as pd

from assets.column_lineage import explanation_lineage
from assets.datasets import load_dataset
from assets.metadata import embedded, frame_metadata, preview
from assets.research import GROUP, OWNERS, training_dataset
from assets.resources import Line
from assets.tracking import research_run

SHAP_ROWS = 2000
TOP_FACTORS = 15


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"shap"}, deps=[training_dataset])
def shap_explanation(line: Line, trained_model: dict[str, Any]) -> dg.Output[pd.DataFrame]:
    """Which factors the model leans on: mean absolute SHAP on a seeded sample; pictures in MLflow and the report."""
    from ljwx_pipeline.models.explain import explain
    from ljwx_pipeline.models.trained_files import read_trained

    dataset, settings = load_dataset(line.tables), line.settings
    images = line.home / "explanations" / trained_model["model_hash"]
    model = read_trained(line.tables / "trained_model").model
    explanation = explain(
        model.texts[model.members[0].file],
        dataset.features,
        dataset.factor_names,
        sample_rows=SHAP_ROWS,
        seed=settings.model.seed,
        threads=settings.model.threads,
        images_dir=images,
    )
    with research_run(line) as run:
        run.artifacts(images, "shap")
    return dg.Output(
        explanation.table,
        metadata=frame_metadata(explanation.table, explanation_lineage(line.catalogue))
        | {
            "sample_rows": explanation.sample_rows,
            "preview": preview(explanation.table.head(TOP_FACTORS), rows=TOP_FACTORS),
            **{image.stem: dg.MetadataValue.md(embedded(image)) for image in explanation.images},
        },
    )
