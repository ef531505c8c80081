"""The 101 formulaic alphas: every value beside an independent numpy oracle, and which follow the level of prices."""

from __future__ import annotations

import numpy as np
import pytest

from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.factors.alpha101 import LEVEL_FREE, alpha101
from ljwx_pipeline.market.panel import Panel
from tests.factors.reference_alpha101 import alpha101_reference
from tests.fakes.panels import random_panel

INPUTS = {
    "market_value_cny": {56},
    "industry": {48, 58, 59, 63, 67, 69, 70, 76, 79, 80, 82, 87, 89, 90, 91, 93, 97, 100},
}
PRICES = ("open", "high", "low", "close", "vwap")


def market(symbols: int = 15, sessions: int = 320, *, seed: int = 101) -> Panel:
    """A panel with suspensions, a universe and industries that change, an industry of one and a late listing."""
    panel = random_panel(symbols=symbols, sessions=sessions, seed=seed, suspended=0.03)
    rng = np.random.default_rng(seed)
    shape = symbols, sessions
    industry = rng.integers(0, 4, (symbols, 1)) + (rng.random(shape) < 0.01) * 1.0
    industry[1] = 77.0
    industry[rng.random(shape) < 0.01] = np.nan
    return panel.with_fields(
        {
            "industry": industry,
            "in_universe": (rng.random(shape) < 0.9).astype(float),
            "market_value_cny": panel.fields["close"] * np.exp(rng.normal(20, 1, (symbols, 1))),
        }
    )


@pytest.fixture(scope="module")
def panel() -> Panel:
    return market()


@pytest.fixture(scope="module")
def ours(panel: Panel):
    return evaluate(alpha101().expressions, panel)


@pytest.fixture(scope="module")
def reference(panel: Panel) -> dict[int, np.ndarray]:
    return alpha101_reference(panel)


def test_all_of_the_paper_are_there_in_its_order() -> None:
    assert alpha101().names == tuple(f"ALPHA{number:03d}" for number in range(1, 102))


@pytest.mark.parametrize("number", range(1, 102))
def test_every_alpha_equals_the_numpy_oracle_and_is_unknown_where_it_is(number: int, panel, ours, reference) -> None:
    got, want = ours.of(f"ALPHA{number:03d}"), reference[number]
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-9)
    late = want[:, 260:]
    assert np.isfinite(late).mean() > 0.5
    assert len(np.unique(late[np.isfinite(late)])) > 1


def test_the_alphas_that_do_not_follow_the_level_of_adjusted_prices_are_those_named(panel: Panel, ours) -> None:
    # powers of two: a rescaled computation rounds as the first one did, so that only a dependence differs
    factor = 2.0 ** np.random.default_rng(3).integers(-3, 4, (len(panel.symbols), 1))
    rescaled = {name: panel.fields[name] * factor for name in PRICES} | {"volume": panel.fields["volume"] / factor}
    again = evaluate(alpha101().expressions, panel.with_fields(rescaled))
    unmoved = {
        number
        for number, name in enumerate(alpha101().names, 1)
        if np.allclose(again.of(name), ours.of(name), rtol=1e-4, atol=1e-9, equal_nan=True)
    }
    assert unmoved == LEVEL_FREE


def test_the_alphas_read_what_the_page_says_they_read() -> None:
    reads = {name: {int(f.name[5:]) for f in alpha101().factors if name in f.expression.inputs} for name in INPUTS}
    assert reads == INPUTS
    assert alpha101().inputs == {*PRICES, "volume", "amount_cny", *INPUTS}
    assert alpha101().window == 252
