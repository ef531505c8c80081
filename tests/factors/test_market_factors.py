"""Factors over prices, values, limits, spells and industries of a simulated market: nothing of later days in them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.expressions import operators as op
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.factors.alpha101 import alpha101
from ljwx_pipeline.factors.ashare import ashare
from ljwx_pipeline.factors.catalogue import Catalogue, Factor, catalogue
from ljwx_pipeline.factors.leaks import check_leaks
from ljwx_pipeline.market.panel import Panel
from tests.fakes.market_panels import market_panel, market_tables, whole_panel

CLOSE = op.field("close")
CHANGE = CLOSE / op.ref(CLOSE, 1) - 1
MARKET = op.field("index_close") / op.ref(op.field("index_close"), 1) - 1


def market_catalogue() -> Catalogue:
    size, industry = op.log(op.field("market_value_cny")), op.field("industry")
    expressions = {
        "NEUTRAL_REVERSAL": op.neutralise(op.winsorise(-op.mean(CHANGE, 5)), size, by=industry),
        "IVOL": op.cs_rank(op.resid_std(CHANGE, MARKET, 20)),
        "LIMIT_STREAK": op.streak(op.field("limit_up"), 10),
        "SINCE_LIMIT": op.sessions_since(op.field("limit_up") | op.field("limit_down"), 40),
        "INDUSTRY_MOMENTUM": op.group_mean(CLOSE / op.ref(CLOSE, 20) - 1, industry),
        "AGE": op.log(op.field("listed_sessions") + 1),
        "SUSPENDED": op.count(op.fill(op.field("is_suspended"), 0), 60),
        "CALM": op.where(op.field("is_st"), 0, op.cs_zscore(op.ema(op.absolute(CHANGE), 15))),
    }
    made = [Factor(name, expression, "as named", "own", "mixed") for name, expression in expressions.items()]
    return catalogue("market", made, max_window=70)


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return market_tables(60, date(2020, 1, 2), date(2020, 12, 31))


def known_on(table: pd.DataFrame, last: pd.Timestamp) -> pd.DataFrame:
    """The rows that could be known on ``last``: later ones are gone, and no end of a range is known before it came."""
    for column in ("session_date", "start_date", "list_date"):
        if column in table:
            table = table[~(table[column] > last)]
    if "end_date" in table:
        table = table.assign(end_date=table["end_date"].where(table["end_date"] <= last))
    return table


def bits(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32)


@pytest.fixture(scope="module")
def panel(tables: dict[str, pd.DataFrame]) -> Panel:
    return whole_panel(tables)


def test_every_factor_is_known_on_most_bars(panel: Panel) -> None:
    values = evaluate(market_catalogue().expressions, panel)
    bars = ~np.isnan(panel.fields["close"])
    bars[:, :60] = False
    share = {name: np.isfinite(values.of(name)[bars]).mean() for name in values.names}
    assert min(share[name] for name in share if name != "SINCE_LIMIT") > 0.7, share
    assert share["SINCE_LIMIT"] > 0.1
    assert values.of("LIMIT_STREAK")[bars].max() >= 2


def test_no_factor_looks_ahead_or_needs_more_than_its_window(panel: Panel) -> None:
    report = check_leaks(market_catalogue(), panel)
    assert report.passed, report.findings


@pytest.mark.parametrize("made", [market_catalogue, ashare, alpha101], ids=lambda made: made.__name__)
@pytest.mark.parametrize("cut", [100, 170, 240])
def test_rows_that_came_later_change_no_bit_of_what_was_computed_before(
    cut: int, made: Callable[[], Catalogue], tables: dict[str, pd.DataFrame], panel: Panel
) -> None:
    sessions = panel.sessions[:cut]
    then = market_panel({name: known_on(t, sessions[-1]) for name, t in tables.items()}, panel.symbols, sessions)
    expressions = made().expressions
    earlier, now = evaluate(expressions, then), evaluate(expressions, panel)
    for name in expressions:
        np.testing.assert_array_equal(bits(earlier.of(name)), bits(now.of(name)[:, :cut]), err_msg=name)
