"""What the commands on the newest research's dataset share: its lock, its folds, a model walked forward over them.

Not here: what each makes of it (``compare.py``, ``paths.py``).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from assets.datasets import build
from assets.io_managers import read_json, read_table
from assets.panels import TradingTables
from assets.resources import Line
from jobs.market_lock import one_writer
from ljwx_pipeline.config import Settings, load_settings, market_home, market_name
from ljwx_pipeline.dataset import Dataset, Fold, folds
from ljwx_pipeline.errors import ConfigError, LakeError, LjwxError
from ljwx_pipeline.job_process import let_signals_through
from ljwx_pipeline.model_comparison.candidates import Candidate
from ljwx_pipeline.supervisor import child_environment

if TYPE_CHECKING:  # heavy: the kernels
    from ljwx_pipeline.model_comparison.walk import Walked
    from ljwx_pipeline.models.walk_forward import FoldRecord

#: Below a market's home: a folder a comparison, and the kept walk of each candidate.
COMPARISONS, KEPT = "comparisons", "candidates"


def on_newest_research(profile: str, overrides_json: str, work: Callable[[Settings], int], *, stopped: str) -> int:
    """Return the exit code of ``work``; a deliberate error is one line and its own code, Ctrl-C says ``stopped``."""
    overrides = json.loads(overrides_json)
    try:
        let_signals_through()
        settings = load_settings(profile=profile, overrides=overrides)
        os.environ.update(child_environment(settings, overrides))
        warnings.filterwarnings("ignore")
        return work(settings)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C finds a process that is ending
        sys.stderr.write(f"stopped; {stopped}\n")
        return 130
    except (OSError, LjwxError) as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code if isinstance(error, LjwxError) else 3


def holding_tables(settings: Settings, work: Callable[[], int]) -> int:
    """Do ``work`` on the tables of one run: a run of the line that began meanwhile would mix its own in.

    Raises
    ------
    LakeError
        When the market was never run, or a run of the line is under way.
    """
    if not market_home(settings).is_dir():
        raise LakeError(f"{market_name(settings)} was never run", "run `ljwx run` first")
    with one_writer(settings):
        return work()


def walked_on(
    line: Line, candidate: Candidate, dataset: Dataset, tuned: Mapping[str, Any], *, code: str, store: Path
) -> Walked:
    """Walk a candidate forward on ``dataset``, which has to hold what it learns from."""
    from ljwx_pipeline.model_comparison.walk import walked

    split = stored_folds(line, dataset)
    return walked(candidate, dataset, split, tuned, code=code, store=store, on_fold=lambda done: say(fold_line(done)))


def dataset_for(line: Line, candidate: Candidate, dataset: Dataset) -> Dataset:
    """Return ``dataset``, or where that lacks what the candidate learns from, one built for it.

    A candidate by group, or of several horizons, needs columns that the configured model may not. The folds test the
    same sessions either way.
    """
    from ljwx_pipeline.model_comparison.walk import has_what_it_learns_from

    if has_what_it_learns_from(dataset, candidate.settings):
        return dataset
    say("   on a dataset of its own: the stored one lacks what it learns from")
    names = ("securities", "st_spells", "corporate_actions")
    tables = TradingTables(line.checked_bars(), *(line.market_table(name) for name in names))
    calendar = pd.DataFrame({"session_date": line.sessions()})
    return build(line.under(candidate.settings), read_table(line.tables, "forward_return_label"), tables, calendar)


def stored_folds(line: Line, dataset: Dataset) -> list[Fold]:
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


def fold_line(record: FoldRecord) -> str:
    """Return what is said of a fold before the trial is counted: nothing of how well it did."""
    return f"   fold {record.name}: {record.seconds:.1f} s"


def say(sentence: str) -> None:
    """Tell progress on the error stream; what is printed at the end is the answer alone."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
