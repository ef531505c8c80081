"""The account's orders of what all sleeves want: at most one for a symbol, whoever is behind it.

What one sleeve sells and another buys of the same symbol is crossed between them, in whole lots, and never sent; the
rest of the larger side is one order. A sleeve alone in its symbols sends what it decided, under the identity that it
decided. Sleeves come by name: the order in which they are given changes nothing, and where lots do not divide, the rule
of ``parts.py`` says by name who has one more.

An order that is made of several is a whole number of lots, or all that the account holds; the rest is not filled. T+1
needs no rule: whatever a sleeve holds at the close is sellable in the session that the orders are for. Pure. Not here:
what becomes of it (``attribution.py``), the risk gate (``risk_gate.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from ljwx_pipeline.errors import LiveError
from ljwx_pipeline.live.events import SleeveWant
from ljwx_pipeline.live.orders import Leg, OrderIntent, client_order_id
from ljwx_pipeline.live.sleeves.parts import in_lots
from ljwx_pipeline.trading.exchange_wire import Side

#: Written as strategy and model on an order that several sleeves share.
ACCOUNT, NETTED = "account", "net"


@dataclass(frozen=True)
class Lot:
    """Smallest order of a symbol and the step by which orders grow, shares."""

    smallest: int
    step: int

    def floor(self, shares: int) -> int:
        """Return the most shares up to ``shares`` that are an order."""
        return 0 if shares < self.smallest else self.smallest + (shares - self.smallest) // self.step * self.step


@dataclass(frozen=True)
class SleeveIntent:
    """What one sleeve wants of one symbol, and by which model; ``denial``: why it may not."""

    sleeve: str
    intent: OrderIntent
    leg: Leg
    bundle_hash: str | None
    denial: str = ""


@dataclass(frozen=True)
class AccountOrder:
    """One order of the account; ``strategy`` and ``bundle_hash`` are a sleeve's where it is that sleeve's alone."""

    intent: OrderIntent
    strategy: str
    leg: Leg
    bundle_hash: str | None


@dataclass(frozen=True)
class Netted:
    """The account's orders by rank, sales first, and what is behind them, by sleeve and symbol."""

    orders: tuple[AccountOrder, ...]
    wants: tuple[SleeveWant, ...]


def net(
    session: date, wanted: Sequence[SleeveIntent], *, lots: Mapping[str, Lot], held_shares: Mapping[str, int]
) -> Netted:
    """Return the account's orders for what the sleeves want at the close of ``session``.

    Parameters
    ----------
    lots
        Of every symbol wanted.
    held_shares
        The account's own, by symbol.

    Raises
    ------
    LiveError
        When a sleeve wants two things of one symbol.
    """
    by_symbol: dict[str, list[SleeveIntent]] = {}
    wants: list[SleeveWant] = []
    for one in sorted(wanted, key=lambda one: (one.intent.symbol, one.sleeve)):
        of_symbol = by_symbol.setdefault(one.intent.symbol, [])
        if one.denial:
            wants.append(_want(one, 0, "", lots[one.intent.symbol].step))
        elif of_symbol and of_symbol[-1].sleeve == one.sleeve:
            raise LiveError(
                f"{one.sleeve} wants two things of {one.intent.symbol} at the close of {session}",
                "nothing was sent; a strategy decides once for a symbol",
            )
        else:
            of_symbol.append(one)
    orders: list[AccountOrder] = []
    for symbol, sleeves in by_symbol.items():
        order, of_symbol_wants = _net_one(session, sleeves, lots[symbol], held_shares.get(symbol, 0))
        wants += of_symbol_wants
        if order is not None:
            orders.append(order)
    orders.sort(key=lambda one: (one.intent.side is Side.BUY, one.intent.rank, one.intent.symbol))
    ranked = [replace(one, intent=replace(one.intent, rank=rank)) for rank, one in enumerate(orders)]
    return Netted(tuple(ranked), tuple(sorted(wants, key=lambda one: (one.sleeve, one.symbol))))


def _net_one(
    session: date, sleeves: Sequence[SleeveIntent], lot: Lot, held_shares: int
) -> tuple[AccountOrder | None, list[SleeveWant]]:
    buyers = [one for one in sleeves if one.intent.side is Side.BUY]
    sellers = [one for one in sleeves if one.intent.side is Side.SELL]
    bought, sold = _total(buyers), _total(sellers)
    larger, smaller = (buyers, sellers) if bought >= sold else (sellers, buyers)
    crossed = min(bought, sold) // lot.step * lot.step
    of_larger = in_lots(crossed, [one.intent.shares for one in larger], lot.step)
    of_smaller = in_lots(crossed, [one.intent.shares for one in smaller], lot.step)
    shares = abs(bought - sold)
    if len(sleeves) > 1 and (larger is buyers or shares != held_shares):
        shares = lot.floor(shares)
    behind = [one for one, part in zip(larger, of_larger, strict=True) if one.intent.shares > part]
    order = None if shares == 0 else _account_order(session, behind, shares)
    identity = "" if order is None else order.intent.client_order_id
    wants = [
        _want(one, part, identity if one.intent.shares > part else "", lot.step)
        for one, part in zip(larger, of_larger, strict=True)
    ]
    wants += [_want(one, part, "", lot.step) for one, part in zip(smaller, of_smaller, strict=True)]
    return order, wants


def _account_order(session: date, behind: Sequence[SleeveIntent], shares: int) -> AccountOrder:
    first = min(behind, key=lambda one: one.intent.rank)
    if len(behind) == 1:
        return AccountOrder(replace(first.intent, shares=shares), first.sleeve, first.leg, first.bundle_hash)
    bundles, legs = {one.bundle_hash for one in behind}, {one.leg for one in behind}
    intent = replace(
        first.intent,
        shares=shares,
        client_order_id=client_order_id(
            strategy=ACCOUNT,
            model_version=NETTED,
            symbol=first.intent.symbol,
            session=session,
            side=first.intent.side,
        ),
    )
    return AccountOrder(
        intent,
        ACCOUNT,
        legs.pop() if len(legs) == 1 else Leg.DECIDE,
        bundles.pop() if len(bundles) == 1 else None,
    )


def _want(one: SleeveIntent, crossed_shares: int, identity: str, lot_step: int) -> SleeveWant:
    return SleeveWant(
        sleeve=one.sleeve,
        symbol=one.intent.symbol,
        side=one.intent.side,
        shares=one.intent.shares,
        crossed_shares=crossed_shares,
        client_order_id=identity,
        lot_step=lot_step,
        denial=one.denial,
    )


def _total(some: Sequence[SleeveIntent]) -> int:
    return sum(one.intent.shares for one in some)
