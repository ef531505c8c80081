"""What scores would have earned over a benchmark, session by session: how a trial of a study is judged.

It holds arrays and settings alone, so that it can be handed to other processes. Not here: the study
(``models/tune.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.config import CostSettings, StrategySettings
from ljwx_pipeline.evaluation.benchmarks import session_excess
from ljwx_pipeline.trading.market_arrays import MarketArrays


@dataclass(frozen=True)
class NetExcess:
    """Net returns over a benchmark that a score matrix would have earned.

    Parameters
    ----------
    market
        The trading view of the market; its first sessions are the dataset's.
    close_points
        The benchmark's close on every session asked about.
    strategy, costs
        How scores are traded.
    """

    market: MarketArrays
    close_points: pd.Series
    strategy: StrategySettings
    costs: CostSettings

    def __call__(self, scores: NDArray[np.float64], first: int, last: int) -> NDArray[np.float64]:
        """Return one net excess return for each session after ``first`` up to ``last``, positions on the sessions.

        Parameters
        ----------
        scores
            Shape ``(n_symbols, n_sessions)`` over the dataset's sessions; NaN: no score.

        Raises
        ------
        DataQualityError
            When the benchmark misses a session.
        """
        sessions = self.market.sessions
        padded = np.full(self.market.close_e4.shape, np.nan)
        padded[:, : scores.shape[1]] = scores
        result = run_backtest(
            self.market,
            padded,
            strategy=self.strategy,
            costs=self.costs,
            first=sessions[first].date(),
            last=sessions[last].date(),
        )
        return session_excess(result.equity, self.close_points.loc[result.sessions]).to_numpy()
