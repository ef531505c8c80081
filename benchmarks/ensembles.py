"""Each ensemble's walk forward on the market of the last ``ljwx run``: rank IC, ICIR, and what the training costs.

``LJWX_HOME=... ljwx run`` once, then ``LJWX_HOME=... python -m benchmarks.ensembles [KIND ...]``. Dataset, folds and
tuned parameters are the run's; a horizon blend's dataset is built again with its further labels, whose longer purge
ends the training windows earlier. Not here: a timed goal, so this is no entry of ``benchmarks.run``.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from assets.datasets import build
from assets.io_managers import read_json, read_table
from assets.panels import TradingTables
from assets.resources import Line
from assets.walk_forward import information_coefficients, with_outcomes
from ljwx_pipeline.config import Settings, load_settings
from ljwx_pipeline.dataset import Dataset, folds
from ljwx_pipeline.models.walk_forward import walk_forward

KINDS = ("none", "seed_bagging", "horizon_blend", "stacking", "double_ensemble")


def measured(kind: str) -> dict[str, Any]:
    """Return what the walk forward of ``model.ensemble.kind = kind`` found and took."""
    settings = load_settings(overrides={"model.ensemble.kind": kind})
    dataset = built(settings)
    tuned = read_json(line_of(settings).tables, "tuned_hyperparameters")["best_params"]
    started, cpu = time.perf_counter(), time.process_time()
    walked = walk_forward(dataset, folds(dataset, settings.walk_forward), tuned, settings.model)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    found = information_coefficients(with_outcomes(dataset, walked.predictions), "score")
    return {
        "kind": kind,
        "rank_ic": round(found["rank_ic_mean"] or 0.0, 4),
        "icir": round(found["rank_icir"] or 0.0, 3),
        "by_fold": {record.name: round(record.rank_ic, 4) for record in walked.folds},
        "trees": [record.rounds for record in walked.folds],
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
    }


def built(settings: Settings) -> Dataset:
    """Return the training dataset under ``settings``, from the tables of the last run."""
    line = line_of(settings)
    tables = TradingTables(line.checked_bars(), *(line.market_table(name) for name in TRADED))
    calendar = line.sessions().to_frame(index=False)
    return build(line, read_table(line.tables, "forward_return_label"), tables, calendar)


def line_of(settings: Settings) -> Line:
    """Return the line of ``settings``, whatever the environment says."""
    line = Line()
    line._settings = settings
    return line


TRADED = ("securities", "st_spells", "corporate_actions")

if __name__ == "__main__":
    for kind in sys.argv[1:] or KINDS:
        print(json.dumps(measured(kind)), flush=True)
