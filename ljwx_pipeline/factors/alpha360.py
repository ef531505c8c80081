"""The 360 factors of qlib's Alpha360, by their names and in their order: 60 sessions of six fields as they are.

Source: microsoft/qlib 0.9.7, ``Alpha360DL.get_feature_config``. Prices are over the latest close, volumes over the
latest volume, the oldest session first. A session without a bar is NaN, and so is every factor of a session whose own
close or volume is unknown.
"""

from __future__ import annotations

from ljwx_pipeline.expressions.operators import field, ref
from ljwx_pipeline.factors.catalogue import Catalogue, Factor, catalogue

SESSIONS = 60
PRICES = ("close", "open", "high", "low", "vwap")
#: Added to the volume divided by, as in qlib.
TINY = 1e-12
SOURCE = "qlib 0.9.7, Alpha360"


def alpha360() -> Catalogue:
    """Return the catalogue: close, open, high, low, vwap and volume, each of 59 sessions ago up to now."""
    lags = range(SESSIONS - 1, -1, -1)
    prices = [_price(name, lag) for name in PRICES for lag in lags]
    return catalogue("alpha360", [*prices, *(_volume(lag) for lag in lags)], max_window=SESSIONS)


def _price(name: str, lag: int) -> Factor:
    expression = ref(field(name), lag) / field("close")
    return Factor(f"{name.upper()}{lag}", expression, f"{name} {_ago(lag)} over the close", SOURCE, "fraction")


def _volume(lag: int) -> Factor:
    expression = ref(field("volume"), lag) / (field("volume") + TINY)
    return Factor(f"VOLUME{lag}", expression, f"volume {_ago(lag)} over the volume", SOURCE, "fraction")


def _ago(lag: int) -> str:
    return f"{lag} sessions ago" if lag else "now"
