"""Slippage, implementation shortfall, fill ratios and costs of orders: pure functions of frozen rows.

Amounts that are sums of shares times prices are whole numbers of 1e-4 CNY (``_e4``), so that parts add up exactly; a
positive one is a cost, for purchases and sales alike. Source of the shortfall: Perold, "The implementation shortfall:
paper versus reality" (Journal of Portfolio Management, 1988), with the delay until the session's open set apart. Not
here: the prices (``prices.py``), time (``latency.py``), the backtest (``against_backtest.py``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from ljwx_pipeline.live.analysis.ledger import TradedFill, TradedOrder
from ljwx_pipeline.live.analysis.prices import Bars, decision_price_e4
from ljwx_pipeline.live.orders import OrderState
from ljwx_pipeline.trading.exchange_wire import Side
from ljwx_pipeline.units import BPS, E4_PER_FEN

ALL = "all"
#: How tables name the groups of orders.
GROUPS = (Side.BUY.value, Side.SELL.value, ALL)


@dataclass(frozen=True)
class OrderCost:
    """What one order cost against the price it was decided on, 1e-4 CNY.

    Parameters
    ----------
    decision_e4
        Price decided on, carried over an ex-date.
    delay_e4
        Filled shares, from the decision to the session's first price: what waiting cost.
    trading_e4
        Filled shares, from the first price to what was paid or got: what trading cost, slippage and impact included.
    opportunity_e4
        Shares that were not filled, from the decision to the session's close: what missing them cost.
    fees_e4
        Commission, stamp duty, transfer fee.
    vwap_e4
        Filled shares, from the session's average price to what was paid or got; None where no average is known.
    """

    order: TradedOrder
    decision_e4: int
    open_e4: int
    delay_e4: int
    trading_e4: int
    opportunity_e4: int
    fees_e4: int
    vwap_e4: float | None

    @property
    def shortfall_e4(self) -> int:
        """All of it: the paper portfolio's profit less the real one's."""
        return self.delay_e4 + self.trading_e4 + self.opportunity_e4 + self.fees_e4

    @property
    def slippage_e4(self) -> int:
        """Filled shares, from the decision to what was paid or got, fees left aside."""
        return self.delay_e4 + self.trading_e4

    @property
    def slippage_bps(self) -> float | None:
        """Slippage over the filled shares' value at the decision; None when nothing was filled."""
        value = self.order.filled_shares * self.decision_e4
        return self.slippage_e4 / value * BPS if value else None


def unmeasured(order: TradedOrder, bars: Bars) -> str:
    """Return why nobody can say what the order cost; empty where it can be said."""
    if order.state is OrderState.DENIED:
        return "denied, never sent"
    if order.is_open:
        return "still open"
    if order.decision_e4 <= 0:
        return "placed by somebody else"
    bar = bars.get((order.valid_session, order.symbol))
    return "" if bar is not None and bar.open_e4 > 0 and bar.close_e4 > 0 else "no bar of the session"


def order_cost(order: TradedOrder, bars: Bars) -> OrderCost | None:
    """Return what the order cost; None where it cannot be said.

    Why not is what `unmeasured` says.
    """
    if unmeasured(order, bars):
        return None
    bar = bars[order.valid_session, order.symbol]
    filled, sign = order.filled_shares, order.sign
    decision = decision_price_e4(order, bars)
    value_e4 = order.value_fen * E4_PER_FEN
    return OrderCost(
        order=order,
        decision_e4=decision,
        open_e4=bar.open_e4,
        delay_e4=sign * filled * (bar.open_e4 - decision),
        trading_e4=sign * (value_e4 - filled * bar.open_e4),
        opportunity_e4=sign * (order.shares - filled) * (bar.close_e4 - decision),
        fees_e4=order.fees_fen * E4_PER_FEN,
        vwap_e4=sign * (value_e4 - filled * bar.vwap_e4) if bar.vwap_e4 > 0 and filled else None,
    )


@dataclass(frozen=True)
class Shortfall:
    """The costs of a group of orders added up, 1e-4 CNY; ratios are weighted by value.

    Parameters
    ----------
    group
        ``buy``, ``sell`` or ``all``.
    ordered_e4, filled_e4
        All ordered shares, and the filled ones, at their decision prices.
    filled_open_e4
        The filled shares at their sessions' first prices.
    vwap_e4, vwap_value_e4
        Against the sessions' average prices, and the value there of the fills that have one.
    """

    group: str
    orders: int
    ordered_e4: int
    filled_e4: int
    filled_open_e4: int
    delay_e4: int
    trading_e4: int
    opportunity_e4: int
    fees_e4: int
    vwap_e4: float
    vwap_value_e4: float

    @property
    def total_e4(self) -> int:
        """The implementation shortfall."""
        return self.delay_e4 + self.trading_e4 + self.opportunity_e4 + self.fees_e4

    @property
    def total_bps(self) -> float | None:
        """The implementation shortfall over the value that was to be traded."""
        return _bps(self.total_e4, self.ordered_e4)

    @property
    def slippage_bps(self) -> float | None:
        """Against the decision price, over the filled value there."""
        return _bps(self.delay_e4 + self.trading_e4, self.filled_e4)

    @property
    def open_bps(self) -> float | None:
        """Against the session's first price, over the filled value there."""
        return _bps(self.trading_e4, self.filled_open_e4)

    @property
    def vwap_bps(self) -> float | None:
        """Against the session's average price, over the filled value there."""
        return _bps(self.vwap_e4, self.vwap_value_e4)


