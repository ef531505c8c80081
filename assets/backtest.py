"""The net backtest with everything it is judged by: what it stands beside, its trades, what the lint looks at.

Not here: fills (``ljwx_pipeline.backtest``), formulas (``ljwx_pipeline.evaluation``), the asset (``evaluation.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets.report import INTERVALS, curve_column
from ljwx_pipeline.backtest.abstained import abstained_frac
from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.config import Settings
from ljwx_pipeline.evaluation.benchmarks import against_index
from ljwx_pipeline.evaluation.closed_trades import closed_trades
from ljwx_pipeline.evaluation.comparison import comparison, every_benchmark, levels
from ljwx_pipeline.evaluation.holdings import Holdings, holdings_of
from ljwx_pipeline.evaluation.lint_evidence import LintEvidence, measure_evidence
from ljwx_pipeline.evaluation.metrics import backtest_summary
from ljwx_pipeline.evaluation.performance import Figure, performance
from ljwx_pipeline.trading.market_arrays import MarketArrays


@dataclass(frozen=True)
class JudgedBacktest:
    """A backtest and what it is judged by.

    Parameters
    ----------
    result, holdings, trades
        The backtest, its holdings and its closed trades.
    figures, comparison
        Every figure with its interval, and the measures of all curves side by side.
    evidence
        What the lint looks at.
    curves
        What it stands beside by name: index closes by code, the equal-weight universe and the plain strategies.
    summary
        ``backtest``, ``benchmarks`` and ``rejects``: sections of the run summary. ``abstained_frac`` of the first is
        the share of scored rows too unsure to be bought, None where no limit is set.
    """

    result: BacktestResult
    holdings: Holdings
    trades: pd.DataFrame
    figures: Mapping[str, Figure]
    comparison: pd.DataFrame
    evidence: LintEvidence
    curves: Mapping[str, pd.Series]
    summary: Mapping[str, Any]

    def by_session(self) -> pd.DataFrame:
        """Return the account and all curves beside it, a row a session."""
        result = self.result
        return pd.DataFrame(
            {
                "session_date": result.sessions,
                "equity_cny": result.equity.to_numpy(),
                "cash_cny": result.cash_fen / 100,
                "fees_cny": result.fees_fen / 100,
                "turnover_frac": result.turnover_frac.to_numpy(),
                "names_held": result.names_held,
                "largest_position_cny": result.largest_position_fen / 100,
                "slippage_cny": result.slippage_fen / 100,
                "impact_cny": result.impact_fen / 100,
                **{curve_column(name): curve.to_numpy() for name, curve in self.curves.items()},
            }
        )

    def by_name(self, securities: pd.DataFrame) -> pd.DataFrame:
        """Return what every name ever held earned: ``symbol``, ``name``, ``profit_cny``, ``trades`` that it closed."""
        called = securities.drop_duplicates("symbol").set_index("symbol")["name"]
        closed = self.trades["symbol"].value_counts()
        symbols = list(self.holdings.symbols)
        return pd.DataFrame(
            {
                "symbol": symbols,
                "name": called.reindex(symbols).fillna("").to_numpy(),
                "profit_cny": self.holdings.profit_fen / 100,
                "trades": closed.reindex(symbols, fill_value=0).to_numpy(),
            }
        )


def judged_backtest(
    settings: Settings,
    market: MarketArrays,
    scores: NDArray[np.float64],
    index_bars: pd.DataFrame,
    *,
    first: date,
    last: date,
    may_buy: NDArray[np.int8] | None = None,
) -> JudgedBacktest:
    """Run the backtest of ``scores`` from ``first`` to ``last`` and everything it stands beside.

    The universe of the equal-weight level and of the plain strategies is what the scores cover; they abstain from no
    name. ``may_buy`` as ``run_backtest`` takes it.
    """
    strategy, costs, gate = settings.strategy, settings.costs, settings.gate
    result = run_backtest(market, scores, strategy=strategy, costs=costs, first=first, last=last, may_buy=may_buy)
    curves = every_benchmark(
        result,
        market,
        np.isfinite(scores),
        index_bars,
        indices=settings.evaluation.indices,
        strategy=strategy,
        costs=costs,
    )
    beside = levels(curves)
    figures = performance(
        result, market, costs=costs, benchmarks=beside, capacity_against=gate.benchmark, bootstrap=INTERVALS
    )
    holdings = holdings_of(result, market)
    closes = {code: beside[code] for code in settings.evaluation.indices}
    begun = int(market.sessions.get_indexer(result.sessions[:1])[0])
    doubted = abstained_frac(scores, may_buy, slice(begun, begun + len(result.sessions)))
    evidence = measure_evidence(
        result,
        market,
        scores,
        holdings,
        label=settings.label,
        closes=closes,
        benchmark=gate.benchmark,
        stale_after_sessions=settings.lint.stale_after_sessions,
        capacity_cny=figures["capacity_median"].value,
        abstained_frac=doubted,
    )
    summary = {
        "backtest": {**backtest_summary(result), "abstained_frac": doubted},
        "benchmarks": {code: against_index(result.equity, close) for code, close in closes.items()},
        "rejects": result.rejects,
    }
    trades = closed_trades(result, market)
    return JudgedBacktest(result, holdings, trades, figures, comparison(result, curves), evidence, beside, summary)
