"""The blocking checks of a feature set: what is stored is recomputed, and each kind of leak has a check of its own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from assets import features
from assets.panels import panel_of, save_factors
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.factors.alpha158 import alpha158
from tests.fakes.bars import random_bars

BARS = random_bars(symbols=12, sessions=160)
CALENDAR = pd.DataFrame({"session_date": sorted(BARS["session_date"].unique())})


@pytest.fixture
def line(tmp_path: Path) -> SimpleNamespace:
    source = SimpleNamespace(describe=lambda: SimpleNamespace(adjustment="raw"))
    research = SimpleNamespace(held_out_sessions=20)
    return SimpleNamespace(
        tables=tmp_path / "tables", home=tmp_path, source=lambda: source, settings=SimpleNamespace(research=research)
    )


def results(line: SimpleNamespace) -> dict[str, dg.AssetCheckResult]:
    context = SimpleNamespace(selected_asset_check_keys=features.leak_checks.check_keys)
    check = features.leak_checks.node_def.compute_fn.decorated_fn
    return {found.check_name: found for found in check(context, line, BARS, CALENDAR)}


def test_honest_factors_pass_every_check(line: SimpleNamespace) -> None:
    save_factors(line.tables, evaluate(alpha158().expressions, panel_of(line, BARS, CALENDAR)))
    found = results(line)
    assert set(found) == set(features.LEAK_CHECKS)
    assert all(result.passed for result in found.values())


def test_a_stored_value_that_its_own_past_does_not_give_blocks_with_its_evidence(line: SimpleNamespace) -> None:
    values = evaluate(alpha158().expressions, panel_of(line, BARS, CALENDAR))
    values.of("KMID")[:, :-1] = values.of("KMID")[:, 1:].copy()
    save_factors(line.tables, values)
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
    save_factors(line.tables, evaluate(alpha158().expressions, panel_of(line, BARS, CALENDAR)))
    features.feature_table(line, BARS, CALENDAR)
    features.feast_offline_store(line)
    filled = features.feast_online_store(line, CALENDAR).metadata
    assert filled["dagster/row_count"] == filled["rows_written"] > 0
    assert filled["late_and_not_served"] == "none"
    result = features.feast_online_parity(line, CALENDAR)
    assert result.passed
    assert result.description == f"{filled['dagster/row_count'] * 158} cells are equal bit for bit"
