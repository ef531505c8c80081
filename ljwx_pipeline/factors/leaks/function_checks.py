"""Whether factors of any kind, made by a function that cannot be looked into, use what was not known.

The function is called on the market as it is and on others that agree with it up to a cut (``worlds.py``). First on a
world in which all that came after is different, and on one in which it is missing; where a factor moves, on worlds
that differ in one aspect each, which names the leak. Not here: expressions, which are cheaper to check
(``catalogue_checks.py``), and steps of a pipeline (``pipeline_checks.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ljwx_pipeline.errors import FactorError
from ljwx_pipeline.factors.leaks.findings import Finding, Values, differing, first_difference
from ljwx_pipeline.factors.leaks.market import Market
from ljwx_pipeline.factors.leaks.worlds import AFTER_CUT, KIND_OF, Aspect, known_at, non_members, other_world

#: Market in, values by factor name out, each of shape ``(n_symbols, n_sessions)`` of the market's panel.
MarketFunction = Callable[[Market], Mapping[str, Values]]


@dataclass(frozen=True)
class Judgement:
    """What the checks say of every factor a function makes.

    Parameters
    ----------
    names
        Factors, in the function's order.
    findings
        By kind and factor; none for an honest factor.
    inert
        Factors that nothing of the panel moves: they are constant, come from names, dates and tables alone, or were
        computed elsewhere, which no other world shows.
    whole
        The factors on the market as it is.
    """

    names: tuple[str, ...]
    findings: tuple[Finding, ...]
    inert: frozenset[str]
    whole: Mapping[str, Values]


@dataclass(frozen=True)
class Declared:
    """What the author says of the factors.

    Parameters
    ----------
    decided_at_open
        Whether they are used at the open of their session; else at its close.
    members_only
        Whether cross-sections are meant to see members of the index alone.
    window
        Sessions a value needs, itself included; None where nothing is said, and then nothing is checked.
    exact
        Whether equal means equal bits; else rounding passes.
    """

    decided_at_open: bool = False
    members_only: bool = False
    window: int | None = None
    exact: bool = False


def judge_function(function: MarketFunction, market: Market, cuts: Sequence[int], declared: Declared) -> Judgement:
    """Return what all checks say; see the module.

    Raises
    ------
    FactorError
        When the function gives other values on the same market, or other factors on another one.
    """
    whole = function(market.copies())
    _require_repeatable(whole, function(market.copies()), market)
    case = _Case(function, market, whole, declared)
    findings: list[Finding] = []
    suspects = set(whole)
    for cut in cuts:
        moved = case.moved(other_world(market, cut, AFTER_CUT), cut, suspects)
        moved |= case.moved(known_at(market, cut), cut, suspects)
        found = case.diagnosed(cut, moved)
        findings += found
        suspects -= {finding.factor for finding in found}
    last = cuts[-1]
    if declared.decided_at_open:
        findings += case.found(Aspect.SAME_SESSION, last, suspects)
    if declared.members_only:
        findings += case.found(Aspect.NON_MEMBERS, last, suspects)
    if declared.window is not None:
        findings += case.needing_more(last, declared.window)
    moving = case.moved(other_world(market, last, (Aspect.PAST,)), last, set(whole))
    return Judgement(tuple(whole), tuple(findings), frozenset(set(whole) - moving), whole)


class _Case:
    """One function on one market: what it says there, to compare with."""

    def __init__(
        self, function: MarketFunction, market: Market, whole: Mapping[str, Values], declared: Declared
    ) -> None:
        self._function = function
        self._market = market
        self._whole = whole
        self._declared = declared

    def moved(self, world: Market, cut: int, names: set[str]) -> set[str]:
        """Return those of ``names`` that differ before ``cut``."""
        return {finding.factor for finding in self._compared(world, cut, names, "look-ahead", "")}

    def diagnosed(self, cut: int, moved: set[str]) -> list[Finding]:
        """Return why factors moved: other prices alone, else every kind that moves them alone, else all together."""
        findings = self.found(Aspect.PRICES, cut, moved)
        left = moved - {finding.factor for finding in findings}
        for aspect in AFTER_CUT[1:] if left else ():
            known = {(finding.kind, finding.factor) for finding in findings}
            findings += [f for f in self.found(aspect, cut, left) if (f.kind, f.factor) not in known]
        unexplained = moved - {finding.factor for finding in findings}
        if unexplained:
            together = other_world(self._market, cut, AFTER_CUT), "in a world where all after the cut is different"
            for world, said in (together, (known_at(self._market, cut), "in a world that ends at the cut")):
                found = self._compared(world, cut, unexplained, "look-ahead", said)
                findings += found
                unexplained -= {finding.factor for finding in found}
        return findings

    def found(self, aspect: Aspect, cut: int, names: set[str]) -> list[Finding]:
        """Return the findings of ``names`` in the world that differs in one aspect."""
        left_out = non_members(self._market, cut) if aspect is Aspect.NON_MEMBERS else frozenset[str]()
        world = other_world(self._market, cut, (aspect,))
        return self._compared(world, cut, names, KIND_OF[aspect], f"in a world with {aspect}", left_out)

    def needing_more(self, cut: int, window: int) -> list[Finding]:
        """Return the factors whose last value changes when the bars before the declared window are missing."""
        panel = self._market.panel.sessions_slice(max(0, cut - window), cut)
        full = known_at(self._market, cut)
        rows = [self._market.panel.symbols.index(symbol) for symbol in full.panel.symbols]
        fields = {name: np.ascontiguousarray(values[rows]) for name, values in panel.fields.items()}
        recent = Market(type(panel)(full.panel.symbols, panel.sessions, fields), full.tables, full.rebased)
        named = set(self._whole)
        return self._compared(recent, cut, named, "warm-up", f"on the last {window} sessions alone", first=cut - 1)

    def _compared(
        self,
        world: Market,
        cut: int,
        names: set[str],
        kind: str,
        said: str,
        left_out: frozenset[str] = frozenset(),
        first: int = 0,
    ) -> list[Finding]:
        values = self._function(world)
        if set(values) != set(self._whole):
            odd = sorted(set(values) ^ set(self._whole))[0]
            raise FactorError(f"factor {odd} is made on some markets and not on others", "return the same names always")
        here, there = self._market.panel, world.panel
        place = {symbol: row for row, symbol in enumerate(there.symbols)}
        common = [(row, place[s]) for row, s in enumerate(here.symbols) if s in place and s not in left_out]
        mine, other = [row for row, _ in common], [row for _, row in common]
        offset = int(here.sessions.searchsorted(there.sessions[0]))  # the other world may begin later
        symbols = tuple(here.symbols[row] for row in mine)
        findings = []
        for name in self._whole:
            if name not in names:
                continue
            before = self._whole[name][mine, first:cut]
            after = values[name][other, first - offset : cut - offset]
            finding = first_difference(
                differing(before, after, rounding=world.rebased or not self._declared.exact),
                before,
                after,
                symbols=symbols,
                sessions=here.sessions[first:cut],
                about={"kind": kind, "factor": name, "cut": _day(here.sessions, cut), "world": said},
            )
            findings += [finding] if finding is not None else []
        return findings


def _require_repeatable(values: Mapping[str, Values], again: Mapping[str, Values], market: Market) -> None:
    for name, first in values.items():
        finding = first_difference(
            differing(first, again[name]) if name in again else np.ones(first.shape, dtype=bool),
            first,
            again.get(name, first),
            symbols=market.panel.symbols,
            sessions=market.panel.sessions,
            about={"kind": "", "factor": name},
        )
        if finding is not None:
            raise FactorError(
                f"factor {name} of {finding.symbol} on {finding.session} is {finding.before} and then {finding.after} "
                "on the same market",
                "seed its random numbers, and read nothing that changes",
            )


def _day(sessions: pd.DatetimeIndex, position: int) -> object:
    return sessions[position].date()
