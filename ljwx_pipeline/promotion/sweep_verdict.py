"""What a sweep's best variant is worth after so many were tried: the luck to be expected, and what is left of it.

Not here: the formulas (``statistics.py``), counting trials (``trial_count.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ljwx_pipeline.errors import PromotionError
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR
from ljwx_pipeline.promotion.statistics import deflated_sharpe, expected_maximum_sharpe

#: From here on a probability is not written out: its last digits say nothing, and none is 100 %.
_NEAR_ONE = 0.9990


@dataclass(frozen=True)
class SweepVerdict:
    """The best of a sweep beside what luck shows; ratios are annual, of net returns over the benchmark.

    Parameters
    ----------
    best
        Name of the variant with the highest ratio.
    information_ratio
        Its ratio.
    expected_of_noise
        The highest ratio that as many trials without skill, spread like these, are expected to show.
    trials
        Trials counted: every one of the family, on whatever it was tried.
    deflated_probability
        Probability that the best is more than luck; None where its returns do not allow one.
    """

    best: str
    information_ratio: float
    expected_of_noise: float
    trials: int
    deflated_probability: float | None

    @property
    def sentence(self) -> str:
        """What was found, in one sentence."""
        return f"The best is {self.best}, with an information ratio of {self.information_ratio:.2f}"

    @property
    def luck(self) -> str:
        """Why not to believe it, with the number to compare with."""
        what = (
            f"The best of {self.trials:,} trials is biased upwards"
            if self.trials > 1
            else "One trial has no luck of choice"
        )
        noise = f"that many without any skill, spread like these, are expected to show {self.expected_of_noise:.2f}"
        chance = ""
        if self.deflated_probability is not None:
            value = f"{self.deflated_probability:.1%}" if self.deflated_probability < _NEAR_ONE else "above 99.9%"
            chance = f". The deflated probability that it is more than luck is {value}"
        return f"{what}: {noise} (Bailey and López de Prado 2014){chance}."


def sweep_verdict(
    names: Sequence[str],
    session_sharpes: NDArray[np.float64],
    excess_returns: NDArray[np.float64],
    *,
    trial_sharpes: Sequence[float],
    luck: float | None = None,
) -> SweepVerdict:
    """Return what the best of a sweep is worth.

    Parameters
    ----------
    names, session_sharpes
        Of the sweep's variants; Sharpe ratios per session, over the benchmark.
    excess_returns
        Net returns over the benchmark, shape ``(n_variants, n_sessions)``.
    trial_sharpes, luck
        Every trial of the family and the variance of their luck (``counted_trials``), those of the sweep among them;
        as ``deflated_sharpe`` takes them.
    """
    at = int(np.argmax(session_sharpes))
    among = float(np.var(trial_sharpes, ddof=1)) if len(trial_sharpes) > 1 else 0.0
    noise = expected_maximum_sharpe(among if luck is None else luck / excess_returns.shape[1], len(trial_sharpes))
    try:
        probability = deflated_sharpe(excess_returns[at], trial_sharpes, luck=luck).probability
    except PromotionError:  # too short a range, or a strategy that never traded
        probability = None
    year = math.sqrt(SESSIONS_PER_YEAR)
    return SweepVerdict(names[at], float(session_sharpes[at]) * year, noise * year, len(trial_sharpes), probability)
