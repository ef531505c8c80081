"""The process behind ``ljwx models paths``: one model on every split of the stored dataset, and the paths they make.

``python -m jobs.paths`` is started from the checkout; it trains what is not kept yet, counts the walk forward and every
path as a trial and records all of it in MLflow. It holds the market's lock: no run of the line writes the tables
meanwhile. Not here: what paths are and say (``ljwx_pipeline.model_comparison``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

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
from ljwx_pipeline.config import ModelSettings, Settings, UniverseSettings, ljwx_home
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.dataset.combinatorial_folds import CombinatorialFold, combinatorial_folds
from ljwx_pipeline.errors import ConfigError, RegistryError
from ljwx_pipeline.model_comparison.candidates import Candidate
from ljwx_pipeline.sweeping.task import SweepTask, sweep_task, trials_so_far

if TYPE_CHECKING:  # heavy: the kernels
    from ljwx_pipeline.model_comparison.splits import Split

#: Below a market's home: a folder for each set of paths, and the kept splits.
PATHS, SPLITS = "paths", "splits"


@dataclass(frozen=True)
class Asked:
    """The model whose paths are asked for: its settings, the hyperparameters it is fitted with, the study of them."""

    candidate: Candidate
    tuned: Mapping[str, float | int]
    study: str


def main() -> int:
    """Train, count and print; a deliberate error is one line and its exit code."""
    parser = argparse.ArgumentParser(prog="python -m jobs.paths")
    parser.add_argument("version", nargs="?")
    parser.add_argument("--profile", required=True)
    parser.add_argument("--overrides-json", default="{}")
    parser.add_argument("--groups", type=int, required=True)
    parser.add_argument("--tested", type=int, required=True)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    def work(settings: Settings) -> int:
        return holding_tables(settings, lambda: paths(settings, arguments))

    kept = "finished splits are kept, run again to go on"
    return on_newest_research(arguments.profile, arguments.overrides_json, work, stopped=kept)


def paths(settings: Settings, arguments: argparse.Namespace) -> int:
    """Train, count and print what ``arguments`` ask for; the market's tables have to be held."""
    from ljwx_pipeline.backtest.sweep_store import RESULTS
    from ljwx_pipeline.backtest.trial_ledger import TrialLedger
    from ljwx_pipeline.model_comparison import paths_document as told
    from ljwx_pipeline.model_comparison.measures import measured
    from ljwx_pipeline.model_comparison.paths import measured_paths, row_of, spread
    from ljwx_pipeline.model_comparison.splits import finished_splits, scored_splits, splits_name

    line, began_at = Line(), utc_now()
    task = sweep_task(settings)  # refuses other data, label, universe or held-out end than the newest research's
    stored = load_dataset(line.tables)
    asked = _asked(line, task, arguments.version)
    stored_folds(line, stored)  # refuses other folds before anything is trained
    dataset = dataset_for(line, asked.candidate, stored)
    folds = combinatorial_folds(
        dataset,
        groups=arguments.groups,
        test_groups=arguments.tested,
        embargo_sessions=settings.walk_forward.embargo_sessions,
        min_train_sessions=settings.walk_forward.min_train_sessions,
    )
    about = _about(settings, task, asked, dataset, folds, arguments)
    home, code, workers = line.home / PATHS, code_hash(), settings.walk_forward.workers
    if arguments.dry_run:
        kept = finished_splits(asked.candidate, dataset, folds, asked.tuned, code=code, store=home / SPLITS)
        plan = {**about, "dry_run": True, "kept": kept, "workers": workers}
        return show_result(arguments, plan, told.plan_text(plan))
    with _bar(len(folds)) as tell:
        splits = scored_splits(
            asked.candidate,
            dataset,
            folds,
            asked.tuned,
            code=code,
            store=home / SPLITS,
            workers=workers,
            on_split=lambda split: tell(split_line(split)),
        )
    say("walk forward")
    walk = walked_on(line, asked.candidate, dataset, asked.tuned, code=code, store=line.home / COMPARISONS / KEPT)
    ledger, results = TrialLedger(task.ledger), line.home / RESULTS
    forward = measured(walk, stored, task.inputs, settings, store=results)
    ledger.record(task.family, "compare", [forward.trial], evidence=forward.evidence)
    trials = ledger.of(task.family, "compare")
    found = list(measured_paths(folds, splits, dataset, task.inputs, settings, trials=trials, store=results))
    folder = home / splits_name(splits, walk.key)
    body: dict[str, Any] = {
        **about,
        "walk_forward": row_of("walk forward", forward),
        "paths": [row_of(item.row["name"], item) for item in found],
        "spread": spread([item.row["rank_ic"] for item in found]),
        "says": [told.WALK_SAYS, told.PATHS_SAY],
        "training_seconds": sum(float(split.record["seconds"]) for split in splits),
        "trained_now": sum(not split.known for split in splits),
        "trials_of_family": trials_so_far(task),
        "page": str((folder / told.PAGE).absolute()),
        "mlflow_run_id": None,
    }
    told.write_paths(folder, body, forward, found)
    tags = {"factors": line.catalogue.name, "git_revision": git_revision()}
    body["mlflow_run_id"] = told.track_paths(
        settings, folder, body, asked.candidate.settings, splits, found, tags=tags, began_at=began_at
    )
    told.write_document(folder, body)
    return show_result(arguments, body, told.paths_table(body))


