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

from assets.report import INDEX_SUFFIX, LEVEL_SUFFIX
from ljwx_pipeline.backtest.engine import run_backtest
from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.config import Settings
from ljwx_pipeline.evaluation.benchmark_strategies import EQUAL_WEIGHT, equal_weight, plain_strategies
from ljwx_pipeline.evaluation.benchmarks import against_index, index_close
from ljwx_pipeline.evaluation.capacity import Capacity, capacity
from ljwx_pipeline.evaluation.closed_trades import closed_trades
from ljwx_pipeline.evaluation.holdings import Holdings, holdings_of
from ljwx_pipeline.evaluation.lint_evidence import LintEvidence, measure_evidence
from ljwx_pipeline.evaluation.metrics import annual_turnover, backtest_summary, cash_frac
from ljwx_pipeline.evaluation.scoreboard import finite, trade_figures
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR
from ljwx_pipeline.trading.market_arrays import MarketArrays
from ljwx_pipeline.trading.matching import Reject


@dataclass(frozen=True)
class JudgedBacktest:
    """A backtest and what it is judged by.

    Parameters
    ----------
    result, holdings, trades, evidence
        The backtest, its holdings and closed trades, and what the lint looks at.
    closes, levels
        Index closes by code; equity or level of the equal-weight universe and the plain strategies by name.
    summary
        ``backtest``, ``benchmarks``, ``trading`` and ``rejects``.
    """

    result: BacktestResult
    holdings: Holdings
    trades: pd.DataFrame
    evidence: LintEvidence
    closes: Mapping[str, pd.Series]
    levels: Mapping[str, pd.Series]
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
                "largest_position_cny": _largest_fen(self.holdings) / 100,
                **{f"{code}{INDEX_SUFFIX}": close.to_numpy() for code, close in self.closes.items()},
                **{f"{name}{LEVEL_SUFFIX}": level.to_numpy() for name, level in self.levels.items()},
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
) -> JudgedBacktest:
    """Run the backtest of ``scores`` from ``first`` to ``last`` and everything it stands beside.

    The universe of the equal-weight level and of the plain strategies is what the scores cover.
    """
    strategy, costs = settings.strategy, settings.costs
    result = run_backtest(market, scores, strategy=strategy, costs=costs, first=first, last=last)
    closes = {code: index_close(index_bars, code, result.sessions) for code in settings.evaluation.indices}
    members = np.isfinite(scores)
    plain = plain_strategies(market, members, strategy=strategy, costs=costs, first=first, last=last)
    levels = {EQUAL_WEIGHT: equal_weight(market, members, first=first, last=last)}
    levels |= {name: one.equity for name, one in plain.items()}
    benchmarks = {code: against_index(result.equity, close) for code, close in closes.items()}
    excess = benchmarks[settings.gate.benchmark]["excess_annual_return"]
    room = capacity(
        result,
        market,
        max_participation_frac=costs.max_participation_frac,
        excess_annual_return=np.nan if excess is None else excess,
    )
    holdings, trades = holdings_of(result, market), closed_trades(result, market)
    evidence = measure_evidence(
        result,
        market,
        scores,
        holdings,
        label=settings.label,
        closes=closes,
        benchmark=settings.gate.benchmark,
        stale_after_sessions=settings.lint.stale_after_sessions,
        capacity_cny=finite(room.median_capital_cny),
    )
    summary = {
        "backtest": backtest_summary(result),
        "benchmarks": benchmarks,
        "trading": _trading(result, holdings, trades, room),
        "rejects": result.rejects,
    }
    return JudgedBacktest(result, holdings, trades, evidence, closes, levels, summary)


def _trading(
    result: BacktestResult, holdings: Holdings, trades: pd.DataFrame, room: Capacity
) -> dict[str, float | None]:
    equity = np.maximum(result.equity_fen, 1)
    refused = int((result.orders["reject"] != int(Reject.NONE)).sum())
    fees_cny = int(result.fees_fen.sum()) / 100
    years = (len(result.sessions) - 1) / SESSIONS_PER_YEAR
    return {
        "turnover": finite(annual_turnover(result)),
        "cash_frac": finite(cash_frac(result)),
        "mean_names_held": finite(float(result.names_held[1:].mean())),
        "largest_weight_frac": finite(float((_largest_fen(holdings) / equity).max())),
        **trade_figures(trades),
        "rejected_orders_frac": finite(refused / len(result.orders)) if len(result.orders) else None,
        "fees_cny": fees_cny,
        "fees_of_equity_a_year": finite(fees_cny / years / float(result.equity.mean())),
        "median_capital_cny": finite(room.median_capital_cny),
        "capital_90_cny": finite(room.capital_90_cny),
        "break_even_capital_cny": finite(room.break_even_capital_cny),
    }


def _largest_fen(holdings: Holdings) -> NDArray[np.int64]:
    return holdings.value_fen.max(axis=1, initial=0)