def shortfalls(costs: Sequence[OrderCost]) -> tuple[Shortfall, ...]:
    """Return the costs of purchases, of sales and of all orders."""
    return tuple(_shortfall(group, [one for one in costs if group in (one.order.side.value, ALL)]) for group in GROUPS)


def _shortfall(group: str, costs: Sequence[OrderCost]) -> Shortfall:
    with_vwap = [one for one in costs if one.vwap_e4 is not None]
    vwap = sum(one.vwap_e4 or 0.0 for one in with_vwap)
    return Shortfall(
        group=group,
        orders=len(costs),
        ordered_e4=sum(one.order.shares * one.decision_e4 for one in costs),
        filled_e4=sum(one.order.filled_shares * one.decision_e4 for one in costs),
        filled_open_e4=sum(one.order.filled_shares * one.open_e4 for one in costs),
        delay_e4=sum(one.delay_e4 for one in costs),
        trading_e4=sum(one.trading_e4 for one in costs),
        opportunity_e4=sum(one.opportunity_e4 for one in costs),
        fees_e4=sum(one.fees_e4 for one in costs),
        vwap_e4=vwap,
        vwap_value_e4=sum(
            one.order.value_fen * E4_PER_FEN - one.order.sign * (one.vwap_e4 or 0.0) for one in with_vwap
        ),
    )


@dataclass(frozen=True)
class FillRatio:
    """How much was filled of the orders that ended one way."""

    side: str
    outcome: str
    orders: int
    shares: int
    filled_shares: int

    @property
    def ratio(self) -> float:
        """Filled shares over ordered ones."""
        return self.filled_shares / self.shares if self.shares else 0.0


def outcome_of(order: TradedOrder) -> str:
    """Return how an order ended in a few words: its state, and the reason code where there is one."""
    if order.is_open:
        return "still open"
    return f"{order.state.value} {order.reason.split(':')[0]}".strip()


def fill_ratios(traded: Iterable[TradedOrder]) -> tuple[FillRatio, ...]:
    """Return a row a side and outcome, purchases first, the outcome with most shares first; denied orders too."""
    groups: dict[tuple[str, str], list[TradedOrder]] = defaultdict(list)
    for one in traded:
        groups[one.side.value, outcome_of(one)].append(one)
    rows = [
        FillRatio(
            side,
            outcome,
            len(some),
            sum(one.shares for one in some),
            sum(one.filled_shares for one in some),
        )
        for (side, outcome), some in groups.items()
    ]
    return tuple(sorted(rows, key=lambda row: (row.side, -row.shares, row.outcome)))


@dataclass(frozen=True)
class CostSplit:
    """What fills cost, by kind, fen; slippage and impact as the broker told them, and part of the value already."""

    group: str
    fills: int
    value_fen: int
    commission_fen: int
    stamp_duty_fen: int
    transfer_fee_fen: int
    slippage_fen: int
    impact_fen: int

    @property
    def parts(self) -> dict[str, int]:
        """The kinds by name, fen."""
        return {
            "commission": self.commission_fen,
            "stamp duty": self.stamp_duty_fen,
            "transfer fee": self.transfer_fee_fen,
            "slippage": self.slippage_fen,
            "impact": self.impact_fen,
        }

    @property
    def total_fen(self) -> int:
        """All of them."""
        return sum(self.parts.values())

    @property
    def total_bps(self) -> float | None:
        """All of them over the traded value."""
        return _bps(self.total_fen, self.value_fen)


def cost_splits(traded: Sequence[TradedOrder]) -> tuple[CostSplit, ...]:
    """Return the costs of purchases, of sales and of all fills."""
    return tuple(
        _split(group, [fill for one in traded if group in (one.side.value, ALL) for fill in one.fills])
        for group in GROUPS
    )


def daily_costs(traded: Iterable[TradedOrder]) -> dict[date, CostSplit]:
    """Return the costs by the session of the fills, ascending."""
    by_day: dict[date, list[TradedFill]] = defaultdict(list)
    for one in traded:
        for fill in one.fills:
            by_day[fill.session].append(fill)
    return {day: _split(day.isoformat(), by_day[day]) for day in sorted(by_day)}


def _split(group: str, some: Sequence[TradedFill]) -> CostSplit:
    return CostSplit(
        group=group,
        fills=len(some),
        value_fen=sum(one.value_fen for one in some),
        commission_fen=sum(one.commission_fen for one in some),
        stamp_duty_fen=sum(one.stamp_duty_fen for one in some),
        transfer_fee_fen=sum(one.transfer_fee_fen for one in some),
        slippage_fen=sum(one.slippage_fen for one in some),
        impact_fen=sum(one.impact_fen for one in some),
    )


def _bps(part: float, whole: float) -> float | None:
    return part / whole * BPS if whole else None
