"""Suspicion: what no honest factor reaches is named, and what one may reach is not."""

from __future__ import annotations

import numpy as np
import pytest

from ljwx_pipeline.factors.leaks.suspicion import too_good
from ljwx_pipeline.label import forward_returns
from tests.fakes.panels import random_panel


@pytest.mark.parametrize(("share", "suspected"), [(0.05, False), (0.15, False), (1.0, True)])
def test_only_a_rank_ic_beyond_belief_is_suspected(share: float, suspected: bool) -> None:
    panel = random_panel(symbols=80, sessions=250, suspended=0.0)
    close = panel.fields["close"]
    future = forward_returns(close, entry=1, horizon=5)
    noise = np.random.default_rng(3).normal(0, np.nanstd(future), future.shape)
    found = too_good({"X": share * future + noise, "NOISE": noise}, close, panel.sessions)
    assert [finding.factor for finding in found] == (["X"] if suspected else [])


def test_a_narrow_or_short_panel_raises_no_suspicion() -> None:
    panel = random_panel(symbols=4, sessions=200, suspended=0.0)
    close = panel.fields["close"]
    assert too_good({"X": forward_returns(close, entry=0, horizon=1)}, close, panel.sessions) == []
