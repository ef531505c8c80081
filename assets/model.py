"""Layer 4, research: the model trained on everything research may see, as a signed bundle in the registry.

Not here: how a model learns (``ljwx_pipeline.models``), whether it may trade (``evaluation.py``).
"""

from pathlib import Path
from typing import Any

import dagster as dg

from assets import reuse
from assets.datasets import load_dataset
from assets.io_managers import read_json, write_json
from assets.lineage import git_revision, lineage_of
from assets.research import GROUP, OWNERS, training_dataset
from assets.resources import Line
from assets.restatements import pin_dataset
from assets.tracking import research_run_id, track_training
from ljwx_pipeline.clock import SystemClock, utc_now
from ljwx_pipeline.config import ljwx_home
from ljwx_pipeline.label import label_hash

#: What is told of the training that made the bundle.
TRAINED = "model_training"


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"lightgbm"}, deps=[training_dataset])
def model_bundle(
    context: dg.AssetExecutionContext,
    line: Line,
    tuned_hyperparameters: dict[str, Any],
) -> dg.MaterializeResult[None]:
    """The model trained on everything research may see, as a signed bundle, registered as the challenger."""
    from ljwx_pipeline.models.train import train
    from ljwx_pipeline.scoring.bundle import BUNDLE_FILES, Manifest, write_bundle
    from ljwx_pipeline.scoring.signing import public_key, signing_key

    settings, dataset, keys = line.settings, load_dataset(line.tables), ljwx_home() / "keys"
    best = tuned_hyperparameters["best_params"]
    key: reuse.Key = {
        "dataset": dataset.hash,
        "factors": line.catalogue.version_hash,  # another formula may give the same bits, and be another version
        "params": best,
        "config": settings.config_hash,
        "git": git_revision(),
    }
    if not reuse.is_current(line.tables, "model_bundle", key):
        reuse.forget(line.tables, "model_bundle")
        context.log.info(f"training on {len(dataset.label)} rows")
        clock = SystemClock()
        started_s = clock.monotonic_s()
        trained = train(dataset, slice(0, len(dataset.label)), best, settings.model)
        seconds = clock.monotonic_s() - started_s
        lineage = lineage_of(line)
        manifest = Manifest(
            model_name=line.registered_model,
            profile=settings.profile,
            simulated=line.source().describe().simulated,
            factor_names=dataset.factor_names,
            factor_hash=lineage["factor_hash"],
            label_hash=label_hash(settings.label),
            data_hash=lineage["data_hash"],
            config_hash=lineage["config_hash"],
            git_revision=lineage["git_revision"],
            first_session=dataset.sessions[int(dataset.session_index[0])].date(),
            last_session=dataset.sessions[int(dataset.session_index[-1])].date(),
            params=trained.params,
            rounds=trained.rounds,
        )
        path = write_bundle(
            line.home / "bundles",
            manifest,
            model=trained.model,
            key=signing_key(keys),
            created_at=utc_now(),
        )
        write_json(line.tables, "bundle_made", {"bundle_hash": path.name, "path": str(path), "rounds": trained.rounds})
        write_json(
            line.tables,
            TRAINED,
            {
                "bundle_hash": path.name,
                "params": dict(trained.params),
                "numbers": {
                    "rounds": trained.rounds,
                    "tail_rank_ic": trained.tail_rank_ic,
                    "rows": trained.rows,
                    "seconds": seconds,
                },
            },
        )
        files = [
            line.tables / "bundle_made.json",
            line.tables / f"{TRAINED}.json",
            *(path / name for name in BUNDLE_FILES),
        ]
        reuse.remember(line.tables, "model_bundle", key, files)
    made, told = read_json(line.tables, "bundle_made"), read_json(line.tables, TRAINED)
    track_training(line, told["bundle_hash"], told["params"], told["numbers"])
    registry = line.registry()
    version = registry.register(Path(made["path"]), run_id=research_run_id(line), public_key=public_key(keys))
    registry.set_alias("challenger", version)
    dataset = pin_dataset(line, version.name, str(version.version), research_run_id(line))
    write_json(line.tables, "model_bundle", {**made, "version": version.version, "name": version.name})
    return dg.MaterializeResult(
        metadata={
            "bundle_hash": made["bundle_hash"],
            "version": version.version,
            "pinned_dataset": dataset,
            "rounds": made["rounds"],
            "path": dg.MetadataValue.path(made["path"]),
        }
    )
