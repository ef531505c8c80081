"""The one entry that trains whatever the settings ask for: a plain model or, over several of them, an ensemble.

The walk forward, the final model and comparisons call it and nothing else. Not here: how one model is fitted
(``fit.py``), which parameters (``tune.py``), which windows (``dataset/``).
"""

from __future__ import annotations

from ljwx_pipeline.config import ModelSettings
from ljwx_pipeline.dataset import Dataset
from ljwx_pipeline.models.binned import Binned
from ljwx_pipeline.models.fit import Trained, fit_one
from ljwx_pipeline.models.task import Params


def train(
    dataset: Dataset, rows: slice, tuned: Params, settings: ModelSettings, *, binned: Binned | None = None
) -> Trained:
    """Train on ``rows`` what ``settings`` ask for.

    Parameters
    ----------
    rows
        Training window of the dataset, which is sorted by session.
    tuned
        From ``tune.py``.
    binned
        Bins that cover ``rows``; made from ``rows`` alone when None.

    Raises
    ------
    ModelError
        As ``fit.fit_one``.
    """
    return fit_one(dataset, rows, tuned, settings, binned=binned)
