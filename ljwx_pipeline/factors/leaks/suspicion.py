"""Statistical suspicion: a factor that foretells more than any honest one does.

It sees what no perturbation shows, such as a column computed elsewhere from the future; it proves nothing and is the
last check. Not here: how good an honest factor is (``evaluation/``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ljwx_pipeline.coefficients import by_session, panel_rank_ic
from ljwx_pipeline.factors.leaks.findings import Finding, Values
from ljwx_pipeline.label import forward_returns
from ljwx_pipeline.market.panel import Float

#: A mean rank IC beyond this, this many standard errors from zero, is not believed: plain factors on A-shares reach a
#: few hundredths, and a model of 158 of them about 0.1.
IC_BOUND, T_BOUND = 0.3, 4.0
#: Sessions a mean needs.
MIN_SESSIONS = 10
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
        target = by_session(forward_returns(close, entry=entry, horizon=horizon)[:, looked])
        for name, factor in values.items():
            ics = panel_rank_ic(by_session(factor[:, looked]), target)
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
