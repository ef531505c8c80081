"""Over random panels: batch, Feast's offline store, Feast's online store and the newest session alone, bit for bit."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.factors.increment import newest_session
from ljwx_pipeline.feature_parity import disagreements
from ljwx_pipeline.feature_store import FeatureStoreClient
from ljwx_pipeline.feature_table import feast_table, session_close, write_feature_table
from tests.fakes.panels import random_panel

REPO = Path(__file__).resolve().parent.parent / "feature_repo"
FACTORS = alpha158()


@given(
    symbols=st.integers(1, 9),
    sessions=st.integers(20, 140),
    seed=st.integers(0, 2**16),
    suspended=st.sampled_from([0.0, 0.05, 0.4]),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_four_ways_to_one_value(symbols: int, sessions: int, seed: int, suspended: float) -> None:
    panel = random_panel(symbols=symbols, sessions=sessions, seed=seed, suspended=suspended)
    values, traded = evaluate(FACTORS.expressions, panel), np.isfinite(panel.fields["close"])
    traded[0, -1] = True  # a session without any row is refused, elsewhere
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        store = FeatureStoreClient(REPO, home)
        write_feature_table(feast_table(values.frame(traded)), home / "feature_table" / "alpha158.parquet")
        store.apply()
        present, names = np.flatnonzero(traded[:, -1]), list(FACTORS.names)
        asked, day = [panel.symbols[row] for row in present], panel.sessions[-1]
        batch = np.stack([values.of(name)[present, -1] for name in names], axis=1)
        alone = newest_session(FACTORS.expressions, panel.sessions_slice(max(0, sessions - FACTORS.window), sessions))
        close = session_close(pd.Series([day])).iloc[0]
        questions = pd.DataFrame({"symbol": asked, "event_timestamp": close})
        ways = {
            "offline": store.historical(questions)[names].to_numpy(np.float32),
            "alone": np.stack([alone.of(name)[present, 0] for name in names], axis=1),
        }
        if np.isfinite(batch).any():  # a session before any factor is warm is refused by the online store
            store.materialize_online(day.date())
            ways["online"] = store.online(asked, day.date())[names].to_numpy(np.float32)
        assert disagreements(batch, ways, symbols=asked, factors=names) == ()
        assert store.point_in_time_check(rows=40, seed=seed).passed
