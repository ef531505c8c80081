"""What prediction intervals are made of beside the scores: returns, outcomes and industries, by session.

The one place for it; research, the daily job and the runner ask here, so that an interval is the same wherever it is
issued. Not here: the intervals (``ljwx_pipeline.uncertainty``), who may be scored (``universe.py``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.config import LabelSettings, UncertaintySettings
from ljwx_pipeline.dataset.groups import industry_codes
from ljwx_pipeline.dataset.table import enterable_rows
from ljwx_pipeline.label import forward_returns
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.uncertainty.carried import CarriedIntervals, ScaleParams, SessionArrays
from ljwx_pipeline.uncertainty.scale import MOST_GAP_SESSIONS, daily_returns
from ljwx_pipeline.uncertainty.state import IntervalParams


def begun_intervals(
    settings: UncertaintySettings, label: LabelSettings, symbols: tuple[str, ...], *, industries: bool
) -> CarriedIntervals:
    """Return the intervals before the first session, as ``settings`` want them, of the outcome that ``label`` names."""
    reach = label.entry_lag_sessions + label.horizon_sessions
    scales = ScaleParams(label.horizon_sessions, settings.min_daily_volatility_frac, settings.least_returns)
    params = IntervalParams.of(settings, reach_sessions=reach)
    return CarriedIntervals.begin(params, scales, symbols, industries=industries)


def sessions_needed(carried: CarriedIntervals) -> int:
    """Return how many sessions, the last that ``carried`` knows among them, going on has to look back."""
    return max(MOST_GAP_SESSIONS, carried.state.params.reach_sessions) + 1


def interval_arrays(
    carried: CarriedIntervals,
    panel: Panel,
    scores: NDArray[np.float64],
    can_buy: NDArray[np.bool_],
    industries: pd.DataFrame | None,
) -> SessionArrays:
    """Return what ``uncertainty.carried.walked_on`` reads, on the axes of ``panel``.

    The outcome is that of the label that ``carried`` was begun with; one that could not be entered is none.

    Parameters
    ----------
    panel
        With field ``close``, adjusted. Where it does not begin with the first session ever, it holds
        ``sessions_needed`` up to the last that ``carried`` knows.
    scores
        NaN for whoever may not be scored.
    can_buy
        ``MarketArrays.can_buy``.
    industries
        The canonical table; read where ``carried`` has industries as groups.
    """
    horizon = carried.scales.horizon
    entry = carried.state.params.reach_sessions - horizon
    label = LabelSettings(entry_lag_sessions=entry, horizon_sessions=horizon)
    close = panel.fields["close"]
    codes = None
    if carried.by_industry and industries is not None and len(industries):
        codes = industry_codes(industries, panel.symbols, panel.sessions)[0]
    return SessionArrays(
        panel.symbols,
        panel.sessions,
        scores,
        daily_returns(close),
        np.where(enterable_rows(can_buy, label), forward_returns(close, entry=entry, horizon=horizon), np.nan),
        codes,
    )
