"""A slow, plain ledger with exact fractions: what the compiled kernels must agree with, to the fen.

Written from the rules, not from the kernels: positions are lists of purchases with their session, fees are fractions
rounded once, and the affordable quantity is found by trying one lot less after another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

BUY, SELL = "buy", "sell"


@dataclass(frozen=True)
class Rates:
    """Fractions of trade value, price and volume."""

    commission: Fraction
    commission_min_fen: int
    slippage: Fraction
    participation: Fraction
    stamp_buy: Fraction
    stamp_sell: Fraction
    transfer: Fraction


@dataclass(frozen=True)
class Quote:
    """One name on one session; ``close_e4`` 0 without a bar."""

    close_e4: int
    limit_up_e4: int
    limit_down_e4: int
    volume: int
    lot_min: int
    lot_step: int


@dataclass(frozen=True)
class Fill:
    """What one order came to; shares without sign."""

    shares: int
    price_e4: int
    value_fen: int
    fees_fen: int
    reason: str


def half_up(amount: Fraction) -> int:
    """Round to the nearest whole number, halves up."""
    return math.floor(amount + Fraction(1, 2))


def fees_fen(side: str, value_fen: int, rates: Rates) -> int:
    """Commission with its minimum, stamp duty and transfer fee."""
    stamp = rates.stamp_buy if side == BUY else rates.stamp_sell
    commission = max(half_up(value_fen * rates.commission), rates.commission_min_fen)
    return commission + half_up(value_fen * stamp) + half_up(value_fen * rates.transfer)


def valid_lot(shares: int, quote: Quote) -> bool:
    """Whether an order of ``shares`` may be entered."""
    return shares >= quote.lot_min and (shares - quote.lot_min) % quote.lot_step == 0


@dataclass
class ReferenceLedger:
    """Cash and purchases, each with the session it was made on."""

    cash_fen: int
    purchases: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def held(self, name: int) -> int:
        return sum(shares for _, shares in self.purchases.get(name, []))

    def sellable(self, name: int, session: int) -> int:
        return sum(shares for bought, shares in self.purchases.get(name, []) if bought < session)

    def corporate_action(self, name: int, cash_e4: int, bonus_e4: int) -> int:
        """Pay the dividend and book the bonus shares; returns the dividend in fen."""
        held = self.held(name)
        dividend = held * cash_e4 // 100
        self.cash_fen += dividend
        bonus = held * bonus_e4 // 10_000
        if bonus:
            self.purchases[name].append((-1, bonus))
        return dividend

    def sell(self, name: int, order: int, quote: Quote, session: int, rates: Rates) -> Fill:
        if quote.close_e4 == 0:
            return Fill(0, 0, 0, 0, "SUSPENDED")
        if quote.close_e4 <= quote.limit_down_e4:
            return Fill(0, 0, 0, 0, "LIMIT_DOWN")
        free = self.sellable(name, session)
        reason, shares = "NONE", order
        if shares > free:
            shares, reason = free, "T_PLUS_1"
        if shares > math.floor(quote.volume * rates.participation):
            shares, reason = math.floor(quote.volume * rates.participation), "PARTICIPATION"
        while shares and shares != free and not valid_lot(shares, quote):
            shares -= 1
            reason = "LOT" if reason == "NONE" else reason
        price = math.floor(quote.close_e4 * (1 - rates.slippage))
        price = min(max(price, quote.limit_down_e4, 1), quote.close_e4)
        value = shares * price // 100
        fees = fees_fen(SELL, value, rates) if value else 0
        if value and self.cash_fen + value - fees < 0:
            return Fill(0, 0, 0, 0, "CASH")
        if shares:
            self._remove(name, shares, session)
            self.cash_fen += value - fees
        return Fill(shares, price if shares else 0, value, fees, reason)

    def buy(self, name: int, order: int, quote: Quote, session: int, rates: Rates) -> Fill:
        if quote.close_e4 == 0:
            return Fill(0, 0, 0, 0, "SUSPENDED")
        if quote.close_e4 >= quote.limit_up_e4:
            return Fill(0, 0, 0, 0, "LIMIT_UP")
        price = max(min(math.ceil(quote.close_e4 * (1 + rates.slippage)), quote.limit_up_e4), quote.close_e4)
        room = math.floor(quote.volume * rates.participation)
        reason, shares = "NONE", order
        while shares and not valid_lot(shares, quote):
            shares -= 1
            reason = "LOT"
        while shares and not (shares <= room and valid_lot(shares, quote)):
            shares -= 1
            reason = "PARTICIPATION"
        while shares and not (self._cost(shares, price, rates) <= self.cash_fen and valid_lot(shares, quote)):
            shares -= 1
            reason = "CASH"
        if shares:
            self.cash_fen -= self._cost(shares, price, rates)
            self.purchases.setdefault(name, []).append((session, shares))
        value = -(-shares * price // 100)
        return Fill(shares, price if shares else 0, value, fees_fen(BUY, value, rates) if value else 0, reason)

    def equity_fen(self, prices_e4: dict[int, int]) -> int:
        return self.cash_fen + sum(self.held(name) * prices_e4[name] for name in self.purchases) // 100

    @staticmethod
    def _cost(shares: int, price_e4: int, rates: Rates) -> int:
        value = -(-shares * price_e4 // 100)
        return value + fees_fen(BUY, value, rates)

    def _remove(self, name: int, shares: int, session: int) -> None:
        kept = []
        for bought, held in self.purchases[name]:
            gone = min(held, shares) if bought < session else 0
            shares -= gone
            if held - gone:
                kept.append((bought, held - gone))
        self.purchases[name] = kept


def reference_orders(
    *,
    scores: list[float],
    holdings: list[int],
    held_sessions: list[int],
    price_e4: list[int],
    lots: list[tuple[int, int]],
    cash_fen: int,
    equity_fen: int,
    top_k: int,
    n_drop: int,
    min_hold: int,
    reserve_bps: int,
) -> list[tuple[int, int]]:
    """TopkDropout with lists and sorted(): ``(name, signed shares)`` in queue order."""
    names = range(len(scores))
    if not any(map(math.isfinite, scores)):
        return []  # an empty universe: everything is held

    def place(i: int) -> tuple[bool, float, int]:
        scored = math.isfinite(scores[i])
        return (not scored, -scores[i] if scored else 0.0, i)

    held = [i for i in names if holdings[i] > 0]
    free = sorted((i for i in names if not holdings[i] and price_e4[i] > 0 and math.isfinite(scores[i])), key=place)
    today = free[: max(0, n_drop + top_k - len(held))]
    droppable = [i for i in held if price_e4[i] > 0 and held_sessions[i] + 1 >= min_hold]
    joint = sorted(droppable + today, key=place)
    sells = [i for i in reversed(joint[-n_drop:]) if i in droppable]
    buys = today[: max(0, len(sells) + top_k - len(held))]
    orders = [(i, -holdings[i]) for i in sells]
    if buys:
        invested = math.floor(Fraction(equity_fen) * (1 - Fraction(reserve_bps, 10_000)))
        proceeds = sum(holdings[i] * price_e4[i] // 100 for i in sells)
        each = min(invested // top_k, max(0, cash_fen + proceeds - (equity_fen - invested)) // len(buys))
        for i in buys:
            shares, (low, step) = each * 100 // price_e4[i], lots[i]
            whole = low + (shares - low) // step * step if shares >= low else 0
            if whole:
                orders.append((i, whole))
    return orders
