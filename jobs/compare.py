"""The process behind ``ljwx models compare``: the stored dataset and folds, each candidate walked forward over them.

``python -m jobs.compare`` is started from the checkout; it trains what is not kept yet, counts every candidate as a
trial and records all of it in MLflow. It holds the market's lock: no run of the line writes the tables meanwhile. Not
here: what a comparison says (``ljwx_pipeline.model_comparison``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assets.datasets import load_dataset
from assets.io_managers import read_json
from assets.lineage import git_revision
from assets.resources import Line
from assets.reuse import code_hash
from jobs.newest_research import (
    COMPARISONS,
    KEPT,
    dataset_for,
    holding_tables,
    on_newest_research,
    say,
    stored_folds,
    walked_on,
)
from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.command_output import show_result
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import ConfigError, DataQualityError, DatasetError, ModelError
from ljwx_pipeline.model_comparison.candidates import Candidate, candidates
from ljwx_pipeline.sweeping.task import sweep_task, trials_so_far

#: What says that one candidate cannot be trained, and nothing of the others.
NOT_TRAINED = (ModelError, DatasetError, DataQualityError, ConfigError)


def main() -> int:
    """Compare and print; a deliberate error is one line and its exit code."""
    parser = argparse.ArgumentParser(prog="python -m jobs.compare")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--profile", required=True)
    parser.add_argument("--overrides-json", default="{}")
    parser.add_argument("--candidates", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    def work(settings: Settings) -> int:
        asked = candidates(settings.model, arguments.names, arguments.candidates)
        return holding_tables(settings, lambda: _compare(settings, asked, arguments))

    kept = "finished candidates are kept, run again to go on"
    return on_newest_research(arguments.profile, arguments.overrides_json, work, stopped=kept)


def _compare(settings: Settings, asked: Sequence[Candidate], arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.backtest.sweep_store import RESULTS
    from ljwx_pipeline.backtest.trial_ledger import TrialLedger
    from ljwx_pipeline.model_comparison import document as told
    from ljwx_pipeline.model_comparison.measures import measured

    line, began_at = Line(), utc_now()
    task = sweep_task(settings)  # refuses other data, label, universe or held-out end than the newest research's
    dataset = load_dataset(line.tables)
    split = stored_folds(line, dataset)
    study = read_json(line.tables, "tuned_hyperparameters")
    tuned = study["best_params"]
    home, ledger, code = line.home / COMPARISONS, TrialLedger(task.ledger), code_hash()
    walks, found, failed = [], [], {}
    for number, candidate in enumerate(asked, start=1):
        say(f"{number} of {len(asked)}: {candidate.name}")
        try:
            own = dataset_for(line, candidate, dataset)
            walk = walked_on(line, candidate, own, tuned, code=code, store=home / KEPT)
        except NOT_TRAINED as error:
            failed[candidate.name] = str(error)
            say(f"   not trained: {error}")
            continue
        item = measured(walk, dataset, task.inputs, settings, store=line.home / RESULTS)
        # counted as soon as it is known: whoever has seen a result has made the trial
        ledger.record(task.family, "compare", [item.trial], evidence=item.evidence)
        say(f"   rank IC {item.row['rank_ic']:.4f}{', kept from before' if walk.known else ''}")
        walks.append(walk)
        found.append(item)
    if not found:
        raise ModelError("no candidate could be trained", next(iter(failed.values()), "name a candidate"))
    folder = home / told.comparison_name([walk.key for walk in walks])
    body: dict[str, Any] = {
        **task.about,
        "folds": len(split),
        "study": study["study"],
        "tuned": tuned,
        "rows": [item.row for item in found],
        "failed": failed,
        "trials_of_family": trials_so_far(task),
        "hashes": {**task.hashes, "dataset_hash": dataset.hash, "config_hash": settings.config_hash},
        "page": str((folder / told.PAGE).absolute()),
        "mlflow_run_id": None,
    }
    told.write_comparison(folder, body, found)
    tags = {"factors": line.catalogue.name, "git_revision": git_revision()}
    body["mlflow_run_id"] = told.track_comparison(settings, folder, body, walks, found, tags=tags, began_at=began_at)
    told.write_document(folder, body)
    show_result(arguments, body, told.comparison_table(body))
    return ModelError.exit_code if failed else 0


if __name__ == "__main__":
    sys.exit(main())
