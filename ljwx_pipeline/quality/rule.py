"""What a check is made of: the market it looks at, what its test finds, and how a breach is judged.

Not here: the rules themselves (``checks.py``, ``anomalies.py``) and running them (``run.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.market.tables import SourceDescription
from ljwx_pipeline.quality.days import Days, days_of
from ljwx_pipeline.quality.results import NO_ROWS, Positions
from ljwx_pipeline.quality.scan import ScanContext, Symbols, scan, symbol_codes
from ljwx_pipeline.quality.scan_kernel import Bits

Mask = NDArray[np.bool_]

#: Offending rows that a message names.
SAMPLE = 3
#: Up to this share of the rows a breach is a mistake in single rows. Raw bars of real providers hold the unit identity
#: on nearly all rows, adjusted ones on a fifth.
SINGLE_FRAC = 0.02
#: So few rows are single mistakes whatever share of a small table they are.
SINGLE_ROWS = 3
#: Columns that name a row in a message.
ROW_NAMES = ("symbol", "index_code", "series", "session_date", "start_date", "ex_date", "reference_month")


@dataclass(frozen=True)
class Market:
    """What the checks look at.

    Parameters
    ----------
    tables
        The tables present, canonical, rows counted from 0.
    description
        What their source says of itself.
    sessions
        The sessions asked for, ascending.
    before
        Rows of the sessions before the first one asked for, by table: at least each symbol's last row, so that a month
        or a single session is judged as it would be within its whole history.
    as_of
        The day on which the tables were known; None where that is not known.
    """

    tables: Mapping[str, pd.DataFrame]
    description: SourceDescription
    sessions: pd.DatetimeIndex
    before: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    as_of: date | None = None

    @cached_property
    def bar_bits(self) -> Bits:
        """One bit mask a bar, from one scan that every check of single bars shares."""
        context = ScanContext(
            sessions=self.sessions,
            adjustment=self.description.adjustment,
            securities=self.tables.get("securities"),
            st_spells=self.tables.get("st_spells"),
            before=self.before.get("bars"),
            as_of=self.as_of,
        )
        return scan(self.tables["bars"], context, self.bar_symbols)

    @cached_property
    def bar_symbols(self) -> Symbols:
        """Each bar's symbol as a number from 0 (-1 where it is none), and the symbols by number."""
        return symbol_codes(self.tables["bars"]["symbol"].to_numpy())

    @cached_property
    def bar_days(self) -> Days:
        """The sessions that bars stand on, how many on each, and each bar's."""
        return days_of(self.tables["bars"]["session_date"])

    @cached_property
    def any_bar_bits(self) -> np.uint32:
        """Every bit that some bar has: a rule whose bits are not among them need not look at the rows."""
        return np.uint32(np.bitwise_or.reduce(self.bar_bits, initial=0))

    def once(self, name: str, make: Callable[[], pd.Series]) -> pd.Series:
        """Return what ``make`` gives, computed the first time that any check asks for ``name``."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    @cached_property
    def _made(self) -> dict[str, pd.Series]:
        return {}

    @cached_property
    def bars_in_order(self) -> pd.DataFrame:
        """Bars of ``before`` and of the table by symbol and session; ``position`` is -1 for those before."""
        return in_order(self.tables["bars"], self.before.get("bars"), "symbol")


@dataclass(frozen=True)
class Finding:
    """What a test found.

    Parameters
    ----------
    judged, bad
        How many were looked at, and how many offend.
    unit
        Of what: ``rows`` or ``sessions``.
    sample
        The first few that offend, as a person would name them.
    measured
        Further figures.
    rows
        Positions of the offending rows, where rows offend.
    faults
        Positions of the rows at fault among them, where one fault spoils others.
    """

    judged: int
    bad: int
    unit: str
    sample: tuple[str, ...]
    measured: Mapping[str, float | int | str] = field(default_factory=dict)
    rows: Positions = field(default_factory=lambda: NO_ROWS, compare=False, repr=False)
    faults: Positions = field(default_factory=lambda: NO_ROWS, compare=False, repr=False)


@dataclass(frozen=True)
class Check:
    """One rule.

    Parameters
    ----------
    name
        ``TABLE.what_holds``.
    severity
        The worst that a breach does: ``error`` blocks, ``quarantine`` takes the rows out, ``warn`` is shown.
    needs
        Tables without which it is not applicable.
    test
        Measures.
    says
        What a breach means, for the message.
    repair
        One sentence: what the reader can do about it.
    quarantine_up_to_frac
        Of an ``error``: up to this share of the rows (and always up to ``SINGLE_ROWS`` of them) the mistake is one of
        single rows, which are quarantined; beyond it the whole table is wrong and blocks.
    raw_only
        Not applicable under a declared adjustment.
    needs_as_of
        Not applicable where the day on which the tables were known is not given.
    """

    name: str
    severity: Literal["error", "quarantine", "warn"]
    needs: tuple[str, ...]
    test: Callable[[Market], Finding]
    says: str
    repair: str
    quarantine_up_to_frac: float = 0.0
    raw_only: bool = False
    needs_as_of: bool = False

    def severity_of(self, finding: Finding) -> Literal["error", "quarantine", "warn"]:
        """Return what this breach does."""
        if self.severity != "error" or self.quarantine_up_to_frac == 0.0:
            return self.severity
        single = max(SINGLE_ROWS, self.quarantine_up_to_frac * finding.judged)
        return "quarantine" if finding.bad <= single and finding.bad < finding.judged else "error"


def rows_found(
    table: pd.DataFrame,
    bad: pd.Series | Mask,
    *,
    taken_out: Mask | None = None,
    judged: int | None = None,
    **measured: float | int | str,
) -> Finding:
    """Return the finding that the rows of the mask ``bad`` offend, or those of ``taken_out`` where it is given.

    ``taken_out`` marks the rows to quarantine where these are others than those at fault.
    """
    # a row to take out offends even where the row at fault lies in the sessions before
    faults = np.flatnonzero(np.asarray(bad, dtype=bool))
    at = faults if taken_out is None else np.flatnonzero(taken_out)
    names = tuple(row_name(table, int(position)) for position in at[:SAMPLE])
    return Finding(len(table) if judged is None else judged, len(at), "rows", names, measured, at, faults)


def sessions_found(judged: pd.Index, bad: pd.Index, **measured: float | int | str) -> Finding:
    """Return the finding that whole sessions offend."""
    return Finding(len(judged), len(bad), "sessions", tuple(f"{day:%Y-%m-%d}" for day in bad[:SAMPLE]), measured)


def row_name(table: pd.DataFrame, position: int) -> str:
    """Return a row's keys as a person would write them."""
    row = table.iloc[position]
    parts = [row[key] for key in ROW_NAMES if key in table]
    return " ".join(f"{part:%Y-%m-%d}" if isinstance(part, pd.Timestamp) else str(part) for part in parts)


def in_order(table: pd.DataFrame, before: pd.DataFrame | None, key: str) -> pd.DataFrame:
    """Return earlier rows and the table's by ``key`` and session, with ``position`` in the table or -1."""
    own = table.assign(position=np.arange(len(table)))
    if before is not None and len(before):
        own = pd.concat([before[list(table.columns)].assign(position=-1), own], ignore_index=True)
    return own.sort_values([key, "session_date"], kind="stable", ignore_index=True)


def at_positions(ordered: pd.DataFrame, bad: pd.Series | Mask, size: int) -> Mask:
    """Return the mask over the table's own rows of those that are bad in ``in_order``'s frame."""
    position = ordered["position"].to_numpy()[np.asarray(bad, dtype=bool)]
    mask = np.zeros(size, dtype=bool)
    mask[position[position >= 0]] = True
    return mask
