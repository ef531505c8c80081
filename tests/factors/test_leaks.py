"""Leak checks: honest factors pass, each classical leak is caught."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.factors.alpha158 import alpha158
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


def test_a_large_catalogue_check_samples_symbols_evenly() -> None:
    report = check_leaks(alpha158(), random_panel(symbols=90, sessions=70), cuts=(65,))
    assert report.passed
