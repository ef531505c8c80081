"""What the paths of a combinatorial purged cross-validation are worth: each for itself, and how far they lie apart.

Lopez de Prado (2018), "Advances in Financial Machine Learning", chapter 12. A path scores every session once, each
group by a model that had not learned from it; most of these models learned from what came later. So a path is no
forecast: how far the paths lie apart says how much a result hangs on which sessions were learned from. Not here: the
splits (``splits.py``), what is written and shown (``paths_document.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ljwx_pipeline.backtest.sweep_input import SweepInput
from ljwx_pipeline.backtest.trial_ledger import FamilyTrials
from ljwx_pipeline.config import Settings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.dataset.combinatorial_folds import CombinatorialFold, path_scores
from ljwx_pipeline.model_comparison.measures import Measured, measured_rows
from ljwx_pipeline.model_comparison.splits import Split

#: Of a row of ``Measured``, what a path has.
_MEASURES = (
    "rank_ic", "rank_ic_lower", "rank_ic_upper", "rank_icir", "ic", "net_excess_annual_return", "net_sharpe",
    "net_sharpe_lower", "net_sharpe_upper", "turnover",
)  # fmt: skip


def measured_paths(
    folds: Sequence[CombinatorialFold],
    splits: Sequence[Split],
    dataset: Dataset,
    inputs: SweepInput,
    settings: Settings,
    *,
    trials: FamilyTrials,
    store: Path | None = None,
) -> Iterator[Measured]:
    """Yield the measures of each path, by the same rules as those of a compared model, once its trial is counted.

    The rank IC is of every session that has one; the backtest, by which the trial is counted, is of the sessions of
    ``inputs``, those that the walk forward tests.

    Parameters
    ----------
    folds, splits
        All of ``combinatorial_folds``, and each one's scores.
    inputs, settings, store
        As ``measures.measured``.
    trials
        The family's ledger: whoever has seen a path has looked at the sessions that the walk forward tests.

    Raises
    ------
    DatasetError
        As ``path_scores``.
    LakeError
        When a trial cannot be counted.
    """
    joined = path_scores(folds, [split.scores for split in splits], rows=len(dataset.label))
    keys = dataset.keys(slice(None)).assign(
        forward_return=dataset.forward_return, enterable=dataset.enterable, scorable=dataset.scorable
    )
    for number, scores in enumerate(joined, start=1):
        rows = keys.assign(score=scores)[np.isfinite(scores)]
        found = measured_rows(f"path {number}", rows, dataset.purge_sessions, inputs, settings, store=store)
        trials.record([found.trial], evidence=found.evidence)
        yield found


def row_of(name: str, item: Measured) -> dict[str, Any]:
    """Return the measures of a path or a walk forward, with the number of sessions that its rank IC is of."""
    return {"name": name, **{measure: item.row[measure] for measure in _MEASURES}, "sessions": len(item.rank_ic)}


def spread(rank_ics: Sequence[float]) -> dict[str, float]:
    """Return least, median and most of the paths' mean rank ICs, and the share of them that are 0 or less."""
    values = np.asarray(rank_ics, dtype=np.float64)
    return {
        "least": float(values.min()),
        "median": float(np.median(values)),
        "most": float(values.max()),
        "at_or_below_zero_frac": float((values <= 0).mean()),
    }
