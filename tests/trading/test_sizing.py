"""Money management by hand: every rule on returns that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ljwx_pipeline.config import Settings, SizingSettings
from ljwx_pipeline.trading.sizing import FIXED_FRACTION, KELLY, VOLATILITY_TARGET, SizingParams, exposure_bps

CAPITAL = 100_000_000


@pytest.fixture
def sizing(settings: Settings) -> SizingSettings:
    """Ten sessions, no floor."""
    return settings.strategy.sizing.model_copy(update={"window_sessions": 10, "min_exposure_frac": 0.0})


def chosen(sizing: SizingSettings, **over: object) -> np.ndarray:
    return SizingParams.of(sizing.model_copy(update=over)).as_array()


def account(returns: list[float], invested: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Equity and cash of an account of which ``invested`` earns ``returns``, fen."""
    equity = CAPITAL * np.cumprod([1.0, *(1 + invested * r for r in returns)])
    return equity.round().astype(np.int64), (equity * (1 - invested)).round().astype(np.int64)


ALTERNATING = [0.03, -0.01] * 30  # mean 1 %, sample variance of ten: 10/9 * 4e-4


def test_everything_is_invested_as_shipped(settings: Settings) -> None:
    shipped = SizingParams.of(settings.strategy.sizing)
    assert not shipped.active
    assert exposure_bps(*account(ALTERNATING), shipped.as_array()) == 10_000


def test_a_fixed_fraction_is_always_the_same(sizing: SizingSettings) -> None:
    params = chosen(sizing, kind="fixed_fraction", fraction=0.6)
    assert exposure_bps(*account([]), params) == exposure_bps(*account(ALTERNATING), params) == 6_000


def test_volatility_target_is_target_over_volatility(sizing: SizingSettings) -> None:
    params = chosen(sizing, kind="volatility_target", target_annual_volatility=0.15)
    # sqrt(4e-4 * 10 / 9 * 252) = 33.466 % a year: 0.15 / 0.33466
    assert exposure_bps(*account(ALTERNATING), params) == 4_482


def test_volatility_is_that_of_the_strategy_and_not_of_the_half_invested_account(sizing: SizingSettings) -> None:
    params = chosen(sizing, kind="volatility_target", target_annual_volatility=0.15)
    halved = exposure_bps(*account(ALTERNATING, invested=0.5), params)
    assert halved == pytest.approx(4_482, abs=1)


def test_kelly_is_mean_over_variance(sizing: SizingSettings) -> None:
    # 0.01 / 4.444e-4 = 22.5, clipped to 1; a hundredth of it is 0.225
    assert exposure_bps(*account(ALTERNATING), chosen(sizing, kind="kelly", kelly_fraction=1.0)) == 10_000
    assert exposure_bps(*account(ALTERNATING), chosen(sizing, kind="kelly", kelly_fraction=0.01)) == 2_250


def test_kelly_of_a_losing_strategy_is_the_least_exposure(sizing: SizingSettings) -> None:
    losing = account([-0.03, 0.01] * 10)
    assert exposure_bps(*losing, chosen(sizing, kind="kelly")) == 0
    assert exposure_bps(*losing, chosen(sizing, kind="kelly", min_exposure_frac=0.1)) == 1_000


def test_newer_returns_weigh_more_with_a_half_life(sizing: SizingSettings) -> None:
    calm_now = account([0.05, -0.05] * 3 + [0.001, -0.001] * 2)
    plain = exposure_bps(*calm_now, chosen(sizing, kind="volatility_target"))
    newest = exposure_bps(*calm_now, chosen(sizing, kind="volatility_target", half_life_sessions=1.0))
    assert newest > plain
    # halving weights: mean and variance with numpy
    returns = np.array(([0.05, -0.05] * 3 + [0.001, -0.001] * 2)[::-1])
    weights = 0.5 ** np.arange(10)
    mean = np.average(returns, weights=weights)
    variance = (weights * (returns - mean) ** 2).sum() / (weights.sum() - (weights**2).sum() / weights.sum())
    assert newest == pytest.approx(1e4 * 0.15 / np.sqrt(252 * variance), abs=1)


@pytest.mark.parametrize("kind", ["volatility_target", "kelly"])
def test_until_the_window_is_full_the_fraction_holds(sizing: SizingSettings, kind: str) -> None:
    params = chosen(sizing, kind=kind, fraction=0.7)
    assert exposure_bps(*account(ALTERNATING[:9]), params) == 7_000
    assert exposure_bps(*account(ALTERNATING[:10]), params) != 7_000


def test_sessions_that_began_without_holdings_say_nothing(sizing: SizingSettings) -> None:
    params = chosen(sizing, kind="volatility_target")
    equity, cash = account(ALTERNATING)
    idle = np.full(5, equity[-1])
    # five sessions in cash after the last sale
    assert exposure_bps(np.r_[equity, idle], np.r_[cash, idle], params) == exposure_bps(
        np.r_[equity, equity[-1]], np.r_[cash, equity[-1]], params
    )


def test_a_strategy_that_never_moves_is_fully_invested(sizing: SizingSettings) -> None:
    assert exposure_bps(*account([0.0] * 20), chosen(sizing, kind="volatility_target")) == 10_000


def test_only_the_window_counts(sizing: SizingSettings) -> None:
    params = chosen(sizing, kind="volatility_target")
    old_storm = account([0.2, -0.2] * 10 + ALTERNATING[:10])
    assert exposure_bps(*old_storm, params) == 4_482


@given(
    equity=st.lists(st.integers(0, 10**12), min_size=1, max_size=40),
    held=st.floats(0, 1),
    kind=st.sampled_from([FIXED_FRACTION, VOLATILITY_TARGET, KELLY]),
    least=st.integers(0, 5_000),
    decay=st.integers(1, 10**8),
)
def test_exposure_stays_between_the_floor_and_one(
    equity: list[int], held: float, kind: int, least: int, decay: int
) -> None:
    params = SizingParams(kind, 6_000, 1_500, 5_000, 10, decay, least).as_array()
    history = np.array(equity, dtype=np.int64)
    cash = (history * (1 - held)).astype(np.int64)
    got = exposure_bps(history, cash, params)
    assert least <= got <= 10_000
    assert got == exposure_bps.py_func(history, cash, params)
