"""What a column is said to be computed from is what it is computed from: nothing missing, nothing more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from assets.column_lineage import (
    Lineage,
    backtest_lineage,
    checked_bars_lineage,
    dataset_lineage,
    factor_lineage,
    feature_table_lineage,
    label_lineage,
    predictions_lineage,
    quality_lineage,
    scores_lineage,
)
from assets.metadata import column_metadata
from ljwx_pipeline.config import Settings
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.feature_table import KEY_COLUMNS
from ljwx_pipeline.market.tables import TABLES

BARS = set(TABLES["bars"])
FACTORS = set(alpha158().names)
KEYS = {"symbol", "session_date"}
#: Columns of the assets that are read, by what their modules write.
SCHEMAS: Mapping[str, Iterable[str]] = {
    **TABLES,
    "raw_bars": BARS,
    "checked_bars": BARS,
    "calendar": {"session_date"},
    "forward_return_label": KEYS | {"forward_return", "label"},
    "alpha158_factors": KEYS | FACTORS,
    "feature_table": set(KEY_COLUMNS) | FACTORS,
    "training_dataset": FACTORS | {"session_index", "symbol_index", "forward_return", "label", "enterable", "scorable"},
    "walk_forward_predictions": KEYS | {"score", "fold", "forward_return", "enterable", "scorable"},
}


def every_lineage(settings: Settings, adjustment: str) -> dict[str, Lineage]:
    return {
        "checked_bars": checked_bars_lineage(),
        "data_quality": quality_lineage(),
        "alpha158_factors": factor_lineage(adjustment),
        "forward_return_label": label_lineage(settings.label, adjustment),
        "feature_table": feature_table_lineage(),
        "training_dataset": dataset_lineage(settings.universe),
        "walk_forward_predictions": predictions_lineage(),
        "net_backtest": backtest_lineage(settings.evaluation.indices, adjustment),
        "daily_scores": scores_lineage(),
    }


@pytest.mark.parametrize("adjustment", ["raw", "forward", "backward"])
def test_every_column_named_is_one_of_the_table_above(settings: Settings, adjustment: str) -> None:
    for asset, lineage in every_lineage(settings, adjustment).items():
        for column, sources in lineage.items():
            assert sources, f"{asset}.{column} comes from nothing"
            assert len(set(sources)) == len(sources), f"{asset}.{column} names a column twice"
            for above, name in sources:
                assert above != asset
                assert name in set(SCHEMAS[above]), f"{asset}.{column} names {above}.{name}"
            if asset in SCHEMAS:
                assert column in set(SCHEMAS[asset])


def test_a_factor_comes_from_the_fields_its_expression_reads() -> None:
    lineage = factor_lineage("raw")
    assert set(lineage) == KEYS | FACTORS
    assert lineage["KMID"] == [("checked_bars", name) for name in ("adj_factor", "close_cny", "open_cny")]
    assert ("checked_bars", "volume_shares") in lineage["VSTD5"]
    assert not [name for _, name in lineage["ROC5"] if name not in ("adj_factor", "close_cny")]


def test_under_a_declared_adjustment_nothing_comes_from_the_adjustment_factor_or_the_actions(
    settings: Settings,
) -> None:
    for lineage in every_lineage(settings, "forward").values():
        named = {source for sources in lineage.values() for source in sources}
        assert ("checked_bars", "adj_factor") not in named
        assert not [name for asset, name in named if asset == "corporate_actions"]


def test_dagster_is_given_every_source() -> None:
    sources = [("checked_bars", "close_cny"), ("index_bars", "close_points")]
    lineage = column_metadata({"label": "float32"}, {"label": sources})["dagster/column_lineage"]
    given = [(dep.asset_key.to_user_string(), dep.column_name) for dep in lineage.deps_by_column["label"]]
    assert given == sources
