"""Capacity: how much capital the orders of a backtest could carry, judged by the turnover of the names they were in.

Every order is a fraction of the equity it was decided on; at another capital it would be that fraction of the other.
Two answers, both of the orders sent (not the fills, which the participation limit has cut already):

- the capital at which an order reaches the participation limit of its name's turnover on its session, as quantiles over
  the orders: at the median, half of the orders no longer fill in a day; at ``capital_90_cny``, one in ten;
- the capital at which price impact eats the excess return, with impact by the square-root law.

Both hold the orders' fractions fixed: a strategy that spreads its orders over days or more names carries more. An order
sent again because it did not fill counts again. Turnover
is volume times close of the session itself, known only after the fact, which suits a judgement and would not suit a
decision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ljwx_pipeline.backtest.result import BacktestResult
from ljwx_pipeline.errors import DataQualityError
from ljwx_pipeline.market.calendar import SESSIONS_PER_YEAR
from ljwx_pipeline.trading.market_arrays import MarketArrays
from ljwx_pipeline.units import E4, E8


@dataclass(frozen=True)
class Capacity:
    """How much capital the orders could carry; NaN where no order met any turnover.

    Parameters
    ----------
    median_capital_cny
        At which the median order reaches the participation limit.
    capital_90_cny
        At which nine orders in ten are still below it.
    break_even_capital_cny
        At which impact eats the excess return; zero when there is none to eat.
    orders
        How many orders were judged.
    orders_without_turnover
        How many were left out: their name did not trade on the session, whatever the capital.
    """

    median_capital_cny: float
    capital_90_cny: float
    break_even_capital_cny: float
    orders: int
    orders_without_turnover: int


def capacity(
    result: BacktestResult,
    market: MarketArrays,
    *,
    max_participation_frac: float,
    excess_annual_return: float,
    impact_coefficient: float = 1.0,
) -> Capacity:
    """Return the capital that the orders of ``result`` could carry.

    Parameters
    ----------
    result
        A backtest.
    market
        The market it ran on.
    max_participation_frac
        Most of a session's turnover that an order may be (``CostSettings.max_participation_frac``).
    excess_annual_return
        What there is to be eaten, a year, net of the costs already charged; NaN gives no break-even.
    impact_coefficient
        ``Y`` of the square-root law ``impact = Y * daily volatility * sqrt(order / turnover)``, a fraction of the
        order's value; about 1 in every market measured (Tóth et al. 2011). Impact that the backtest charged itself is
        already out of the excess and makes the answer the smaller. Volatility is the engine's own
        (``trading/volatility.py``: 20 sessions before the order).

    Raises
    ------
    DataQualityError
        When an order's name or session is not on the axes of ``market``.
    """
    orders = result.orders
    rows = pd.Index(market.symbols).get_indexer(pd.Index(orders["symbol"]))
    columns = market.sessions.get_indexer(pd.DatetimeIndex(orders["session_date"]))
    if len(orders) and min(rows.min(), columns.min()) < 0:
        raise DataQualityError("an order is of a name or session that the market lacks", "pass the backtest's market")
    close_cny = market.close_e4[rows, columns] / E4
    turnover_cny = close_cny * market.volume_shares[rows, columns]
    equity = result.equity.shift().reindex(pd.DatetimeIndex(orders["session_date"])).to_numpy()
    fraction = np.abs(orders["order_shares"].to_numpy(dtype=np.float64)) * close_cny / equity
    traded = turnover_cny > 0
    left_out = int((~traded).sum())
    if not traded.any():
        return Capacity(math.nan, math.nan, math.nan, 0, left_out)
    fraction, turnover_cny = fraction[traded], turnover_cny[traded]
    at_limit = max_participation_frac * turnover_cny / fraction
    median, low = np.quantile(at_limit, [0.5, 0.1])
    volatility = market.volatility_e8[rows[traded], columns[traded]] / E8
    years = (len(result.sessions) - 1) / SESSIONS_PER_YEAR
    impact = impact_coefficient * volatility * np.sqrt(fraction / turnover_cny)  # of the order's value, at 1 CNY
    return Capacity(
        median_capital_cny=float(median),
        capital_90_cny=float(low),
        break_even_capital_cny=_break_even(excess_annual_return, float((impact * fraction).sum()) / years),
        orders=int(traded.sum()),
        orders_without_turnover=left_out,
    )


def _break_even(excess: float, cost_at_one_cny: float) -> float:
    """Solve ``cost_at_one_cny * sqrt(capital) = excess``."""
    if math.isnan(excess) or not cost_at_one_cny > 0:
        return math.nan
    return (max(excess, 0.0) / cost_at_one_cny) ** 2
