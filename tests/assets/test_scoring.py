"""A champion is scored only by groups that are made as they were in training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from assets.scoring import loaded_champion
from ljwx_pipeline.errors import BundleError
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.scoring.signing import signing_key
from tests.fakes.bundles import FACTOR_HASH, grouped_model, tiny_bundle


def champion(home: Path, group_measure: str) -> tuple[Any, Any]:
    """Return a line whose source tells no market value, and its champion, a model of sizes by ``group_measure``."""
    model = replace(grouped_model(), group_by="size")
    path = tiny_bundle(home / "champions", signing_key(home / "keys"), model, group_measure=group_measure)

    def market_table(name: str) -> pd.DataFrame:
        return empty_table(name)

    catalogue = SimpleNamespace(version_hash=FACTOR_HASH, name="tiny")
    line = SimpleNamespace(home=home, catalogue=catalogue, market_table=market_table)
    return line, SimpleNamespace(bundle_hash=path.name, version="3")


def test_a_champion_of_sizes_by_another_measure_is_not_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    line, version = champion(tmp_path, "market value")
    with pytest.raises(BundleError, match="version 3, were made by market value, the market's tables tell mean amount"):
        loaded_champion(line, None, version)  # type: ignore[arg-type]


def test_a_champion_of_sizes_by_the_same_measure_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    line, version = champion(tmp_path, "mean amount")
    assert loaded_champion(line, None, version).manifest.group_measure == "mean amount"  # type: ignore[arg-type]
