"""How a challenger stands against the champion: the sequential verdict, how far it is behind, what follows.

Pure: daily net returns in, a judgement out, the same for the same returns on any day. Not here: where returns come from
(``assets/contest.py``), what is done to an alias (``moves.py``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.contest.record import Challenger, Contest
from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.monitoring.sequential import Comparison, compare, evidence

Float = NDArray[np.float64]
#: ``early``: fewer sessions than a verdict needs; the worst that holds, where more than one does.
State = Literal["early", "undecided", "better", "worse", "breach"]
Advice = Literal["wait", "propose", "stop", "demote", "demoted", "look", "none"]
#: Means tried for the ends of the interval; an end lies at most the bound over half of this outside the true one.
_MEANS = 801


@dataclass(frozen=True)
class Standing:
    """A challenger's standing after the last session.

    Parameters
    ----------
    version
        The challenger.
    state
        What is to be told.
    comparison
        Of the paired differences, at this challenger's share of the error.
    champion_return_frac, challenger_return_frac
        Compounded since the start.
    behind_frac, deepest_frac
        How far the challenger's worth over the champion's is below its highest since the start: now, and at most.
    breached_on, decided_on
        Session at whose close it was first in breach, and at which the verdict counted; ISO, or None.
    missing_sessions
        Daily returns that a verdict still needs.
    """

    version: str
    state: State
    comparison: Comparison
    champion_return_frac: float
    challenger_return_frac: float
    behind_frac: float
    deepest_frac: float
    breached_on: str | None
    decided_on: str | None
    missing_sessions: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; evidence that no float holds is the largest that one does."""
        told = asdict(self)
        for name in ("evidence_challenger", "evidence_champion"):
            told["comparison"][name] = min(told["comparison"][name], float(np.finfo(np.float64).max))
        return told


def standing(paired: pd.DataFrame, contest: Contest, challenger: Challenger) -> Standing:
    """Return how ``challenger`` stands.

    Parameters
    ----------
    paired
        ``session_date`` ascending, ``champion`` and ``challenger``: daily net returns (fractions) from the session
        after the contest's first one on, one row for each session; none may be left out.

    Raises
    ------
    DataQualityError
        For no session, sessions out of order or twice, or a return that is not finite or not above -1.
    """
    compared = compare(paired, bound=challenger.bound_frac, alpha=contest.alpha_each)
    returns = paired[["champion", "challenger"]].to_numpy(dtype=np.float64)
    if (returns <= -1).any():
        raise DataQualityError("a daily return of the contest loses everything", "look at the prices of that session")
    behind = fallen_behind(returns)
    dates = [f"{day:%Y-%m-%d}" for day in pd.DatetimeIndex(paired["session_date"])]
    beyond = np.flatnonzero(behind > contest.max_behind_frac)
    breached_on = dates[beyond[0]] if len(beyond) else None
    enough = len(dates) >= contest.min_sessions
    decided_on = None
    if compared.decided_at is not None and enough:
        decided_on = dates[max(compared.decided_at, contest.min_sessions - 1)]
    return Standing(
        version=challenger.version,
        state=_state(compared, enough=enough, breached=breached_on is not None),
        comparison=compared,
        champion_return_frac=float(np.prod(1 + returns[:, 0])) - 1,
        challenger_return_frac=float(np.prod(1 + returns[:, 1])) - 1,
        behind_frac=float(behind[-1]),
        deepest_frac=float(behind.max()),
        breached_on=breached_on,
        decided_on=decided_on,
        missing_sessions=max(0, contest.min_sessions - len(dates)),
    )


def advice(found: Standing, contest: Contest, *, still_in: bool) -> Advice:
    """Return what follows from a standing.

    ``propose``: the challenger is better and may be put to promotion; ``stop``: a shadow is worse or in breach;
    ``demote``: a canary is; ``demoted``: it was; ``look``: a canary is and the settings leave it to a person; ``none``
    of a rehearsal or of a challenger that left; ``wait`` otherwise.
    """
    if found.state in ("breach", "worse") and contest.mode == "canary":
        if not still_in:
            return "demoted"
        return "demote" if contest.on_breach == "demote" else "look"
    if contest.rehearsal or not still_in:
        return "none"
    follows: dict[State, Advice] = {"better": "propose", "breach": "stop", "worse": "stop"}
    return follows.get(found.state, "wait")


def sentence(one: Standing, contest: Contest) -> str:
    """Return a standing as one sentence."""
    compared = one.comparison
    measured = (
        f"mean daily difference {compared.mean * 1e4:+.2f} bps ({compared.lower * 1e4:+.2f} to "
        f"{compared.upper * 1e4:+.2f}) over {compared.sessions} sessions"
    )
    if one.state == "breach":
        return (
            f"{one.deepest_frac:.2%} behind the champion, limit {contest.max_behind_frac:.2%}, passed "
            f"{one.breached_on}; {measured}"
        )
    verdict = {
        "early": f"{one.missing_sessions} more sessions before a verdict counts",
        "undecided": "undecided",
        "better": f"better than the champion, decided {one.decided_on}",
        "worse": f"worse than the champion, decided {one.decided_on}",
    }[one.state]
    return f"{verdict}; {measured}"


def fallen_behind(returns: Float) -> Float:
    """Return, by session, how far the challenger's worth over the champion's is below its highest so far.

    Parameters
    ----------
    returns
        Shape ``(n, 2)``: champion, challenger, above -1. Both are worth 1 before the first session.
    """
    relative = np.cumprod((1 + returns[:, 1]) / (1 + returns[:, 0]))
    out: Float = 1 - relative / np.maximum.accumulate(np.maximum(relative, 1.0))
    return out


def interval_path(differences: Float, *, bound: float, alpha: float) -> tuple[Float, Float]:
    """Return the ends, after each session, of the interval of the mean difference that holds at all sessions at once.

    ``compare`` gives the last one to more digits; here an end is the outermost of ``_MEANS`` means, never inside it.

    Parameters
    ----------
    differences
        Challenger less champion, shape ``(n,)``, finite.
    bound, alpha
        As ``compare``.
    """
    scaled = np.clip(np.asarray(differences, dtype=np.float64) / bound, -1, 1)
    return bound * _lower_path(scaled, alpha), -bound * _lower_path(-scaled, alpha)


def _lower_path(scaled: Float, alpha: float) -> Float:
    out = np.full(len(scaled), -1.0)
    # the capital falls as the mean bet against rises: what a mean excludes, every lower one does
    for mean in np.linspace(-1, 1, _MEANS)[1:-1]:
        crossed = evidence(scaled, float(mean)) >= 2 / alpha
        if not crossed.any():
            break
        out[int(crossed.argmax()) :] = mean
    return out


def _state(compared: Comparison, *, enough: bool, breached: bool) -> State:
    if breached:
        return "breach"
    if not enough:
        return "early"
    named: dict[str, State] = {"champion": "worse", "challenger": "better"}
    return named.get(compared.verdict, "undecided")
