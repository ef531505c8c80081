"""The market as research may see it: sessions without the held-out ones, adjusted panel, universe, usual amounts.

Not here: reading the tables (the commands and the assets), who may be scored (``dataset/universe.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.config import Settings
from ljwx_pipeline.dataset import scorable_mask, sessions_for_research
from ljwx_pipeline.errors import DatasetError
from ljwx_pipeline.expressions import operators as op
from ljwx_pipeline.expressions.evaluate import MEMBERSHIP, evaluate
from ljwx_pipeline.market.adjustment import factor_panel
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.market.panel_fields import panel_fields

#: Sessions over which a name's usual amount is taken.
AMOUNT_WINDOW_SESSIONS = 20


@dataclass(frozen=True)
class MarketTables:
    """The canonical tables a tear sheet reads (``market/tables.py``), and how their prices are adjusted.

    ``beside`` holds by name those that only some fields are made of (``market/panel_fields.py``).
    """

    bars: pd.DataFrame
    securities: pd.DataFrame
    st_spells: pd.DataFrame
    index_members: pd.DataFrame
    adjustment: str
    beside: Mapping[str, pd.DataFrame] = field(default_factory=dict)


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
    panel = factor_panel(
        bars, symbols=tuple(sorted(bars["symbol"].unique())), sessions=seen, adjustment=tables.adjustment
    )
    universe = scorable_mask(panel, tables.securities, tables.st_spells, tables.index_members, settings.universe)
    usual = evaluate({"amount": op.mean(op.field("amount_cny"), AMOUNT_WINDOW_SESSIONS)}, panel, dtype=np.float64)
    panel = panel.with_fields({MEMBERSHIP: universe.astype(np.float64)})
    further = set(reads) - panel.fields.keys()
    if further:
        told = panel_fields(
            {**tables.beside, "bars": bars, "securities": tables.securities, "st_spells": tables.st_spells},
            symbols=panel.symbols,
            sessions=seen,
            adjustment=tables.adjustment,
            benchmark=settings.gate.benchmark if "index_close" in further else "",
        )
        panel = panel.with_fields({name: told[name] for name in further & told.keys()})
    return ResearchMarket(panel, universe, np.asarray(usual.of("amount"), dtype=np.float64))
