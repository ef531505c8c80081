"""The market as research may see it: sessions without the held-out ones, adjusted panel, universe, usual amounts.

Not here: reading the tables (the commands and the assets), the panel itself (``dataset/inputs.py``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.config import Settings
from ljwx_pipeline.dataset import MarketTables, input_panel, sessions_for_research
from ljwx_pipeline.errors import DatasetError
from ljwx_pipeline.expressions import operators as op
from ljwx_pipeline.expressions.evaluate import MEMBERSHIP, evaluate
from ljwx_pipeline.market.panel import Panel

#: Sessions over which a name's usual amount is taken.
AMOUNT_WINDOW_SESSIONS = 20


@dataclass(frozen=True)
class ResearchMarket:
    """What factors are computed from and held against.

    Parameters
    ----------
    panel
        Adjusted prices of the research sessions, the further fields asked for, and the universe as ``in_universe``:
        cross-sections are those of its members.
    universe
        bool, shape ``(n_symbols, n_sessions)``: who may be scored, by what was known at that session's close.
    mean_amount_cny
        Same shape: mean amount of the last 20 sessions traded, this one included.
    """

    panel: Panel
    universe: NDArray[np.bool_]
    mean_amount_cny: NDArray[np.float64]


def research_market(
    tables: MarketTables, sessions: pd.DatetimeIndex, settings: Settings, reads: Collection[str] = ()
) -> ResearchMarket:
    """Return the market over ``sessions`` less the held-out ones at their end, which nothing here may read.

    Parameters
    ----------
    reads
        Fields that factors read; those beyond adjusted prices are made of the tables, as far as these know them.

    Raises
    ------
    DatasetError
        When no bar or no session is left.
    """
    seen = sessions_for_research(sessions, settings.research.held_out_sessions)
    bars = tables.bars[tables.bars["session_date"].isin(seen)]
    if bars.empty:
        raise DatasetError("no bar lies in the research sessions", "run `ljwx run` or `ljwx backfill` first")
    panel = input_panel(
        tables,
        symbols=tuple(sorted(bars["symbol"].unique())),
        sessions=seen,
        reads={*reads, MEMBERSHIP},
        universe=settings.universe,
        benchmark=settings.gate.benchmark,
    )
    usual = evaluate({"amount": op.mean(op.field("amount_cny"), AMOUNT_WINDOW_SESSIONS)}, panel, dtype=np.float64)
    universe = panel.fields[MEMBERSHIP] == 1
    return ResearchMarket(panel, universe, np.asarray(usual.of("amount"), dtype=np.float64))
