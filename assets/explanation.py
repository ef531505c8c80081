"""Layer 4, research: which factors the model leans on, overall, by sector, by regime and by fold, and which pairs.

Not here: how that is found (``ljwx_pipeline.models.explain``), one stock's rank (``ljwx explain``).
"""

from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets.column_lineage import explanation_lineage
from assets.datasets import load_dataset
from assets.io_managers import read_json, write_table
from assets.metadata import embedded, frame_metadata, preview
from assets.panels import panel_of
from assets.research import GROUP, OWNERS, training_dataset
from assets.resources import Line
from assets.tracking import research_run
from assets.walk_forward import walk_forward_predictions
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.market.ranges import UNKNOWN, range_labels
from ljwx_pipeline.scoring.model import Member, Model

SHAP_ROWS = 2000
TOP_FACTORS = 15
#: The last word of a part that the source does not tell.
NO_SECTOR = "the source tells no industry"

Parts = dict[str, NDArray[np.object_]]


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"shap"}, deps=[training_dataset, walk_forward_predictions])
def shap_explanation(
    line: Line, model_bundle: dict[str, Any], checked_bars: pd.DataFrame, calendar: pd.DataFrame
) -> dg.Output[pd.DataFrame]:
    """Which factors the model leans on, overall and by sector, regime and fold, on a seeded sample; also their pairs.

    Pictures and tables are in the MLflow run; the report shows the two pictures of the whole.
    """
    from ljwx_pipeline.models.explain import explain

    dataset, settings = load_dataset(line.tables), line.settings
    folder = line.home / "explanations" / model_bundle["bundle_hash"]
    explanation = explain(
        Model.of_booster((Path(model_bundle["path"]) / "model.txt").read_text(encoding="utf-8")),
        dataset.features,
        dataset.factor_names,
        sample_rows=SHAP_ROWS,
        seed=settings.model.seed,
        threads=settings.model.threads,
        parts=parts_of_rows(line, dataset, checked_bars, calendar),
        folds=fold_models(line.tables),
        images_dir=folder,
    )
    tables = {f"shap_by_{what}": table for what, table in explanation.parts.items()}
    tables |= {"shap_stability": explanation.stability, "shap_interactions": explanation.pairs}
    tables = {name: table for name, table in tables.items() if len(table)}
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    for name, table in {"shap": explanation.table, **tables}.items():
        table.to_csv(folder / "tables" / f"{name}.csv", index=False)
    for name, table in tables.items():
        write_table(line.tables, name, table)
    with research_run(line) as run:
        run.artifacts(folder, "shap")
        run.metrics(stability_metrics(explanation.stability))
    return dg.Output(
        explanation.table,
        metadata=frame_metadata(explanation.table, explanation_lineage(line.catalogue))
        | {
            "sample_rows": explanation.sample_rows,
            "method": ", ".join(explanation.methods),
            "sectors": "known" if "sector" in explanation.parts else NO_SECTOR,
            "preview": preview(explanation.table.head(TOP_FACTORS), rows=TOP_FACTORS),
            **{name: preview(leading(table), rows=TOP_FACTORS) for name, table in tables.items()},
            **stability_metrics(explanation.stability),
            **{f"picture_{image.stem}": dg.MetadataValue.md(embedded(image)) for image in explanation.images},
        },
    )


def parts_of_rows(line: Line, dataset: Dataset, bars: pd.DataFrame, calendar: pd.DataFrame) -> Parts:
    """Return the market's trend and volatility on each row's session, and its sector where the source tells any."""
    from ljwx_pipeline.models.explain_parts import market_regimes

    panel = panel_of(line, bars, calendar)
    stop = panel.sessions.searchsorted(dataset.sessions[-1], side="right")
    regimes = market_regimes(panel.fields["close"][:, :stop], panel.sessions[:stop]).reindex(dataset.sessions)
    parts: Parts = {str(name): regimes[name].to_numpy(dtype=object)[dataset.session_index] for name in regimes}
    industries = line.market_table("industries")
    if len(industries):
        labels = range_labels(industries, "industry", dataset.symbols, dataset.sessions)
        sectors = labels[dataset.symbol_index, dataset.session_index]
        if (sectors != UNKNOWN).any():
            parts["sector"] = sectors
    return parts


def fold_models(tables: Path) -> dict[str, Model]:
    """Return the model of each fold that the walk forward kept, by the fold's name; nothing where it kept none.

    A fold's folder holds ``members.json`` and the members' texts in ``model/``.
    """
    models = {}
    for folder in sorted(path.parent for path in (tables / "folds").glob("*/members.json")):
        told = read_json(folder, "members")
        members = tuple(Member(**member) for member in told["members"])
        texts = {member.file: (folder / "model" / member.file).read_text(encoding="utf-8") for member in members}
        models[folder.name] = Model(members, texts, told["group_by"])
    return models


def stability_metrics(stability: pd.DataFrame) -> dict[str, float]:
    """Return mean and smallest rank correlation of importance between folds; nothing without two folds."""
    if not len(stability) or stability["rank_correlation"].isna().all():
        return {}
    found = stability["rank_correlation"]
    return {"shap.fold_stability_mean": float(found.mean()), "shap.fold_stability_min": float(found.min())}


def leading(table: pd.DataFrame) -> pd.DataFrame:
    """Return the first rows a page shows: of a table by part, the three leading factors of each part."""
    return table[table["rank"] <= 3].head(TOP_FACTORS) if "rank" in table else table.head(TOP_FACTORS)
