"""The risk gate: the limits of ``[risk]`` that every order must pass before it may leave the runner.

A denial is a code. Rules about doubtful data and about how much is sent stop orders of both sides; rules about exposure
stop only buys, so that a position can always be reduced. Anything that cannot be judged is denied. What a tripped
breaker or a mode forbids is denied by its own code, before any limit. Not here: the exchange's own rules
(``trading/matching.py``), the decision (``trading/decide.py``), breakers and modes (``trading/breakers.py``,
``trading/modes.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ljwx_pipeline.config import RiskSettings
from ljwx_pipeline.live.orders import DecidedOrder, OrderIntent
from ljwx_pipeline.trading.exchange_wire import Side
from ljwx_pipeline.units import E4_PER_FEN, FEN_PER_CNY, NS_PER_MINUTE


class Denial(StrEnum):
    """Why an order may not leave."""

    MISSING_PRICE = "MISSING_PRICE"  # suspended or no usable price: nothing to judge the order by
    PRICE_DEVIATION = "PRICE_DEVIATION"  # reference price too far from the previous close
    FAT_FINGER = "FAT_FINGER"  # order value above max_order_cny
    SUSPECT_PRICE = "SUSPECT_PRICE"  # the symbol's newest price is in quarantine
    ORDER_COUNT = "ORDER_COUNT"  # more orders than max_orders_per_session
    ORDER_RATE = "ORDER_RATE"  # more orders than max_orders_per_minute within sixty seconds
    STALE_BUNDLE = "STALE_BUNDLE"  # the model is older than max_bundle_age_days: no opening orders
    DAY_LOSS = "DAY_LOSS"  # the session lost more than max_day_loss_frac: no opening orders
    MAX_WEIGHT = "MAX_WEIGHT"  # the position would exceed max_weight_per_name_frac
    MAX_INDUSTRY = "MAX_INDUSTRY"  # the industry's positions would exceed max_weight_per_industry_frac
    GROSS_EXPOSURE = "GROSS_EXPOSURE"  # all positions would exceed max_gross_exposure_frac
    OVERSELL = "OVERSELL"  # more than may be sold: the account never goes short


@dataclass(frozen=True)
class Quote:
    """What the gate knows of a symbol at the deciding close, 1e-4 CNY; 0 where there is no bar."""

    close_e4: int
    pre_close_e4: int


@dataclass(frozen=True)
class RiskView:
    """The account and the model as the gate sees them when it decides.

    Parameters
    ----------
    equity_fen, previous_equity_fen
        Equity now and at the close before (the opening capital on the first session).
    shares
        Shares by symbol that may be sold in the session the order is for, less what open sales will take.
    position_values_fen
        Value of what is held by symbol, fen.
    bundle_age_days
        Days since the model's last training session.
    max_bundle_age_days
        Limit of that age.
    open_buys_fen
        What open purchases may still add by symbol, fen: they count as held.
    industries
        Industry by symbol; all symbols without one count as one industry.
    suspects
        Symbols whose newest price is in quarantine.
    orders_in_session
        Orders sent in the session before these.
    sent_at_ns, now_ns
        Instants of the orders sent lately, and of now.
    opening_denied, reducing_denied
        ``Standing.denial`` of opening and reducing for whoever sends these orders; empty where they are allowed.
    """

    equity_fen: int
    previous_equity_fen: int
    shares: Mapping[str, int]
    position_values_fen: Mapping[str, int]
    bundle_age_days: int
    max_bundle_age_days: int
    open_buys_fen: Mapping[str, int] = field(default_factory=dict)
    industries: Mapping[str, str] = field(default_factory=dict)
    suspects: Collection[str] = ()
    orders_in_session: int = 0
    sent_at_ns: Sequence[int] = ()
    now_ns: int = 0
    opening_denied: str = ""
    reducing_denied: str = ""


@dataclass(frozen=True)
class Restraint:
    """What speaks against orders beside the limits: standing, doubted prices and what was sent before them.

    The fields are those of `RiskView` of the same names; ``sent_at_ns`` and ``now_ns`` are of one clock, the market's.
    """

    suspects: Collection[str] = ()
    orders_in_session: int = 0
    sent_at_ns: Sequence[int] = ()
    now_ns: int = 0
    opening_denied: str = ""
    reducing_denied: str = ""


#: Nothing speaks against them.
FREE = Restraint()


class _Book:
    """What is held, by symbol, industry and in all, while orders pass one after the other."""

    def __init__(self, view: RiskView) -> None:
        self.industries = view.industries
        self.shares = Counter(view.shares)
        self.of_symbol = Counter(view.position_values_fen)
        self.of_symbol.update(view.open_buys_fen)
        self.of_industry: Counter[str] = Counter()
        for symbol, value_fen in self.of_symbol.items():
            self.of_industry[self.industry(symbol)] += value_fen
        self.gross_fen = self.of_symbol.total()
        self.passed = view.orders_in_session
        # what our clock has not reached yet counts: it jumped back
        self.lately = sum(view.now_ns - sent_ns < NS_PER_MINUTE for sent_ns in view.sent_at_ns)

    def industry(self, symbol: str) -> str:
        return self.industries.get(symbol, "")

    def let_pass(self, order: OrderIntent) -> None:
        """Count the order as if it were filled at its reference price."""
        added_fen = order.signed_shares * order.reference_price_e4 // E4_PER_FEN
        self.of_symbol[order.symbol] += added_fen
        self.of_industry[self.industry(order.symbol)] += added_fen
        self.gross_fen += added_fen
        if order.side is Side.SELL:  # what is bought now can be sold tomorrow at the earliest
            self.shares[order.symbol] -= order.shares
        self.passed += 1
        self.lately += 1


def gate_orders(
    orders: Sequence[OrderIntent], quotes: Mapping[str, Quote], view: RiskView, limits: RiskSettings
) -> tuple[DecidedOrder, ...]:
    """Return every order with its denial code, or without one if it may be sent.

    Orders are judged in the order given (sells first, as decided): what a denied order would have used is left for the
    next. Expected proceeds of a passing sale free exposure for the buys behind it; several orders for one symbol are
    judged together.

    Parameters
    ----------
    quotes
        By symbol; a symbol without an entry has no price.
    """
    stale_or_lost, book, judged = _opening_denial(view, limits), _Book(view), []
    for order in orders:
        if order.side is Side.SELL:
            denial: str | None = view.reducing_denied or _denial(order, quotes, view, limits, book)
            if not denial and order.shares > book.shares[order.symbol]:
                denial = Denial.OVERSELL
        else:
            denial = (
                view.opening_denied
                or _denial(order, quotes, view, limits, book)
                or stale_or_lost
                or _exposure_denial(order, view.equity_fen, limits, book)
            )
        if not denial:
            book.let_pass(order)
        judged.append(DecidedOrder(order, str(denial or "")))
    return tuple(judged)


def _denial(
    order: OrderIntent, quotes: Mapping[str, Quote], view: RiskView, limits: RiskSettings, book: _Book
) -> Denial | None:
    """Return what speaks against an order of either side."""
    if order.symbol in view.suspects:
        return Denial.SUSPECT_PRICE
    doubt = _price_denial(order, quotes.get(order.symbol), limits)
    if doubt is not None:
        return doubt
    if order.value_fen > limits.max_order_cny * FEN_PER_CNY:
        return Denial.FAT_FINGER
    if book.passed >= limits.max_orders_per_session:
        return Denial.ORDER_COUNT
    return Denial.ORDER_RATE if book.lately >= limits.max_orders_per_minute else None


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


def _exposure_denial(order: OrderIntent, equity_fen: int, limits: RiskSettings, book: _Book) -> Denial | None:
    value_fen, industry = order.value_fen, book.industry(order.symbol)
    if book.of_symbol[order.symbol] + value_fen > limits.max_weight_per_name_frac * equity_fen:
        return Denial.MAX_WEIGHT
    if book.gross_fen + value_fen > limits.max_gross_exposure_frac * equity_fen:
        return Denial.GROSS_EXPOSURE
    if book.of_industry[industry] + value_fen > limits.max_weight_per_industry_frac * equity_fen:
        return Denial.MAX_INDUSTRY
    return None
