"""The analysis as a whole: every table of it, and the same as plain data for JSON.

Not here: how it is shown (``text.py``, ``page.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.analysis.against_backtest import Asked, Comparison
from ljwx_pipeline.live.analysis.latency import Latency, latencies
from ljwx_pipeline.live.analysis.ledger import Ledger
from ljwx_pipeline.live.analysis.measures import (
    CostSplit,
    FillRatio,
    OrderCost,
    Shortfall,
    cost_splits,
    daily_costs,
    fill_ratios,
    order_cost,
    shortfalls,
    unmeasured,
)
from ljwx_pipeline.live.analysis.prices import Bars
from ljwx_pipeline.units import E4, FEN_PER_CNY


@dataclass(frozen=True)
class TradeAnalysis:
    """What trading cost from ``first`` to ``last``, the sessions of its first and last order.

    Parameters
    ----------
    costs
        Of the orders that can be held against prices.
    unmeasured
        The others by why.
    comparison
        Beside the backtest; None with the reason in ``not_compared``.
    simulated
        Whether the market was.
    """

    first: date
    last: date
    orders: int
    costs: tuple[OrderCost, ...]
    unmeasured: Mapping[str, int]
    shortfalls: tuple[Shortfall, ...]
    fill_ratios: tuple[FillRatio, ...]
    latencies: tuple[Latency, ...]
    cost_splits: tuple[CostSplit, ...]
    daily_costs: Mapping[date, CostSplit]
    comparison: Comparison | None
    not_compared: str
    simulated: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; money in CNY, ratios in basis points."""
        return {
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "simulated": self.simulated,
            "orders": self.orders,
            "measured_orders": len(self.costs),
            "unmeasured": dict(self.unmeasured),
            "shortfall": [_shortfall_row(one) for one in self.shortfalls],
            "fill_ratios": [{**asdict(one), "ratio": one.ratio} for one in self.fill_ratios],
            "latency": [asdict(one) for one in self.latencies],
            "costs": [
                {
                    "group": one.group,
                    "fills": one.fills,
                    "value_cny": one.value_fen / FEN_PER_CNY,
                    **{f"{name.replace(' ', '_')}_cny": fen / FEN_PER_CNY for name, fen in one.parts.items()},
                    "total_cny": one.total_fen / FEN_PER_CNY,
                    "total_bps": one.total_bps,
                }
                for one in self.cost_splits
            ],
            "backtest": None if self.comparison is None else _comparison_row(self.comparison),
            "not_compared": self.not_compared,
        }


def analysed(
    ledger: Ledger,
    bars: Bars,
    *,
    asked: Asked,
    comparison: Comparison | None,
    not_compared: str,
    simulated: bool,
) -> TradeAnalysis:
    """Return the analysis of the orders that were good for the sessions asked for.

    Raises
    ------
    LiveError
        When there is none.
    """
    traded = ledger.between(asked.first, asked.last)
    if not traded:
        held = f"{ledger.orders[0].valid_session} to {ledger.orders[-1].valid_session}" if ledger.orders else "none"
        raise LiveError(
            f"the journal holds no order for {asked.first or 'its first session'} to {asked.last or 'its last'}",
            f"ask for other sessions; those with orders: {held}",
        )
    costs = [cost for one in traded if (cost := order_cost(one, bars)) is not None]
    left_out = Counter(why for one in traded if (why := unmeasured(one, bars)))
    return TradeAnalysis(
        first=traded[0].valid_session,
        last=traded[-1].valid_session,
        orders=len(traded),
        costs=tuple(costs),
        unmeasured=left_out,
        shortfalls=shortfalls(costs),
        fill_ratios=fill_ratios(traded),
        latencies=latencies(traded),
        cost_splits=cost_splits(traded),
        daily_costs=daily_costs(traded),
        comparison=comparison,
        not_compared=not_compared,
        simulated=simulated,
    )


def cny(value_e4: float) -> float:
    """Return 1e-4 CNY as CNY."""
    return value_e4 / E4


def _shortfall_row(one: Shortfall) -> dict[str, Any]:
    return {
        "group": one.group,
        "orders": one.orders,
        "ordered_cny": cny(one.ordered_e4),
        "filled_cny": cny(one.filled_e4),
        "delay_cny": cny(one.delay_e4),
        "trading_cny": cny(one.trading_e4),
        "opportunity_cny": cny(one.opportunity_e4),
        "fees_cny": cny(one.fees_e4),
        "shortfall_cny": cny(one.total_e4),
        "shortfall_bps": one.total_bps,
        "slippage_bps": one.slippage_bps,
        "against_open_bps": one.open_bps,
        "against_vwap_bps": one.vwap_bps,
    }


def _comparison_row(found: Comparison) -> dict[str, Any]:
    return {
        "sessions": len(found.days),
        "orders": found.orders,
        "differing_orders": len(found.gaps),
        "first_gap": None if found.first_gap is None else found.first_gap.isoformat(),
        "last_gap_cny": found.days[-1].gap_fen / FEN_PER_CNY if found.days else None,
        "equity": [
            {
                "session": day.session.isoformat(),
                "live_cny": day.live_fen / FEN_PER_CNY,
                "backtest_cny": day.backtest_fen / FEN_PER_CNY,
            }
            for day in found.days
        ],
        "gaps": [{**asdict(one), "session": one.session.isoformat()} for one in found.gaps],
    }
