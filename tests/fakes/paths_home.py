"""A market's home as a finished run leaves it, small: what ``ljwx models compare`` and ``paths`` read of it.

Bars, tables and trials are those of ``sweeps.py``, the dataset is ``planted.py``'s on the same symbols and sessions.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assets.datasets import save_dataset
from assets.io_managers import write_json
from ljwx_pipeline.config import load_settings, market_home
from ljwx_pipeline.dataset import Dataset, folds
from ljwx_pipeline.lake.atomic_parquet import write_parquet
from tests.fakes.bars import random_bars
from tests.fakes.mlflow_home import empty_database
from tests.fakes.planted import planted_dataset
from tests.fakes.sweeps import STUDY_SHARPES, store_scored_market

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS, SESSIONS, HELD_OUT = 24, 520, 40
TUNED = {"learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 20}
STUDY = "ljwx-0123"
SMALL = {
    "model.max_rounds": 5,
    "model.threads": 1,
    "model.early_stopping_tail_sessions": 30,
    "walk_forward.min_train_sessions": 100,
    "walk_forward.workers": 1,
}


def finished_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the home of a simulated market after a run, set the environment to it, and return the market's folder."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LJWX_HOME", str(home))
    for key, value in SMALL.items():
        monkeypatch.setenv("LJWX_" + key.upper().replace(".", "__"), str(value))
    (home / "mlflow").mkdir(parents=True)
    (home / "mlflow" / "mlflow.db").write_bytes(empty_database()[0].read_bytes())
    settings = load_settings(profile="simulated")
    market = market_home(settings)
    store_scored_market(market, symbols=SYMBOLS, sessions=SESSIONS)
    dataset = market_dataset()
    save_dataset(market / "tables", dataset)
    split = folds(dataset, settings.walk_forward)
    told = [{"name": one.name, "test_first": str(one.test_first), "test_last": str(one.test_last)} for one in split]
    write_json(market / "tables", "walk_forward_folds", {"folds": told})
    study: dict[str, Any] = {
        "study": STUDY,
        "best_params": TUNED,
        "trials": [{"number": number, "session_sharpe": sharpe} for number, sharpe in enumerate(STUDY_SHARPES)],
    }
    write_json(market / "tables", "tuned_hyperparameters", study)
    tested = dataset.keys(slice(split[0].test_rows.start, split[-1].test_rows.stop))
    scores = np.random.default_rng(4).normal(size=len(tested))
    write_parquet(market / "tables" / "walk_forward_predictions.parquet", tested.assign(score=scores, scorable=True))
    return market


def market_dataset() -> Dataset:
    """Return the dataset over the sessions of the market that research may see."""
    days = sorted(random_bars(symbols=SYMBOLS, sessions=SESSIONS, seed=3)["session_date"].unique())
    sessions = pd.DatetimeIndex(days[:-HELD_OUT])
    return replace(planted_dataset(symbols=SYMBOLS, sessions=len(sessions)), sessions=sessions)
