"""The pipeline's file and the runner's own factors of a close are compared to the bit."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.feature_file import SessionFeatures, read_features, write_features
from ljwx_pipeline.live.online.cross_check import features_alerts
from tests.fakes.live_ticks import BREAKERS
from tests.fakes.online_world import World, mixed_catalogue, online_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return online_world(tmp_path_factory.mktemp("world"), mixed_catalogue())


def through_the_file(world: World, folder: Path, change: float = 0.0, *, drop: int = 0) -> SessionFeatures:
    session, names = world.feed.sessions[0], list(world.catalogue.names)
    table = pd.DataFrame(world.history().features(session), columns=names)
    table.loc[2, "RANK"] += np.float32(change)
    table.insert(0, "symbol", list(world.feed.symbols))
    version = world.catalogue.version_hash
    write_features(
        folder, table[drop:], session=session, factor_hash=version, written_at=datetime(2025, 3, 3, tzinfo=UTC)
    )
    found = read_features(
        folder, decided=session, sessions=world.feed.sessions, factor_hash=version, factors=names, settings=BREAKERS
    )
    assert found.features is not None
    return found.features


def test_the_same_features_alert_nobody(world: World, tmp_path: Path) -> None:
    assert features_alerts(through_the_file(world, tmp_path), world.history()) == ()


def test_one_other_value_is_named(world: World, tmp_path: Path) -> None:
    (alert,) = features_alerts(through_the_file(world, tmp_path, 1e-3), world.history())
    assert "1 values of the features file differ from the batch's, first RANK of S00002.SIM" in alert


def test_a_symbol_that_is_missing_is_named(world: World, tmp_path: Path) -> None:
    (alert,) = features_alerts(through_the_file(world, tmp_path, drop=2), world.history())
    assert "lacks 2 of 8 symbols with a bar, first S00000.SIM" in alert


def test_a_history_that_was_moved_on_is_refused(world: World, tmp_path: Path) -> None:
    history = world.history()
    history.features(world.feed.sessions[1])
    with pytest.raises(LiveError, match="stands at"):
        features_alerts(through_the_file(world, tmp_path), history)
