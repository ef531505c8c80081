"""Layer 5, evaluation: the judged model as a signed bundle in the registry, its card inside.

Not here: training (``model.py``), the gate's decision and the champion's alias (``evaluation.py``).
"""

from typing import Any

import dagster as dg

from assets.datasets import load_dataset
from assets.evaluation import GROUP, OWNERS
from assets.intervals import INTERVAL_FILES, learned_intervals
from assets.left_behind import require_files_of
from assets.lineage import lineage_of
from assets.model_card import card_evidence
from assets.origin import (
    DATASET,
    PREDICTIONS,
    RESEARCH,
    SETTINGS,
    decision_hash,
    origin_of,
    require_judged_backtest,
    require_same_origin,
)
from assets.resources import Line
from assets.restatements import pin_dataset
from assets.tracking import flush_tracking, promotion_desk, research_run_id
from ljwx_pipeline.config import ljwx_home
from ljwx_pipeline.label import label_hash


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"mlflow"}, deps=["shap_explanation"])
def model_bundle(
    line: Line,
    trained_model: dict[str, Any],
    promotion_decision: dict[str, Any],
    prediction_intervals: dict[str, Any],
    monitoring_reference: dict[str, Any],
) -> dg.Output[dict[str, Any]]:
    """The trained model with its card and the gate's evidence, signed, and registered as the challenger."""
    from ljwx_pipeline.models.trained_files import read_trained
    from ljwx_pipeline.promotion.model_card import model_card
    from ljwx_pipeline.promotion.moves import challenge
    from ljwx_pipeline.scoring.bundle import MONITORING, Manifest, write_bundle
    from ljwx_pipeline.scoring.signing import public_key_of, signing_key

    origin = origin_of(line)
    require_same_origin(origin, promotion_decision=promotion_decision)
    require_same_origin({mark: origin[mark] for mark in (RESEARCH, DATASET, SETTINGS)}, trained_model=trained_model)
    walked = {mark: origin[mark] for mark in (DATASET, PREDICTIONS, SETTINGS)}
    require_same_origin(walked, prediction_intervals=prediction_intervals, monitoring_reference=monitoring_reference)
    require_judged_backtest(line, promotion_decision)
    require_files_of(line.tables, "prediction_intervals", prediction_intervals, *INTERVAL_FILES)
    flush_tracking(line)  # the version is registered under the run, which MLflow has to know
    run_id = research_run_id(line)
    dataset, lineage = load_dataset(line.tables), lineage_of(line)
    trained = read_trained(line.tables / "trained_model")
    manifest = Manifest(
        model_name=line.registered_model,
        profile=line.settings.profile,
        simulated=line.source().describe().simulated,
        factor_names=dataset.factor_names,
        factor_hash=lineage["factor_hash"],
        label_hash=label_hash(line.settings.label),
        data_hash=lineage["data_hash"],
        config_hash=lineage["config_hash"],
        git_revision=lineage["git_revision"],
        first_session=dataset.sessions[int(dataset.session_index[0])].date(),
        last_session=dataset.sessions[int(dataset.session_index[-1])].date(),
        params=trained.params,
        rounds=trained.rounds,
        group_measure=dataset.group_measure,
        universe=line.settings.universe.model_dump(mode="json"),
    )
    card = model_card(manifest, trained.model, card_evidence(line, promotion_decision, rows=trained.rows))
    key = signing_key(ljwx_home() / "keys")
    documents = learned_intervals(line.tables) | {MONITORING: monitoring_reference["document"]}
    path = write_bundle(line.home / "bundles", manifest, model=trained.model, card=card, key=key, documents=documents)
    registry = line.registry()
    version = registry.register(path, run_id=run_id, public_key=public_key_of(key))
    challenge(promotion_desk(line), version)
    pinned = pin_dataset(line, version, run_id)
    made = {
        "bundle_hash": path.name,
        "path": str(path),
        "model_hash": trained_model["model_hash"],
        "rounds": trained.rounds,
        "version": version.version,
        "name": version.name,
        **origin,
        "decision": promotion_decision["decision"],
        "decision_hash": decision_hash(promotion_decision),
    }
    return dg.Output(
        made,
        metadata={
            **made,
            "path": dg.MetadataValue.path(path),
            "pinned_dataset": pinned,
            "model_card": dg.MetadataValue.md(card),
        },
    )
