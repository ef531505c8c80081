"""The process behind ``ljwx models compare``: the stored dataset and folds, each candidate walked forward over them.

``python -m jobs.compare`` is started from the checkout; it trains what is not kept yet, counts every candidate as a
trial and records all of it in MLflow. It holds the market's lock: no run of the line writes the tables meanwhile. Not
here: what a comparison says (``ljwx_pipeline.model_comparison``).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from assets.datasets import build, load_dataset
from assets.io_managers import read_json, read_table
from assets.lineage import git_revision
from assets.panels import TradingTables
from assets.resources import Line
from assets.reuse import code_hash
from jobs.market_lock import one_writer
from ljwx_pipeline.clock import utc_now
from ljwx_pipeline.command_output import show_result
from ljwx_pipeline.config import Settings, load_settings, market_home, market_name
from ljwx_pipeline.dataset import Dataset, Fold, folds
from ljwx_pipeline.errors import ConfigError, DataQualityError, DatasetError, LakeError, LjwxError, ModelError
from ljwx_pipeline.job_process import let_signals_through
from ljwx_pipeline.model_comparison.candidates import Candidate, candidates
from ljwx_pipeline.supervisor import child_environment

if TYPE_CHECKING:  # heavy: the kernels
    from ljwx_pipeline.model_comparison.walk import Walked
    from ljwx_pipeline.models.walk_forward import FoldRecord

#: Below a market's home: a folder a comparison, and the kept walk of each candidate.
COMPARISONS, KEPT = "comparisons", "candidates"
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
    overrides = json.loads(arguments.overrides_json)
    try:
        let_signals_through()
        settings = load_settings(profile=arguments.profile, overrides=overrides)
        os.environ.update(child_environment(settings, overrides))
        warnings.filterwarnings("ignore")
        asked = candidates(settings.model, arguments.names, arguments.candidates)
        if not market_home(settings).is_dir():
            raise LakeError(f"{market_name(settings)} was never run", "run `ljwx run` first")
        # every candidate on the tables of one run: a run of the line that began meanwhile would mix its own in
        with one_writer(settings):
            return _compare(settings, asked, arguments)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C finds a process that is ending
        sys.stderr.write("stopped; finished candidates are kept, run again to go on\n")
        return 130
    except (OSError, LjwxError) as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code if isinstance(error, LjwxError) else 3


def _compare(settings: Settings, asked: Sequence[Candidate], arguments: argparse.Namespace) -> int:
    from ljwx_pipeline.backtest.sweep_store import RESULTS
    from ljwx_pipeline.backtest.trial_ledger import TrialLedger
    from ljwx_pipeline.model_comparison import document as told
    from ljwx_pipeline.model_comparison.measures import measured
    from ljwx_pipeline.sweeping.task import sweep_task, trials_so_far

    line, began_at = Line(), utc_now()
    task = sweep_task(settings)  # refuses other data, label, universe or held-out end than the newest research's
    dataset = load_dataset(line.tables)
    split = _stored_folds(line, dataset)
    study = read_json(line.tables, "tuned_hyperparameters")
    tuned = study["best_params"]
    home, ledger, code = line.home / COMPARISONS, TrialLedger(task.ledger), code_hash()
    walks, found, failed = [], [], {}
    for number, candidate in enumerate(asked, start=1):
        _say(f"{number} of {len(asked)}: {candidate.name}")
        try:
            walk = _walked(line, candidate, dataset, tuned, code=code, store=home / KEPT)
        except NOT_TRAINED as error:
            failed[candidate.name] = str(error)
            _say(f"   not trained: {error}")
            continue
        item = measured(walk, dataset, task.inputs, settings, store=line.home / RESULTS)
        # counted as soon as it is known: whoever has seen a result has made the trial
        ledger.record(task.family, "compare", [item.trial], evidence=item.evidence)
        _say(f"   rank IC {item.row['rank_ic']:.4f}{', kept from before' if walk.known else ''}")
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


def _walked(
    line: Line, candidate: Candidate, dataset: Dataset, tuned: Mapping[str, Any], *, code: str, store: Path
) -> Walked:
    """Walk a candidate forward on the stored dataset; where that lacks what it learns from, on one built for it.

    A candidate by group, or of several horizons, needs columns that the configured model may not. The folds test the
    same sessions either way.
    """
    from ljwx_pipeline.model_comparison.walk import has_what_it_learns_from, walked

    if not has_what_it_learns_from(dataset, candidate.settings):
        _say("   on a dataset of its own: the stored one lacks what it learns from")
        dataset = _built_for(line, candidate)
    split = _stored_folds(line, dataset)
    return walked(candidate, dataset, split, tuned, code=code, store=store, on_fold=lambda done: _say(fold_line(done)))


def fold_line(record: FoldRecord) -> str:
    """Return what is said of a fold before the trial is counted: nothing of how well it did."""
    return f"   fold {record.name}: {record.seconds:.1f} s"


def _built_for(line: Line, candidate: Candidate) -> Dataset:
    names = ("securities", "st_spells", "corporate_actions")
    tables = TradingTables(line.checked_bars(), *(line.market_table(name) for name in names))
    calendar = pd.DataFrame({"session_date": line.sessions()})
    return build(line.under(candidate.settings), read_table(line.tables, "forward_return_label"), tables, calendar)


def _stored_folds(line: Line, dataset: Dataset) -> list[Fold]:
    """Return the folds of the newest research: those of today's settings, which have to be the same.

    Raises
    ------
    LakeError
        When no walk forward was stored.
    ConfigError
        When ``walk_forward`` was changed since.
    """
    stored = read_json(line.tables, "walk_forward_folds")["folds"]
    split = folds(dataset, line.settings.walk_forward)
    if not stored:
        raise LakeError(f"{line.home.name} stored no fold", "run `ljwx run` first")
    was = [(fold["name"], fold["test_first"], fold["test_last"]) for fold in stored]
    now = [(fold.name, str(fold.test_first), str(fold.test_last)) for fold in split]
    if was != now:
        raise ConfigError(
            f"walk_forward now asks for {len(now)} folds from {now[0][1]} to {now[-1][2]}, the newest research has "
            f"{len(was)} from {was[0][1]} to {was[-1][2]}",
            "compare under the settings of that run, or run `ljwx run` under these first",
        )
    return split


def _say(sentence: str) -> None:
    """Tell progress on the error stream; what is printed at the end is the answer alone."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
