"""What holds for every shipped catalogue: its version, no look-ahead, exact warm-up, the same bits in any company."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.expressions.fields import FIELDS
from ljwx_pipeline.factors.catalogues import CATALOGUES, open_catalogue
from ljwx_pipeline.factors.leaks import check_leaks
from ljwx_pipeline.market.panel import Panel
from tests.fakes.market_panels import market_tables, whole_panel

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "factors.md"
PRICES = {"open", "high", "low", "close", "vwap", "volume"}
RAW = {"raw_open_cny", "raw_high_cny", "raw_low_cny", "raw_close_cny", "pre_close_cny"}
#: Factors, sessions and fields of each; another hash is another factor version: bundles trained before are refused.
DECLARED = {
    "alpha158": (158, 61, PRICES, "7579208e05876301"),
    "alpha360": (360, 60, PRICES, "439bf7678fa11972"),
    "alpha101": (101, 252, PRICES | {"amount_cny", "market_value_cny", "industry"}, "e059c0ffa8cb6b2a"),
    "ashare": (
        42,
        251,
        RAW
        | {"limit_up", "limit_down", "limit_up_price_cny", "limit_down_price_cny", "amount_cny", "market_value_cny"}
        | {"is_st", "is_suspended", "listed_sessions", "industry", "index_close"},
        "ae80d4938f096b40",
    ),
}


@pytest.fixture(scope="module")
def panel() -> Panel:
    return whole_panel(market_tables(40, date(2020, 1, 2), date(2021, 6, 30)))


def bits(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32)


def test_every_shipped_catalogue_is_declared_here() -> None:
    assert DECLARED.keys() == CATALOGUES.keys()


@pytest.mark.parametrize("name", CATALOGUES)
def test_factors_window_fields_and_version_are_as_declared(name: str) -> None:
    catalogue = open_catalogue(name)
    factors, window, inputs, version = DECLARED[name]
    assert (len(catalogue.factors), catalogue.window, catalogue.inputs) == (factors, window, inputs)
    assert catalogue.version_hash[:16] == version
    # no table tells these today
    assert not catalogue.inputs & {"turnover_frac", "float_market_value_cny"}
    assert catalogue.inputs <= FIELDS.keys()


@pytest.mark.parametrize("name", CATALOGUES)
def test_every_factor_says_what_it_means_where_it_is_from_and_in_what_unit(name: str) -> None:
    factors = open_catalogue(name).factors
    assert all(len(factor.meaning) > 3 and "{" not in factor.meaning for factor in factors)
    meanings = [factor.meaning for factor in factors]
    assert len(set(meanings)) == len(meanings)


@pytest.mark.parametrize("name", CATALOGUES)
def test_no_factor_looks_ahead_or_needs_more_than_its_window(name: str, panel: Panel) -> None:
    report = check_leaks(open_catalogue(name), panel)
    assert report.passed, report.findings


@pytest.mark.parametrize("name", CATALOGUES)
def test_values_are_finite_or_unknown_and_known_where_they_should_be(name: str, panel: Panel) -> None:
    values = evaluate(open_catalogue(name).expressions, panel)
    bars = ~np.isnan(panel.fields["close"]) & (panel.fields["in_universe"] == 1)
    bars[:, :260] = False
    known = {each: float(np.isfinite(values.of(each)[bars]).mean()) for each in values.names}
    assert not np.isinf(values.values).any()
    rare = {"SINCE_UP60", "SINCE_DOWN60", "OPENED_SHARE20", "SINCE_ST_CHANGE250"}
    assert min(share for each, share in known.items() if each not in rare) > 0.6, known
    assert all(known[each] > 0 for each in rare & known.keys())


@pytest.mark.parametrize("name", CATALOGUES)
def test_the_bits_follow_neither_threads_nor_who_stands_outside_the_universe(name: str, panel: Panel) -> None:
    expressions = open_catalogue(name).expressions
    alone = evaluate(expressions, panel)
    outsiders = {field: values[:7] * (0.0 if field == "in_universe" else 1.0) for field, values in panel.fields.items()}
    company = Panel(
        (*panel.symbols, *(f"{row}.OUT" for row in range(7))),
        panel.sessions,
        {field: np.concatenate([values, outsiders[field]]) for field, values in panel.fields.items()},
    )
    together = evaluate(expressions, company, 2)
    for each in expressions:
        np.testing.assert_array_equal(bits(alone.of(each)), bits(together.of(each)[: len(panel.symbols)]), err_msg=each)


def test_the_page_lists_the_catalogues_as_the_code_has_them() -> None:
    rows = PAGE.read_text(encoding="utf-8").split("<!-- catalogues -->")[1].split("<!-- /catalogues -->")[0]
    told = [line.rsplit("|", 2)[0] for line in rows.strip().splitlines()[2:]]
    for line, name in zip(told, CATALOGUES, strict=True):
        made = open_catalogue(name)
        fields = ", ".join(f"`{field}`" for field in sorted(made.inputs))
        assert line == f"| `{name}` | {len(made.factors)} | {made.window} | {fields} "
