"""Leak checks: no factor may change when the future is cut off, nor need more history than it declares.

Both recompute on a truncated panel and compare bits. They take a catalogue or any function of a panel, so that factors
made elsewhere can be tried before they are trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.evaluate import evaluate
from ljwx_pipeline.factors.catalogue import Catalogue
from ljwx_pipeline.market.panel import Panel

Values = NDArray[np.floating[Any]]
#: Panel in, values by factor name out, each of shape ``(n_symbols, n_sessions)``.
FactorFunction = Callable[[Panel], Mapping[str, Values]]
#: Where a panel is cut when nothing is asked, as shares of its sessions.
CUT_SHARES = (0.5, 0.75, 0.9)
#: Symbols looked at: a leak is in the formula, whoever it is computed of; cross-sections are then of this sample.
SAMPLE_SYMBOLS = 40


@dataclass(frozen=True)
class Finding:
    """A factor whose value changed when the panel was truncated; the first cell and how many there are.

    Parameters
    ----------
    kind
        ``look-ahead`` (the future was cut off) or ``warm-up`` (history before the declared window was).
    factor, symbol, session
        The first cell that changed.
    before, after
        Its value on the whole and on the truncated panel.
    cells
        Cells of this factor that changed, over all cuts.
    """

    kind: str
    factor: str
    symbol: str
    session: date
    before: float
    after: float
    cells: int

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.factor} of {self.symbol} on {self.session} is {self.before} "
            f"and {self.after} on the truncated panel ({self.cells} cells differ)"
        )


@dataclass(frozen=True)
class LeakReport:
    """What the checks found, at most one finding a kind and factor, and the first session cut off at each cut."""

    findings: tuple[Finding, ...]
    cuts: tuple[date, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing changed."""
        return not self.findings


def check_leaks(catalogue: Catalogue, panel: Panel, cuts: Sequence[int] | None = None) -> LeakReport:
    """Return the findings of both checks, on at most ``SAMPLE_SYMBOLS`` evenly spaced symbols; see them for errors."""
    sample = _sample(panel)
    ahead, warm = lookahead_check(catalogue, sample, cuts), warm_up_check(catalogue, sample, cuts)
    return LeakReport(ahead.findings + warm.findings, ahead.cuts)


def lookahead_check(factors: Catalogue | FactorFunction, panel: Panel, cuts: Sequence[int] | None = None) -> LeakReport:
    """Return the factors whose values before a cut change when the sessions from the cut on are removed.

    Parameters
    ----------
    factors
        A catalogue, or a function of a panel.
    panel
        The panel to compute on.
    cuts
        Positions in ``panel.sessions``; each removes ``[cut, end)``. ``CUT_SHARES`` of the sessions if None.

    Raises
    ------
    FactorError
        When a cut leaves no session or removes none.
    """
    function = _function(factors)
    tally = _Tally("look-ahead", panel)
    whole = function(panel)
    for cut in (chosen := _cuts(panel, cuts)):
        shorter = function(panel.sessions_slice(0, cut))
        for name, values in whole.items():
            tally.compare(name, values[:, :cut], shorter[name], first_session=0)
    return LeakReport(tally.findings(), tuple(panel.sessions[cut].date() for cut in chosen))


def warm_up_check(
    factors: Catalogue | FactorFunction, panel: Panel, cuts: Sequence[int] | None = None, window: int | None = None
) -> LeakReport:
    """Return the factors whose value changes when only the last ``window`` sessions before a cut are kept.

    Parameters are those of ``lookahead_check``; ``window`` is the catalogue's own if None, and must be given for a
    function.
    """
    kept = factors.window if isinstance(factors, Catalogue) and window is None else window
    if kept is None:
        raise FactorError("the function's window is unknown", "pass the sessions it needs as window")
    function = _function(factors)
    tally = _Tally("warm-up", panel)
    whole = function(panel)
    for cut in (chosen := _cuts(panel, cuts)):
        recent = function(panel.sessions_slice(max(0, cut - kept), cut))
        for name, values in whole.items():
            tally.compare(name, values[:, cut - 1 : cut], recent[name][:, -1:], first_session=cut - 1)
    return LeakReport(tally.findings(), tuple(panel.sessions[cut].date() for cut in chosen))


class _Tally:
    """Differences between two computations, kept by factor: the first one and their number."""

    def __init__(self, kind: str, panel: Panel) -> None:
        self._kind = kind
        self._panel = panel
        self._first: dict[str, tuple[int, int, float, float]] = {}
        self._cells: dict[str, int] = {}

    def compare(self, name: str, before: Values, after: Values, *, first_session: int) -> None:
        differs = (before != after) & ~(np.isnan(before) & np.isnan(after))
        if not differs.any():
            return
        session, symbol = (int(position) for position in np.argwhere(differs.T)[0])
        cell = symbol, first_session + session, float(before[symbol, session]), float(after[symbol, session])
        self._first.setdefault(name, cell)
        self._cells[name] = self._cells.get(name, 0) + int(differs.sum())

    def findings(self) -> tuple[Finding, ...]:
        return tuple(
            Finding(
                kind=self._kind,
                factor=name,
                symbol=self._panel.symbols[symbol],
                session=self._panel.sessions[session].date(),
                before=before,
                after=after,
                cells=self._cells[name],
            )
            for name, (symbol, session, before, after) in self._first.items()
        )


def _function(factors: Catalogue | FactorFunction) -> FactorFunction:
    if not isinstance(factors, Catalogue):
        return factors
    expressions = factors.expressions

    def computed(panel: Panel) -> Mapping[str, Values]:
        values = evaluate(expressions, panel)
        return dict(zip(values.names, values.values, strict=True))

    return computed


def _sample(panel: Panel) -> Panel:
    count = len(panel.symbols)
    if count <= SAMPLE_SYMBOLS:
        return panel
    rows = np.linspace(0, count - 1, SAMPLE_SYMBOLS).astype(np.int64)
    fields = {name: values[rows] for name, values in panel.fields.items()}
    return Panel(tuple(panel.symbols[row] for row in rows), panel.sessions, fields)


def _cuts(panel: Panel, cuts: Sequence[int] | None) -> tuple[int, ...]:
    sessions = len(panel.sessions)
    chosen = tuple(cuts) if cuts is not None else tuple(sorted({int(sessions * share) for share in CUT_SHARES}))
    for cut in chosen:
        if not 0 < cut < sessions:
            raise FactorError(
                f"a cut at session {cut} of {sessions} leaves nothing to compare", "cut between 1 and the last session"
            )
    return chosen
