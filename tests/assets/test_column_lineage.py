"""What a column is said to be computed from is what it is computed from: nothing missing, nothing more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from assets.column_lineage import (
    MEANINGS,
    QUALITY_MEANINGS,
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
from ljwx_pipeline.expressions.evaluate import MEMBERSHIP
from ljwx_pipeline.expressions.fields import FIELDS
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.factors.catalogues import CATALOGUES, open_catalogue
from ljwx_pipeline.feature_table import KEY_COLUMNS
from ljwx_pipeline.market.adjustment import FACTOR_FIELDS
from ljwx_pipeline.market.panel_fields import field_columns
from ljwx_pipeline.market.tables import OPTIONAL_COLUMNS, TABLES

BARS = set(TABLES["bars"])
FACTORS = set(alpha158().names)
KEYS = {"symbol", "session_date"}
#: Of a source that tells no optional column.
SECURITIES = tuple(TABLES["securities"])
#: Columns of the assets that are read, by what their modules write.
SCHEMAS: Mapping[str, Iterable[str]] = {
    **{name: columns | OPTIONAL_COLUMNS.get(name, {}) for name, columns in TABLES.items()},
    "raw_bars": BARS,
    "checked_bars": BARS,
    "calendar": {"session_date"},
    "forward_return_label": KEYS | {"forward_return", "label", "matured_date"},
    "factor_values": KEYS | FACTORS,
    "feature_table": set(KEY_COLUMNS) | FACTORS,
    "training_dataset": FACTORS | {"session_index", "symbol_index", "forward_return", "label", "enterable", "scorable"},
    "walk_forward_predictions": KEYS | {"score", "fold", "forward_return", "enterable", "scorable"},
}


def every_lineage(settings: Settings, adjustment: str) -> dict[str, Lineage]:
    return {
        "checked_bars": checked_bars_lineage(),
        "data_quality": quality_lineage(),
        "factor_values": factor_lineage(alpha158(), settings.universe, adjustment),
        "forward_return_label": label_lineage(settings.label, adjustment),
        "feature_table": feature_table_lineage(alpha158()),
        "training_dataset": dataset_lineage(alpha158(), settings.universe, security_columns=SECURITIES),
        "walk_forward_predictions": predictions_lineage(alpha158()),
        "net_backtest": backtest_lineage(
            settings.evaluation.indices,
            ("equal_weight", "momentum"),
            adjustment,
            columns=("open", "high", "low"),
            security_columns=SECURITIES,
        ),
        "daily_scores": scores_lineage(
            alpha158(), settings.universe, adjustment=adjustment, band=("lower", "upper"), group_by="industry"
        ),
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


def test_every_column_but_a_factor_an_index_and_a_curve_says_what_it_means(settings: Settings) -> None:
    for asset, lineage in every_lineage(settings, "raw").items():
        told = {**MEANINGS, **(QUALITY_MEANINGS if asset == "data_quality" else {"group": "of GROUP_COLUMNS"})}
        untold = {name for name in lineage if not name.endswith(("_points", "_level"))} - FACTORS - told.keys()
        assert not untold, f"{asset} says nothing of {untold}"


def test_a_factor_comes_from_the_fields_its_expression_reads(settings: Settings) -> None:
    lineage = factor_lineage(alpha158(), settings.universe, "raw")
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


@pytest.mark.parametrize("name", sorted(CATALOGUES))
def test_every_catalogue_s_factors_come_from_columns_that_are(name: str, settings: Settings) -> None:
    universe = settings.universe.model_copy(update={"index": "000300.SH"})
    factors = open_catalogue(name)
    lineage = factor_lineage(factors, universe, "raw")
    assert set(lineage) == KEYS | set(factors.names)
    for factor, sources in lineage.items():
        assert sources, factor
        for above, column in sources:
            assert column in set(SCHEMAS[above]), f"{factor} names {above}.{column}"


def test_every_field_but_the_membership_says_its_columns() -> None:
    for field in FIELDS.keys() - {MEMBERSHIP, *FACTOR_FIELDS, "float_market_value_cny", "turnover_frac"}:
        for table, columns in field_columns(field).items():
            assert columns
            assert set(columns) <= set(TABLES[table]), field


def test_dagster_is_given_every_source() -> None:
    sources = [("checked_bars", "close_cny"), ("index_bars", "close_points")]
    lineage = column_metadata({"label": "float32"}, {"label": sources})["dagster/column_lineage"]
    given = [(dep.asset_key.to_user_string(), dep.column_name) for dep in lineage.deps_by_column["label"]]
    assert given == sources


def test_an_optional_column_of_securities_is_named_where_it_is_told(settings: Settings) -> None:
    for columns, told in [(SECURITIES, False), ((*SECURITIES, "delisting_period_date"), True)]:
        enterable = dataset_lineage(alpha158(), settings.universe, security_columns=columns)["enterable"]
        equity = backtest_lineage((), (), "raw", columns=(), security_columns=columns)["equity_cny"]
        assert [("securities", "delisting_period_date") in sources for sources in (enterable, equity)] == [told] * 2


def test_a_group_comes_from_what_it_is_told_by(settings: Settings) -> None:
    for by, told in [("industry", "industries"), ("size", "market_values")]:
        group = scores_lineage(alpha158(), settings.universe, adjustment="raw", group_by=by)["group"]
        assert told in {above for above, _ in group}
        rows = dataset_lineage(alpha158(), settings.universe, security_columns=SECURITIES, group_by=by)
        assert rows["groups"] == group
    assert "group" not in scores_lineage(alpha158(), settings.universe, adjustment="raw")


def test_the_account_comes_from_the_prices_that_its_fills_read() -> None:
    at_open, at_close = (
        backtest_lineage((), (), "raw", columns=read, security_columns=SECURITIES)["equity_cny"]
        for read in (("open",), ())
    )
    assert set(at_open) - set(at_close) == {("checked_bars", "open_cny")}
