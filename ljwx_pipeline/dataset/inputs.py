"""What factors read: adjusted prices, who belongs to a session's cross-section, and the fields of the tables beside.

The one place where research, the tear sheets and the live runner make the panel that a catalogue is computed on: the
same rows give the same bits in all of them. Not here: how a field is made from a table (``market/panel_fields.py``),
who may be scored (``universe.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ljwx_pipeline.config import UniverseSettings
from ljwx_pipeline.dataset.universe import scorable_mask
from ljwx_pipeline.expressions.evaluate import MEMBERSHIP
from ljwx_pipeline.factors.catalogue import Catalogue
from ljwx_pipeline.market.adjustment import FACTOR_FIELDS, factor_panel
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.market.panel_fields import panel_fields
from ljwx_pipeline.market.tables import BESIDE_TABLES


@dataclass(frozen=True)
class MarketTables:
    """The canonical tables factors are made from (``market/tables.py``), and how their prices are adjusted.

    ``beside`` holds those of ``tables.BESIDE_TABLES`` by name that ``tables_beside`` asks for.
    """

    bars: pd.DataFrame
    securities: pd.DataFrame
    st_spells: pd.DataFrame
    index_members: pd.DataFrame
    adjustment: str
    beside: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def tables_beside(reads: Collection[str]) -> tuple[str, ...]:
    """Return which tables beside the usual ones fields are made of; none for adjusted prices and the universe."""
    return () if set(reads) <= {*FACTOR_FIELDS, MEMBERSHIP} else BESIDE_TABLES


def lookback_sessions(catalogue: Catalogue, universe: UniverseSettings) -> int:
    """Return the sessions needed to make every factor of one session, itself included.

    Who belonged to the oldest cross-section of a window depends on the amounts of the sessions before it.
    """
    return catalogue.window + universe.mean_amount_window_sessions - 1


def input_panel(
    tables: MarketTables,
    *,
    symbols: tuple[str, ...],
    sessions: pd.DatetimeIndex,
    reads: Collection[str],
    universe: UniverseSettings,
    benchmark: str,
) -> Panel:
    """Return the panel with adjusted prices and the further fields that ``reads`` names.

    Parameters
    ----------
    tables
        Rows off the axes are left out.
    symbols, sessions
        The panel's axes.
    reads, universe, benchmark
        As in ``with_inputs``.

    Raises
    ------
    DataQualityError
        As ``factor_panel`` and ``with_inputs``.
    """
    on_axes = tables.bars["symbol"].isin(symbols) & tables.bars["session_date"].isin(sessions)
    panel = factor_panel(tables.bars[on_axes], symbols=symbols, sessions=sessions, adjustment=tables.adjustment)
    return with_inputs(panel, tables, reads=reads, universe=universe, benchmark=benchmark)


def with_inputs(
    panel: Panel, tables: MarketTables, *, reads: Collection[str], universe: UniverseSettings, benchmark: str
) -> Panel:
    """Return ``panel`` with the fields of ``reads`` that it lacks.

    A field tells of a session what was known when it closed. Membership needs the amounts of the
    ``universe.mean_amount_window_sessions`` up to a session, so the first sessions of a panel cut short may differ
    there and nowhere else.

    Parameters
    ----------
    panel
        Of ``factor_panel``.
    tables
        Rows off the panel's axes are left out.
    reads
        Names of fields (``expressions/fields.py``), such as ``Catalogue.reads``.
    universe
        Who belongs to a cross-section.
    benchmark
        Index whose close is ``index_close``.

    Returns
    -------
    Panel
        A field that the tables cannot tell is absent: the factor that reads it is then refused by name.

    Raises
    ------
    DataQualityError
        As ``panel_fields`` and ``scorable_mask``.
    """
    wanted = set(reads) - panel.fields.keys()
    fields = {}
    if MEMBERSHIP in wanted:
        members = scorable_mask(panel, tables.securities, tables.st_spells, tables.index_members, universe)
        fields[MEMBERSHIP] = members.astype(np.float64)
    if wanted - fields.keys():
        bars = tables.bars
        told = panel_fields(
            {
                **tables.beside,
                "bars": bars[bars["symbol"].isin(panel.symbols) & bars["session_date"].isin(panel.sessions)],
                "securities": tables.securities,
                "st_spells": tables.st_spells,
            },
            symbols=panel.symbols,
            sessions=panel.sessions,
            adjustment=tables.adjustment,
            benchmark=benchmark if "index_close" in wanted else "",
        )
        fields |= {name: told[name] for name in sorted(wanted & told.keys())}
    return panel.with_fields(fields) if fields else panel
