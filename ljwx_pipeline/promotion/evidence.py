"""What the gate is shown: frozen records of a candidate's evidence, all of it out of sample.

Not here: how it is gathered (the assets), what is asked of it (``checks.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Selection:
    """Trials that one was chosen among, on the same sessions.

    Parameters
    ----------
    name
        What they were.
    returns
        Net excess returns of those whose returns are kept, shape ``(sessions, trials)``, NaN where a trial was not
        run; no column where none are.
    tuned
        Whether there are parameters to try more of; False of a model that reads none.
    """

    name: str
    returns: Float = field(repr=False, compare=False)
    tuned: bool = True


@dataclass(frozen=True)
class Drift:
    """How far the newest inputs are from those of training.

    Parameters
    ----------
    ratio
        Largest over factors, in units of its limit: above 1 has drifted. NaN where it could not be judged.
    factors
        Those beyond their limit, worst first.
    reason
        Why it could not be judged; empty where it was.
    sessions
        Which were judged, in words.
    """

    ratio: float
    factors: tuple[str, ...] = ()
    reason: str = ""
    sessions: str = ""


@dataclass(frozen=True)
class Calibration:
    """What the candidate's prediction intervals held, before any abstention.

    Parameters
    ----------
    covered_frac
        Share of outcomes inside; NaN where it could not be judged.
    least_group_frac, most_group_frac
        The same of the year, industry or volatility third that held least and most; NaN where none is large enough.
    rows, groups
        Rows and groups judged.
    nominal_frac
        What the intervals were made for.
    reason
        Why it could not be judged; empty where it was.
    """

    covered_frac: float
    least_group_frac: float = np.nan
    most_group_frac: float = np.nan
    rows: int = 0
    groups: int = 0
    nominal_frac: float = np.nan
    reason: str = ""


@dataclass(frozen=True)
class Rival:
    """The champion that a candidate would replace.

    Parameters
    ----------
    version
        Its version in the registry.
    differences
        Candidate's net return less the champion's, per session on which both were out of sample, in order, no NaN.
    reason
        Why the two cannot be compared; empty where they can.
    skill_lost_since
        The session since which an alarm of lost skill about it stands; empty where none does.
    """

    version: str
    differences: Float = field(repr=False, compare=False, default_factory=lambda: np.empty(0))
    reason: str = ""
    skill_lost_since: str = ""


@dataclass(frozen=True)
class Evidence:
    """What a candidate shows, all of it out of sample.

    Parameters
    ----------
    rank_ic
        Rank IC per test session on rows that could be entered, in session order, no NaN.
    net_excess_returns
        Strategy return after costs minus benchmark return, per session, no NaN.
    monthly_net_excess_returns
        The same by calendar month: the strategy's month minus the benchmark's.
    trade_returns
        Return of every closed trade after fees, a fraction of its cost.
    trial_sharpes
        Per-session Sharpe ratio of the net returns of every trial of the family, in the order counted.
    trials
        How many trials were made; must equal ``len(trial_sharpes)``.
    trial_variance
        Of the trials' luck, in squared standard errors of a Sharpe ratio (``trial_count.CountedTrials``); None: that
        among ``trial_sharpes``.
    trial_returns
        Net excess returns of all trials whose returns are kept, shape ``(sessions, trials)``, NaN where one was not
        run; no column where none are.
    related
        Trials of the market with other factors, label or universe that are not like the candidate: told, not counted.
    study, strategies
        Those trials the candidate was chosen among: the sets of hyperparameters, and the strategies on its own scores.
    purge_sessions
        Sessions from a score to the last price its label reads.
    lint_errors
        ``code: fact`` of every finding of severity ``error`` that the result lint made; one is enough to be refused.
    leaks
        What the leak checks of its factors found; None where these factors were never checked.
    strategy
        Kind of the strategy whose returns these are; one that no account can trade is never promoted.
    turnover
        Times equity a year, one way.
    capacity_cny
        Capital at which the median order reaches the participation limit.
    capital_cny
        Capital to be traded.
    drift, calibration
        Of its inputs and its intervals.
    rival
        The champion; None where there is none.
    """

    rank_ic: Float
    net_excess_returns: Float
    monthly_net_excess_returns: Float
    trade_returns: Float
    trial_sharpes: tuple[float, ...]
    trials: int
    trial_variance: float | None
    trial_returns: Float
    related: int
    study: Selection
    strategies: Selection
    purge_sessions: int
    lint_errors: tuple[str, ...]
    leaks: tuple[str, ...] | None
    strategy: str
    turnover: float
    capacity_cny: float
    capital_cny: float
    drift: Drift
    calibration: Calibration
    rival: Rival | None
