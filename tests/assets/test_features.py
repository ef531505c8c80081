"""The blocking checks of a feature set: what is stored is recomputed, and each kind of leak has a check of its own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from assets import features
from assets.panels import bar_mask, feature_table_of, feature_table_path, load_factors, panel_of, save_factors
from ljwx_pipeline.config import Settings
from ljwx_pipeline.errors import LakeError
from ljwx_pipeline.expressions.evaluate import FactorValues, evaluate
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.factors.catalogue import Catalogue
from ljwx_pipeline.feature_table import feast_table, write_feature_table
from ljwx_pipeline.market.tables import empty_table
from tests.fakes.bars import random_bars

BARS = random_bars(symbols=12, sessions=160)
HASH = alpha158().version_hash
CALENDAR = pd.DataFrame({"session_date": sorted(BARS["session_date"].unique())})


@pytest.fixture
def line(tmp_path: Path, settings: Settings) -> SimpleNamespace:
    source = SimpleNamespace(describe=lambda: SimpleNamespace(adjustment="raw"))
    return SimpleNamespace(
        home=tmp_path,
        tables=tmp_path / "tables",
        source=lambda: source,
        catalogue=alpha158(),
        settings=settings,
        market_table=empty_table,
    )


def results(line: SimpleNamespace) -> dict[str, dg.AssetCheckResult]:
    context = SimpleNamespace(selected_asset_check_keys=features.leak_checks.check_keys)
    check = features.leak_checks.node_def.compute_fn.decorated_fn
    return {found.check_name: found for found in check(context, line, BARS, CALENDAR)}


def test_honest_factors_pass_every_check(line: SimpleNamespace) -> None:
    save_factors(line.tables, evaluate(alpha158().expressions, panel_of(line, BARS, CALENDAR)), factor_hash=HASH)
    found = results(line)
    assert set(found) == set(features.LEAK_CHECKS)
    assert all(result.passed for result in found.values())


def test_a_stored_value_that_its_own_past_does_not_give_blocks_with_its_evidence(line: SimpleNamespace) -> None:
    values = evaluate(alpha158().expressions, panel_of(line, BARS, CALENDAR))
    values.of("KMID")[:, :-1] = values.of("KMID")[:, 1:].copy()
    save_factors(line.tables, values, factor_hash=HASH)
    found = results(line)
    assert {name for name, result in found.items() if not result.passed} == {"no_lookahead", "believable"}
    evidence = found["no_lookahead"].metadata["evidence"].value
    assert {finding["factor"] for finding in evidence} == {"KMID"}
    assert np.isfinite(evidence[0]["before"])
    assert "KMID" in found["no_lookahead"].description


def test_every_kind_blocks() -> None:
    specs = features.leak_checks.check_specs
    assert {spec.name for spec in specs} == set(features.LEAK_CHECKS)
    assert all(spec.blocking for spec in specs)


def test_the_online_store_is_filled_and_its_check_compares_every_value(line: SimpleNamespace) -> None:
    save_factors(line.tables, evaluate(alpha158().expressions, panel_of(line, BARS, CALENDAR)), factor_hash=HASH)
    features.feature_table(line, BARS, CALENDAR)
    features.feast_offline_store(line)
    filled = features.feast_online_store(line, CALENDAR).metadata
    assert filled["dagster/row_count"] == filled["rows_written"] > 0
    assert filled["late_and_not_served"] == "none"
    result = features.feast_online_parity(line, CALENDAR)
    assert result.passed
    assert result.description == f"{filled['dagster/row_count'] * 158} cells are equal bit for bit"


def in_every_store(line: SimpleNamespace) -> FactorValues:
    """Fill the tables and both of Feast's stores as the assets do; return the batch."""
    values = evaluate(alpha158().expressions, panel_of(line, BARS, CALENDAR))
    save_factors(line.tables, values, factor_hash=HASH)
    path = line.home / "feature_table" / "alpha158.parquet"
    write_feature_table(feast_table(values.frame(bar_mask(panel_of(line, BARS, CALENDAR)))), path)
    store = features.feature_store(line)
    store.apply()
    store.materialize_online(features.last_research_session(line, CALENDAR))
    return values


def parity(line: SimpleNamespace) -> dg.AssetCheckResult:
    check = features.feature_parity.node_def.compute_fn.decorated_fn
    return check(line, BARS, CALENDAR)


def test_batch_both_stores_and_the_newest_session_alone_give_the_same_bits(line: SimpleNamespace) -> None:
    values = in_every_store(line)
    found = parity(line)
    assert found.passed, found.description
    assert "equal in 4 ways" in found.description
    column = values.sessions.get_loc(pd.Timestamp(features.last_research_session(line, CALENDAR)))
    row = int(np.flatnonzero(np.isfinite(values.of("ROC5")[:, column]))[0])
    values.of("ROC5")[row, column] = np.nextafter(values.of("ROC5")[row, column], np.float32(np.inf))
    save_factors(line.tables, values, factor_hash=HASH)
    found = parity(line)
    assert not found.passed
    for way in ("Feast's offline store", "Feast's online store", "the newest session alone"):
        assert f"1 values of {way} differ from the batch's, first ROC5 of {values.symbols[row]}" in found.description


def test_a_store_of_another_session_is_refused_not_compared(line: SimpleNamespace) -> None:
    in_every_store(line)
    earlier = pd.Timestamp(CALENDAR["session_date"].iloc[100]).date()
    (line.home / "feast" / "online.db").unlink()
    store = features.feature_store(line)
    store.apply()
    store.materialize_online(earlier)
    with pytest.raises(LakeError, match="materialise"):
        parity(line)


def test_what_another_version_of_the_catalogue_left_is_refused_by_whoever_reads_it(line: SimpleNamespace) -> None:
    """The same names, another formula: a model trained on one would be signed for the other."""
    values = evaluate(alpha158().expressions, panel_of(line, BARS, CALENDAR))
    save_factors(line.tables, values, factor_hash=HASH)
    table = feast_table(values.frame(bar_mask(panel_of(line, BARS, CALENDAR))))
    write_feature_table(table, feature_table_path(line), catalogue_hash=HASH)
    assert load_factors(line).names == alpha158().names
    assert feature_table_of(line) == feature_table_path(line)
    line.catalogue = Catalogue("alpha158", alpha158().factors[::-1])
    for read in (load_factors, feature_table_of):
        with pytest.raises(LakeError, match=f"version {HASH[:12]}, the catalogue alpha158 is now .*daily_pipeline"):
            read(line)
    write_feature_table(table, feature_table_path(line))
    with pytest.raises(LakeError, match="an unknown version"):
        feature_table_of(line)


@pytest.mark.parametrize(("name", "read"), [("tables", load_factors), ("feature_table", feature_table_of)])
def test_features_that_were_never_made_are_said(line: SimpleNamespace, name: str, read) -> None:
    with pytest.raises(LakeError, match=f"{name}.* was never made: compute the factors again"):
        read(line)
