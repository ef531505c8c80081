"""Layer 4, research: the model trained on everything research may see.

Not here: how a model learns (``ljwx_pipeline.models``), the bundle it becomes once it was judged (``bundle.py``).
"""

from typing import Any

import dagster as dg

from assets import reuse
from assets.datasets import load_dataset
from assets.judged_settings import settings_mark
from assets.research import GROUP, OWNERS, training_dataset
from assets.resources import Line
from assets.tracking import research_event, track_training
from ljwx_pipeline.clock import SystemClock


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"lightgbm"}, deps=[training_dataset])
def trained_model(
    context: dg.AssetExecutionContext, line: Line, tuned_hyperparameters: dict[str, Any]
) -> dg.Output[dict[str, Any]]:
    """The model trained on everything research may see, kept as text; signed and registered once it was judged."""
    from ljwx_pipeline.models.train import train
    from ljwx_pipeline.models.trained_files import model_hash, read_trained, write_trained

    name, settings, dataset = "trained_model", line.settings, load_dataset(line.tables)
    best, folder = tuned_hyperparameters["best_params"], line.tables / "trained_model"
    key: reuse.Key = {"dataset": dataset.hash, "params": best, "model": settings.model.model_dump()}
    took: dict[str, float] = {}
    if not reuse.is_current(line.tables, name, key):
        reuse.forget(line.tables, name)
        context.log.info(f"training on {len(dataset.label)} rows")
        clock = SystemClock()
        started_s = clock.monotonic_s()
        trained = train(dataset, slice(0, len(dataset.label)), best, settings.model)
        took = {"seconds": clock.monotonic_s() - started_s}
        reuse.remember(line.tables, name, key, write_trained(folder, trained))
    trained = read_trained(folder)
    found: dict[str, Any] = {
        "model_hash": model_hash(folder),
        "members": len(trained.model.members),
        "rounds": trained.rounds,
        "rows": trained.rows,
        "tail_rank_ic": trained.tail_rank_ic,
        "research": research_event(line),
        "dataset_hash": dataset.hash,
        "settings": settings_mark(settings),
    }
    numbers = {"rounds": trained.rounds, "tail_rank_ic": trained.tail_rank_ic, "rows": trained.rows, **took}
    track_training(line, found["model_hash"], trained.params, numbers)
    return dg.Output(found, metadata={**found, "path": dg.MetadataValue.path(folder)})
