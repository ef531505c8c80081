"""Suspensions filled from the bar before them."""

import pandas as pd

from ljwx_pipeline.market.panel import Panel


def factors(panel: Panel) -> dict[str, pd.DataFrame]:
    """Return one factor, sessions by symbols."""
    close = pd.DataFrame(panel.fields["close"].T, index=panel.sessions, columns=list(panel.symbols))
    filled = close.ffill()
    return {"momentum_10": filled / filled.shift(10) - 1}
