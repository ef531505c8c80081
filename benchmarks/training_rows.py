"""Seeded rows to learn from, as a ``Dataset``, and the parameters that the training benchmarks share.

The label is a z-score in its session, as qlib's benchmark learns, so that its L1 penalty leaves trees of full size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ljwx_pipeline.config import ModelSettings, load_settings
from ljwx_pipeline.dataset import Dataset

SYMBOLS, FACTORS, MISSING_FRAC, PURGE = 300, 158, 0.02, 6
#: qlib's published parameters, examples/benchmarks/LightGBM/workflow_config_lightgbm_Alpha158.yaml, under LightGBM's
#: own names; its threads are the machine's, its bins LightGBM's 255.
QLIB: dict[str, float | int] = {
    "learning_rate": 0.2,
    "max_depth": 8,
    "num_leaves": 210,
    "feature_fraction": 0.8879,
    "bagging_fraction": 0.8789,
    "lambda_l1": 205.6999,
    "lambda_l2": 580.9768,
}
QLIB_BINS = 255


def training_rows(sessions: int, *, symbols: int = SYMBOLS, seed: int = 7) -> Dataset:
    """Return ``symbols * sessions`` rows of 158 factors, twenty of which foretell the label; some are missing."""
    rng = np.random.default_rng(seed)
    rows = symbols * sessions
    features = rng.standard_normal((rows, FACTORS), dtype=np.float32)
    foretold = 0.02 * features[:, :20].sum(axis=1) + 0.05 * features[:, 3] * features[:, 5]
    outcome = (foretold + rng.standard_normal(rows, dtype=np.float32)).reshape(sessions, symbols)
    for column in range(FACTORS):
        features[rng.random(rows, dtype=np.float32) < MISSING_FRAC, column] = np.nan
    label = (outcome - outcome.mean(axis=1, keepdims=True)) / outcome.std(axis=1, keepdims=True)
    label[-PURGE:] = np.nan
    return Dataset(
        features=features,
        factor_names=tuple(f"F{number}" for number in range(FACTORS)),
        forward_return=0.02 * label.ravel().astype(np.float64),
        label=label.ravel().astype(np.float32),
        session_index=np.repeat(np.arange(sessions, dtype=np.int32), symbols),
        symbol_index=np.tile(np.arange(symbols, dtype=np.int32), sessions),
        enterable=np.ones(rows, dtype=bool),
        scorable=np.ones(rows, dtype=bool),
        sessions=pd.DatetimeIndex(pd.bdate_range("2010-01-04", periods=sessions)),
        symbols=tuple(f"S{number:05d}.SIM" for number in range(symbols)),
        purge_sessions=PURGE,
        hash=f"training-rows-{symbols}-{sessions}-{seed}",
    )


def model_settings(**changed: Any) -> ModelSettings:
    """Return the shipped ``[model]`` with ``changed`` keys, told to fit exactly ``max_rounds`` once."""
    shipped = load_settings(
        profile="simulated", config_file=Path(__file__).resolve().parent.parent / "ljwx.toml", environ={}
    ).model
    fixed = {"max_bin": QLIB_BINS, "refit_on_tail": False, "early_stopping_rounds": 10_000}
    return ModelSettings.model_validate({**shipped.model_dump(), **fixed, **changed})
