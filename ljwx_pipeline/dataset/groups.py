"""Which group a stock belongs to on a session: its industry, or its size among those that may be scored.

The one place for it; the dataset and the live runner ask here, so that a row is scored by the model of the group it was
trained in. Not here: who may be scored (``universe.py``), a model for each group (``models/fit.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.config import UniverseSettings
from ljwx_pipeline.dataset.universe import mean_amount
from ljwx_pipeline.errors import DatasetError
from ljwx_pipeline.market.panel import Panel
from ljwx_pipeline.market.panel_fields import panel_fields
from ljwx_pipeline.market.ranges import UNKNOWN, range_labels
from ljwx_pipeline.scoring.model import NO_GROUP, GroupBy

#: Canonical tables that groups are made of besides the panel, by what tells them.
GROUP_TABLES: Mapping[GroupBy, tuple[str, ...]] = {
    "none": (),
    "industry": ("industries",),
    "size": ("market_values",),
}
#: Names of the terciles, smallest first.
_SIZES = ("small", "middle", "large")
_MARKET_VALUE = "float_market_value_cny"
#: What sizes are measured by: the first where the source tells it.
_SIZE_MEASURES = ("market value", "mean amount")


@dataclass(frozen=True)
class Groups:
    """Group codes and what they stand for.

    Parameters
    ----------
    codes
        int32, shape ``(n_symbols, n_sessions)``; ``NO_GROUP`` where the group is unknown or nobody is scored.
    names
        Code and name of each group that occurs, by code.
    measure
        Of ``group_measure``: what the groups are made by.
    """

    codes: NDArray[np.int32]
    names: tuple[tuple[int, str], ...]
    measure: str


def group_codes(
    by: GroupBy,
    panel: Panel,
    scorable: NDArray[np.bool_],
    tables: Mapping[str, pd.DataFrame],
    universe: UniverseSettings,
) -> Groups | None:
    """Return each stock's group on each session by what was known at its close; None for ``by`` = none.

    ``industry``: the industry held on that session. A code is made of the name alone, so that it is the same whichever
    stocks and sessions are looked at. ``size``: 0, 1 and 2 for the smallest, middle and largest third of the session's
    scorable stocks, by market value of the free float, or by mean amount over the universe's window where the source
    tells no market value; equal sizes share a group. The names say which.

    Parameters
    ----------
    panel
        With fields ``close`` and ``amount_cny``; where cut short, it begins the universe's window before the first
        session whose groups are used.
    scorable
        Of ``scorable_mask``, on the panel's axes.
    tables
        Those of ``GROUP_TABLES[by]``, by name; an empty table is one the source does not tell.
    universe
        Its window of mean amounts.

    Raises
    ------
    DatasetError
        When groups are industries and the source tells none, or two industries share a code.
    DataQualityError
        For a symbol with two industries at once.
    """
    if by == "none":
        return None
    return _industries(panel, scorable, tables) if by == "industry" else _sizes(panel, scorable, tables, universe)


def grouped_by(measure: str) -> GroupBy:
    """Return what groups made by a ``group_measure`` are groups of."""
    return "size" if measure in _SIZE_MEASURES else "industry" if measure else "none"


def group_measure(by: GroupBy, tables: Mapping[str, pd.DataFrame]) -> str:
    """Return what ``tables`` let groups be made by; empty for ``by`` = none.

    ``industry``; or of sizes ``market value``, and ``mean amount`` where the table of market values tells none. A model
    of the one measure says nothing of groups by the other, so that it is kept with the model and compared.
    """
    if by != "size":
        return "" if by == "none" else by
    table = tables.get("market_values")
    return _SIZE_MEASURES[0] if table is not None and len(table) and _MARKET_VALUE in table else _SIZE_MEASURES[1]


def industry_codes(
    industries: pd.DataFrame, symbols: tuple[str, ...], sessions: pd.DatetimeIndex
) -> tuple[NDArray[np.int32], dict[int, str]]:
    """Return the code of the industry that each stock was in, int32 ``(n_symbols, n_sessions)``, and names by code.

    Codes as of ``group_codes``, of every stock, scored or not; ``NO_GROUP`` where no industry is told.

    Raises
    ------
    DataQualityError
        For a symbol with two industries at once.
    """
    names = {_industry_code(name): name for name in sorted(industries["industry"].astype(str).unique())}
    code_of = {name: code for code, name in names.items()}
    coded = industries.assign(code=[code_of[name] for name in industries["industry"].astype(str)])
    labels = range_labels(coded, "code", symbols, sessions)
    return np.where(labels == UNKNOWN, NO_GROUP, labels).astype(np.int32), names


def _industry_code(name: str) -> int:
    """Return the code of an industry: of its name alone, so that it hangs on no other industry."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) >> 1


def _industries(panel: Panel, scorable: NDArray[np.bool_], tables: Mapping[str, pd.DataFrame]) -> Groups:
    table = tables.get("industries")
    if table is None or table.empty:
        raise DatasetError(
            'model.group_by = "industry" and the source tells no industry',
            'choose a source that does, or write model.group_by = "size" or "none"',
        )
    labels = range_labels(table, "industry", panel.symbols, panel.sessions)
    codes = np.full(labels.shape, NO_GROUP, dtype=np.int32)
    named: dict[int, str] = {}
    for name in sorted({str(label) for label in labels[scorable]} - {UNKNOWN}):
        code = _industry_code(name)
        if code in named:  # one chance in two thousand million a pair
            raise DatasetError(f"industries {named[code]} and {name} share the code {code}", "rename one of them")
        named[code] = name
        codes[scorable & (labels == name)] = code
    return Groups(codes, tuple(sorted(named.items())), group_measure("industry", tables))


def _sizes(
    panel: Panel, scorable: NDArray[np.bool_], tables: Mapping[str, pd.DataFrame], universe: UniverseSettings
) -> Groups:
    measure = group_measure("size", tables)
    if measure == _SIZE_MEASURES[0]:
        size = panel_fields(
            {"market_values": tables["market_values"]},
            symbols=panel.symbols,
            sessions=panel.sessions,
            adjustment="raw",
        )[_MARKET_VALUE]
    else:
        size = mean_amount(panel, universe)
    codes = np.full(size.shape, NO_GROUP, dtype=np.int32)
    for session in range(size.shape[1]):
        rows = np.flatnonzero(scorable[:, session] & np.isfinite(size[:, session]))
        ordered = np.sort(size[rows, session])
        below = np.searchsorted(ordered, size[rows, session], side="left")
        not_above = np.searchsorted(ordered, size[rows, session], side="right")
        # the mean rank from 0, plus a half, as a share of the session
        codes[rows, session] = (len(_SIZES) * (below + not_above)) // (2 * max(len(rows), 1))
    return Groups(codes, tuple((code, f"{name} by {measure}") for code, name in enumerate(_SIZES)), measure)
