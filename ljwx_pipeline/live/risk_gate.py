"""The risk gate: the limits of ``[risk]`` that every order must pass before it may leave the runner.

A denial is a code. Rules about doubtful data stop orders of both sides; rules about exposure stop only buys, so that a
position can always be reduced. Anything that cannot be judged is denied. Not here: the exchange's own rules
(``trading/matching.py``), the decision (``trading/decide.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ljwx_pipeline.config import RiskSettings
from ljwx_pipeline.live.orders import DecidedOrder, OrderIntent, Side

FEN_PER_CNY = 100
E4_PER_FEN = 100


class Denial(StrEnum):
    """Why an order may not leave."""

    MISSING_PRICE = "MISSING_PRICE"  # suspended or no usable price: nothing to judge the order by
    PRICE_DEVIATION = "PRICE_DEVIATION"  # reference price too far from the previous close
    FAT_FINGER = "FAT_FINGER"  # order value above max_order_cny
    ORDER_COUNT = "ORDER_COUNT"  # more orders than max_orders_per_session
    STALE_BUNDLE = "STALE_BUNDLE"  # the model is older than max_bundle_age_days: no opening orders
    DAY_LOSS = "DAY_LOSS"  # the session lost more than max_day_loss_frac: no opening orders
    MAX_WEIGHT = "MAX_WEIGHT"  # the position would exceed max_weight_per_name_frac
    GROSS_EXPOSURE = "GROSS_EXPOSURE"  # all positions would exceed max_gross_exposure_frac
    OVERSELL = "OVERSELL"  # more than is held: the account never goes short


@dataclass(frozen=True)
class Quote:
    """What the gate knows of a symbol at the deciding close, 1e-4 CNY; 0 where there is no bar."""

    close_e4: int
    pre_close_e4: int


@dataclass(frozen=True)
class RiskView:
    """The account and the model as the gate sees them at the deciding close.

    Parameters
    ----------
    equity_fen, previous_equity_fen
        Equity now and at the close before (the opening capital on the first session).
    shares
        Shares held by symbol.
    position_values_fen
        Value of what is held by symbol, fen.
    bundle_age_days
        Days since the model's last training session.
    max_bundle_age_days
        Limit of that age.
    """

    equity_fen: int
    previous_equity_fen: int
    shares: Mapping[str, int]
    position_values_fen: Mapping[str, int]
    bundle_age_days: int
    max_bundle_age_days: int


def gate_orders(
    orders: Sequence[OrderIntent], quotes: Mapping[str, Quote], view: RiskView, limits: RiskSettings
) -> tuple[DecidedOrder, ...]:
    """Return every order with its denial code, or without one if it may be sent.

    Orders are judged in the order given (sells first, as decided): what a denied order would have used is left for the
    next. Expected proceeds of a passing sale free exposure for the buys behind it.

    Parameters
    ----------
    quotes
        By symbol; a symbol without an entry has no price.
    """
    opening = _opening_denial(view, limits)
    gross_fen = sum(view.position_values_fen.values())
    passed, judged = 0, []
    for order in orders:
        denial = (
            _price_denial(order, quotes.get(order.symbol), limits)
            or (Denial.FAT_FINGER if order.value_fen > limits.max_order_cny * FEN_PER_CNY else None)
            or (Denial.ORDER_COUNT if passed >= limits.max_orders_per_session else None)
        )
        if denial is None and order.side is Side.SELL:
            denial = Denial.OVERSELL if order.shares > view.shares.get(order.symbol, 0) else None
        elif denial is None:
            denial = opening or _exposure_denial(order, gross_fen, view, limits)
        if denial is None:
            passed += 1
            gross_fen += order.signed_shares * order.reference_price_e4 // E4_PER_FEN
        judged.append(DecidedOrder(order, "" if denial is None else denial.value))
    return tuple(judged)


def _opening_denial(view: RiskView, limits: RiskSettings) -> Denial | None:
    if not 0 <= view.bundle_age_days <= view.max_bundle_age_days:  # a model from the future is as wrong as an old one
        return Denial.STALE_BUNDLE
    if view.previous_equity_fen <= 0 or view.equity_fen <= 0:
        return Denial.DAY_LOSS
    if view.equity_fen < view.previous_equity_fen * (1 - limits.max_day_loss_frac):
        return Denial.DAY_LOSS
    return None


def _price_denial(order: OrderIntent, quote: Quote | None, limits: RiskSettings) -> Denial | None:
    if quote is None or quote.close_e4 <= 0 or quote.pre_close_e4 <= 0 or order.reference_price_e4 <= 0:
        return Denial.MISSING_PRICE
    deviation_e4 = abs(order.reference_price_e4 - quote.pre_close_e4)
    return Denial.PRICE_DEVIATION if deviation_e4 > limits.max_price_deviation_frac * quote.pre_close_e4 else None


def _exposure_denial(order: OrderIntent, gross_fen: int, view: RiskView, limits: RiskSettings) -> Denial | None:
    position_fen = view.position_values_fen.get(order.symbol, 0) + order.value_fen
    if position_fen > limits.max_weight_per_name_frac * view.equity_fen:
        return Denial.MAX_WEIGHT
    if gross_fen + order.value_fen > limits.max_gross_exposure_frac * view.equity_fen:
        return Denial.GROSS_EXPOSURE
    return None
