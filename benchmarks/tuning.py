"""What pruning and a second worker do to a study of 50 trials, on the market of a home that ``ljwx run`` has filled.

``LJWX_HOME=DIR python -m benchmarks.tuning [--trials 50] [--batch 4] [--folds 2]``. Four studies of the same proposals'
seed, one after the other, each in an empty journal: without and with pruning (the median, after 8 trials and one
fold), with one worker and with two. Prints a JSON line each: seconds on the clock, processor seconds of all processes,
trials given up, the best rank IC, and whether one worker and two made the same trials. Not in ``make bench``: it needs
the home.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from assets.datasets import load_dataset
from ljwx_pipeline.config import load_settings, market_home
from ljwx_pipeline.dataset import folds, inner_folds
from ljwx_pipeline.evaluation.benchmarks import index_close
from ljwx_pipeline.evaluation.net_excess import NetExcess
from ljwx_pipeline.ingest.tables import read_market_table
from ljwx_pipeline.lake import Lake
from ljwx_pipeline.models.tune import StudyResult, Trial, tune
from ljwx_pipeline.sweeping.task import sweep_task


def main() -> int:
    """Run the four studies."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning", description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--folds", type=int, default=2)
    given = parser.parse_args()
    settings = load_settings()
    home = market_home(settings)
    dataset = load_dataset(home / "tables")
    outer = folds(dataset, settings.walk_forward)
    inner = inner_folds(dataset, outer[0].train_rows, given.folds, settings.walk_forward.embargo_sessions)
    first, last = (int(dataset.session_index[row]) for row in (inner[0].test_rows.start, inner[-1].test_rows.stop - 1))
    bars = read_market_table(Lake(home / "lake"), "index_bars")
    close = index_close(bars, settings.gate.benchmark, dataset.sessions[first : last + 1])
    earned = NetExcess(sweep_task(settings).inputs.market, close, settings.strategy, settings.costs)
    made: dict[tuple[float, int], list[Trial]] = {}
    for percentile in (0.0, 50.0):
        for workers in (1, 2):
            changed = {"trials": given.trials, "batch": given.batch, "workers": workers}
            tuning = settings.tune.model_copy(update={**changed, "pruning_percentile": percentile})
            with tempfile.TemporaryDirectory(prefix="ljwx-tuning-") as folder:
                started, spent = time.monotonic(), _processor_s()
                study = tune(
                    dataset,
                    inner,
                    net_returns=earned,
                    tuning=tuning,
                    model=settings.model,
                    top_k=settings.strategy.top_k,
                    journal=Path(folder) / "journal.log",
                )
                wall_s, cpu_s = time.monotonic() - started, _processor_s() - spent
            made[percentile, workers] = [replace(trial, seconds=0.0) for trial in study.trials]
            row = {"pruning_percentile": percentile, "workers": workers, "wall_s": round(wall_s, 1)}
            same = {"same_as_one_worker": made[percentile, workers] == made[percentile, 1]}
            load = {"load_average": round(os.getloadavg()[0], 1)}
            sys.stdout.write(json.dumps({**row, "processor_s": round(cpu_s, 1), **_of(study), **same, **load}) + "\n")
            sys.stdout.flush()
    return 0


def _of(study: StudyResult) -> dict[str, object]:
    return {
        "trials": len(study.trials),
        "pruned": sum(trial.state == "pruned" for trial in study.trials),
        "folds_run": sum(len(trial.fold_rank_ics) for trial in study.trials),
        "best_trial": study.best.number,
        "best_rank_ic": round(study.best.rank_ic, 4),
    }


def _processor_s() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in both)


if __name__ == "__main__":
    raise SystemExit(main())
