"""Leak checks of factors written as expressions: recompute with less or other data and compare bits, on every symbol.

An expression says how far back it reads, so the sessions around a cut are enough and 158 factors of 300 symbols take a
second or two. ``lookahead_check`` and ``warm_up_check`` take any function of a panel as well and recompute it whole.
Not here: functions that read tables too (``function_checks.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.expressions.evaluate import MEMBERSHIP, FactorValues, evaluate
from ljwx_pipeline.expressions.nodes import Expr
from ljwx_pipeline.factors.catalogue import Catalogue
from ljwx_pipeline.factors.leaks.findings import Finding, LeakReport, Tally, Values, differing, first_difference
from ljwx_pipeline.factors.leaks.market import CUT_SHARES, Market
from ljwx_pipeline.factors.leaks.suspicion import too_good
from ljwx_pipeline.factors.leaks.worlds import AFTER_CUT, KIND_OF, Aspect, non_members, other_world
from ljwx_pipeline.market.adjustment import PRICES
from ljwx_pipeline.market.panel import Panel

#: Panel in, values by factor name out, each of shape ``(n_symbols, n_sessions)``.
FactorFunction = Callable[[Panel], Mapping[str, Values]]
#: Sessions before a cut whose values are compared, and sessions after it that another world changes.
COMPARED, FUTURE = 20, 20
#: By how much a later adjustment rescales a symbol's prices: a power of two, so that quotients keep their bits.
RESCALED = 2.0


def check_leaks(
    catalogue: Catalogue,
    panel: Panel,
    cuts: Sequence[int] | None = None,
    *,
    values: FactorValues | None = None,
    rebased: bool = False,
    threads: int = 1,
    research_sessions: int | None = None,
) -> LeakReport:
    """Return the findings of every check of a catalogue, over all symbols of ``panel``.

    Before each cut the last ``COMPARED`` sessions are computed from no more history than the catalogue declares and a
    market whose later sessions are different (``worlds.py``); at the last cut also from no more than each factor
    declares and nothing later. Both must give the bits of the whole panel. A mean rank IC beyond belief is a finding.

    Parameters
    ----------
    catalogue
        The factors.
    panel
        The panel they are computed on.
    cuts
        As in ``lookahead_check``.
    values
        The factors on the whole panel, where they are at hand; computed if None.
    rebased
        Whether prices are rebased on the newest dividend (``forward``): then a factor must not read their level.
    threads
        Threads that compute.
    research_sessions
        The first sessions whose returns the suspicion may look at; all if None. Those after them are held out.

    Raises
    ------
    FactorError
        For a cut that compares nothing, an unknown field, or ``values`` of other factors, symbols or sessions.
    """
    chosen = _cuts(panel, cuts)
    whole = evaluate(catalogue.expressions, panel, threads) if values is None else values
    if (whole.names, whole.symbols, tuple(whole.sessions)) != (catalogue.names, panel.symbols, tuple(panel.sessions)):
        raise FactorError("the values are of other factors, symbols or sessions", "compute them on this panel")
    tally = Tally()
    for cut in chosen:
        around = _Around(catalogue, panel, whole, cut, threads)
        found = around.recomputed(own_windows=cut == chosen[-1])
        for finding in (*found, *around.beside_non_members(), *(around.rescaled() if rebased else ())):
            tally.add(finding)
    seen = slice(0, research_sessions)
    named = {name: whole.values[position][:, seen] for position, name in enumerate(whole.names)}
    suspects = too_good(named, panel.fields["close"][:, seen], panel.sessions[seen])
    days = tuple(panel.sessions[cut].date() for cut in chosen)
    return LeakReport((*tally.findings(), *suspects), days)


class _Around:
    """The sessions around one cut: what the whole panel says of the last before it, and other ways to compute that."""

    def __init__(self, catalogue: Catalogue, panel: Panel, whole: FactorValues, cut: int, threads: int) -> None:
        self._catalogue = catalogue
        self._threads = threads
        self._window = catalogue.window
        self._panel = panel
        self._cut = cut
        self._first = max(0, cut - COMPARED)
        self._whole = {
            name: np.array(whole.values[position, :, self._first : cut]) for position, name in enumerate(whole.names)
        }

    def recomputed(self, *, own_windows: bool) -> list[Finding]:
        """Return what changes when a factor sees the declared window and another future.

        Where anything does, or each factor is to be held to its own window, the declared window alone and then each
        aspect of the future tell why.
        """
        moved = {finding.factor for finding in self._in_world(AFTER_CUT, self._catalogue.expressions, "look-ahead")}
        findings = self._truncated(own_windows=own_windows) if own_windows or moved else []
        moved -= {finding.factor for finding in findings}
        for aspect in AFTER_CUT:
            left = {name: self._catalogue.expressions[name] for name in self._catalogue.names if name in moved}
            if left:
                found = self._in_world((aspect,), left, KIND_OF[aspect])
                findings += found
                moved -= {finding.factor for finding in found}
        return findings

    def beside_non_members(self) -> list[Finding]:
        """Return the factors that read the members' flag and change with symbols that were never members."""
        reading = {name: e for name, e in self._catalogue.expressions.items() if MEMBERSHIP in e.inputs}
        return self._in_world((Aspect.NON_MEMBERS,), reading, "membership") if reading else []

    def _truncated(self, *, own_windows: bool) -> list[Finding]:
        by_window: dict[int, dict[str, Expr]] = {}
        for name, expression in self._catalogue.expressions.items():
            window = expression.window if own_windows else self._window
            by_window.setdefault(window, {})[name] = expression
        findings = []
        for window, expressions in by_window.items():
            start = max(0, self._first - window + 1)
            said = f"on the declared window of {window} sessions alone"
            recent = self._panel.sessions_slice(start, self._cut)
            for finding in self._compared(expressions, recent, start, "warm-up", said):
                alone = {finding.factor: expressions[finding.factor]}
                past = self._panel.sessions_slice(0, self._cut)
                ahead = self._compared(alone, past, 0, "look-ahead", "on the truncated panel")
                findings += ahead or [finding]
        return findings

    def rescaled(self) -> list[Finding]:
        """Return the factors that read the level of prices which a later dividend will rebase."""
        start = max(0, self._first - self._window + 1)
        part = self._panel.sessions_slice(start, self._cut)
        prices = {name: part.fields[name] * RESCALED for name in (*PRICES, "vwap") if name in part.fields}
        said = f"on prices rebased by {RESCALED:g} after a later dividend"
        return self._compared(
            self._catalogue.expressions, part.with_fields(prices), start, "restatement", said, rounding=True
        )

    def _in_world(self, aspects: Sequence[Aspect], expressions: Mapping[str, Expr], kind: str) -> list[Finding]:
        start = max(0, self._first - self._window + 1)
        part = Market(self._panel.sessions_slice(start, self._cut + FUTURE), {})
        here = self._cut - start
        left_out = non_members(part, here) if Aspect.NON_MEMBERS in aspects else frozenset[str]()
        said = f"in a world with {aspects[0] if len(aspects) == 1 else 'another future'}"
        world = other_world(part, here, aspects).panel
        return self._compared(expressions, world, start, kind, said, left_out=left_out)

    def _compared(
        self,
        expressions: Mapping[str, Expr],
        panel: Panel,
        start: int,
        kind: str,
        said: str,
        *,
        left_out: frozenset[str] = frozenset(),
        rounding: bool = False,
    ) -> list[Finding]:
        values = evaluate(expressions, panel, self._threads)
        place = {symbol: row for row, symbol in enumerate(panel.symbols)}
        rows = [row for row, s in enumerate(self._panel.symbols) if s in place and s not in left_out]
        symbols = tuple(self._panel.symbols[row] for row in rows)
        other = [place[symbol] for symbol in symbols]
        window = slice(self._first - start, self._cut - start)
        findings = []
        for name in values.names:
            before, after = self._whole[name][rows], values.of(name)[other, window]
            finding = first_difference(
                differing(before, after, rounding=rounding),
                before,
                after,
                symbols=symbols,
                sessions=self._panel.sessions[self._first : self._cut],
                about={
                    "kind": kind,
                    "factor": name,
                    "cut": self._panel.sessions[self._cut].date(),
                    "world": said,
                },
            )
            findings += [finding] if finding is not None else []
        return findings


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
    return _recomputed("look-ahead", _function(factors), panel, _cuts(panel, cuts), window=None)


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
    return _recomputed("warm-up", _function(factors), panel, _cuts(panel, cuts), window=kept)


