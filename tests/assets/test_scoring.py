"""A champion is scored only by groups made as they were in training, and its scores say by which."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assets.scoring import SCORED_SESSIONS, groups_of, loaded_champion, scored_rows, sessions_since_training
from ljwx_pipeline.config import UniverseSettings
from ljwx_pipeline.errors import BundleError
from ljwx_pipeline.expressions.evaluate import FactorValues
from ljwx_pipeline.market.tables import empty_table
from ljwx_pipeline.scoring.bundle import ModelBundle, load_bundle
from ljwx_pipeline.scoring.model import NO_GROUP, Model
from ljwx_pipeline.scoring.signing import public_key_of, signing_key
from tests.fakes.bundles import FACTOR_HASH, grouped_model, tiny_booster, tiny_bundle
from tests.fakes.panels import random_panel

RULES = UniverseSettings(
    index="", min_listed_sessions=0, exclude_st=True, min_mean_amount_cny=0, mean_amount_window_sessions=5
)


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


def bundle_of(home: Path, model: Model, **changes: Any) -> ModelBundle:
    key = signing_key(home / "keys")
    return load_bundle(
        tiny_bundle(home / "made", key, model, **changes), factor_hash=FACTOR_HASH, public_key=public_key_of(key)
    )


def test_scores_of_a_model_of_groups_say_each_row_s_group_and_its_measure(tmp_path: Path) -> None:
    panel = random_panel(symbols=9)
    drawn = np.random.default_rng(3).standard_normal((4, 9, len(panel.sessions))).astype(np.float32)
    values = FactorValues(("A", "B", "C", "D"), panel.symbols, panel.sessions, drawn)
    line: Any = SimpleNamespace(settings=SimpleNamespace(universe=RULES), market_table=empty_table)
    model = replace(grouped_model(group=2), group_by="size")
    found = scored_rows(line, bundle_of(tmp_path, model, group_measure="mean amount"), values, panel)
    assert found["session_date"].nunique() == SCORED_SESSIONS
    assert set(found["group_measure"]) == {"mean amount"}
    assert (found["group"].dtype, set(found["group"]) - {NO_GROUP}) == (np.int32, {0, 1, 2})
    recent = ~np.isnan(panel.fields["close"])
    recent[:, :-SCORED_SESSIONS] = False
    told = groups_of(line, "size", panel, recent)
    np.testing.assert_array_equal(found["group"], told)
    rows = values.frame(recent)[list(values.names)].to_numpy(dtype=np.float32)
    np.testing.assert_array_equal(found["score"], model.predict(rows, told).score)

    alone = scored_rows(line, bundle_of(tmp_path, Model.of_booster(tiny_booster())), values, panel)
    assert list(alone) == ["symbol", "session_date", "score", "after_training", "scorable"], (
        "as it stands without groups"
    )


@pytest.mark.parametrize(("enabled", "expected"), [(True, 2), (False, 0)])
def test_the_pack_reaches_back_over_the_sessions_since_the_champion_s_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enabled: bool, expected: int
) -> None:
    monkeypatch.setenv("LJWX_HOME", str(tmp_path))
    line, version = champion(tmp_path, "mean amount")
    line.registered_model = "tiny"
    line.settings = SimpleNamespace(uncertainty=SimpleNamespace(enabled=enabled))
    sessions = pd.DatetimeIndex(["2025-10-30", "2025-10-31", "2025-11-03", "2025-11-04"])
    line.registry = lambda: SimpleNamespace(champion=lambda _name: version)
    assert sessions_since_training(line, sessions) == expected
    manifest = next((tmp_path / "champions").glob("*/manifest.json"))
    manifest.write_text("{}", encoding="utf-8")
    line.registry = lambda: SimpleNamespace(champion=lambda _name: version, download_bundle=lambda *_: manifest.parent)
    assert sessions_since_training(line, sessions) == 0, "damaged: daily_scores says so"
    line.registry = lambda: SimpleNamespace(champion=lambda _name: None)
    assert sessions_since_training(line, sessions) == 0
