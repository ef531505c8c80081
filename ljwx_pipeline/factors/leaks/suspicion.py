"""Statistical suspicion: a factor that foretells more than any honest one does.

It sees what no perturbation shows, such as a column computed elsewhere from the future; it proves nothing and is the
last check. Not here: how good an honest factor is (``evaluation/``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ljwx_pipeline.factors.leaks.findings import Finding, Values
from ljwx_pipeline.factors.leaks.market import forward_returns
from ljwx_pipeline.market.panel import Float

#: A mean rank IC beyond this, this many standard errors from zero, is not believed: plain factors on A-shares reach a
#: few hundredths, and a model of 158 of them about 0.1.
IC_BOUND, T_BOUND = 0.3, 4.0
#: Symbols a session needs, and sessions a mean needs.
MIN_SYMBOLS, MIN_SESSIONS = 5, 10
#: At most that many sessions are looked at, evenly spaced.
MAX_SESSIONS = 60
#: What is foretold: (entry, horizon) in sessions and its name.
TARGETS = (((0, 1), "the next session's return"), ((1, 5), "the five-session return entered at the next close"))


def too_good(values: Mapping[str, Values], close: Float, sessions: pd.DatetimeIndex) -> list[Finding]:
    """Return the factors whose mean rank IC with a forward return is beyond ``IC_BOUND`` and ``T_BOUND``.

    Returns do not overlap; at most about ``MAX_SESSIONS`` sessions are looked at; ``before`` is the mean rank IC and
    ``after`` the bound.
    """
    findings: list[Finding] = []
    for (entry, horizon), said in TARGETS:
        known = np.arange(0, close.shape[1] - entry - horizon, horizon)
        looked = known[:: max(1, len(known) // MAX_SESSIONS)]
        target = session_ranks(forward_returns(close, entry=entry, horizon=horizon)[:, looked])
        for name, factor in values.items():
            ics = session_correlations(session_ranks(factor[:, looked]), target)
            ics = ics[~np.isnan(ics)]
            if len(ics) < MIN_SESSIONS or name in {finding.factor for finding in findings}:
                continue
            mean, error = float(ics.mean()), float(ics.std(ddof=1)) / len(ics) ** 0.5
            if abs(mean) > IC_BOUND and abs(mean) > T_BOUND * error:
                world = f"as the bound of a mean rank IC with {said} (t {mean / error if error else np.inf:.1f})"
                findings.append(
                    Finding("too-good", name, "", sessions[0].date(), mean, IC_BOUND, len(ics), world=world)
                )
    return findings


def session_ranks(values: Values) -> Float:
    """Return each session's ranks over the symbols with a finite value, NaN elsewhere; shape as ``values``.

    Equal values rank in the order of their symbols: enough for a suspicion, and quick.
    """
    known = np.isfinite(values)
    rows = np.ascontiguousarray(np.where(known, values, np.inf).T)  # a session's values side by side sort faster
    ranks = np.empty(rows.shape)
    np.put_along_axis(ranks, np.argsort(rows, axis=1, kind="stable"), np.arange(len(values), dtype=np.float64), axis=1)
    return np.where(known, ranks.T, np.nan)


def session_correlations(x: Float, y: Float) -> Float:
    """Return each session's correlation over the symbols known in both, NaN with fewer than ``MIN_SYMBOLS``."""
    both = ~(np.isnan(x) | np.isnan(y))
    count = both.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        a = np.where(both, x - np.where(both, x, 0.0).sum(axis=0) / count, 0.0)
        b = np.where(both, y - np.where(both, y, 0.0).sum(axis=0) / count, 0.0)
        out = (a * b).sum(axis=0) / np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    return np.where(count >= MIN_SYMBOLS, out, np.nan)