def _recomputed(
    kind: str, function: FactorFunction, panel: Panel, cuts: tuple[int, ...], *, window: int | None
) -> LeakReport:
    """Compare with the panel cut off at each cut: all of it, or under a window its last session alone."""
    tally = Tally()
    whole = function(panel)
    for cut in cuts:
        start, first = (0, 0) if window is None else (max(0, cut - window), cut - 1)
        other = function(panel.sessions_slice(start, cut))
        for name, values in whole.items():
            before, after = values[:, first:cut], other[name][:, first - start :]
            finding = first_difference(
                differing(before, after),
                before,
                after,
                symbols=panel.symbols,
                sessions=panel.sessions[first:cut],
                about={"kind": kind, "factor": name, "cut": panel.sessions[cut].date()},
            )
            if finding is not None:
                tally.add(finding)
    return LeakReport(tally.findings(), tuple(panel.sessions[cut].date() for cut in cuts))


def _function(factors: Catalogue | FactorFunction) -> FactorFunction:
    if not isinstance(factors, Catalogue):
        return factors
    expressions = factors.expressions

    def computed(panel: Panel) -> Mapping[str, Values]:
        values = evaluate(expressions, panel)
        return dict(zip(values.names, values.values, strict=True))

    return computed


def _cuts(panel: Panel, cuts: Sequence[int] | None) -> tuple[int, ...]:
    sessions = len(panel.sessions)
    chosen = tuple(cuts) if cuts is not None else tuple(sorted({int(sessions * share) for share in CUT_SHARES}))
    for cut in chosen:
        if not 0 < cut < sessions:
            raise FactorError(
                f"a cut at session {cut} of {sessions} leaves nothing to compare", "cut between 1 and the last session"
            )
    return chosen
