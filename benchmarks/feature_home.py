"""A seeded feature table of 687,000 rows x 30 features and a Feast repository over it, for W6 and W6b.

Not here: what is asked of it (the benchmarks) and the line's own repository (``feature_repo/``).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.w1_alpha158 import SESSIONS, seeded_panel
from ljwx_pipeline.feature_store import FeatureStoreClient
from ljwx_pipeline.feature_table import feast_table, write_feature_table

ROOT = Path(__file__).resolve().parent.parent
FEATURES = tuple(f"F{number:02d}" for number in range(30))
TIME_TO_LIVE_DAYS = 14
_DEFINITIONS = f"""
import os
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float32

symbol = Entity(name="symbol", join_keys=["symbol"], value_type=ValueType.STRING)
table = FileSource(
    name="table",
    path=os.environ["LJWX_MARKET_HOME"] + "/feature_table/thirty.parquet",
    timestamp_field="event_timestamp",
    created_timestamp_column="created_timestamp",
)
view = FeatureView(
    name="thirty", entities=[symbol], ttl=timedelta(days={TIME_TO_LIVE_DAYS}), source=table,
    schema=[Field(name=name, dtype=Float32) for name in {FEATURES!r}],
)
service = FeatureService(name="thirty_v1", features=[view])
"""


def make_home(folder: Path, symbols: int) -> FeatureStoreClient:
    """Write table and repository under ``folder``, apply, and return the line's client over them."""
    repository = folder / "repository"
    repository.mkdir(parents=True)
    shutil.copy(ROOT / "feature_repo" / "feature_store.yaml", repository)
    (repository / "definitions.py").write_text(_DEFINITIONS, encoding="utf-8")
    client = client_of(folder)
    write_feature_table(feast_table(features(symbols)), client.feature_table)
    client.apply()
    return client


def client_of(folder: Path) -> FeatureStoreClient:
    """Return the client over what ``make_home`` wrote."""
    return FeatureStoreClient(folder / "repository", folder / "home")


def features(symbols: int) -> pd.DataFrame:
    """Return the features of every bar of W1's panel, one value in twenty missing, by session and symbol."""
    panel = seeded_panel(symbols, SESSIONS)
    session, symbol = np.nonzero(~np.isnan(panel.fields["close"]).T)
    rng = np.random.default_rng(6)
    values = rng.standard_normal((len(session), len(FEATURES)), dtype=np.float32)
    values[rng.random(values.shape, dtype=np.float32) < 0.05] = np.nan
    frame = pd.DataFrame(values, columns=list(FEATURES))
    frame.insert(0, "session_date", panel.sessions[session])
    frame.insert(0, "symbol", np.array(panel.symbols, dtype=object)[symbol])
    return frame


def questions(table: Path) -> pd.DataFrame:
    """Return one question a row of the table: its symbol, at an instant up to four days after its close."""
    asked = pd.read_parquet(table, columns=["symbol", "event_timestamp"])
    later = np.random.default_rng(7).integers(0, 4 * 86_400, len(asked))
    asked["event_timestamp"] += pd.to_timedelta(later, unit="s").as_unit("us")
    asked.insert(0, "question", np.arange(len(asked)))
    return asked
