"""Leak checks of expressions and of functions of a panel: honest factors pass, each classical leak is caught."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.expressions.nodes import Expr, Rolling
from ljwx_pipeline.expressions.operators import field, mean, ref
from ljwx_pipeline.factors.alpha158 import alpha158
from ljwx_pipeline.factors.catalogue import Catalogue, Factor, catalogue
from ljwx_pipeline.factors.leaks import check_leaks, lookahead_check, warm_up_check
from ljwx_pipeline.market.panel import Panel
from tests.fakes.panels import random_panel


@pytest.fixture(scope="module")
def panel() -> Panel:
    return random_panel(symbols=5, sessions=160, suspended=0.02)


def closes(panel: Panel) -> pd.DataFrame:
    return pd.DataFrame(panel.fields["close"].T)


def next_return(panel: Panel) -> Mapping[str, np.ndarray]:
    close = closes(panel)
    return {"NEXT": (close.shift(-1) / close - 1).to_numpy().T}


def centred_mean(panel: Panel) -> Mapping[str, np.ndarray]:
    return {"CENTRED": closes(panel).rolling(5, center=True, min_periods=1).mean().to_numpy().T}


def full_sample_zscore(panel: Panel) -> Mapping[str, np.ndarray]:
    close = closes(panel)
    return {"ZSCORE": ((close - close.mean()) / close.std()).to_numpy().T}


def back_filled(panel: Panel) -> Mapping[str, np.ndarray]:
    return {"FILLED": closes(panel).bfill().to_numpy().T}


def honest_reversal(panel: Panel) -> Mapping[str, np.ndarray]:
    close = closes(panel)
    return {"REVERSAL": (1 - close / close.shift(5)).to_numpy().T}


def expanding_mean(panel: Panel) -> Mapping[str, np.ndarray]:
    return {"EXPANDING": closes(panel).expanding().mean().to_numpy().T}


def test_the_catalogue_passes_both_checks(panel: Panel) -> None:
    report = check_leaks(alpha158(), panel)
    assert report.passed
    assert len(report.cuts) == 3


@pytest.mark.parametrize("leak", [next_return, centred_mean, full_sample_zscore, back_filled])
def test_each_leak_is_caught_and_named(leak, panel: Panel) -> None:
    gap = next(cut for cut in range(60, 150) if np.isnan(panel.fields["close"][:, cut - 1]).any())
    report = lookahead_check(leak, panel, cuts=(gap,))
    assert not report.passed
    (finding,) = report.findings
    assert finding.kind == "look-ahead"
    assert finding.factor in leak(panel)
    at = panel.symbols.index(finding.symbol), panel.sessions.get_loc(pd.Timestamp(finding.session))
    np.testing.assert_equal(leak(panel)[finding.factor][at], finding.before)
    np.testing.assert_equal(leak(panel.sessions_slice(0, gap))[finding.factor][at], finding.after)
    assert finding.factor in str(finding)
    assert finding.symbol in str(finding)


def test_the_first_leaking_cell_of_a_shift_is_the_last_session_before_the_cut(panel: Panel) -> None:
    (finding,) = lookahead_check(next_return, panel, cuts=(100,)).findings
    assert finding.session == panel.sessions[99].date()
    assert finding.cells <= len(panel.symbols)


def test_an_honest_function_passes_both_checks(panel: Panel) -> None:
    assert lookahead_check(honest_reversal, panel).passed
    assert warm_up_check(honest_reversal, panel, window=6).passed


def test_a_factor_that_needs_more_history_than_declared_is_caught(panel: Panel) -> None:
    assert not warm_up_check(honest_reversal, panel, window=5).passed
    report = warm_up_check(expanding_mean, panel, window=60)
    assert [finding.kind for finding in report.findings] == ["warm-up"]


def test_a_function_without_a_window_cannot_be_checked_for_warm_up(panel: Panel) -> None:
    with pytest.raises(FactorError, match="window is unknown"):
        warm_up_check(honest_reversal, panel)


@pytest.mark.parametrize("cut", [0, 160, -1])
def test_a_cut_that_compares_nothing_is_refused(cut: int, panel: Panel) -> None:
    with pytest.raises(FactorError, match=f"session {cut} of 160"):
        lookahead_check(honest_reversal, panel, cuts=(cut,))


def declared(**expressions: Expr) -> tuple[Factor, ...]:
    return tuple(Factor(name, expression, "as named", "own", "mixed") for name, expression in expressions.items())


def unsafe(**expressions: Expr) -> Catalogue:
    """Return a catalogue past the door that refuses what looks ahead."""
    return Catalogue("unsafe", declared(**expressions))


def test_every_symbol_is_looked_at() -> None:
    panel = random_panel(symbols=45, sessions=90, suspended=0.0)
    close = panel.fields["close"]
    close[:-1, 80:] = np.nan  # one symbol alone has a future to look at
    close[-1, 40:] = np.arange(50) + 5.0
    report = check_leaks(unsafe(AHEAD=ref(field("close"), -1)), panel, cuts=(85,))
    assert [finding.symbol for finding in report.of("look-ahead")] == [panel.symbols[-1]]


def test_an_expression_that_looks_ahead_is_named_with_its_cell(panel: Panel) -> None:
    factors = unsafe(HONEST=field("close") / ref(field("close"), 3), AHEAD=ref(field("close"), -2))
    report = check_leaks(factors, panel, cuts=(100,))
    assert {(finding.kind, finding.factor) for finding in report.findings} == {("look-ahead", "AHEAD")}
    (finding,) = report.findings
    assert finding.cut == panel.sessions[100].date()
    assert panel.sessions[98].date() <= finding.session <= panel.sessions[99].date()


def test_an_expression_that_declares_too_little_history_is_caught_by_its_own_window(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    factors = unsafe(LONG=mean(field("close"), 30), SHORT=mean(field("close"), 5))
    declared = {5: 4, 30: 30}
    monkeypatch.setattr(Rolling, "span", property(lambda self: (1 - declared[self.over], 0)))
    report = check_leaks(factors, panel)
    assert {(finding.kind, finding.factor) for finding in report.findings} == {("warm-up", "SHORT")}


def test_levels_of_rebased_prices_are_refused_and_their_quotients_are_not(panel: Panel) -> None:
    factors = catalogue("mine", declared(LEVEL=field("close"), RETURN=field("close") / ref(field("close"), 5) - 1))
    assert check_leaks(factors, panel).passed
    report = check_leaks(factors, panel, rebased=True)
    assert {(finding.kind, finding.factor) for finding in report.findings} == {("restatement", "LEVEL")}


def test_alpha158_stands_on_rebased_prices_too(panel: Panel) -> None:
    assert check_leaks(alpha158(), panel, rebased=True).passed


def test_stored_values_are_what_is_checked(panel: Panel) -> None:
    factors = catalogue("mine", declared(RETURN=field("close") / ref(field("close"), 5) - 1))
    stored = evaluate(factors.expressions, panel)
    assert check_leaks(factors, panel, values=stored).passed
    cut = int(len(panel.sessions) * 0.5)
    values = stored.of("RETURN")
    symbol = int(np.flatnonzero(~np.isnan(values[:, cut - 1]))[0])
    values[symbol, cut - 1] += 1  # a view of what is stored
    report = check_leaks(factors, panel, values=stored)
    assert [(finding.symbol, finding.session) for finding in report.findings][:1] == [
        (panel.symbols[symbol], panel.sessions[cut - 1].date())
    ]


def test_values_of_another_panel_are_refused(panel: Panel) -> None:
    factors = catalogue("mine", declared(CLOSE=field("close")))
    with pytest.raises(FactorError, match="other factors, symbols or sessions"):
        check_leaks(factors, panel, values=evaluate(factors.expressions, panel.sessions_slice(0, 100)))


def test_a_stored_column_that_foretells_too_well_is_not_believed() -> None:
    panel = random_panel(symbols=30, sessions=160, suspended=0.0)
    told = np.full_like(panel.fields["close"], np.nan)
    told[:, :-1] = panel.fields["close"][:, 1:] / panel.fields["close"][:, :-1]
    report = check_leaks(unsafe(TOLD=field("told")), panel.with_fields({"told": told}), cuts=(80,))
    assert [finding.kind for finding in report.findings] == ["too-good"]
    assert report.findings[0].before > 0.99
