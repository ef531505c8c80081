"""Alpha360: names, order and values beside plain slices of the panel."""

from __future__ import annotations

import numpy as np

from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.factors.alpha360 import alpha360
from tests.fakes.panels import random_panel


def test_names_and_their_order_are_qlibs() -> None:
    names = [f"{name}{lag}" for name in ("CLOSE", "OPEN", "HIGH", "LOW", "VWAP", "VOLUME") for lag in range(59, -1, -1)]
    assert list(alpha360().names) == names
    assert len(names) == 360


def test_every_factor_is_a_session_of_the_panel_over_the_latest_close_or_volume() -> None:
    panel = random_panel(symbols=3, sessions=90)
    values = evaluate(alpha360().expressions, panel)
    at = 80
    for position, name in enumerate(values.names):
        field, lag = name.rstrip("0123456789").lower(), 59 - position % 60
        divisor = panel.fields["volume" if field == "volume" else "close"][:, at]
        np.testing.assert_allclose(values.of(name)[:, at], panel.fields[field][:, at - lag] / divisor, rtol=1e-6)


def test_the_latest_close_and_volume_are_one_and_before_the_first_session_there_is_nothing() -> None:
    values = evaluate(alpha360().expressions, random_panel(symbols=3, sessions=90, suspended=0.0))
    for name in ("CLOSE0", "VOLUME0"):
        assert set(np.unique(values.of(name)[1])) == {np.float32(1)}
    assert np.isnan(values.of("LOW59")[1, :59]).all()
    assert np.isfinite(values.of("LOW59")[1, 59:]).all()