def split_line(split: Split) -> str:
    """Return what is said of a split before the trials are counted: nothing of how well it did."""
    took = "kept from before" if split.known else f"{split.record['seconds']:.1f} s"
    return f"{split.record['name']}: {took}"


def _asked(line: Line, task: SweepTask, version: str | None) -> Asked:
    """Return the configured model under the newest study's hyperparameters, or a registered version under its own.

    Raises
    ------
    ConfigError
        For a version of other factors, label or universe than the dataset's, or none.
    RegistryError
        When MLflow cannot be reached, or the version's run did not reach its end.
    """
    from ljwx_pipeline.backtest.trial_ledger import strategy_family
    from ljwx_pipeline.reproduction.target import find_original

    settings = line.settings
    if version is None:
        study = read_json(line.tables, "tuned_hyperparameters")
        return Asked(Candidate("the configured model", settings.model), study["best_params"], str(study["study"]))
    original = find_original(version, settings, line.registry(), home=ljwx_home())
    if not original.made:
        raise RegistryError(
            f"{original.name} recorded no hyperparameters: it did not reach its end", "name another version"
        )
    tags = original.run.tags
    family = strategy_family(
        factor_hash=tags.get("factor_hash", ""),
        label_hash=tags.get("label_hash", ""),
        universe=UniverseSettings.model_validate(original.settings["universe"]),
    )
    if family != task.family:
        raise ConfigError(
            f"{original.name} is of the family {family}, the newest research's dataset of {task.family}",
            "run `ljwx run` with its factors, label and universe first, or name a version of this family",
        )
    model = ModelSettings.model_validate(original.settings["model"])
    model = model.model_copy(update={"threads": settings.model.threads})  # decides the time it takes and nothing else
    named = f"version {version}" if original.version is None else f"version {original.version.version}"
    return Asked(Candidate(named, model), original.made["best_params"], tags.get("study", ""))


def _about(
    settings: Settings,
    task: SweepTask,
    asked: Asked,
    dataset: Dataset,
    folds: list[CombinatorialFold],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Return what is said of the splits before one is trained."""
    trained = [sum(stop - first for first, stop in fold.train) for fold in folds]
    first, embargo = int(dataset.session_index[0]), settings.walk_forward.embargo_sessions
    own = settings.model_copy(update={"model": asked.candidate.settings})
    return {
        **{name: task.about[name] for name in ("profile", "simulated", "benchmark")},
        "model": asked.candidate.name,
        "study": asked.study,
        "tuned": dict(asked.tuned),
        "groups": arguments.groups,
        "tested": arguments.tested,
        "splits": len(folds),
        "number_of_paths": len(folds) * arguments.tested // arguments.groups,
        "group_sessions": (len(dataset.sessions) - first) // arguments.groups,
        "train_sessions": [min(trained), max(trained)],
        "purge_sessions": dataset.purge_sessions,
        "embargo_sessions": embargo,
        "gap_sessions": dataset.purge_sessions + embargo,
        "first_session": f"{dataset.sessions[first]:%Y-%m-%d}",
        "last_session": f"{dataset.sessions[-1]:%Y-%m-%d}",
        "hashes": {**task.hashes, "dataset_hash": dataset.hash, "config_hash": own.config_hash},
    }


@contextmanager
def _bar(total: int) -> Iterator[Callable[[str], None]]:
    """Give a function that says what one more of ``total`` splits came to; on a terminal there is a bar below."""
    console, done = Console(stderr=True, highlight=False, markup=False), 0
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_interactive
    ) as progress:
        task = progress.add_task("splits", total=total)

        def tell(sentence: str) -> None:
            nonlocal done
            done += 1
            console.print(f"{done:>4} of {total}  {sentence}", soft_wrap=True)
            progress.advance(task)

        yield tell


if __name__ == "__main__":
    sys.exit(main())
