"""What a leak check answers: findings with the cell that proves them, and the comparison that finds them.

Not here: which worlds are compared (``catalogue_checks.py``, ``function_checks.py``, ``pipeline_checks.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]

#: Differences up to this share of a value and of its factor's standard deviation are rounding: adding a symbol or
#: cutting a session changes the order in which numpy and pandas sum. Expressions are held to equal bits instead.
ROUNDING = {8: 1e-9, 4: 1e-5}


@dataclass(frozen=True)
class Finding:
    """A factor (or step) that used what was not known; the first cell that proves it and how many there are.

    Parameters
    ----------
    kind
        ``look-ahead``, ``warm-up``, ``restatement``, ``membership``, ``survivorship``, ``same-session``, ``too-good``;
        of pipeline steps ``full-sample-fit``, ``own-label``, ``test-rows``, ``label-overlap``.
    factor
        The factor or step.
    symbol, session
        The first cell that changed; of a step without cells empty and the first session it may not know.
    before, after
        Its value in the world as it is and in the other one.
    cells
        Cells of this factor that changed, over all cuts.
    cut
        First session whose events were changed or taken away; None where nothing was cut.
    world
        Which other world that is, in words that go on from "is before and after".
    """

    kind: str
    factor: str
    symbol: str
    session: date
    before: float
    after: float
    cells: int
    cut: date | None = None
    world: str = "on the truncated panel"

    def __str__(self) -> str:
        of = f" of {self.symbol}" if self.symbol else ""
        cut = "" if self.cut is None else f", cut at {self.cut}"
        return (
            f"{self.kind}: {self.factor}{of} on {self.session} is {self.before:.10g} "
            f"and {self.after:.10g} {self.world} ({self.cells} cells{cut})"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain values; NaN becomes None, which JSON has a word for."""
        return {
            "kind": self.kind,
            "factor": self.factor,
            "symbol": self.symbol,
            "session": str(self.session),
            "before": _json(self.before),
            "after": _json(self.after),
            "cells": self.cells,
            "cut": None if self.cut is None else str(self.cut),
            "evidence": str(self),
        }


@dataclass(frozen=True)
class LeakReport:
    """What the checks found, at most one finding a kind and factor, and the first session cut off at each cut."""

    findings: tuple[Finding, ...]
    cuts: tuple[date, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing changed."""
        return not self.findings

    def of(self, kind: str) -> tuple[Finding, ...]:
        """Return the findings of one kind."""
        return tuple(finding for finding in self.findings if finding.kind == kind)


class Tally:
    """Differences between two computations, kept by kind and factor: the first cell and their number."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Finding] = {}

    def add(self, finding: Finding) -> None:
        """Keep a finding; of a kind and factor already known only its cells count."""
        key = finding.kind, finding.factor
        known = self._found.get(key)
        if known is None:
            self._found[key] = finding
        else:
            self._found[key] = Finding(**{**known.__dict__, "cells": known.cells + finding.cells})

    def findings(self) -> tuple[Finding, ...]:
        """Return what was found, in the order of its finding."""
        return tuple(self._found.values())


def differing(before: Values, after: Values, *, rounding: bool = False) -> NDArray[np.bool_]:
    """Return where two arrays of one shape differ; NaN equals NaN and nothing else.

    With ``rounding`` differences within ``ROUNDING`` of the value or of the standard deviation of ``before`` pass.
    """
    unlike: NDArray[np.bool_] = (before != after) & ~(np.isnan(before) & np.isnan(after))
    if not rounding or not unlike.any():
        return unlike
    share = ROUNDING[4] if min(before.dtype.itemsize, after.dtype.itemsize) == 4 else ROUNDING[8]
    known = before[np.isfinite(before)]
    spread = float(known.std()) if len(known) else 0.0
    with np.errstate(invalid="ignore"):
        slack = share * (np.maximum(np.abs(before), np.abs(after)) + spread)
        beyond = ~(np.abs(before - after) <= slack)
    return unlike & beyond


def first_difference(
    differs: NDArray[np.bool_],
    before: Values,
    after: Values,
    *,
    symbols: tuple[str, ...],
    sessions: pd.DatetimeIndex,
    about: Mapping[str, Any],
) -> Finding | None:
    """Return the finding of the earliest session, then first symbol, at which ``differs``; None where nothing does.

    ``symbols`` and ``sessions`` label the arrays' axes; ``about`` holds the finding's other fields.
    """
    if not differs.any():
        return None
    session, symbol = (int(position) for position in np.argwhere(differs.T)[0])
    return Finding(
        symbol=symbols[symbol],
        session=sessions[session].date(),
        before=float(before[symbol, session]),
        after=float(after[symbol, session]),
        cells=int(differs.sum()),
        **about,
    )


def _json(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None
