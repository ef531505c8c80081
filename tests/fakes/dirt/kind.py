"""What a kind of dirt is, and what the kinds are made of: some rows, one symbol, cells changed.

Not here: the kinds themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

Tables = dict[str, pd.DataFrame]
Inject = Callable[[Tables, np.random.Generator], Tables]
PRICES = ["open_cny", "high_cny", "low_cny", "close_cny", "pre_close_cny"]
LEVELS = ["open_points", "high_points", "low_points", "close_points"]
#: Wider than any table or file.
FIRST, LAST = date(2010, 1, 1), date(2026, 12, 31)


@dataclass(frozen=True)
class TableDirt:
    """One kind of dirt in tables.

    ``judge`` of ``run`` is every check over the dirty tables, ``split`` the quarantine that follows; ``restated``,
    ``reconcile`` and ``lag`` compare them with the clean ones. ``real`` says whether bars, securities and indices alone
    are enough to show it.
    """

    name: str
    inject: Inject
    check: str
    severity: str
    adjustment: str = "raw"
    judge: str = "run"
    real: bool = True


@dataclass(frozen=True)
class FileDirt:
    """One kind of dirt in files: refused with ``said``, or with an empty ``said`` read as if it were clean."""

    name: str
    load: Callable[[Path], pd.DataFrame]
    said: str


def some_rows(tables: Tables, rng: np.random.Generator, count: int = 5) -> pd.Index:
    """Return rows of settled symbols, away from the first sessions and each other."""
    bars = tables["bars"]
    age = bars.groupby("symbol").cumcount()
    left = bars.groupby("symbol").cumcount(ascending=False)
    settled = bars.index[((age > 30) & (left > 30)).to_numpy()]
    return pd.Index(np.sort(rng.choice(settled, count, replace=False)))


def one_symbol(tables: Tables) -> pd.Index:
    """Return all rows of the symbol with the most of them, ascending by session."""
    bars = tables["bars"]
    return bars.index[bars["symbol"] == bars["symbol"].value_counts().sort_index().idxmax()]


def cells(count: int = 5, **values: object) -> Inject:
    """Put values, or what a function makes of the rows, into the columns of some rows."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        rows = some_rows(tables, rng, count)
        for column, value in values.items():
            made = value(tables["bars"].loc[rows]) if callable(value) else value
            tables["bars"].loc[rows, column] = made
        return tables

    return inject


def columns(names: list[str], factor: float) -> Inject:
    """Multiply whole columns."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        tables["bars"][names] *= factor
        return tables

    return inject


def scaled_rows(factor: float, names: list[str], count: int = 5) -> Inject:
    """Multiply columns of some rows."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        tables["bars"].loc[some_rows(tables, rng, count), names] *= factor
        return tables

    return inject


def appended(make: Callable[[pd.DataFrame], pd.DataFrame], count: int = 3) -> Inject:
    """Append what a function makes of some rows, in canonical order."""

    def inject(tables: Tables, rng: np.random.Generator) -> Tables:
        more = make(tables["bars"].loc[some_rows(tables, rng, count)].copy())
        whole = pd.concat([tables["bars"], more])
        tables["bars"] = whole.sort_values(["session_date", "symbol"], kind="stable", ignore_index=True)
        return tables

    return inject
